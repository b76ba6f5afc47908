"""Jobs, their stages and their events, as the public sees them."""

from typing import Any

from marshmallow import Schema, fields

from pipeline.state import JobStatus, StepStatus
from schemas.assets import LinkedAsset
from schemas.strict import Choice, Instant, Matching, Strict

KINDS = ("avatar", "voice", "output")
EXAMPLE = {
    "id": "job_01jd3v9k7m5q8r2t4w6x8y0z1a",
    "kind": "output",
    "route": "multi_scene",
    "lane": "marketing",
    "status": "running",
    "progress": 0.42,
    "stages": {"running": ["scene/2/lip_sync"], "waiting": [], "failed": [], "stale": []},
    "parked": [],
    "gate": None,
    "error": None,
    "result": None,
    "cost": {"amount": "0.0000", "currency": "USD"},
    "budget": {"amount": "5.0000", "currency": "USD"},
    "created_at": "2026-11-22T09:00:00Z",
    "updated_at": "2026-11-22T09:00:41Z",
    "started_at": "2026-11-22T09:00:00Z",
    "finished_at": None,
    "deadline_at": None,
    "deleted_at": None,
    "metadata": {"campaign": "c_1"},
    "links": {
        "self": "https://likeness.example/v1/jobs/job_01jd3v9k7m5q8r2t4w6x8y0z1a",
        "stages": "https://likeness.example/v1/jobs/job_01jd3v9k7m5q8r2t4w6x8y0z1a/stages",
        "events": "https://likeness.example/v1/jobs/job_01jd3v9k7m5q8r2t4w6x8y0z1a/events",
        "timeline": "https://likeness.example/v1/jobs/job_01jd3v9k7m5q8r2t4w6x8y0z1a/timeline",
        "cancel": "https://likeness.example/v1/jobs/job_01jd3v9k7m5q8r2t4w6x8y0z1a/cancel",
    },
}


def described(text: str, **more: Any) -> dict[str, Any]:
    return {"description": text} | more


class Cost(Schema):
    amount = fields.String(required=True, metadata={"example": "0.0000"})
    currency = fields.String(required=True, metadata={"example": "USD"})


class StepError(Schema):
    """Why a stage did not succeed. `code` is for programs and stays."""

    code = fields.String(required=True, metadata={"example": "no_face"})
    message = fields.String(required=True, metadata={"example": "No face was found."})
    retryable = fields.Boolean(required=True)
    details = fields.Raw(metadata={"type": "object"})


class JobError(StepError):
    stage = fields.String(required=True, metadata={"example": "scene/2/lip_sync"})
    attempts = fields.Integer(required=True)
    provider = fields.String(allow_none=True)


class AvatarResult(Schema):
    """The result of an avatar job."""

    avatar_id = fields.String(required=True)
    neutral_image = fields.Nested(LinkedAsset, required=True)
    character_sheet = fields.Nested(LinkedAsset, required=True)
    voice_id = fields.String(allow_none=True)


class VoiceResult(Schema):
    """The result of a voice job."""

    voice_id = fields.String(required=True)
    method = fields.String(
        required=True, metadata=described("What the voice may be called.", example="approximate voice match")
    )
    preview = fields.Nested(LinkedAsset, required=True, metadata=described("A sentence spoken with it."))


class CaptionFiles(Schema):
    vtt = fields.Nested(LinkedAsset, required=True)
    srt = fields.Nested(LinkedAsset, required=True)


class SceneResult(Schema):
    index = fields.Integer(required=True)
    start_s = fields.Float(required=True)
    end_s = fields.Float(required=True)
    transcript = fields.String(required=True)
    pose = fields.String(allow_none=True)
    background = fields.Nested(LinkedAsset, required=True)
    video = fields.Nested(LinkedAsset, required=True)


class DisclosureSchema(Schema):
    """What the video says of itself, in its file's metadata as well: that it is synthetic."""

    digital_source_type = fields.Url(required=True, metadata=described("A term of IPTC's vocabulary."))
    statement = fields.String(required=True)
    label = fields.String(
        required=True, allow_none=True, metadata=described("What the picture always shows; null: it was switched off.")
    )


