"""`avatar.create/1`: a photo becomes a reusable avatar."""

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, validates, validates_schema

from pipeline.snapshots import AvatarSnapshot, Consent, Person, Photos, PhotoSource, Style
from schemas.strict import Choice, Instant, Matching, Metadata, NotOffered, Strict, Text, exactly_one, listed, nested

LOOKS = ("studio",)
LANES = ("avatar", "marketing")
MOST_IMAGES = 8
CLOCK_SKEW = timedelta(minutes=5)
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


class Image(Strict):
    """An uploaded asset, or an address from which we fetch the photo."""

    asset_id = Text(40, metadata={"description": "A photo of yours: `POST /v1/assets`."})
    url = Matching(
        r"https://[\x21-\x7e]{1,2040}",
        form="an encoded URL that begins with https:// and has at most 2048 characters",
        metadata={"format": "uri", "description": "On a host from which this installation fetches."},
    )

    @validates_schema
    def one_source(self, data: dict[str, Any], **_: Any) -> None:
        exactly_one(data, ("asset_id", "url"))


class Inputs(Strict):
    images = listed(nested(Image), 1, MOST_IMAGES, required=True)
    voice_sample = NotOffered(None, "cloned voices are")


class StyleFields(Strict):
    look = Choice(LOOKS, load_default=STYLE["look"])
    background = Matching(
        r"#[0-9a-fA-F]{6}",
        form="a colour such as #20242c",
        load_default=STYLE["background"],
        metadata={"example": "#20242c"},
    )


class ConsentFields(Strict):
    """What the person in the photo agreed to; kept with the avatar and shown with it."""

    statement = Text(2000, lines=True, required=True)
    subject = Text(200, required=True, metadata={"description": "Who agreed."})
    granted_at = Instant(required=True)

    @validates("granted_at")
    def not_later_than_now(self, value: datetime, **_: Any) -> None:
        if value > datetime.now(UTC) + CLOCK_SKEW:
            raise ValidationError("lies in the future")


class AvatarCreate(Strict):
    """`avatar.create/1`"""

    contract = Choice(("avatar.create/1",), required=True)
    lane = Choice(LANES, load_default="avatar", metadata={"description": "The queue that serves the job."})
    name = Text(80, required=True)
    inputs = nested(Inputs, required=True)
    style = nested(StyleFields, load_default=lambda: dict(STYLE))
    consent = nested(ConsentFields, required=True)
    metadata = Metadata()


def snapshot(data: dict[str, Any]) -> AvatarSnapshot:
    consent = data["consent"]
    granted_at = consent["granted_at"].astimezone(UTC).isoformat().replace("+00:00", "Z")
    return AvatarSnapshot(
        photos=Photos(
            tuple(PhotoSource(image.get("asset_id"), image.get("url")) for image in data["inputs"]["images"])
        ),
        person=Person(data["name"], Consent(consent["statement"], consent["subject"], granted_at)),
        style=Style(data["style"]["look"], data["style"]["background"].lower()),
    )


def route(data: dict[str, Any]) -> str:
    return "avatar_creation"
