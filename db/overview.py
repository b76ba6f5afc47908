"""Questions across tables, for those who look on: none of them changes anything."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db import ids
from db.calls import OPEN
from db.models import Attempt, Event, Job, ProviderCall, Record
from pipeline.calls import CallStatus
from pipeline.state import ACTIVE, StepStatus

DAY_S = 86_400
CURRENT = (StepStatus.RUNNING, StepStatus.WAITING, StepStatus.FAILED, StepStatus.STALE)
PARKED = (Record.status == StepStatus.WAITING) & Record.wake_at.is_(None) & (Record.awaits == "person")


@dataclass(frozen=True, slots=True)
class Current:
    """The steps of a job that are under way: their keys by status, and of those that await a person, why."""

    stages: Mapping[str, list[str]]
    parked: list[dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Spending:
    """Calls of one provider in one state, and the money that they hold, cost, and lost of it, in USD."""

    provider: str
    status: str
    calls: int
    reserved: Decimal
    settled: Decimal
    wasted: Decimal


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much there is to do, and for how many seconds the oldest of it has waited.

    Jobs by kind and status: the unfinished ones, and of the finished those accepted within `DAY_S`. Waiting steps of
    unfinished jobs by what they await (`time` where it is nothing else), of which a person has to wake the `parked`.
    Calls: those without an end, and of the ended those that were begun within `DAY_S`.
    """

    jobs: Mapping[tuple[str, str], int]
    event_age_s: float
    job_age_s: float
    waiting: Mapping[str, int]
    parked: int
    calls: Sequence[Spending]


def current(session: Session, jobs: Sequence[Job]) -> dict[str, Current]:
    """By job id: its running, waiting, failed and stale steps, in the route's order."""
    found = {job.id: Current({status.value: [] for status in CURRENT}, []) for job in jobs}
    active = {job.id for job in jobs if job.status in ACTIVE}
    rows = (
        select(Record.job_id, Record.status, Record.step, Record.why, PARKED)
        .where(Record.job_id.in_(found), Record.status.in_(CURRENT))
        .order_by(Record.place, Record.scene)
    )
    for job_id, status, step, why, parked in session.execute(rows):
        found[job_id].stages[status].append(step)
        if parked and job_id in active:
            found[job_id].parked.append({"stage": step, "why": why})
    return found


def attempts(session: Session, job_id: str) -> dict[str, list[Attempt]]:
    """By step: every attempt that ended, in order."""
    found: dict[str, list[Attempt]] = {}
    rows = select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.step, Attempt.attempt)
    for row in session.scalars(rows):
        found.setdefault(row.step, []).append(row)
    return found


def backlog(session: Session) -> Backlog:
    lately = Job.id >= ids.floor("job", time.time() - DAY_S)  # ids sort by time: no scan of all that ever was
    counts = select(Job.kind, Job.status, func.count()).where(or_(Job.status.in_(ACTIVE), lately))
    due = select(_age(Event.due_at)).where(Event.state == "pending", Event.due_at <= func.now())
    idle = select(_age(Job.updated_at)).where(Job.status.in_(ACTIVE))
    rows = session.execute(counts.group_by(Job.kind, Job.status))
    waiting, parked = _waiting(session)
    return Backlog(
        {(kind, status): count for kind, status, count in rows},
        float(session.scalar(due) or 0.0),
        float(session.scalar(idle) or 0.0),
        waiting,
        parked,
        _spending(session),
    )


def _waiting(session: Session) -> tuple[dict[str, int], int]:
    awaits = func.coalesce(Record.awaits, "time")
    steps = (
        select(awaits, func.count(), func.count().filter(PARKED))
        .join(Job)
        .where(Record.status == StepStatus.WAITING, Job.status.in_(ACTIVE))
        .group_by(awaits)
    )
    rows = session.execute(steps).all()
    return {name: count for name, count, _ in rows}, sum(parked for *_, parked in rows)


def _spending(session: Session) -> list[Spending]:
    lately = ProviderCall.id >= ids.floor("call", time.time() - DAY_S)
    # said apart, since their indexes are partial
    unsettled = ProviderCall.status.in_(OPEN), ProviderCall.status == CallStatus.UNCERTAIN
    calls = (
        select(
            ProviderCall.provider,
            ProviderCall.status,
            func.count(),
            func.sum(ProviderCall.reserved),
            func.sum(ProviderCall.settled),
            func.sum(ProviderCall.wasted),
        )
        .where(or_(lately, *unsettled))
        .group_by(ProviderCall.provider, ProviderCall.status)
    )
    return [Spending(*row) for row in session.execute(calls)]


def _age(column: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    return func.extract("epoch", func.now() - func.min(column))
