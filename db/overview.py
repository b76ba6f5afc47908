"""Questions across tables, for those who look on: none of them changes anything."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db import ids
from db.models import Attempt, Event, Job, Record
from pipeline.state import ACTIVE, StepStatus

DAY_S = 86_400
CURRENT = (StepStatus.RUNNING, StepStatus.WAITING, StepStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much there is to do, and for how many seconds the oldest of it has waited.

    Jobs by kind and status: the unfinished ones, and of the finished those accepted within `DAY_S`.
    """

    jobs: Mapping[tuple[str, str], int]
    event_age_s: float
    job_age_s: float


def current(session: Session, job_ids: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """By job: the keys of its running, waiting and failed steps, in the route's order."""
    found: dict[str, dict[str, list[str]]] = {job_id: {status.value: [] for status in CURRENT} for job_id in job_ids}
    rows = (
        select(Record.job_id, Record.status, Record.step)
        .where(Record.job_id.in_(job_ids), Record.status.in_(CURRENT))
        .order_by(Record.place, Record.scene)
    )
    for job_id, status, step in session.execute(rows):
        found[job_id][status].append(step)
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
    return Backlog(
        {(kind, status): count for kind, status, count in rows},
        float(session.scalar(due) or 0.0),
        float(session.scalar(idle) or 0.0),
    )


def _age(column: InstrumentedAttribute[datetime]) -> ColumnElement[Any]:
    return func.extract("epoch", func.now() - func.min(column))
