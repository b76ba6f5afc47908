"""`avatar.create/1`: a photo becomes a reusable avatar."""

from typing import Any

from pipeline.snapshots import AvatarSnapshot, Person, Photos, PhotoSource, Style
from schemas.consent import ConsentFields, consent
from schemas.media_source import MediaSource
from schemas.strict import Choice, Deadline, Matching, Metadata, Strict, Text, listed, nested
from schemas.voice_clone import Sample, sample

LOOKS = ("studio",)
LANES = ("avatar", "marketing")
MOST_IMAGES = 8
STYLE = {"look": "studio", "background": "#20242c"}

EXAMPLE = {
    "contract": "avatar.create/1",
    "lane": "avatar",
    "name": "Demo",
    "inputs": {"images": [{"asset_id": "ast_01jd3v9k7m5q8r2t4w6x8y0z1a"}]},
    "style": STYLE,
    "consent": {
        "statement": "I agree that an avatar is made of me.",
        "subject": "Ada Example",
        "granted_at": "2026-11-01T09:00:00Z",
    },
    "metadata": {"user": "u_1"},
}


class Image(MediaSource):
    """A photo."""


class Inputs(Strict):
    images = listed(nested(Image), 1, MOST_IMAGES, required=True)
    voice_sample = nested(
        Sample,
        allow_none=True,
        load_default=None,
        metadata={"description": "With it the avatar has a voice of its own."},
    )


class StyleFields(Strict):
    look = Choice(LOOKS, load_default=STYLE["look"])
    background = Matching(
        r"#[0-9a-fA-F]{6}",
        form="a colour such as #20242c",
        load_default=STYLE["background"],
        metadata={"example": "#20242c"},
    )


class AvatarCreate(Strict):
    """`avatar.create/1`"""

    contract = Choice(("avatar.create/1",), required=True)
    lane = Choice(LANES, load_default="avatar", metadata={"description": "The queue that serves the job."})
    name = Text(80, required=True)
    inputs = nested(Inputs, required=True)
    style = nested(StyleFields, load_default=lambda: dict(STYLE))
    consent = nested(ConsentFields, required=True)
    deadline_s = Deadline()
    metadata = Metadata()


def snapshot(data: dict[str, Any]) -> AvatarSnapshot:
    inputs = data["inputs"]
    return AvatarSnapshot(
        photos=Photos(tuple(PhotoSource(image.get("asset_id"), image.get("url")) for image in inputs["images"])),
        person=Person(data["name"], consent(data["consent"])),
        style=Style(data["style"]["look"], data["style"]["background"].lower()),
        sample=sample(inputs["voice_sample"]) if inputs["voice_sample"] else None,
        deadline_s=data["deadline_s"],
    )


def route(data: dict[str, Any]) -> str:
    return "avatar_with_voice" if data["inputs"]["voice_sample"] else "avatar_creation"
