"""Stage records: how attempts ended, what that completes, and who waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from db import assets, jobs, statements
from db.claims import Claim
from db.models import Job, Record
from db.statements import Statement
from db.turns import UNSENT_GRACE, Seen, Turn, jsonb, turn
from pipeline.graph import EMPTY, segment
from pipeline.outcome import Again, Cancelled, Done, Failed, Outcome, Wait
from pipeline.review import BUDGET, Review
from pipeline.routes import plan
from pipeline.state import SATISFIED, StepStatus
from schemas import records as codec

SUCCEED = Statement(
    "succeed_step",
    """
    UPDATE records SET
        status = 'succeeded', output = %(output)s, output_input_digest = %(digest)s, origin = NULL, source = NULL,
        tried = 0, finished_at = now(), owner = NULL, lease_until = NULL, provider = %(provider)s,
        passed_over = %(passed_over)s
    WHERE job_id = %(job)s AND step = %(step)s AND attempt = %(attempt)s AND status = 'running'
    """,
)
END = """
    UPDATE records SET
        status = %(status)s, error = %(error)s, tried = %(tried)s, finished_at = now(),
        wake_at = now() + %(after)s::interval, message = %(message)s, owner = NULL, lease_until = NULL,
        provider = %(provider)s, passed_over = %(passed_over)s
    WHERE job_id = %(job)s AND step = %(step)s AND attempt = %(attempt)s AND status = 'running'
"""
TRY = Statement(
    "note_attempt",
    """
    INSERT INTO attempts (job_id, step, attempt, outcome, error, provider, started_at, finished_at)
    VALUES (%(job)s, %(step)s, %(attempt)s, %(outcome)s, %(error)s, %(provider)s, %(started_at)s, now())
    """,
)
WAIT = """
    UPDATE records SET
        status = 'waiting', waits = waits + 1, wake_at = now() + %(after)s::interval, awaits = %(awaits)s,
        why = %(why)s, error = %(error)s, message = %(message)s, owner = NULL, lease_until = NULL,
        provider = %(provider)s, passed_over = %(passed_over)s
    WHERE job_id = %(job)s AND step = %(step)s AND attempt = %(attempt)s AND status = 'running'
