"""Claiming a step: the right to attempt it, for as long as the lease is held."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import events, jobs
from db.models import Attempt, Job, Record
from pipeline.errors import WorkerLost
from pipeline.graph import Step
from pipeline.outcome import Error
from pipeline.routes import Plan, plan
from pipeline.snapshots import Seed
from pipeline.state import ACTIVE, SATISFIED, EventType, JobStatus, StepStatus
from pipeline.wiring import SNAPSHOT, Origin, Source
from schemas import records as codec

LEASE = timedelta(seconds=30)
RENEWAL_S = 10.0
MOST_LOST = 10  # a healthy long step may lose its worker to several deploys; a poisonous one must not go on for ever


class Verdict(Enum):
    """Why a message leads to no work."""

    STALE = "the message is double, late or fenced: drop it and its chain"
    EARLY = "what the step reads is not all there: whoever completes it goes on"
    SATISFIED = "the step is done: go on with what follows"
    ASLEEP = "the step waits for its time: the message was kept"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt a step, until the lease ends."""

    job_id: str
    client: str
    step: Step
    attempt: int
    tried: int
    inputs: Mapping[str, Any] = field(repr=False)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """The Celery message that asks for a step.

    `owner` is its task id, `delivery` names this one delivery of it, `redelivered` is the broker's word, and `keep`
    gives the message as it can be sent again.
    """

    job_id: str
    step: str
    launch: int
    owner: str
    delivery: str
    redelivered: bool
    keep: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False)

    @property
    def holder(self) -> str:
        return f"{self.owner}/{self.delivery}"


def claim(session: Session, message: Message) -> Claim | Verdict:
    """Claim the step for this message, under the job row's lock. May be run twice: the same delivery holds it."""
    job = jobs.lock(session, message.job_id)
    if job is None or job.launch != message.launch or job.status not in ACTIVE:
        return Verdict.STALE
    made = plan(job.route, job.scenes)
    step = made.steps.get(message.step)
    if step is None:
        return Verdict.STALE
    needed = made.predecessors[step.key]
    rows = session.scalars(select(Record).where(Record.job_id == job.id, Record.step.in_({step.key, *needed})))
    found = {row.step: row for row in rows}
    row = found[step.key]
    if any(found[key].status not in SATISFIED for key in needed):
        return Verdict.EARLY
    if (verdict := _occupied(session, job, row, message)) is not None:
        return verdict
    inputs = _inputs(job, made, step, found, row.variation)
    digest = codec.digest({"stage": step.stage.name, "version": step.stage.version, "inputs": inputs})
    if row.output is not None and row.output_input_digest == digest:
        _reuse(session, job, row)
        return Verdict.SATISFIED
    row.status = StepStatus.RUNNING
    row.attempt += 1
    row.owner = message.holder
    row.lease_until = func.now() + LEASE
    row.wake_at = row.message = row.error = None
    row.input = _references(made.origins[step.key])
    row.input_digest = digest
    row.started_at = func.now()
    row.finished_at = None
    _begin(session, job, step, first=row.attempt == 1)
    return Claim(job.id, job.client, step, row.attempt, row.tried, inputs, digest)


def renew(session: Session, held: Claim) -> bool:
    """Hold the lease for longer. False: the step has ended, or somebody else has it now."""
    statement = update(Record).where(
        Record.job_id == held.job_id,
        Record.step == held.step.key,
        Record.attempt == held.attempt,
        Record.status == StepStatus.RUNNING,
    )
    result = session.execute(statement.values(lease_until=func.now() + LEASE))
    return bool(result.rowcount)  # type: ignore[attr-defined]  # a DML result is a CursorResult


def abandon(session: Session, *, limit: int = 200) -> int:
    """Steps of ended jobs whose worker is gone: they are cancelled, so that nothing seems to run for ever."""
    dead = (
        select(Record)
        .join(Job)
        .where(Record.status == StepStatus.RUNNING, Record.lease_until < func.now(), Job.status.not_in(ACTIVE))
        .limit(limit)
        .with_for_update(skip_locked=True, of=Record)
    )
    rows = session.scalars(dead).all()
    for row in rows:
        _lose(session, row)
        row.status = StepStatus.CANCELLED
        row.owner = row.lease_until = None
        row.finished_at = func.now()
    return len(rows)