class OutputResult(Schema):
    """The result of an output job; times as measured."""

    video = fields.Nested(LinkedAsset, required=True)
    thumbnail = fields.Nested(LinkedAsset, required=True)
    captions = fields.Nested(CaptionFiles, allow_none=True)
    timeline = fields.Nested(LinkedAsset, required=True)
    duration_s = fields.Float(required=True)
    width = fields.Integer(required=True)
    height = fields.Integer(required=True)
    fps = fields.Integer(required=True)
    scenes = fields.List(fields.Nested(SceneResult), required=True)
    disclosure = fields.Nested(DisclosureSchema, required=True)


class Current(Schema):
    """Stage keys."""

    running = fields.List(fields.String(), required=True)
    waiting = fields.List(fields.String(), required=True)
    failed = fields.List(fields.String(), required=True)
    stale = fields.List(
        fields.String(), required=True, metadata=described("Still usable, and made from what has changed since.")
    )


class Parked(Schema):
    """A stage that goes on only when a person has decided something."""

    stage = fields.String(required=True, metadata={"example": "scene/2/lip_sync"})
    why = fields.String(required=True, allow_none=True, metadata=described("A sentence for people."))


KINDS_OF_RESULT = [{"$ref": f"#/components/schemas/{name}"} for name in ("AvatarResult", "VoiceResult", "OutputResult")]


class ItemSchema(Schema):
    """One output that is to be judged."""

    stage = fields.String(required=True, metadata={"example": "scene/2/background"})
    scene = fields.Integer(required=True, allow_none=True)
    digest = fields.String(required=True)
    output = fields.Raw(required=True, metadata=described("The very text or asset.", type="object"))


class GateSchema(Schema):
    """Where a person must decide, about what, and until when."""

    name = fields.String(required=True, metadata={"example": "background"})
    stage = fields.String(required=True, metadata={"example": "background"})
    round = fields.Integer(required=True, metadata=described("How often it was opened."))
    digest = fields.String(required=True, metadata=described("Of all items: send it with the decision."))
    items = fields.List(fields.Nested(ItemSchema), required=True)
    opened_at = fields.String(required=True, metadata={"format": "date-time"})
    expires_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    expired = fields.Boolean(required=True, metadata=described("The job waits all the same."))


