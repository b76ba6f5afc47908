"""A family of adapters that do nothing at once: what is left is the pipeline itself."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.assets import Asset
from pipeline.errors import TextNotSpeakable
from pipeline.frame import Frame
from pipeline.ports import (
    AssetStore,
    Captions,
    ClonedVoice,
    FaceReport,
    Finished,
    Footage,
    Neutral,
    PlannedCutaway,
    PlannedScene,
    SampleReport,
    Utterance,
    VoiceTraits,
)
from pipeline.quality import Expected, Inspection, Look, Picture, Sound

SECONDS = 2.0
LOOKS_EVERY_S = 0.25
NAP_S = 2.0
BEYOND_JSON = "answer with a number beyond JSON"


class Instant:
    """Every capability; outputs differ only where inputs do."""

    name = "instant"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def inspect(self, photo: Asset) -> FaceReport:
        return FaceReport(512, 512, 64.0, 0.0, 0.0, 50.0, 128.0, ())

    def neutral(self, photo: Asset, *, background: str) -> Neutral:
        return Neutral(_asset("neutral", photo, background), None)

    def sheet(self, neutral: Neutral, *, name: str) -> Asset:
        return _asset("sheet", neutral, name)

    def write(self, *arguments: Any, **options: Any) -> Any:
        if options:
            return "A written script."
        return Captions(_asset("vtt", arguments), _asset("srt", arguments))

    def plan(
        self,
        script: str,
        *,
        scenes: int,
        background: str,
        poses: Sequence[str] = (),
        media: Sequence[str] | None = None,
        flaw: str | None = None,
        notes: str | None = None,
    ) -> tuple[PlannedScene, ...]:
        lines = [line for line in script.split("\n") if line.strip()][:scenes]
        return tuple(
            PlannedScene(
                line,
                background,
                "wide",
                pose=poses[index % len(poses)] if poses else None,
                cutaway=PlannedCutaway(media[index % len(media)] if media else None, 0.25, 0.75)
                if media is not None
                else None,
            )
            for index, line in enumerate(lines)
        )

    def speak(self, *arguments: Any, seed: int, **options: Any) -> Any:
        if "frame" in options:
            return Footage(_asset("clip", arguments, options, seed), round(SECONDS * options["frame"].fps), SECONDS)
        obey(arguments[0])
        made = _asset("speech", arguments, seed)
        return Utterance(made, made, 2**60 if arguments[0] == BEYOND_JSON else SECONDS, ())

    def clone(self, samples: Sequence[Asset], *, name: str) -> ClonedVoice:
        return ClonedVoice(type(self).__module__, _asset("voice", samples, name).id)

    def listen(self, sample: Asset) -> SampleReport:
        return SampleReport(30.0, 25.0, 48000, 1, -3.0, 40.0, 0.0, VoiceTraits(120.0, 3.0, 4.0, (0.0, -6.0)))

    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Asset:
        return _asset("background", prompt, width, height, seed)

    def pose(self, neutral: Neutral, *, name: str) -> Asset:
        return _asset("pose", neutral, name)

    def cut(self, medium: Asset | None, words: Sequence[Any], *, seconds: float, frame: Frame, seed: int) -> Footage:
        return Footage(_asset("cutaway", medium, seconds, seed), round(seconds * frame.fps), seconds)

    def stitch(self, clips: Sequence[Footage], speeches: Sequence[Utterance], **_: Any) -> Footage:
        return Footage(_asset("cut", clips), sum(clip.frames for clip in clips), sum(clip.seconds for clip in clips))

    def enhance(self, video: Footage, *, frame: Frame, marks: Mapping[str, str], thumbnail_at: float) -> Finished:
        return Finished(_asset("video", video), _asset("thumbnail", video), video.seconds, -16.0, -1.5)

    def examine(self, video: Asset, *, expected: Expected) -> Inspection:
        return faultless(expected)


def faultless(expected: Expected) -> Inspection:
    """What an inspector finds on a video that is just as expected: lips that open with every word."""
    frame = expected.frame
    picture = Picture("h264", "High", "yuv420p", "bt709", frame.width, frame.height, frame.fps, expected.frames, True,
                      2.0, True)  # fmt: skip
    looks = [number * LOOKS_EVERY_S for number in range(int(expected.seconds / LOOKS_EVERY_S))]
    said = [any(word.start <= at <= word.end for word in expected.words) for at in looks]
    lips = [(0.1, 0.2)[number % 2] if opened else 0.01 for number, opened in enumerate(said)]
    return Inspection(
        True, 0.0, picture, Sound("aac", 48_000, "stereo", -16.0, -1.5), (), (), expected.silences(),
        tuple(map(Look, looks, lips)),
    )  # fmt: skip


def obey(text: str) -> None:
    """A line may ask for trouble: `raise MemoryError`, `sleep`, `die until <file>` is there, or `fail until` it is."""
    troubles = {"MemoryError": MemoryError, "SystemExit": SystemExit, "TextNotSpeakable": TextNotSpeakable}
    if text.startswith("raise "):
        raise troubles[text.removeprefix("raise ")]("as asked")
    if text.startswith("sleep"):
        time.sleep(float(text.removeprefix("sleep") or NAP_S))
    if text.startswith("fail until ") and not Path(text.removeprefix("fail until ")).exists():
        raise MemoryError
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if text.startswith("die until ") and not Path(text.removeprefix("die until ")).exists():
        os.kill(os.getpid(), signal.SIGKILL)


ADAPTERS = dict.fromkeys(
    (
        "photo",
        "neutral_image",
        "character_sheet",
        "script",
        "storyboard",
        "speech",
        "voice_sample",
        "voice_cloning",
        "background",
        "pose",
        "b_roll",
        "lip_sync",
        "editing",
        "enhancement",
        "inspection",
        "captions",
    ),
    "tests.instant:Instant",
)


def _asset(kind: str, *made_of: Any) -> Asset:
    digest = sha256(repr((kind, made_of)).encode()).hexdigest()
    return Asset(f"ast_{digest[:26]}", kind, "application/octet-stream", 0, digest)
