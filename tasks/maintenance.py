"""The sweeper: finds what should have moved and did not. Any number of them may run."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial

import structlog
from celery.canvas import Signature

from db import calls, claims, deadlines, files, jobs, keys, outbox, records
from tasks import reclaiming, removing
from tasks.app import app
from tasks.house import house
from tasks.launching import announce, call, launch

KEYS_KEPT = timedelta(days=30)
PARTIAL_KEPT = timedelta(days=1)
SWEEP_S = 1.0

log = structlog.get_logger()


@app.task(name="sweep", acks_late=False)
def sweep() -> None:
    """Each second: every part, but for those that an earlier sweep still has to do: a slow one holds up no other."""
    wait([begun for part in PARTS if (begun := _begin(part))], SWEEP_S)


@app.task(name="forget", acks_late=False)
def forget() -> None:
    """Each hour: what nobody can ask for any more."""
    house().database.patiently(lambda session: keys.forget(session, KEYS_KEPT))
    house().database.patiently(lambda session: files.give_up(session, PARTIAL_KEPT))
    house().storage.sweep(PARTIAL_KEPT)


def wake() -> int:
    """Send the kept messages of steps whose time has come, or who can have a slot now."""
    places = house().settings.concurrency
    if places:
        house().database.patiently(lambda session: calls.free(session, places))
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
    """Have the events delivered that are due and that nobody delivers."""
    found = house().database.patiently(outbox.overdue)
    for client in found:
        call(client)
    return len(found)


def abandon() -> int:
    """Cancel the steps that ended jobs still seem to run."""
    return house().database.patiently(claims.abandon)


def expire() -> int:
    """Fail the jobs that were not done in time."""
    found = house().database.patiently(deadlines.overdue)
    for job_id in found:
        _attempt(partial(_give_up, job_id))
    return len(found)


def _give_up(job_id: str) -> None:
    client = house().database.in_turn(lambda connection: deadlines.fail(connection, job_id))
    if client is not None:
        log.info("job out of time", job=job_id)
        announce(client, job_id)


PARTS = (wake, nudge, deliver, abandon, expire, reclaiming.announce, removing.remove)
_hands = ThreadPoolExecutor(len(PARTS), "sweep")
_begun: dict[Callable[[], int], Future[None]] = {}
_beginning = threading.Lock()


def _begin(part: Callable[[], int]) -> Future[None] | None:
    with _beginning:
        earlier = _begun.get(part)
        if earlier is not None and not earlier.done():
            return None
        _begun[part] = _hands.submit(_attempt, part)
        return _begun[part]


def _attempt(part: Callable[[], object]) -> None:
    """One part, job or message that cannot be served must not hold up the others; the next sweep tries again."""
    try:
        part()
    except Exception:
        log.exception("sweep incomplete")
