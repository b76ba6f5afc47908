"""Assets as the public sees them."""

from marshmallow import Schema, fields

from schemas.strict import Choice, Instant, Strict

MOST_RELATED = 1000
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

    kind = fields.String(
        required=True, metadata={"description": "`photo`, `video`, `voice_sample`, or what a stage made."}
    )
    facts = fields.Raw(metadata={"type": "object", "description": "Measured: `width`, `height`, `seconds`, `fps` …"})
    created_at = Instant(required=True)


class AssetNode(Schema):
    """An asset as its relatives see it."""

    id = fields.String(required=True)
    kind = fields.String(required=True)
    media_type = fields.String(required=True)
    job_id = fields.String(required=True, allow_none=True)
    step = fields.String(required=True, allow_none=True)
    attempt = fields.Integer(required=True, allow_none=True)
    created_at = Instant(required=True)


class AssetEdgeShown(Schema):
    """`made` was made from `source`."""

    source = fields.String(required=True)
    made = fields.String(required=True)


class LineageSchema(Schema):
    """The asset, all that it was made from, and all that was made from it, to the end both ways."""

    nodes = fields.List(fields.Nested(AssetNode), required=True, metadata={"description": "Oldest first."})
    edges = fields.List(fields.Nested(AssetEdgeShown), required=True)
    truncated = fields.Boolean(
        required=True,
        metadata={"description": f"There is more: only the nearest {MOST_RELATED} each way are shown."},
    )


class TracedAsset(AssetSchema):
    """With its lineage: who made it, from what, and what was made of it; to the end where that was asked for."""

    job_id = fields.String(allow_none=True, metadata={"description": "The job that made it; null: uploaded."})
    step = fields.String(allow_none=True)
    attempt = fields.Integer(allow_none=True)
    made_from = fields.List(fields.String(), metadata={"description": "Asset ids."})
    made_into = fields.List(fields.String(), metadata={"description": "Asset ids."})
    lineage = fields.Nested(LineageSchema, metadata={"description": "With `lineage=full` only."})


class AssetQuery(Strict):
    error_messages = {"unknown": "is not a parameter here"}  # noqa: RUF012  # so marshmallow declares it

    lineage = Choice(("full",), metadata={"description": "All ancestors and descendants, with the edges between."})


class ConsentShown(Schema):
    statement = fields.String(required=True)
    subject = fields.String(required=True)
    granted_at = fields.String(required=True, metadata={"format": "date-time"})


class TraitsShown(Schema):
    """As measured on the sample."""

    pitch_hz = fields.Float(required=True, metadata={"description": "Median."})
    pitch_spread_st = fields.Float(required=True, metadata={"description": "Standard deviation, in semitones."})
    syllables_per_s = fields.Float(required=True, metadata={"description": "Of speech, without its pauses."})
    envelope_db = fields.List(
        fields.Float(), required=True, metadata={"description": "Levels of the voiced spectrum's bands, low to high."}
    )


class VoiceSchema(Schema):
    """A reusable voice, and the consent it rests on."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(required=True)
    provider = fields.String(required=True, metadata={"description": "The one that can speak with it."})
    method = fields.String(
        required=True,
        metadata={"description": "What the voice may be called.", "example": "approximate voice match"},
    )
    traits = fields.Nested(TraitsShown, required=True)
    preview = fields.Nested(LinkedAsset, required=True, metadata={"description": "A sentence spoken with it."})
    consent = fields.Nested(ConsentShown, required=True)
    job_id = fields.String(required=True)
    created_at = Instant(required=True)


class AvatarVersionShown(Schema):
    """An avatar as it was saved once; it does not change any more."""

    version = fields.Integer(required=True)
    neutral_image = fields.Nested(LinkedAsset, required=True)
    character_sheet = fields.Nested(LinkedAsset, required=True)
    voice_id = fields.String(required=True, allow_none=True)
    voice_version = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Which version of its own voice it was saved with."}
    )
    created_at = Instant(required=True)


class AvatarSchema(Schema):
    """A reusable identity as its newest version is, and the consent it rests on."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.Integer(
        required=True, metadata={"description": "Counts from 1: its job made pictures or a voice anew."}
    )
    consent = fields.Nested(ConsentShown, required=True)
    neutral_image = fields.Nested(LinkedAsset, required=True)
    character_sheet = fields.Nested(LinkedAsset, required=True)
    voice_id = fields.String(required=True, allow_none=True, metadata={"description": "Its own voice, if it has one."})
    versions = fields.List(
        fields.Nested(AvatarVersionShown), required=True, metadata={"description": "Newest first; all are kept."}
    )
    job_id = fields.String(required=True)
    created_at = Instant(required=True)


class DeletedIdentity(Schema):
    """What went with an avatar or a voice. Its jobs are still listed, with `deleted_at` and without their content."""

    id = fields.String(required=True)
    deleted = fields.Constant(True, required=True, metadata={"type": "boolean"})
    assets = fields.Integer(required=True, metadata={"description": "How many assets are gone."})
    jobs = fields.List(fields.String(), required=True, metadata={"description": "Whose content is gone."})
