"""The ledger of paid calls: written before money can be spent, and after each thing that becomes known.

Every verb may be run twice, and changes a call only from the states that it names: of two processes that both think
that a call is theirs, the ledger believes the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from db import assets, budgets, ids, jobs, statements
from db.models import Job, ProviderCall, Record
from db.statements import Statement
from db.turns import RELEASE
from pipeline.calls import Call, CallStatus, Operation, Repeat, Ticket
from pipeline.outcome import Error
from pipeline.state import ACTIVE, StepStatus
from schemas import records as codec

OPEN = (CallStatus.INTENDED, CallStatus.SUBMITTED)
LIVE = (StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING)
ORPHANED = timedelta(seconds=60)  # a request that can be looked for is over by then
SOON_S, LATER_S = 15.0, 600.0
SEEN_TO_S = 3600.0  # a step looks after it
SLOTS = 0x51075

ANY_DUE = Statement(
    "any_due_call",
    "SELECT 1 FROM provider_calls WHERE status IN ('intended', 'submitted') AND look_at <= now() LIMIT 1",
)


class Fenced(Exception):
    """The attempt is no longer in force, or its job has ended."""


class NoSlot(Exception):
    """The vendor has as many calls of ours as it takes at once."""


class NotUncertain(Exception):
    """The call is not in a state in which a person may decide this; the message says which."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The attempt of a step that calls."""

    job_id: str
    step: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be called: the digest of `action` is the call's identity within its step."""

    provider: str
    operation: str
    capability: str
    repeat: Repeat
    action: Mapping[str, Any]
    digest: str
    price: Decimal
    concurrency: int | None


def identity(operation: Operation[Any, Any], action: Any) -> tuple[Mapping[str, Any], str]:
    """The action as JSON, and the digest that the call is known by in its step."""
    asked = codec.dump(action)
    return asked, codec.digest({"operation": operation.name, "action": asked})


def open(session: Session, holder: Holder, request: Request) -> tuple[Call, Sequence[Mapping[str, Any]]]:
    """The call for this request, and the files its answer brought, if it has one.

    A call that was not taken is intended anew; one that was, and ended without an answer, is followed by another round:
    its key would bring the same end again. Raises Fenced, NoSlot, OverBudget.
    """
    budget = budgets.hold(session, holder.job_id)
    variation = _in_force(session, holder)
    rows = session.scalars(
        select(ProviderCall)
        .where(
            ProviderCall.job_id == holder.job_id,
            ProviderCall.step == holder.step,
            ProviderCall.variation == variation,
            ProviderCall.capability == request.capability,
            ProviderCall.digest == request.digest,
            ProviderCall.provider == request.provider,
        )
        .order_by(ProviderCall.round.desc())
        .limit(1)
        .with_for_update()
    )
    row = rows.first()
    if row is None or row.status == CallStatus.FAILED:
        budgets.check(session, holder.job_id, budget, request.price)
        _take_slot(session, request)
        if row is not None and not row.settled and row.external_id is None:
            row.status = CallStatus.INTENDED
            row.tries += 1
            row.error = row.ended_at = None
            row.reserved = request.price
        else:
            row = _insert(session, holder, request, variation, row.round + 1 if row else 1)
        row.attempt = holder.attempt
        row.intended_at = func.now()
        row.look_at = func.now() + timedelta(seconds=SEEN_TO_S)
        session.flush()
        session.refresh(row)
    elif row.status == CallStatus.SUCCEEDED:
        row.wasted = Decimal(0)  # it came too late, and is used after all
    return _call(session, row, holder), row.made or ()


def answered(session: Session, job_id: str, step: str, variation: int, *, provider: str, digest: str) -> bool:
    """Whether this call has its answer: who opens it once more is given that."""
    same = (ProviderCall.job_id == job_id, ProviderCall.step == step, ProviderCall.variation == variation)
    asked = (ProviderCall.provider == provider, ProviderCall.digest == digest)
    return bool(session.scalar(select(exists().where(*same, *asked, ProviderCall.status == CallStatus.SUCCEEDED))))


def confirm(session: Session, holder: Holder) -> None:
    """Raises Fenced where the attempt is no longer in force: nothing may be sent for it."""
    _in_force(session, holder)


def submit(session: Session, call_id: str, ticket: Ticket) -> None:
    """The vendor has taken it: its id is ours before anything else happens."""
    statement = update(ProviderCall).where(
        ProviderCall.id == call_id, ProviderCall.status.in_((CallStatus.INTENDED, CallStatus.UNCERTAIN))
    )
    session.execute(
        statement.values(
            status=CallStatus.SUBMITTED,
            external_id=ticket.external_id,
            urls=dict(ticket.urls),
            submitted_at=func.now(),
            error=None,
        )
    )
    _release_person(session, call_id)


