"""Jobs: accepting, finding, advancing, ending."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extras import Json
from sqlalchemy import ColumnElement, Connection, func, select, text, update
from sqlalchemy.orm import Session

from db import budgets, decisions, events, ids, lives, retries, statements
from db.keys import KeyReused
from db.models import Job, Record
from db.statements import Statement
from db.turns import REDEEM, UNSENT_GRACE, Seen, Turn, deadline, turn
from pipeline.graph import EMPTY, Gate, Node, parts, prune, segment, segment_of, without
from pipeline.graph import steps as steps_of
from pipeline.outcome import Error
from pipeline.review import BUDGET, Review
from pipeline.routes import Plan, plan
from pipeline.state import ACTIVE, FINAL, SATISFIED, EventType, JobStatus, StepStatus

SENT_GRACE = timedelta(seconds=30)
LONGEST_GRACE = timedelta(minutes=30)


ANY_STUCK = Statement(
    "any_stuck_job",
    "SELECT 1 FROM jobs WHERE status IN ('accepted', 'running') AND nudge_at <= now() LIMIT 1",
)
STEPS = Statement(
    "look_at_steps",
    """
    SELECT step, status, COALESCE(lease_until > now(), false), owner, started_at FROM records WHERE job_id = %(job)s
    """,
)
# The key, if it was used before, and how many jobs the client has under way.
ASK = Statement(
    "ask_for_key",
    """
    SELECT request_digest, job_id, active
    FROM (SELECT count(*) AS active FROM jobs WHERE client = %(client)s AND status = ANY(%(statuses)s)) AS under_way
    LEFT JOIN idempotency_keys ON client = %(client)s AND key = %(key)s
    """,
)
ACCEPT = Statement(
    "accept_job",
    """
    INSERT INTO jobs (
        id, client, kind, route, lane, snapshot, request, status, sequence, callbacks, nudge_at, deadline_at
    ) VALUES (
        %(job)s, %(client)s, %(kind)s, %(route)s, %(lane)s, %(snapshot)s, %(request)s, 'accepted', 1, %(wanted)s,
        now() + %(grace)s, now() + %(limit)s::interval
    )
    """,
)
KEEP_KEY = Statement(
    "keep_key",
    """
    INSERT INTO idempotency_keys (client, key, request_digest, job_id)
    VALUES (%(client)s, %(key)s, %(digest)s, %(job)s)
    """,
)
GROW = Statement(
    "grow_records",
    """
    INSERT INTO records (job_id, step, stage, scene, place, status)
    SELECT %(job)s, step, stage, scene, place, 'pending'
    FROM unnest(%(steps)s::text[], %(stages)s::text[], %(scenes)s::int[], %(places)s::int[])
        AS new (step, stage, scene, place)
    ON CONFLICT DO NOTHING
    """,
)
CANCEL = """
    UPDATE records SET status = 'cancelled', wake_at = NULL, message = NULL, awaits = NULL, why = NULL
    WHERE job_id = %(job)s AND status IN ('pending', 'waiting')
"""
SOON = text("UPDATE jobs SET nudge_at = now() + :grace WHERE id = :job")


ONE_AT_A_TIME = Statement("lock_client", "SELECT pg_advisory_xact_lock(hashtext(%(client)s))")


class TooManyJobs(Exception):
    def __init__(self, most: int) -> None:
        super().__init__(f"the client has {most} active jobs, which is its limit")
        self.most = most


class JobEnded(Exception):
    """The job is in a state in which this cannot be asked of it."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the job is {status}")
        self.status = status


