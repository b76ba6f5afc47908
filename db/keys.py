"""Idempotency keys."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from db.models import IdempotencyKey
from db.turns import Turn

KEPT = "SELECT request_digest FROM idempotency_keys WHERE client = %(client)s AND key = %(key)s"
# Who uses the same key for another job just now is waited for.
KEEP = """
    INSERT INTO idempotency_keys (client, key, request_digest, job_id)
    VALUES (%(client)s, %(key)s, %(digest)s, %(job)s) ON CONFLICT DO NOTHING RETURNING 1
"""


class KeyReused(Exception):
    """The idempotency key was used before for another payload."""


@dataclass(frozen=True, slots=True)
class Key:
    """`digest` is that of the canonical payload and its address."""

    name: str
    digest: str


def served(job: Turn, key: Key) -> bool:
    """Whether this very call was served before; if not, it is from now on. Raises KeyReused."""
    about = {"client": job.client, "key": key.name, "digest": key.digest, "job": job.id}
    if job.ask(KEEP, about):
        return False
    ((digest,),) = job.ask(KEPT, about)
    if digest != key.digest:
        raise KeyReused
    return True


def forget(session: Session, age: timedelta) -> None:
    """After this age a key may be used anew."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - age))