def succeed(
    session: Session, call_id: str, output: Any, made: Sequence[Mapping[str, Any]], *, cost: Decimal | None
) -> None:
    """The answer is ours and is paid. What comes when the job has ended already is kept, and booked as waste.

    `made` are `db.assets.NewAsset`s as JSON: their rows are written with the step's record, or here if there is none.
    """
    found = _settle(session, call_id, CallStatus.SUCCEEDED)
    if found is None:
        return
    row, job = found
    row.output = {"value": output}
    row.made = [dict(each) for each in made]
    row.error = None
    late = job.status not in ACTIVE
    _pay(session, job, row, row.reserved if cost is None else cost, wasted=late)
    if late:
        kept = [codec.load(each, assets.NewAsset) for each in made]
        assets.add(session, kept, client=job.client, job_id=job.id, step=row.step, attempt=row.attempt)
    _release_person(session, call_id)


def fail(session: Session, call_id: str, error: Error, *, charged: bool, holder: Holder | None = None) -> None:
    """The call ended without an answer. What was charged all the same is waste.

    A `holder` whose step was taken over meanwhile changes nothing: the other may have sent the call again.
    """
    if holder is not None and _attempt(session, holder) != holder.attempt:
        return
    found = _settle(session, call_id, CallStatus.FAILED)
    if found is None:
        return
    row, job = found
    row.error = _fact(error)
    if charged:
        _pay(session, job, row, row.reserved, wasted=True)
    row.reserved = Decimal(0)


def doubt(session: Session, call_id: str) -> None:
    """Sent, and nobody knows whether it was taken."""
    statement = update(ProviderCall).where(ProviderCall.id == call_id, ProviderCall.status.in_(OPEN))
    session.execute(statement.values(status=CallStatus.UNCERTAIN))


def notice(session: Session, provider: str, external_id: str) -> bool:
    """The vendor says that something happened: the step that waits for it is due. Whether there is such a call."""
    query = select(ProviderCall).where(ProviderCall.provider == provider, ProviderCall.external_id == external_id)
    row = session.scalars(query.limit(1)).first()
    if row is None:
        return False
    _hurry(session, row, awaits="call")
    row.look_at = func.now()
    return True


def free(session: Session, concurrency: Mapping[str, int]) -> int:
    """Make due as many of those who wait for a slot as there are free ones: the longest waiting first."""
    due = 0
    for provider, most in concurrency.items():
        waiting = select(Record.job_id).where(Record.status == StepStatus.WAITING, Record.awaits == f"slot:{provider}")
        if not session.scalar(select(waiting.exists())):
            continue
        first = (
            select(Record.job_id, Record.step)
            .where(Record.status == StepStatus.WAITING, Record.awaits == f"slot:{provider}")
            .order_by(Record.wake_at)
            .limit(max(most - _taken(session, provider), 0))
            .with_for_update(skip_locked=True)
        )
        for job_id, step in session.execute(first).all():
            one = update(Record).where(Record.job_id == job_id, Record.step == step)
            session.execute(one.values(wake_at=func.now(), awaits=None))
            due += 1
    return due


@dataclass(frozen=True, slots=True)
class Orphan:
    """An open call that no step looks after any more."""

    call_id: str
    job_id: str
    lane: str
    provider: str
    operation: str
    repeat: Repeat
    request: Mapping[str, Any]
    ticket: Ticket | None
    cancelled: bool
    age_s: float


def orphans(session: Session, *, limit: int = 50) -> Sequence[Orphan]:
    """Open calls of steps that have ended or will not go on; each is not named again for a while.

    One that was only intended is left alone until its sender must have ended. Who ends a job has its calls looked at
    (`Turn.release`); all others are looked at now and then.
    """
    if not statements.run(session.connection(), [(ANY_DUE, {})]):
        return []
    due = _watched().add_columns(_left(), _unsent()).where(ProviderCall.look_at <= func.now())
    due = due.order_by(ProviderCall.look_at).limit(limit).with_for_update(skip_locked=True, of=ProviderCall)
    found = []
    for row, job, age_s, left, unsent in session.execute(due).all():
        orphaned = left and unsent
        pause = min(max(age_s / 5, SOON_S), LATER_S) if orphaned else SOON_S if left else SEEN_TO_S
        row.look_at = func.now() + timedelta(seconds=pause)
        if orphaned:
            found.append(_orphan(row, job, age_s))
    return found


