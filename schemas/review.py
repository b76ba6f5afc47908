"""Decisions and plans, as the public sees them."""

from marshmallow import Schema, fields

from schemas.jobs import Cost, described
from schemas.strict import Instant


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
