"""The outbox: which events are due, and how each attempt to deliver one went.

A job's events leave one at a time and in order. Only the first pending one, the head, has a `due_at`: so what is due
is found by client in one step, however much waits behind it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, case, func, insert, select, update
from sqlalchemy.orm import Session

from db import events, statements
from db.models import Base, Delivery, Event, Job
from db.statements import Statement

LEASE = timedelta(seconds=25)  # an attempt ends within 15 s, and the database may be slow
ANSWER_CHARACTERS = 1024
# From each client to the next one, and of each its first: the index is entered, and never read through.
OVERDUE = Statement(
    "overdue_clients",
    """
    WITH RECURSIVE clients (name) AS (
        SELECT min(client) FROM events WHERE state = 'pending' AND due_at IS NOT NULL
        UNION ALL
        SELECT (SELECT min(client) FROM events WHERE state = 'pending' AND due_at IS NOT NULL AND client > clients.name)
        FROM clients WHERE name IS NOT NULL
    )
    SELECT name FROM clients WHERE now() >= (
        SELECT min(due_at) FROM events WHERE state = 'pending' AND due_at IS NOT NULL AND client = clients.name
    )
    """,
)
GONE = 410


@dataclass(frozen=True, slots=True)
class Letter:
    """An event to deliver now, held for this worker until its lease ends."""

    event_id: str
    job_id: str
    client: str
    body: dict[str, Any]
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt; no `status` means that no answer came."""

    status: int | None
    latency_ms: int
    text: str


def overdue(session: Session) -> Sequence[str]:
    """The clients for whom an event is due that nobody delivers."""
    return [client for (client,) in statements.run(session.connection(), [(OVERDUE, {})])]


def take(session: Session, client: str) -> Letter | None:
    """The event that is due for the client for the longest time, if any is that nobody else delivers."""
    row = session.connection().execute(_TAKE, {"to": client}).one_or_none()
    return None if row is None else Letter(row.id, row.job_id, client, events.body(row), row.lease_until)


def settle(session: Session, letter: Letter, answer: Answer, *, schedule: Sequence[float]) -> bool:
    """Keep the answer, and decide when to try again. Whether the event was delivered.

    An answer that comes after the lease is kept, and decides nothing: somebody else has the event.
    """
    run = session.connection().execute
    said = answer.text.replace("\0", "")[:ANSWER_CHARACTERS]
    run(_KEEP, {"event_id": letter.event_id, "status": answer.status, "latency_ms": answer.latency_ms, "answer": said})
    delivered = answer.status is not None and 200 <= answer.status < 300
    held = {"held": letter.event_id, "until": letter.held_until}
    if run(_SETTLE, held | {"becomes": "delivered" if delivered else "pending"}).one_or_none() is None:
        return session.get_one(Event, letter.event_id).state == "delivered"
    if not delivered:
        _missed(session, letter, answer, schedule)
    _line_up(session, letter.job_id)
    return delivered


def _missed(session: Session, letter: Letter, answer: Answer, schedule: Sequence[float]) -> None:
    event = session.get_one(Event, letter.event_id)
    if answer.status == GONE:
        session.execute(update(Job).where(Job.id == event.job_id).values(callbacks=False))
        unsent = update(Event).where(Event.job_id == event.job_id, Event.state == "pending")
        session.execute(unsent.values(state="unwanted"))
    elif event.attempts > len(schedule):
        event.state = "dead"
    else:
        pause = schedule[event.attempts - 1] * random.uniform(1.0, 1.2)
        event.due_at = func.now() + timedelta(seconds=pause)
    session.flush()


def redeliver(session: Session, event_id: str, *, client: str) -> Event | None:
    """The event is due again, with a new set of attempts; who delivers it just now goes on."""
    query = select(Event).where(Event.id == event_id, Event.client == client)
    event = session.scalar(query.with_for_update())
    if event is not None:
        event.attempts = 0
        if event.lease_until is None:
            event.state = "pending"
            event.due_at = func.now()
        session.flush()
        _line_up(session, event.job_id)
    return event


def deliveries(session: Session, event_id: str) -> Sequence[Delivery]:
    """Every attempt to deliver the event, in order."""
    return session.scalars(select(Delivery).where(Delivery.event_id == event_id).order_by(Delivery.id)).all()


def _line_up(session: Session, job_id: str) -> None:
    """Of the job's pending events the first is due, now if not later, and the others wait for it.

    Under the job row's lock: an event that is being told just now has seen the one that we settle as pending.
    """
    run = session.connection().execute
    run(_LOCK, {"job": job_id})
    run(_LINE_UP, {"job": job_id})


# Built once: these run for every letter, and to put them together takes longer than to answer them.
_event, _job = Base.metadata.tables["events"], Base.metadata.tables["jobs"]
_due = (
    select(_event.c.id)
    .where(_event.c.client == bindparam("to"), _event.c.state == "pending", _event.c.due_at <= func.now())
    .order_by(_event.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(_event)
    .where(_event.c.id == _due.scalar_subquery())
    .values(due_at=func.now() + LEASE, lease_until=func.now() + LEASE)
    .returning(_event)
)
_KEEP = insert(Base.metadata.tables["deliveries"])
_SETTLE = (
    update(_event)
    .where(_event.c.id == bindparam("held"), _event.c.state == "pending", _event.c.lease_until == bindparam("until"))
    .values(state=bindparam("becomes"), attempts=_event.c.attempts + 1, lease_until=None)
    .returning(_event.c.id)
)
_LOCK = select(_job.c.id).where(_job.c.id == bindparam("job")).with_for_update(key_share=True)
_pending = _event.c.job_id == bindparam("job"), _event.c.state == "pending"
_is_head = _event.c.sequence == select(func.min(_event.c.sequence)).where(*_pending).scalar_subquery()
_LINE_UP = (
    update(_event)
    .where(*_pending, _event.c.lease_until.is_(None), _is_head == _event.c.due_at.is_(None))
    .values(due_at=case((_is_head, func.now())))
)