def orphan(session: Session, call_id: str) -> Orphan | None:
    """The open call, if still no step looks after it."""
    query = _watched().where(ProviderCall.id == call_id, _left(), _unsent())
    found = session.execute(query).first()
    return _orphan(*found) if found else None


def cancelled(session: Session, call_id: str) -> None:
    """The vendor was asked to stop; what becomes of it is seen by polling."""
    statement = update(ProviderCall).where(ProviderCall.id == call_id, ProviderCall.cancelled_at.is_(None))
    session.execute(statement.values(cancelled_at=func.now()))


# --- what a person decides ----------------------------------------------------------------


def page(session: Session, *, statuses: Sequence[str], job_id: str | None, limit: int) -> Sequence[ProviderCall]:
    """The newest calls, of these states."""
    query = select(ProviderCall).order_by(ProviderCall.id.desc()).limit(limit)
    if statuses:
        query = query.where(ProviderCall.status.in_(statuses))
    if job_id:
        query = query.where(ProviderCall.job_id == job_id)
    return session.scalars(query).all()


def find(session: Session, call_id: str) -> ProviderCall | None:
    return session.get(ProviderCall, call_id)


def adopt(session: Session, call_id: str, ticket: Ticket) -> None:
    """The vendor took it, as a person found out: its work is ours. Raises NotUncertain."""
    row = _decide(session, call_id, CallStatus.UNCERTAIN)
    if session.get_one(Job, row.job_id).deleted_at is not None:
        raise NotUncertain("What the call was for was deleted: it can only be dropped.")
    submit(session, call_id, ticket)


def retry(session: Session, call_id: str, *, charged: bool) -> None:
    """It was not taken, or is lost: the step may call again. Raises NotUncertain."""
    row = _decide(session, call_id, CallStatus.UNCERTAIN, CallStatus.FAILED)
    if row.status == CallStatus.UNCERTAIN:
        fact = Error("outcome_unknown", "A person decided to call again.", retryable=True)
        fail(session, call_id, fact, charged=charged)
    _hurry(session, row)


def drop(session: Session, call_id: str, *, charged: bool) -> None:
    """Give it up: the step fails, and with it the job. Raises NotUncertain."""
    row = _decide(session, call_id, CallStatus.UNCERTAIN)
    fact = Error("outcome_unknown", "Nobody knows whether the provider did it; a person gave it up.", retryable=True)
    fail(session, call_id, fact, charged=charged)
    job = jobs.lock(session, row.job_id)
    record = session.get(Record, (row.job_id, row.step), with_for_update=True)
    if job is None or record is None or record.status != StepStatus.WAITING or job.status not in ACTIVE:
        return
    record.waits -= 1  # the try that was parked ends here
    record.status = StepStatus.FAILED
    record.error = _fact(fact)
    record.wake_at = record.message = record.awaits = record.why = None
    record.finished_at = func.now()
    attempts = record.attempt - record.waits
    jobs.fail(session, job, jobs.problem(row.step, fact, attempts=attempts, provider=row.provider))
    statements.run(session.connection(), [(RELEASE, {"job": job.id})])


def _decide(session: Session, call_id: str, *states: CallStatus) -> ProviderCall:
    job_id = session.scalar(select(ProviderCall.job_id).where(ProviderCall.id == call_id))
    if job_id is not None:
        jobs.lock(session, job_id)
    row = session.get(ProviderCall, call_id, with_for_update=True)
    if row is None:
        raise NotUncertain(f"There is no call {call_id}.")
    if row.status not in states:
        raise NotUncertain(f"The call is {row.status}: a person decides on one that is {' or '.join(states)}.")
    return row


def _in_force(session: Session, holder: Holder) -> int:
    """The variation that the step is at. Raises Fenced."""
    found = session.execute(
        select(Record.attempt, Record.status, Record.variation, Job.status)
        .join(Job)
        .where(Record.job_id == holder.job_id, Record.step == holder.step)
        .with_for_update(read=True, of=Record)
    ).first()
    if found is None or found[0] != holder.attempt or found[1] != StepStatus.RUNNING or found[3] not in ACTIVE:
        raise Fenced
    return int(found[2])


def _take_slot(session: Session, request: Request) -> None:
    if request.concurrency is None:
        return
    session.execute(select(func.pg_advisory_xact_lock(SLOTS, func.hashtext(request.provider))))
    if _taken(session, request.provider) >= request.concurrency:
        raise NoSlot


def _taken(session: Session, provider: str) -> int:
    taken = select(func.count()).where(ProviderCall.provider == provider, ProviderCall.status.in_(OPEN))
    return session.scalar(taken) or 0