"""
# The job is locked as well: whoever has it may be about to change the step.
WAKE = Statement(
    "wake_steps",
    """
    WITH due AS (
        SELECT records.job_id, records.step FROM records JOIN jobs ON jobs.id = records.job_id
        WHERE records.status = 'waiting' AND wake_at <= now()
        ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), given_time AS (
        UPDATE jobs SET nudge_at = GREATEST(nudge_at, now() + %(grace)s::interval) WHERE id IN (SELECT job_id FROM due)
    )
    UPDATE records SET status = 'pending', wake_at = NULL FROM due
    WHERE records.job_id = due.job_id AND records.step = due.step
    RETURNING records.job_id, records.step, message
    """,
)
OTHERWISE = {Again: StepStatus.CANCELLED, Cancelled: StepStatus.CANCELLED, Failed: StepStatus.FAILED}


@dataclass(frozen=True, slots=True)
class Woken:
    """A step whose time has come, and the message that brings it back."""

    job_id: str
    step: str
    message: Mapping[str, Any] | None


def record(connection: Connection, held: Claim, outcome: Outcome, **told: Any) -> bool:
    """Write how the attempt ended; see `write`."""
    with turn(connection, held.job_id, held.step.key) as job:
        return job is not None and write(job, held, outcome, **told)


def write(
    job: Turn,
    held: Claim,
    outcome: Outcome,
    *,
    made_assets: Sequence[assets.NewAsset] = (),
    provider: str | None = None,
    passed_over: Sequence[Mapping[str, Any]] = (),
    message: Mapping[str, Any] | None = None,
) -> bool:
    """Write how the attempt ended. False when the attempt was no longer in force: a late loser changes nothing.

    `message` is what is sent again when a step that waits is due. A late success after a cancel is kept. May be run
    twice: what is recorded already is recorded.
    """
    job.read(held.step.key)
    row = job.seen[held.step.key]
    if row.attempt != held.attempt or row.status != StepStatus.RUNNING:
        return row.attempt == held.attempt and row.status in SATISFIED
    if isinstance(outcome, Wait) and not job.active:
        outcome = Cancelled()
    told = {
        "job": job.id,
        "step": row.step,
        "attempt": row.attempt,
        "provider": provider,
        "passed_over": jsonb([dict(each) for each in passed_over] or None),
    }
    if isinstance(outcome, Wait):
        if outcome.awaits == BUDGET:
            job.ask(WAIT, told | _waiting(outcome, message))  # at once: whether others wait for the same is asked next
        else:
            job.later(WAIT, told | _waiting(outcome, message))
        job.touch()
        _halt(job)
        return True
    if isinstance(outcome, Done):
        output = codec.dump(outcome.output)
        codec.digest(output)  # raises here what would else stop every step that reads it
        if row.output is not None:
            job.keep_past(row.step)
        job.later(SUCCEED, told | {"output": jsonb(output), "digest": held.digest})
        job.later(TRY, told | {"outcome": "done", "error": None, "started_at": row.started_at})
        job.seen[row.step] = row._replace(status=StepStatus.SUCCEEDED, output=output, output_input_digest=held.digest)
        if passed_over:
            job.release()
        for call in assets.rows(made_assets, client=job.client, job_id=job.id, step=row.step, attempt=row.attempt):
            job.later(*call)
        job.reach(row.step, output)
    else:
        error = None if isinstance(outcome, Cancelled) else jsonb(codec.dump(outcome.error))
        job.later(END, told | {"error": error} | _ending(outcome, row, message, active=job.active))
        ended = {"outcome": type(outcome).__name__.lower(), "error": error, "started_at": row.started_at}
        job.later(TRY, told | ended)
        if isinstance(outcome, Failed) and job.active:
            tries = row.attempt - row.waits
            job.fail(jobs.problem(row.step, outcome.error, attempts=tries, provider=provider))
    if job.active:
        job.move()
    else:
        job.touch()
        job.release()
    _halt(job)
    return True


def ready(session: Session, job_id: str, step: str | None) -> bool:
    """What a join asks: is all there that this step reads? No step: is nothing left that could run now?"""
    facts = select(Job.route, Job.scenes, Job.request["review"].label("wish"), Job.review).where(Job.id == job_id)
    found = session.execute(facts).first()
    if found is None:
        return False
    made = plan(found.route, found.scenes)
    done = select(Record.step).where(Record.job_id == job_id, Record.status.in_(SATISFIED))
    if step is None:
        review = Review.of({"review": found.wish}, found.review)
        return segment(made.left(set(session.scalars(done)), review)) == EMPTY
    needed = made.predecessors.get(step)
    return needed is not None and needed <= set(session.scalars(done.where(Record.step.in_(needed))))


def wake(session: Session, *, limit: int = 200) -> list[Woken]:
    """Steps whose time has come: they are pending. Send their messages after the commit.

    A message that is lost then is an ordinary lost message. For the sweeper's patience with the job, to wake is no
    move: a step that asks again and again must not hide that its sibling's message is lost.
    """
    rows = statements.run(session.connection(), [(WAKE, {"limit": limit, "grace": UNSENT_GRACE})])
    return [Woken(*row) for row in rows]


def _halt(job: Turn) -> None:
    if job.active and job.request.get("budget") is not None:
        jobs.halt(job)


def _waiting(wait: Wait, message: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "after": wait.after,
        "awaits": wait.awaits,
        "why": wait.why,
        "error": jsonb(codec.dump(wait.error)),
        "message": jsonb(dict(message or {})),
    }


def _ending(
    outcome: Again | Cancelled | Failed, row: Seen, message: Mapping[str, Any] | None, *, active: bool
) -> dict[str, Any]:
    sleeps = isinstance(outcome, Again) and active
    failed = isinstance(outcome, Failed)
    return {
        "status": StepStatus.FAILED if failed else StepStatus.WAITING if sleeps else StepStatus.CANCELLED,
        "tried": row.tried if isinstance(outcome, Cancelled) else row.tried + 1,
        "after": outcome.after if isinstance(outcome, Again) and sleeps else None,
        "message": jsonb(dict(message or {})) if sleeps else None,
    }
