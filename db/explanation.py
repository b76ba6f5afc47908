"""What is known of a job, for whoever explains it: nothing changes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import jobs, overview
from db.models import Attempt, Decision, Job, PastOutput, Record
from pipeline.review import Review
from pipeline.routes import Plan, plan
from pipeline.state import JobStatus, StepStatus
from schemas.changes import Change, changes
from schemas.explanation import Facts, StepFacts


def facts(session: Session, job: Job) -> Facts:
    made = plan(job.route, job.scenes)
    known = [row for row in jobs.steps(session, job.id) if row.step in made.steps]
    by_key = {row.step: row for row in known}
    rows = [by_key[key] for key in made.steps if key in by_key]
    because = {} if job.deleted_at else _because(session, job.id, made, rows)
    return Facts(
        job_id=job.id,
        status=job.status,
        lane=job.lane,
        plan=made,
        review=Review.of(job.request, job.review),
        now=session.execute(select(func.now())).scalar_one(),
        moved_at=job.updated_at,
        steps=[_step(row, because.get(row.step, ())) for row in rows],
        gate=job.gate,
        error=job.error,
        rejected=_rejected(session, job),
        deleted_at=job.deleted_at,
    )


def _step(row: Record, because: Sequence[Change]) -> StepFacts:
    return StepFacts(
        key=row.step,
        status=row.status,
        attempts=row.attempt - row.waits,
        since=row.started_at,
        lease_until=row.lease_until,
        wake_at=row.wake_at,
        awaits=row.awaits,
        why=row.why,
        provider=row.provider,
        error=row.error,
        output=row.output,
        because=because,
    )


def _because(session: Session, job_id: str, made: Plan, rows: Sequence[Record]) -> dict[str, tuple[Change, ...]]:
    """By stale step: what it was made from that is otherwise now."""
    stale = [row for row in rows if row.status == StepStatus.STALE]
    if not stale:
        return {}
    read = set().union(*(made.predecessors[row.step] for row in stale))
    past = _past(session, job_id, read)
    tries = overview.attempts(session, job_id)
    statuses = {row.step: row.status for row in rows}
    now = {row.step: row.output for row in rows}
    found = {}
    for row in stale:
        then = {key: _then(past.get(key, ()), _made_at(row, tries.get(row.step, ())), now.get(key)) for key in read}
        found[row.step] = changes(made, row.step, then=then, now=now, statuses=statuses)
    return found


def _past(session: Session, job_id: str, steps: set[str]) -> Mapping[str, Sequence[PastOutput]]:
    query = select(PastOutput).where(PastOutput.job_id == job_id, PastOutput.step.in_(steps))
    found: dict[str, list[PastOutput]] = {}
    for row in session.scalars(query.order_by(PastOutput.step, PastOutput.number)):
        found.setdefault(row.step, []).append(row)
    return found


def _made_at(row: Record, tries: Sequence[Attempt]) -> datetime | None:
    """When the inputs of its output were read: later attempts may have failed."""
    if row.origin == "human" or row.source is not None:
        return row.finished_at
    return max((each.started_at for each in tries if each.outcome == "done"), default=row.finished_at)


def _then(past: Sequence[PastOutput], moment: datetime | None, now: Any) -> Any:
    """Of the outputs that a step has had, the one that was in force at that moment."""
    later = (each.output for each in past if moment is not None and each.replaced_at > moment)
    return next(later, now)


def _rejected(session: Session, job: Job) -> tuple[str, str | None] | None:
    if job.status != JobStatus.CANCELLED:
        return None
    query = select(Decision).where(Decision.job_id == job.id).order_by(Decision.id.desc()).limit(1)
    last = session.scalar(query)
    return (last.gate, last.reviewer) if last and last.gate and last.decision == "reject" else None