class JobSchema(Schema):
    """One request being served."""

    id = fields.String(required=True)
    kind = Choice(KINDS, required=True)
    route = fields.String(required=True, metadata=described("Follows from the payload.", example="multi_scene"))
    lane = fields.String(required=True)
    status = Choice([status.value for status in JobStatus], required=True)
    progress = fields.Float(required=True, metadata=described("0 to 1; never falls.", minimum=0, maximum=1))
    stages = fields.Nested(Current, required=True)
    parked = fields.List(
        fields.Nested(Parked),
        required=True,
        metadata=described("Those of the waiting stages that wait for the service's operator. The job goes on after."),
    )
    gate = fields.Nested(GateSchema, required=True, allow_none=True)
    error = fields.Nested(JobError, required=True, allow_none=True)
    result = fields.Raw(required=True, allow_none=True, metadata={"anyOf": [*KINDS_OF_RESULT, {"type": "null"}]})
    cost = fields.Nested(Cost, required=True)
    budget = fields.Nested(
        Cost, required=True, allow_none=True, metadata=described("What it may cost, as it was raised; null: no limit.")
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
    started_at = Instant(required=True, allow_none=True)
    finished_at = Instant(required=True, allow_none=True)
    deadline_at = Instant(
        required=True,
        allow_none=True,
        metadata=described("When a job under way fails as `deadline_exceeded`; null: never, or it is not under way."),
    )
    deleted_at = Instant(
        required=True,
        allow_none=True,
        metadata=described(
            "When its avatar or voice was deleted, and with it the content of the job: only its facts are left."
        ),
    )
    metadata = fields.Raw(required=True, metadata={"type": "object"})
    links = fields.Dict(fields.String(), fields.String(metadata={"format": "uri"}), required=True)


class JobPage(Schema):
    jobs = fields.List(fields.Nested(JobSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata=described("For `cursor`; null: no more."))


class JobQuery(Strict):
    error_messages = {"unknown": "is not a parameter here"}  # noqa: RUF012  # so marshmallow declares it

    status = Choice([status.value for status in JobStatus])
    kind = Choice(KINDS)
    cursor = Matching(r"job_[0-9a-z]{26}", form="a next_cursor of an earlier page")
    limit = Matching(r"[1-9][0-9]?|100", form="a number from 1 to 100", load_default="20", metadata={"default": "20"})


class Try(Schema):
    """One attempt that has ended."""

    attempt = fields.Integer(required=True)
    outcome = fields.String(required=True, metadata=described("`done`, `again`, `failed`, `cancelled` or `lost`."))
    error = fields.Nested(StepError, allow_none=True)
    provider = fields.String(allow_none=True)
    started_at = Instant(required=True)
    finished_at = Instant(required=True)


class PassedOver(Schema):
    """A provider that was preferred and did not serve."""

    provider = fields.String(required=True, metadata={"example": "elevenlabs"})
    code = fields.String(required=True, metadata={"example": "insufficient_funds"})
    message = fields.String(required=True)


class StepSource(Schema):
    job_id = fields.String(required=True)
    step = fields.String(required=True, metadata={"example": "scene/2/lip_sync"})


class StepSchema(Schema):
    """What is known of one stage of a job."""

    key = fields.String(required=True, metadata={"example": "scene/2/lip_sync"})
    name = fields.String(required=True, metadata={"example": "lip_sync"})
    label = fields.String(required=True, metadata=described("For people.", example="Syncing lips"))
    scene = fields.Integer(required=True, allow_none=True)
    status = Choice([status.value for status in StepStatus], required=True)
    attempts = fields.Integer(required=True, metadata=described("Tries, the present one included; waiting is none."))
    tries = fields.List(fields.Nested(Try), required=True)
    variation = fields.Integer(required=True)
    origin = fields.String(
        required=True, allow_none=True, metadata=described("`human` where a person gave the output.", example="human")
    )
    source = fields.Nested(
        StepSource, required=True, allow_none=True, metadata=described("Your other job that made the output.")
    )
    notes = fields.String(required=True, allow_none=True, metadata=described("A reviewer's, for this variation."))
    input = fields.Raw(required=True, allow_none=True, metadata=described("Where each value came from.", type="object"))
    output = fields.Raw(required=True, allow_none=True, metadata=described("What the stage made.", type="object"))
    error = fields.Nested(StepError, required=True, allow_none=True)
    provider = fields.String(required=True, allow_none=True, metadata=described("Who served, or was asked last."))
    passed_over = fields.List(fields.Nested(PassedOver), required=True, metadata=described("In order of preference."))
    cost = fields.Nested(Cost, required=True)
    started_at = Instant(required=True, allow_none=True)
    finished_at = Instant(required=True, allow_none=True)
    wake_at = Instant(
        required=True,
        allow_none=True,
        metadata=described("When a waiting stage goes on, or is looked after; null: when a person has decided."),
    )
    why = fields.String(required=True, allow_none=True, metadata=described("Why a stage waits: a sentence for people."))
    awaits = fields.String(
        required=True,
        allow_none=True,
        metadata=described(
            "What a waiting stage waits for besides its time: `call` (a provider is at work), `slot:<provider>` (all"
            " our places there are taken), `budget` (more than the job may cost) or `person`.",
            example="call",
        ),
    )


class StepList(Schema):
    job_id = fields.String(required=True)
    stages = fields.List(fields.Nested(StepSchema), required=True, metadata=described("In the route's order."))


class TimelineQuery(Strict):
    error_messages = {"unknown": "is not a parameter here"}  # noqa: RUF012  # so marshmallow declares it

    format = Choice(("json", "otio", "vtt", "srt"), load_default="json", metadata={"default": "json"})
