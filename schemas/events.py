"""Lifecycle events, as they are sent and as they are shown."""

from marshmallow import Schema, fields

from pipeline.state import EventType
from schemas.strict import Choice, Instant


class EventData(Schema):
    """`sequence` counts from 1 without gaps in each job, and events are delivered in that order."""

    job_id = fields.String(required=True)
    sequence = fields.Integer(required=True)
    kind = fields.String(required=True)
    route = fields.String(required=True)
    status = fields.String(required=True)
    progress = fields.Float(required=True)
    stage = fields.String(required=True, allow_none=True, metadata={"example": "scene/2/lip_sync"})
    label = fields.String(required=True, allow_none=True, metadata={"example": "Syncing lips"})
    gate = fields.Raw(required=True, allow_none=True, metadata={"type": "object"})
    result = fields.Raw(required=True, allow_none=True, metadata={"type": "object"})
    stale = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "With `job.completed`: stages that were made from what has changed since."},
    )
    error = fields.Raw(required=True, allow_none=True, metadata={"type": "object"})
    metadata = fields.Raw(required=True, metadata={"type": "object"})


class EventBody(Schema):
    """What is posted to the callback URL, signed as Standard Webhooks."""

    type = Choice([kind.value for kind in EventType], required=True)
    timestamp = fields.String(required=True, metadata={"format": "date-time"})
    contract = Choice(("event/1",), required=True)
    data = fields.Nested(EventData, required=True)


class DeliverySchema(Schema):
    """One attempt to deliver. `status` null: no answer came."""

    at = Instant(required=True)
    status = fields.Integer(required=True, allow_none=True)
    latency_ms = fields.Integer(required=True)
    answer = fields.String(required=True, metadata={"description": "The first 1 KiB of the answer."})


class EventSchema(Schema):
    id = fields.String(required=True, metadata={"description": "Also the `webhook-id`, the same at each attempt."})
    sequence = fields.Integer(required=True)
    type = Choice([kind.value for kind in EventType], required=True)
    created_at = Instant(required=True)
    state = Choice(("pending", "delivered", "dead", "unwanted"), required=True)
    attempts = fields.Integer(required=True)
    next_attempt_at = Instant(required=True, allow_none=True)
    data = fields.Nested(EventData, required=True)
    deliveries = fields.List(fields.Nested(DeliverySchema), required=True)


class EventList(Schema):
    job_id = fields.String(required=True)
    events = fields.List(fields.Nested(EventSchema), required=True)
