"""`voice.clone/1`: a sample of somebody speaking becomes a reusable voice."""

from typing import Any

from pipeline.snapshots import Person, VoiceSample, VoiceSnapshot
from schemas.consent import ConsentFields, consent
from schemas.media_source import MediaSource
from schemas.strict import Choice, Deadline, Metadata, Strict, Text, nested

LANES = ("avatar", "marketing")

EXAMPLE = {
    "contract": "voice.clone/1",
    "lane": "avatar",
    "name": "Demo",
    "inputs": {"voice_sample": {"asset_id": "ast_01jd3v9k7m5q8r2t4w6x8y0z1b"}},
    "consent": {
        "statement": "I agree that a synthetic voice is made of mine.",
        "subject": "Ada Example",
        "granted_at": "2026-11-01T09:00:00Z",
    },
    "metadata": {"user": "u_1"},
}


class Sample(MediaSource):
    """One person speaking, for 10 seconds to 5 minutes."""


class VoiceInputs(Strict):
    voice_sample = nested(Sample, required=True)


class VoiceClone(Strict):
    """`voice.clone/1`"""

    contract = Choice(("voice.clone/1",), required=True)
    lane = Choice(LANES, load_default="avatar", metadata={"description": "The queue that serves the job."})
    name = Text(80, required=True)
    inputs = nested(VoiceInputs, required=True)
    consent = nested(ConsentFields, required=True)
    deadline_s = Deadline()
    metadata = Metadata()


def sample(data: dict[str, Any]) -> VoiceSample:
    return VoiceSample(data.get("asset_id"), data.get("url"))


def snapshot(data: dict[str, Any]) -> VoiceSnapshot:
    return VoiceSnapshot(
        sample(data["inputs"]["voice_sample"]), Person(data["name"], consent(data["consent"])), data["deadline_s"]
    )


def route(data: dict[str, Any]) -> str:
    return "voice_cloning"
