"""Decisions, plans and explanations, as the public sees them."""

from marshmallow import Schema, fields

from pipeline.state import JobStatus
from schemas.jobs import Cost, described
from schemas.strict import Choice, Instant


class EstimateSchema(Schema):
    seconds = fields.Float(required=True, metadata=described("The longest way through it, with workers enough."))
    work_seconds = fields.Float(required=True, metadata=described("All of it, one after the other."))
    cost = fields.Nested(
        Cost, required=True, metadata=described("By the providers' prices, or else by what such stages cost before.")
    )


class PlanSchema(Schema):
    """What a retry would do. Of what is to run, that whose inputs turn out to be the same is reused."""

    run = fields.List(fields.String(), required=True)
    reuse = fields.List(fields.String(), required=True)
    voids = fields.List(fields.String(), required=True, metadata=described("Approvals that would not count any more."))
    stale = fields.List(fields.String(), required=True, metadata=described("What `single` leaves out of date."))
    estimate = fields.Nested(EstimateSchema, required=True)
    digest = fields.String(required=True, metadata=described("Send it with the retry: refused if this has changed."))


class DecisionSchema(Schema):
    id = fields.String(required=True)
    gate = fields.String(required=True, allow_none=True, metadata=described("null: a retry."))
    decision = fields.String(required=True, metadata=described("`approve`, `revise`, `reject` or `retry`."))
    reviewer = fields.String(required=True, allow_none=True)
    notes = fields.String(required=True, allow_none=True)
    scenes = fields.List(fields.Integer(), required=True, allow_none=True)
    edits = fields.Raw(required=True, allow_none=True, metadata={"type": "object"})
    judged = fields.Raw(required=True, metadata=described("By stage: the digest of what was judged.", type="object"))
    digest = fields.String(required=True)
    in_force = fields.Boolean(required=True)
    created_at = Instant(required=True)


class DecisionList(Schema):
    job_id = fields.String(required=True)
    approvals = fields.List(fields.Nested(DecisionSchema), required=True)


class AwaitedSchema(Schema):
    """One thing that a job waits for."""

    kind = fields.String(
        required=True,
        metadata=described(
            "`worker`: a free one. `stage`: one that runs. `time`: another try. `provider`: it is at work. `slot`: our"
            " places there are taken. `operator`: a paid call nobody knows the end of. `decision`: a gate. `move`: what"
            " is next is just being sent.",
            example="decision",
        ),
    )
    stage = fields.String(required=True, allow_none=True)
    gate = fields.String(required=True, allow_none=True)
    digest = fields.String(required=True, allow_none=True, metadata=described("Of what the gate is about."))
    since = Instant(required=True, allow_none=True)
    until = Instant(
        required=True,
        allow_none=True,
        metadata=described("When the lease, the pause or the time to decide ends; null: it has no such end."),
    )
    says = fields.String(required=True)


class FailureSchema(Schema):
    stage = fields.String(required=True, metadata={"example": "scene/2/speech"})
    code = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    retryable = fields.Boolean(required=True)


class ChangeSchema(Schema):
    """Why a stage's output is out of date."""

    input = fields.String(required=True, allow_none=True, metadata=described("The parameter.", example="backdrop"))
    source = fields.String(
        required=True,
        allow_none=True,
        data_key="from",
        metadata=described("Where its value lies.", example="scene/2/background/image"),
    )
    was = fields.String(required=True, allow_none=True, metadata=described("Its digest when the output was made."))
    now = fields.String(
        required=True, allow_none=True, data_key="is", metadata=described("Its digest now; null: not known yet.")
    )
    reason = fields.String(
        required=True,
        metadata=described(
            "`replaced`; `stale`, `missing`: the stage that makes it has to run itself; `version`: the stage works"
            " otherwise than it did.",
            example="replaced",
        ),
    )


class OutOfDateSchema(Schema):
    stage = fields.String(required=True, metadata={"example": "scene/2/lip_sync"})
    because = fields.List(fields.Nested(ChangeSchema), required=True)


class PossibleSchema(Schema):
    """A call that the job's state allows."""

    call = fields.String(required=True, metadata={"example": "POST /v1/jobs/job_01jd3v9k7m5q8r2t4w6x8y0z1a/retries"})
    body = fields.Raw(
        required=True, allow_none=True, metadata=described("To be sent as it is, with a key of yours.", type="object")
    )
    says = fields.String(required=True)


class ExplanationSchema(Schema):
    """Why a job is where it is, and what could be done."""

    job_id = fields.String(required=True)
    status = Choice([status.value for status in JobStatus], required=True)
    summary = fields.String(required=True, metadata=described("For people."))
    waits_for = fields.List(fields.Nested(AwaitedSchema), required=True)
    failed = fields.List(fields.Nested(FailureSchema), required=True)
    stale = fields.List(fields.Nested(OutOfDateSchema), required=True)
    possible = fields.List(fields.Nested(PossibleSchema), required=True)
