"""Stage records: how attempts ended, what that completes, and who waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import assets, jobs
from db.claims import Claim
from db.models import Attempt, Job, Record
from pipeline.graph import EMPTY, prune, segment
from pipeline.outcome import Again, Done, Failed, Outcome, Wait
from pipeline.routes import plan
from pipeline.state import ACTIVE, SATISFIED, StepStatus
from schemas import records as codec


@dataclass(frozen=True, slots=True)
class Woken:
    """A step whose time has come, and the message that brings it back."""

    job_id: str
    step: str
    message: Mapping[str, Any] | None


def record(
    session: Session,
    held: Claim,
    outcome: Outcome,
    *,
    made_assets: Sequence[assets.NewAsset] = (),
    provider: str | None = None,
    message: Mapping[str, Any] | None = None,
) -> bool:
    """Write how the attempt ended. False when the attempt was no longer in force: a late loser changes nothing.

    `message` is what is sent again when a step that waits is due. A late success after a cancel is kept. May be run
    twice: what is recorded already is recorded.
    """
    job = jobs.lock(session, held.job_id)
    row = session.get(Record, (held.job_id, held.step.key))
    if job is None or row is None or row.attempt != held.attempt or row.status != StepStatus.RUNNING:
        return row is not None and row.attempt == held.attempt and row.status in SATISFIED
    session.add(
        Attempt(
            job_id=held.job_id,
            step=held.step.key,
            attempt=held.attempt,
            outcome=type(outcome).__name__.lower(),
            error=codec.dump(outcome.error) if isinstance(outcome, Again | Failed) else None,
            provider=provider,
            started_at=row.started_at,
            finished_at=func.now(),
        )
    )
    row.owner = row.lease_until = None
    row.provider = provider
    row.finished_at = func.now()
    if isinstance(outcome, Done):
        assets.add(session, made_assets, client=job.client, job_id=job.id, step=row.step, attempt=row.attempt)
        row.status = StepStatus.SUCCEEDED
        row.output = codec.dump(outcome.output)
        codec.digest(row.output)  # raises here what would else stop every step that reads it
        row.output_input_digest = held.digest
        row.tried = 0
        jobs.measure(session, job, row)
    elif isinstance(outcome, Failed):
        row.status = StepStatus.FAILED
        row.tried += 1
        row.error = codec.dump(outcome.error)
        if job.status in ACTIVE:
            jobs.fail(session, job, jobs.problem(row.step, outcome.error, attempts=row.attempt, provider=provider))
    else:
        _sleep(row, outcome, message, active=job.status in ACTIVE)
    if job.status in ACTIVE:
        jobs.moved(job)
    return True


def ready(session: Session, job_id: str, step: str | None) -> bool:
    """What a join asks: is all there that this step reads? No step: is nothing left that could run now?"""
    found = session.execute(select(Job.route, Job.scenes).where(Job.id == job_id)).first()
    if found is None:
        return False
    made = plan(found.route, found.scenes)
    done = select(Record.step).where(Record.job_id == job_id, Record.status.in_(SATISFIED))
    if step is None:
        return segment(prune(made.tree, set(session.scalars(done)))) == EMPTY
    needed = made.predecessors.get(step)
    return needed is not None and needed <= set(session.scalars(done.where(Record.step.in_(needed))))


def wake(session: Session, *, limit: int = 200) -> list[Woken]:
    """Steps whose time has come: they are pending, and their job is given time. Send their messages after the commit.

    A message that is lost then is an ordinary lost message.
    """
    due = (
        select(Record, Job)
        .join(Job)
        .where(Record.status == StepStatus.WAITING, Record.wake_at <= func.now())
        .order_by(Record.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    woken = []
    for row, job in session.execute(due).all():
        woken.append(Woken(row.job_id, row.step, row.message))
        row.status = StepStatus.PENDING
        row.wake_at = None
        jobs.moved(job)
    return woken


def _sleep(row: Record, outcome: Again | Wait, message: Mapping[str, Any] | None, *, active: bool) -> None:
    if isinstance(outcome, Again):
        row.tried += 1
        row.error = codec.dump(outcome.error)
    if not active:
        row.status = StepStatus.CANCELLED
        return
    row.status = StepStatus.WAITING
    row.wake_at = func.now() + outcome.after
    row.message = dict(message or {})
