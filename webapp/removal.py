"""Removing an identity for good, and what is answered to it."""

from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.orm import Session

from db.deletion import Deleted, InUse, OwnVoice
from webapp.door import client, in_transaction
from webapp.errors import NotFound, StateClash

log = structlog.get_logger()


def remove(what: str, name: str, delete: Callable[..., Deleted | None]) -> dict[str, Any]:
    """`delete` is one of db/deletion.py. Raises NotFound, StateClash."""
    owner = client().name
    told: list[Deleted] = []

    def work(session: Session) -> None:
        if done := delete(session, name, client=owner):
            told.append(done)

    try:
        in_transaction(work)
    except InUse as error:
        uses = [{"job_id": use.job_id, "why": use.why} for use in error.uses]
        raise StateClash(
            f"Jobs still use the {what}: {error}."[:1000] + " Wait until they have ended, or cancel them.",
            jobs=uses,
        ) from None
    except OwnVoice as error:
        raise StateClash(
            f"It is the own voice of {error}, and goes with it. Delete the avatar.", avatars=list(error.avatars)
        ) from None
    if not told:
        raise NotFound(what, name)
    gone = told[-1]  # also where the commit's answer was lost, and the second look found nothing any more
    log.info("identity deleted", kind=what, id=name, jobs=len(gone.jobs), assets=gone.assets)
    return {"id": name, "deleted": True, "assets": gone.assets, "jobs": gone.jobs}