def _insert(session: Session, holder: Holder, request: Request, variation: int, number: int) -> ProviderCall:
    row = ProviderCall(
        id=ids.new("call"),
        job_id=holder.job_id,
        step=holder.step,
        variation=variation,
        capability=request.capability,
        digest=request.digest,
        round=number,
        provider=request.provider,
        operation=request.operation,
        repeat=request.repeat,
        status=CallStatus.INTENDED,
        attempt=holder.attempt,
        request=dict(request.action),
        reserved=request.price,
        settled=Decimal(0),
    )
    session.add(row)
    return row


def _call(session: Session, row: ProviderCall, holder: Holder) -> Call:
    since = row.submitted_at or row.intended_at
    age = session.scalar(select(func.extract("epoch", func.clock_timestamp() - since)))
    fresh = row.status == CallStatus.INTENDED and row.attempt == holder.attempt
    output = row.output["value"] if row.output else None
    return Call(row.id, CallStatus(row.status), fresh, float(age or 0.0), _ticket(row), output)


def _ticket(row: ProviderCall) -> Ticket | None:
    return Ticket(row.external_id, row.urls or {}) if row.external_id else None


def _watched() -> Select[ProviderCall, Job, Any]:
    """Open calls, with their jobs and their age in seconds."""
    age = func.extract("epoch", func.now() - ProviderCall.intended_at)
    return (
        select(ProviderCall, Job, age)
        .join(Job, Job.id == ProviderCall.job_id)
        .join(Record, (Record.job_id == ProviderCall.job_id) & (Record.step == ProviderCall.step))
        .where(ProviderCall.status.in_(OPEN))
    )


def _left() -> ColumnElement[bool]:
    """No step looks after the call, or none will before long."""
    return or_(Job.status.not_in(ACTIVE), Record.status.not_in(LIVE), Record.variation != ProviderCall.variation)


def _unsent() -> ColumnElement[bool]:
    """Nobody sends it just now, and no worker is about to tell how it ended."""
    return and_(
        or_(ProviderCall.status == CallStatus.SUBMITTED, ProviderCall.intended_at < func.now() - ORPHANED),
        or_(Record.status != StepStatus.RUNNING, Record.lease_until < func.now()),
    )


def _orphan(row: ProviderCall, job: Job, age_s: float) -> Orphan:
    return Orphan(
        row.id,
        row.job_id,
        job.lane,
        row.provider,
        row.operation,
        Repeat(row.repeat),
        row.request,
        _ticket(row),
        row.cancelled_at is not None,
        float(age_s),
    )


def _attempt(session: Session, holder: Holder) -> int | None:
    return session.scalar(select(Record.attempt).where(Record.job_id == holder.job_id, Record.step == holder.step))


def _settle(session: Session, call_id: str, status: CallStatus) -> tuple[ProviderCall, Job] | None:
    """The open call, now ended, and its job, both locked (the job first, as everywhere); None where it has ended.

    An answer is believed even after a failure that cost nothing: two may have sent the same with one key.
    """
    job_id = session.scalar(select(ProviderCall.job_id).where(ProviderCall.id == call_id))
    job = jobs.lock(session, job_id) if job_id else None
    row = session.get(ProviderCall, call_id, with_for_update=True, populate_existing=True)
    if job is None or row is None:
        return None
    late = status == CallStatus.SUCCEEDED and row.status == CallStatus.FAILED and not row.settled
    if not late and row.status not in (*OPEN, CallStatus.UNCERTAIN):
        return None
    row.status = status
    row.ended_at = func.now()
    return row, job


def _pay(session: Session, job: Job, row: ProviderCall, amount: Decimal, *, wasted: bool) -> None:
    row.settled = amount
    row.wasted = amount if wasted else Decimal(0)
    row.reserved = Decimal(0)
    step = update(Record).where(Record.job_id == row.job_id, Record.step == row.step)
    session.execute(step.values(cost=Record.cost + amount))
    session.execute(update(Job).where(Job.id == job.id).values(cost=Job.cost + amount))


def _release_person(session: Session, call_id: str) -> None:
    """What a person was asked about is known now: the step goes on by itself."""
    row = session.get_one(ProviderCall, call_id)
    _hurry(session, row, awaits="person")


def _hurry(session: Session, row: ProviderCall, *, awaits: str | None = None) -> None:
    waiting = update(Record).where(
        Record.job_id == row.job_id, Record.step == row.step, Record.status == StepStatus.WAITING
    )
    if awaits is not None:
        waiting = waiting.where(Record.awaits == awaits)
    session.execute(waiting.values(wake_at=func.now()))


def _fact(error: Error) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "retryable": error.retryable, "details": dict(error.details)}
