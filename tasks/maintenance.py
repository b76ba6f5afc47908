"""The sweeper: finds what should have moved and did not. Any number of them may run."""

from datetime import timedelta

import structlog
from celery.canvas import Signature
from sqlalchemy.orm import Session

from db import jobs, keys, outbox, records
from tasks.app import app
from tasks.house import house
from tasks.launching import announce_job, launch

KEYS_KEPT = timedelta(days=30)
PARTIAL_KEPT = timedelta(days=1)

log = structlog.get_logger()


@app.task(name="sweep", acks_late=False)
def sweep() -> None:
    """Each second: wake, advance, deliver."""
    wake()
    nudge()
    deliver()


@app.task(name="forget", acks_late=False)
def forget() -> None:
    """Each hour: what nobody can ask for any more."""
    house().database.patiently(lambda session: keys.forget(session, KEYS_KEPT))
    house().storage.sweep(PARTIAL_KEPT)


def wake() -> int:
    """Send the kept messages of steps whose time has come; before the commit, so that none is lost."""

    def send(session: Session) -> int:
        rows = records.due(session)
        for row in rows:
            if row.message:
                Signature.from_dict(dict(row.message), app=app).apply_async()
        return len(rows)

    return house().database.patiently(send)


def nudge() -> int:
    """Launch jobs that should have moved and have nothing in flight: lease ended, message lost, broker wiped."""
    found = house().database.patiently(jobs.stuck)
    for job_id in found:
        log.info("job nudged", job=job_id)
        launch(job_id)
    return len(found)


def deliver() -> int:
    """Announce events that are due and that nobody delivers."""
    found = house().database.patiently(outbox.overdue)
    for job_id in found:
        announce_job(job_id)
    return len(found)
