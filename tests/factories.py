"""Rows as they are after some work was done."""

from datetime import UTC, datetime
from decimal import Decimal

import factory

from db import ids
from db.models import AssetRow, Attempt, AvatarRow, AvatarVersion, Delivery, Event, Job, ProviderCall, Record, VoiceRow

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class JobFactory(factory.Factory):
    class Meta:
        model = Job

    id = factory.LazyFunction(lambda: ids.new("job"))
    client = "product"
    kind = "output"
    route = "multi_scene"
    lane = "marketing"
    snapshot = factory.LazyFunction(lambda: {"metadata": {"campaign": "c_1"}})
    request = factory.LazyFunction(dict)
    status = "running"
    callbacks = True
    cost = Decimal(0)


class AssetFactory(factory.Factory):
    class Meta:
        model = AssetRow

    id = factory.LazyFunction(lambda: ids.new("ast"))
    client = "product"
    kind = "photo"
    media_type = "image/jpeg"
    bytes = 1000
    sha256 = factory.Sequence("{:064x}".format)
    facts = factory.LazyFunction(lambda: {"width": 640, "height": 480})


class AvatarFactory(factory.Factory):
    class Meta:
        model = AvatarRow

    id = factory.LazyFunction(lambda: ids.new("avt"))
    client = "product"
    name = "Ada"
    consent = factory.LazyFunction(
        lambda: {"statement": "I agree.", "subject": "Ada Example", "granted_at": "2026-11-01T09:00:00Z"}
    )
    neutral = factory.LazyFunction(lambda: {"image": asset_json("neutral"), "cutout": None})
    sheet = factory.LazyFunction(lambda: asset_json("sheet"))


class AvatarVersionFactory(factory.Factory):
    class Meta:
        model = AvatarVersion

    version = 1

    @classmethod
    def of(cls, avatar: AvatarRow) -> AvatarVersion:
        made: AvatarVersion = cls.build(avatar_id=avatar.id, neutral=avatar.neutral, sheet=avatar.sheet)
        return made


class VoiceFactory(factory.Factory):
    class Meta:
        model = VoiceRow

    id = factory.LazyFunction(lambda: ids.new("voc"))
    client = "product"
    name = "Ada"
    model = factory.LazyFunction(
        lambda: {
            "provider": "local",
            "external_id": "match-0",
            "method": "approximate voice match",
            "settings": {"pitch": 0.8, "spread": 1.0, "tempo": 1.0, "tract": 0.95, "colour_db": [0.0] * 24},
        }
    )
    traits = factory.LazyFunction(
        lambda: {"pitch_hz": 120.0, "pitch_spread_st": 3.0, "syllables_per_s": 4.5, "envelope_db": [0.0] * 24}
    )
    sample = factory.LazyFunction(lambda: asset_json("voice_sample", media_type="audio/wav"))
    preview = factory.LazyFunction(lambda: asset_json("voice_preview", media_type="audio/wav"))
    consent = factory.LazyFunction(
        lambda: {"statement": "I agree.", "subject": "Ada Example", "granted_at": "2026-11-01T09:00:00Z"}
    )


class RecordFactory(factory.Factory):
    class Meta:
        model = Record

    step = "script"
    stage = "script"
    place = 0
    status = "succeeded"


class AttemptFactory(factory.Factory):
    class Meta:
        model = Attempt

    step = "script"
    attempt = 1
    outcome = "done"
    started_at = NOW
    finished_at = NOW


class CallFactory(factory.Factory):
    class Meta:
        model = ProviderCall

    id = factory.LazyFunction(lambda: ids.new("call"))
    step = "scene/1/speech"
    variation = 0
    capability = "speech"
    digest = factory.Sequence("{:064x}".format)
    round = 1
    provider = "vendor"
    operation = "speech"
    repeat = "neither"
    status = "submitted"
    attempt = 1
    request = factory.LazyFunction(dict)
    reserved = Decimal("0.25")
    settled = Decimal(0)
    wasted = Decimal(0)


class EventFactory(factory.Factory):
    class Meta:
        model = Event

    id = factory.LazyFunction(lambda: ids.new("evt"))
    client = "product"
    sequence = 1
    type = "job.accepted"
    state = "delivered"


class DeliveryFactory(factory.Factory):
    class Meta:
        model = Delivery

    status = 200
    latency_ms = 12
    answer = "ok"


def asset_json(
    kind: str, *, media_type: str = "image/png", sha256: str = "0" * 64, size: int = 10
) -> dict[str, object]:
    """An asset as stage outputs hold it."""
    return {"id": ids.new("ast"), "kind": kind, "media_type": media_type, "bytes": size, "sha256": sha256}
