"""Stage records: claim, attempt, record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import assets, events, jobs
from db.models import Attempt, Job, Record
from pipeline.graph import EMPTY, Step, prune, segment
from pipeline.outcome import Again, Done, Failed, Outcome, Wait
from pipeline.routes import Plan, plan
from pipeline.snapshots import Seed
from pipeline.state import ACTIVE, SATISFIED, EventType, JobStatus, StepStatus, progress
from pipeline.wiring import SNAPSHOT, Origin, Source
from schemas import records as codec

LEASE = timedelta(seconds=30)
RENEWAL_S = 10.0


class Verdict(Enum):
    """Why a message leads to no work."""

    STALE = "the message is double, late or fenced: drop it and its chain"
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
    """The Celery message that asks for a step. `owner` is its task id; `redelivered` is the broker's word."""

    job_id: str
    step: str
    launch: int
    owner: str
    redelivered: bool
    keep: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False)


def claim(session: Session, message: Message) -> Claim | Verdict:
    """Claim the step for this message, in the caller's transaction, under the job row's lock.

    A redelivered message of the owner may take over at once: the broker only gives it again
    when the worker that had it is gone.
    """
    job = jobs.lock(session, message.job_id)
    if job is None or job.launch != message.launch or job.status not in ACTIVE:
        return Verdict.STALE
    made = plan(job.route, job.scenes)
    step = made.steps.get(message.step)
    if step is None:
        return Verdict.STALE
    needed = made.predecessors[step.key]
    rows = session.scalars(select(Record).where(Record.job_id == job.id, Record.step.in_({step.key, *needed}))).all()
    found = {row.step: row for row in rows}
    record = found[step.key]
    if any(found[key].status not in SATISFIED for key in needed):
        return Verdict.STALE
    if (verdict := _occupied(session, record, message)) is not None:
        return verdict
    inputs = _inputs(job, made, step, found, record.variation)
    digest = codec.digest({"stage": step.stage.name, "version": step.stage.version, "inputs": inputs})
    if record.output is not None and record.output_input_digest == digest:
        _reuse(job, made, record, session)
        return Verdict.SATISFIED
    record.status = StepStatus.RUNNING
    record.attempt += 1
    record.owner = message.owner
    record.lease_until = func.now() + LEASE
    record.wake_at = record.message = record.error = None
    record.input = _references(made.origins[step.key])
    record.input_digest = digest
    record.started_at = func.now()
    record.finished_at = None
    _begin(session, job, step, first=record.attempt == 1)
    return Claim(job.id, job.client, step, record.attempt, record.tried, inputs, digest)


def renew(session: Session, held: Claim) -> bool:
    """Hold the lease for longer. False: somebody else has the step now."""
    statement = update(Record).where(
        Record.job_id == held.job_id,
        Record.step == held.step.key,
        Record.attempt == held.attempt,
        Record.status == StepStatus.RUNNING,
    )
    result = session.execute(statement.values(lease_until=func.now() + LEASE))
    return bool(result.rowcount)  # type: ignore[attr-defined]  # a DML result is a CursorResult


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

    `message` is what is sent again when a step that waits is due. A late success after a cancel is kept.
    """
    job = jobs.lock(session, held.job_id)
    row = session.get(Record, (held.job_id, held.step.key), with_for_update=True)
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
        row.output_input_digest = held.digest
        row.tried = 0
        _progress(session, job, row)
    elif isinstance(outcome, Failed):
        row.status = StepStatus.FAILED
        row.tried += 1
        row.error = codec.dump(outcome.error)
        if job.status in ACTIVE:
            tell = jobs.problem(row.step, outcome.error, attempts=row.attempt, provider=provider)
            jobs.fail(session, job, tell)
    else:
        _sleep(row, outcome, message, active=job.status in ACTIVE)
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


def due(session: Session, *, limit: int = 200) -> Sequence[Record]:
    """Steps whose time has come: they are pending again, and their messages are to be sent before the commit."""
    chosen = (
        select(Record)
        .where(Record.status == StepStatus.WAITING, Record.wake_at <= func.now())
        .order_by(Record.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(chosen).all()
    for row in rows:
        row.status = StepStatus.PENDING
        row.wake_at = None
    return rows


def _occupied(session: Session, row: Record, message: Message) -> Verdict | None:
    if row.status in SATISFIED:
        return Verdict.SATISFIED
    if row.status == StepStatus.FAILED:
        return Verdict.STALE
    if row.status == StepStatus.WAITING and not session.scalar(select(row.wake_at <= func.now())):
        row.message = dict(message.keep())
        return Verdict.ASLEEP
    if row.status == StepStatus.RUNNING:
        takeover = message.redelivered and row.owner == message.owner
        if not takeover and session.scalar(select(row.lease_until > func.now())):
            return Verdict.STALE
        _lost(session, row)
    return None


def _lost(session: Session, row: Record) -> None:
    """The attempt whose worker is gone ends here."""
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


def _reuse(job: Job, made: Plan, row: Record, session: Session) -> None:
    row.status = StepStatus.REUSED
    row.finished_at = func.now()
    row.owner = row.lease_until = None
    _progress(session, job, row)
    jobs.moved(job)


def _progress(session: Session, job: Job, row: Record) -> None:
    made = plan(job.route, job.scenes)
    if row.step == made.storyboard and row.output is not None:
        job.scenes = len(row.output["scenes"])
        made = plan(job.route, job.scenes)
    session.flush()
    done = session.scalars(select(Record.step).where(Record.job_id == job.id, Record.status.in_(SATISFIED))).all()
    job.progress = max(job.progress, progress(made.route, made.tree, set(done)))


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
