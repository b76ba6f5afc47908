"""Idempotency keys: forgetting them."""

from datetime import timedelta

from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from db.models import IdempotencyKey


def forget(session: Session, age: timedelta) -> None:
    """After this age a key may be used anew."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - age))
