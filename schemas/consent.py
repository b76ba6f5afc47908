"""What a person agreed to: required wherever something is made of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, validates

from pipeline.snapshots import Consent
from schemas.strict import Instant, Strict, Text

CLOCK_SKEW = timedelta(minutes=5)


class ConsentFields(Strict):
    """What the person in the photo, or in the sample, agreed to; kept with what is made of it and shown with it."""

    statement = Text(2000, lines=True, required=True)
    subject = Text(200, required=True, metadata={"description": "Who agreed."})
    granted_at = Instant(required=True)

    @validates("granted_at")
    def not_later_than_now(self, value: datetime, **_: Any) -> None:
        if value > datetime.now(UTC) + CLOCK_SKEW:
            raise ValidationError("lies in the future")


def consent(data: dict[str, Any]) -> Consent:
    granted_at = data["granted_at"].astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Consent(data["statement"], data["subject"], granted_at)
