"""Assets as the public sees them."""

from marshmallow import Schema, fields

from schemas.strict import Instant

PHOTO = {
    "id": "ast_01jd3v9k7m5q8r2t4w6x8y0z1a",
    "kind": "photo",
    "media_type": "image/jpeg",
    "bytes": 184320,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "facts": {"width": 1024, "height": 1024},
    "url": "https://likeness.example/v1/assets/ast_01jd3v9k7m5q8r2t4w6x8y0z1a/content?expires=1795600800&signature=…",
    "created_at": "2026-11-22T09:00:00Z",
}


class LinkedAsset(Schema):
    """A file, with a link that opens it until it expires. Equal `sha256`, equal bytes."""

    id = fields.String(required=True)
    url = fields.String(required=True, metadata={"format": "uri"})
    media_type = fields.String(required=True)
    bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True)


class AssetSchema(LinkedAsset):
    """A file and what was measured on it."""

    kind = fields.String(required=True, metadata={"description": "`photo`, `voice_sample`, or what a stage made."})
    facts = fields.Raw(metadata={"type": "object", "description": "Measured: `width`, `height`, `seconds`, `fps` …"})
    created_at = Instant(required=True)


class TracedAsset(AssetSchema):
    """With its lineage: who made it, from what, and what was made of it."""

    job_id = fields.String(allow_none=True, metadata={"description": "The job that made it; null: uploaded."})
    step = fields.String(allow_none=True)
    attempt = fields.Integer(allow_none=True)
    made_from = fields.List(fields.String(), metadata={"description": "Asset ids."})
    made_into = fields.List(fields.String(), metadata={"description": "Asset ids."})


class ConsentShown(Schema):
    statement = fields.String(required=True)
    subject = fields.String(required=True)
    granted_at = fields.String(required=True, metadata={"format": "date-time"})


class AvatarSchema(Schema):
    """A reusable identity, and the consent it rests on."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True)
    consent = fields.Nested(ConsentShown, required=True)
    neutral_image = fields.Nested(LinkedAsset, required=True)
    character_sheet = fields.Nested(LinkedAsset, required=True)
    job_id = fields.String(required=True)
    created_at = Instant(required=True)
