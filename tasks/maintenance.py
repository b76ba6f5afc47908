"""The sweeper: finds what should have moved and did not. Any number of them may run."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog
from celery.canvas import Signature

from db import claims, jobs, keys, outbox, records
from tasks.app import app
from tasks.house import house
from tasks.launching import announce_job, launch

KEYS_KEPT = timedelta(days=30)
PARTIAL_KEPT = timedelta(days=1)

log = structlog.get_logger()


@app.task(name="sweep", acks_late=False)
def sweep() -> None:
    """Each second: wake, advance, deliver, clear up."""
    for part in (wake, nudge, deliver, abandon):
        _attempt(part)


@app.task(name="forget", acks_late=False)
def forget() -> None:
    """Each hour: what nobody can ask for any more."""
    house().database.patiently(lambda session: keys.forget(session, KEYS_KEPT))
    house().storage.sweep(PARTIAL_KEPT)


def wake() -> int:
    """Send the kept messages of steps whose time has come."""
    woken = house().database.patiently(records.wake)
    for each in woken:
        if each.message:
            _attempt(Signature.from_dict(dict(each.message), app=app).apply_async)
    return len(woken)


def nudge() -> int:
    """Launch jobs that should have moved and have nothing in flight: lease ended, message lost, broker wiped."""
    found = house().database.patiently(jobs.stuck)
    for job_id in found:
        log.info("job nudged", job=job_id)
        _attempt(partial(launch, job_id))
    return len(found)


def deliver() -> int:
    """Announce events that are due and that nobody delivers."""
    found = house().database.patiently(outbox.overdue)
    for job_id in found:
        announce_job(job_id)
    return len(found)


def abandon() -> int:
    """Cancel the steps that ended jobs still seem to run."""
    return house().database.patiently(claims.abandon)


def _attempt(part: Callable[[], object]) -> None:
    """One part, job or message that cannot be served must not hold up the others; the next sweep tries again."""
    try:
        part()
    except Exception:
        log.exception("sweep incomplete")
