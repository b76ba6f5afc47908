"""The outbox: which events are due, and how each attempt to deliver one went.

A job's events leave one at a time and in order: only the first pending one, the head, is ever looked at.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db import events
from db.models import Delivery, Event, Job

LEASE = timedelta(seconds=40)  # an attempt ends within 15 s, and then some for a slow database
REMINDER = timedelta(seconds=10)
ANSWER_CHARACTERS = 1024
GONE = 410


@dataclass(frozen=True, slots=True)
class Letter:
    """An event to deliver now, held for this worker until its lease ends."""

    event_id: str
    client: str
    body: dict[str, Any]
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt; no `status` means that no answer came."""

    status: int | None
    latency_ms: int
    text: str


def overdue(session: Session, *, limit: int = 200) -> Sequence[str]:
    """The jobs whose next event is due and that nobody delivers; not named again for a while."""
    forgotten = or_(Event.announced_at.is_(None), Event.announced_at < func.now() - REMINDER)
    heads = (
        select(Event)
        .where(_head(), _free(), forgotten)
        .order_by(Event.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(heads).all()
    for row in rows:
        row.announced_at = func.now()
    return [row.job_id for row in rows]


def take(session: Session, job_id: str) -> Letter | None:
    """The job's next event, if it is due and nobody else delivers it."""
    head = select(Event, Job.client).join(Job).where(Event.job_id == job_id, _head(), _free())
    found = session.execute(head.with_for_update(skip_locked=True, of=Event)).first()
    if found is None:
        return None
    event, client = found
    held_until = session.scalars(
        update(Event).where(Event.id == event.id).values(lease_until=func.now() + LEASE).returning(Event.lease_until)
    ).one()
    return Letter(event.id, client, events.body(event), held_until)


def settle(session: Session, letter: Letter, answer: Answer, *, schedule: Sequence[float]) -> bool:
    """Keep the answer, and decide when to try again. Whether the event was delivered.

    An answer that comes after the lease is kept, and decides nothing: somebody else has the event.
    """
    event = session.get_one(Event, letter.event_id, with_for_update=True)
    session.add(
        Delivery(
            event_id=letter.event_id,
            status=answer.status,
            latency_ms=answer.latency_ms,
            answer=answer.text.replace("\0", "")[:ANSWER_CHARACTERS],
        )
    )
    if event.state != "pending" or event.lease_until != letter.held_until:
        return event.state == "delivered"
    event.lease_until = event.announced_at = None
    event.attempts += 1
    if answer.status is not None and 200 <= answer.status < 300:
        event.state = "delivered"
        return True
    if answer.status == GONE:
        session.execute(update(Job).where(Job.id == event.job_id).values(callbacks=False))
        unsent = update(Event).where(Event.job_id == event.job_id, Event.state == "pending")
        session.execute(unsent.values(state="unwanted"))
    elif event.attempts > len(schedule):
        event.state = "dead"
    else:
        pause = schedule[event.attempts - 1] * random.uniform(1.0, 1.2)
        event.due_at = func.now() + timedelta(seconds=pause)
    return False


def redeliver(session: Session, event_id: str, *, client: str) -> Event | None:
    """The event is due again, with a new set of attempts."""
    query = select(Event).join(Job).where(Event.id == event_id, Job.client == client)
    event = session.scalar(query.with_for_update(of=Event))
    if event is not None:
        event.state = "pending"
        event.attempts = 0
        event.due_at = func.now()
    return event


def deliveries(session: Session, event_id: str) -> Sequence[Delivery]:
    """Every attempt to deliver the event, in order."""
    return session.scalars(select(Delivery).where(Delivery.event_id == event_id).order_by(Delivery.id)).all()


def _head() -> ColumnElement[bool]:
    earlier = aliased(Event)
    before = select(earlier.id).where(
        earlier.job_id == Event.job_id, earlier.sequence < Event.sequence, earlier.state == "pending"
    )
    return (Event.state == "pending") & ~before.exists()


def _free() -> ColumnElement[bool]:
    return (Event.due_at <= func.now()) & or_(Event.lease_until.is_(None), Event.lease_until <= func.now())