class NotFailed(Exception):
    """Only what has failed can be resumed."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the job is {status}, and only a failed one can go on from where it failed")
        self.status = status


@dataclass(frozen=True, slots=True)
class Order:
    """A validated request, ready to become a job. `digest` is that of the canonical payload and its address."""

    client: str
    kind: str
    route: str
    lane: str
    snapshot: Mapping[str, Any]
    request: Mapping[str, Any]
    digest: str
    key: str
    wanted: bool
    most_active: int


@dataclass(frozen=True, slots=True)
class Launch:
    """The canvas that must be sent now."""

    job_id: str
    number: int
    lane: str
    tree: Node


@dataclass(frozen=True, slots=True)
class Move:
    """What `advance` decided: a canvas to send, or none; `client` where there is something new to tell."""

    launch: Launch | None = None
    client: str | None = None


def accept(session: Session, order: Order) -> tuple[str, bool]:
    """The job's id, and whether it is a replay.

    One acceptance of a client at a time: of two simultaneous first calls the second is given the first's job, and many
    at once do not pass the limit. Raises KeyReused, TooManyJobs.
    """
    connection = session.connection()
    about = {"client": order.client, "key": order.key}
    ((digest, job_id, active),) = statements.run(
        connection, [(ONE_AT_A_TIME, about), (ASK, about | {"statuses": list(ACTIVE)})]
    )
    if digest is not None and digest != order.digest:
        raise KeyReused
    if job_id is not None:
        return str(job_id), True
    if active >= order.most_active:
        raise TooManyJobs(order.most_active)
    job_id = ids.new("job")
    statements.run(connection, _acceptance(connection, job_id, order))
    return job_id, False


def find(session: Session, job_id: str, *, client: str) -> Job | None:
    return session.scalar(select(Job).where(Job.id == job_id, Job.client == client))


def lock(session: Session, job_id: str) -> Job | None:
    """Every move on a job is made under its row's lock."""
    return session.scalar(select(Job).where(Job.id == job_id).with_for_update())


def page(
    session: Session, *, client: str, status: str | None, kind: str | None, before: str | None, limit: int
) -> Sequence[Job]:
    """Newest first; ids sort by time, so the last id of a page is the cursor to the next."""
    query = select(Job).where(Job.client == client).order_by(Job.id.desc()).limit(limit)
    if status:
        query = query.where(Job.status == status)
    if kind:
        query = query.where(Job.kind == kind)
    if before:
        query = query.where(Job.id < before)
    return session.scalars(query).all()


def steps(session: Session, job_id: str) -> Sequence[Record]:
    """Every record of a job, in the route's order."""
    return session.scalars(select(Record).where(Record.job_id == job_id).order_by(Record.place, Record.scene)).all()


def advance(connection: Connection, job_id: str, *, launch: int | None = None) -> Move:
    """The one move: look at the records, and say what must be sent now, if anything.

    `launch` names the canvas that asks (0: the acceptance); one that is no longer in force changes nothing, and what is
    sent has the next number. Who names none only suspects a loss: the same canvas is sent again and fences nothing, for
    the first one may still be queued, and the claims drop what is double. What waits or is worked on now is not sent:
    it has its message and goes on with what follows by itself.
    """
    with turn(connection, job_id) as job:
        return move(job, launch=launch) if job else Move()


def move(job: Turn, *, launch: int | None = None) -> Move:
    """See `advance`; in this turn at the job, and with what was decided in it."""
    if not job.active or (launch is not None and launch != job.launch):
        return Move()
    found = _grow(job)
    left = job.left(found.satisfied)
    if left == EMPTY and (rest := job.review.rest) is not None:
        retries.settle(job)
        left = job.left(found.satisfied)
        if left != EMPTY and rest != JobStatus.AWAITING_APPROVAL:
            _rest(job, rest, left)
            return Move(client=job.client)
    while left != EMPTY and isinstance(first := parts(left)[0], Gate):
        if not decisions.stands(job, first):
            decisions.open(job, first)
            return Move(client=job.client)
        left = job.left(found.satisfied)
    if left == EMPTY:
        if found.stale - set(job.stale):
            retries.settle(job)
        job.read(job.plan.last)
        job.complete(job.seen[job.plan.last].output)
        return Move(client=job.client)
    ready = segment(left)
    assert ready != EMPTY, "after its storyboard a job has scenes"
    if found.busy:
        ready = without(ready, found.busy)
        if ready == EMPTY and budgets.ask(job, found.busy):
            return Move(client=job.client)
        if launch or ready == EMPTY:  # whoever is busy asks again
            return Move()
    if launch is not None or job.launch == 0:
        job.launch += 1
    job.rest(min(SENT_GRACE * 2**job.nudges, LONGEST_GRACE))
    return Move(Launch(job.id, job.launch, job.lane, ready), client=job.client if job.launch == 1 else None)


def halt(job: Turn) -> None:
    """Ask a person for money, if nothing goes on without. What ends of a job that has a budget is followed by this."""
    found = _look(job)
    left = job.left(found.satisfied)
    if left != EMPTY and without(segment(left), found.busy) == EMPTY:
        budgets.ask(job, found.busy)