def _occupied(session: Session, job: Job, row: Record, message: Message) -> Verdict | None:
    """Why the step is not free; None when it is, or when whoever had it is gone.

    The broker gives a message again when the worker that had it is gone: then its owner's step is free at once.
    """
    if row.status in SATISFIED:
        return Verdict.SATISFIED
    if row.status == StepStatus.FAILED:
        return Verdict.STALE
    if row.status == StepStatus.WAITING and not session.scalar(select(row.wake_at <= func.now())):
        row.message = dict(message.keep())
        return Verdict.ASLEEP
    if row.status != StepStatus.RUNNING or row.owner == message.holder:
        return None
    taken_over = message.redelivered and (row.owner or "").startswith(f"{message.owner}/")
    if not taken_over and session.scalar(select(row.lease_until > func.now())):
        return Verdict.STALE
    if _lose(session, row) >= MOST_LOST:
        _give_up(session, job, row)
        return Verdict.STALE
    return None


def _lose(session: Session, row: Record) -> int:
    """The attempt whose worker is gone ends here. How many of the step's attempts have ended so."""
    session.add(
        Attempt(
            job_id=row.job_id,
            step=row.step,
            attempt=row.attempt,
            outcome="lost",
            error=None,
            provider=row.provider,
            started_at=row.started_at,
            finished_at=func.now(),
        )
    )
    session.flush()
    lost = select(func.count()).where(Attempt.job_id == row.job_id, Attempt.step == row.step, Attempt.outcome == "lost")
    return session.scalar(lost) or 0


def _give_up(session: Session, job: Job, row: Record) -> None:
    error = Error(WorkerLost.code, f"Its worker was lost {MOST_LOST} times during this step.", WorkerLost.retryable)
    row.status = StepStatus.FAILED
    row.owner = row.lease_until = None
    row.error = codec.dump(error)
    row.finished_at = func.now()
    jobs.fail(session, job, jobs.problem(row.step, error, attempts=row.attempt, provider=row.provider))


def _inputs(job: Job, made: Plan, step: Step, found: Mapping[str, Record], variation: int) -> dict[str, Any]:
    """The JSON value of every parameter."""

    def value(origin: Origin) -> Any:
        data: Any = job.request if origin.step is SNAPSHOT else found[origin.step].output
        for part in origin.path:
            data = data[part]
        return data

    def resolve(source: Source) -> Any:
        if source is None:
            return None
        return [value(origin) for origin in source] if isinstance(source, tuple) else value(source)

    inputs = {name: resolve(source) for name, source in made.origins[step.key].items()}
    for read in step.stage.reads:
        if read.type is Seed:
            inputs[read.name] = codec.dump(codec.load(inputs[read.name], Seed).varied(variation))
    return inputs


def _references(sources: Mapping[str, Source]) -> dict[str, Any]:
    """By parameter: where its value lies, as a path a person can follow."""

    def name(origin: Origin) -> str:
        return "/".join(["snapshot" if origin.step is SNAPSHOT else origin.step, *map(str, origin.path)])

    return {
        parameter: [name(origin) for origin in source] if isinstance(source, tuple) else source and name(source)
        for parameter, source in sources.items()
    }


def _begin(session: Session, job: Job, step: Step, *, first: bool) -> None:
    if job.status == JobStatus.ACCEPTED:
        job.status = JobStatus.RUNNING
        job.started_at = func.now()
        events.tell(session, job, EventType.STARTED)
    if first:
        events.tell(session, job, EventType.PROGRESS, stage=step.key, label=step.stage.label)
    jobs.moved(job)


def _reuse(session: Session, job: Job, row: Record) -> None:
    row.status = StepStatus.REUSED
    row.finished_at = func.now()
    row.owner = row.lease_until = None
    jobs.measure(session, job, row)
    jobs.moved(job)