def _rest(job: Turn, status: str, left: Node) -> None:
    """Only one step was asked for, and something else is left: the job is again what it was."""
    if status == JobStatus.COMPLETED:
        job.complete(job.result)
    elif status == JobStatus.CANCELLED:
        job.cancel()
    else:
        first = next(iter(steps_of(left)), None)
        says = "Only one stage was asked for. To go on, retry the job without naming a stage."
        stage = first.key if first else job.plan.last
        job.fail(problem(stage, Error("incomplete", says, retryable=True), attempts=0, provider=None))


def segment_done(job: Turn, key: str) -> bool:
    """Whether all that was launched together with this step is done: what is left is for the next launch, or a gate.

    It is asked of the whole segment, not of what is left: two fan-outs may follow each other, and the second is left
    when the first is done.
    """
    whole = prune(job.plan.tree, job.plan.passed(job.review))
    return prune(segment_of(whole, key), _look(job).satisfied) == EMPTY


def soon(session: Session, job_id: str) -> None:
    """Something of the job may not be with the broker: if it does not move by itself, the sweeper looks at it soon."""
    session.execute(SOON, {"job": job_id, "grace": UNSENT_GRACE})


def fail(session: Session, job: Job, error: Mapping[str, Any]) -> None:
    """The job remembers its failed step. Siblings end what they are doing, and start nothing."""
    job.status = JobStatus.FAILED
    job.error = dict(error)
    job.finished_at = func.now()
    _touch(job)
    events.tell(session, job, EventType.FAILED)


def cancel(connection: Connection, job_id: str, *, client: str) -> None:
    """No further step starts; the launch is fenced. Cancelling twice is harmless. Raises JobEnded.

    A job that is not the client's is left alone.
    """
    with turn(connection, job_id) as job:
        if job is None or job.client != client:
            return
        if job.status in FINAL and job.status != JobStatus.CANCELLED:
            raise JobEnded(job.status)
        if job.status != JobStatus.CANCELLED:
            job.later(CANCEL, {"job": job.id})
            job.cancel()


def resume(session: Session, job_id: str) -> None:
    """A job that failed goes on from where it failed, with new tries. Launch it after the commit. Raises NotFailed.

    Its launch has a new number: what is left of the old one is fenced.
    """
    job = lock(session, job_id)
    if job is None or job.status != JobStatus.FAILED:
        raise NotFailed(job.status if job else "gone")
    if job.deleted_at is not None:
        raise NotFailed("deleted")
    again = (StepStatus.FAILED, StepStatus.WAITING, StepStatus.CANCELLED)
    session.execute(
        update(Record)
        .where(Record.job_id == job.id, Record.status.in_(again))
        .values(status=StepStatus.PENDING, tried=0, error=None, wake_at=None, message=None, awaits=None, why=None)
    )
    statements.run(session.connection(), [(REDEEM, {"job": job.id, "satisfied": list(SATISFIED)})])
    job.status = JobStatus.RUNNING
    job.error = job.finished_at = None
    job.launch += 1
    job.nudge_at = func.now() + UNSENT_GRACE
    job.nudges = 0
    if (limit := deadline(job.request)) is not None:
        job.deadline_at = func.now() + limit
    _touch(job)
    events.tell(session, job, EventType.STARTED)


def stuck(session: Session, *, limit: int = 50) -> Sequence[str]:
    """Active jobs that should have moved and have nothing in flight; the next look at each comes later and later.

    A job that waits is looked at as well, for the message of another of its steps may be lost; it is named only if
    something of it could run now, or a person is to be asked for money.
    """
    if not statements.run(session.connection(), [(ANY_STUCK, {})]):
        return []
    running = select(Record).where(
        Record.job_id == Job.id, Record.status == StepStatus.RUNNING, Record.lease_until > func.now()
    )
    due = (
        select(Job.id, Job.route, Job.scenes, Job.request["review"].label("wish"), Job.review)
        .where(Job.status.in_(ACTIVE), Job.nudge_at <= func.now(), ~running.exists())
        .order_by(Job.nudge_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    chosen = session.execute(due).all()
    if not chosen:
        return []
    names = [job.id for job in chosen]
    later = func.now() + func.least(UNSENT_GRACE * func.power(2, Job.nudges + 1), LONGEST_GRACE)
    session.execute(update(Job).where(Job.id.in_(names)).values(nudge_at=later, nudges=func.least(Job.nudges + 1, 16)))
    return _free(session, chosen)


def _free(session: Session, chosen: Sequence[Any]) -> list[str]:
    """Of these jobs those of which something could run now."""
    waiting = _steps(session, [job.id for job in chosen], (StepStatus.WAITING,))
    satisfied = _steps(session, list(waiting), SATISFIED)
    short = _steps(session, list(waiting), (StepStatus.WAITING,), Record.awaits == BUDGET)

    def free(job: Any) -> bool:
        review = Review.of({"review": job.wish}, job.review)
        left = segment(plan(job.route, job.scenes).left(satisfied.get(job.id, ()), review))
        return without(left, waiting[job.id]) != EMPTY

    return [job.id for job in chosen if job.id not in waiting or waiting[job.id] == short.get(job.id) or free(job)]


def _steps(
    session: Session, jobs: Sequence[str], statuses: Collection[str], *such: ColumnElement[bool]
) -> dict[str, set[str]]:
    """By job: its steps in one of these states."""
    found: dict[str, set[str]] = {}
    rows = select(Record.job_id, Record.step).where(Record.job_id.in_(jobs), Record.status.in_(statuses))
    for job_id, step in session.execute(rows.where(*such)):
        found.setdefault(job_id, set()).add(step)
    return found


def moved(job: Job) -> None:
    """Something happened: the sweeper's patience starts anew."""
    job.nudge_at = func.now() + SENT_GRACE
    job.nudges = 0
    _touch(job)


def problem(step: str, error: Error, *, attempts: int, provider: str | None) -> dict[str, Any]:
    """A step's failure as the job tells it."""
    return {
        "stage": step,
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "attempts": attempts,
        "provider": provider,
        "details": dict(error.details),
    }


def _acceptance(connection: Connection, job_id: str, order: Order) -> Iterator[tuple[Statement, Mapping[str, Any]]]:
    """What makes the job, its key, its first records and its first event."""
    about = {"job": job_id, "client": order.client, "key": order.key, "digest": order.digest}
    made = plan(order.route)
    kind = {"kind": order.kind, "route": order.route, "lane": order.lane, "wanted": order.wanted}
    payload = {"snapshot": Json(dict(order.snapshot)), "request": Json(dict(order.request))}
    yield ACCEPT, about | kind | payload | {"grace": UNSENT_GRACE, "limit": deadline(order.request)}
    yield KEEP_KEY, about
    yield GROW, _columns(job_id, made, made.steps.keys())
    named = (job_id, order.client, order.kind, order.route, order.lane, order.request)
    new = Turn(connection, *named, callbacks=order.wanted, metadata=order.snapshot.get("metadata", {}))
    yield new.event(1, EventType.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Found:
    """The steps of a job: those that are done, the stale ones among them, and those that are waiting or worked on."""

    steps: frozenset[str]
    satisfied: frozenset[str]
    stale: frozenset[str]
    busy: frozenset[str]


def _look(job: Turn) -> Found:
    """What the records say, and what this turn has decided."""
    found: dict[str, tuple[Any, ...]] = {step: tuple(facts) for step, *facts in job.ask(STEPS, {"job": job.id})}
    found |= {step: (seen.status, seen.leased, seen.owner, seen.started_at) for step, seen in job.seen.items()}

    def busy(status: str, leased: bool, owner: str | None, since: datetime | None) -> bool:
        runs = status == StepStatus.RUNNING and leased and not lives.gone(job.connection, owner, since)
        return runs or status == StepStatus.WAITING

    return Found(
        frozenset(found),
        frozenset(step for step, (status, *_) in found.items() if status in SATISFIED),
        frozenset(step for step, (status, *_) in found.items() if status == StepStatus.STALE),
        frozenset(step for step, facts in found.items() if busy(*facts)),
    )


def _grow(job: Turn) -> Found:
    """What `_look` finds, with a record for each step that had none."""
    found = _look(job)
    missing = job.plan.steps.keys() - found.steps
    if missing:
        job.later(GROW, _columns(job.id, job.plan, missing))
        job.seen |= {step: Seen.new(step) for step in missing}
    return found


def _columns(job_id: str, made: Plan, keys: Collection[str]) -> dict[str, Any]:
    stages = dict.fromkeys(step.stage for step in steps_of(made.route))
    places = {stage: place for place, stage in enumerate(stages)}
    new = [made.steps[key] for key in keys]
    return {
        "job": job_id,
        "steps": list(keys),
        "stages": [step.stage.name for step in new],
        "scenes": [step.scene for step in new],
        "places": [places[step.stage] for step in new],
    }


def _touch(job: Job) -> None:
    job.updated_at = func.now()
