"""Claiming a step: the right to attempt it, for as long as the lease is held."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from db import lives, reuse, statements
from db.jobs import problem, soon
from db.statements import Statement
from db.turns import UNSENT_GRACE, Seen, Turn, jsonb, turn
from pipeline.errors import StageCrashed, WorkerLost
from pipeline.graph import Step
from pipeline.outcome import Error
from pipeline.routes import Plan
from pipeline.state import ACTIVE, SATISFIED, JobStatus, StepStatus
from schemas import inputs
from schemas import records as codec
from schemas.inputs import GIVEN

LEASE = timedelta(seconds=30)
RENEWAL_S = 4.0
MOST_LOST = 10  # a healthy long step may lose its worker to several deploys; a poisonous one must not go on for ever

RUN = Statement(
    "run_step",
    """
    UPDATE records SET
        status = 'running', attempt = attempt + 1, owner = %(owner)s, lease_until = now() + %(lease)s,
        started_at = now(), finished_at = NULL, wake_at = NULL, message = NULL, error = NULL, awaits = NULL, why = NULL,
        input = %(input)s, input_digest = %(digest)s
    WHERE job_id = %(job)s AND step = %(step)s
    """,
)
# Whoever asked for the job gave what this step would make.
SKIP = """
    UPDATE records SET
        status = 'skipped', output = %(output)s, output_input_digest = %(digest)s, input = %(input)s,
        input_digest = %(digest)s, finished_at = now(), owner = NULL, lease_until = NULL,
        wake_at = NULL, message = NULL, error = NULL, awaits = NULL, why = NULL
    WHERE job_id = %(job)s AND step = %(step)s
"""
REUSE = """
    UPDATE records SET
        status = 'reused', owner = NULL, lease_until = NULL,
        wake_at = NULL, message = NULL, error = NULL, awaits = NULL, why = NULL
    WHERE job_id = %(job)s AND step = %(step)s
"""
KEEP = "UPDATE records SET message = %(message)s WHERE job_id = %(job)s AND step = %(step)s"
FAIL = """
    UPDATE records SET
        status = 'failed', tried = %(tried)s, owner = NULL, lease_until = NULL, finished_at = now(), error = %(error)s,
        wake_at = NULL, message = NULL, awaits = NULL, why = NULL
    WHERE job_id = %(job)s AND step = %(step)s
"""
# The attempt whose worker is gone ends here.
LOSE = """
    INSERT INTO attempts (job_id, step, attempt, outcome, error, provider, started_at, finished_at)
    SELECT job_id, step, attempt, %(outcome)s, %(error)s, provider, started_at, now() FROM records
    WHERE job_id = %(job)s AND step = %(step)s
"""
# A step fails for good with an attempt that says so: what was lost before that does not count any more.
LOST = """
    SELECT count(*) FROM attempts WHERE job_id = %(job)s AND step = %(step)s AND outcome = 'lost' AND attempt > (
        SELECT COALESCE(max(attempt), 0) FROM attempts
        WHERE job_id = %(job)s AND step = %(step)s AND outcome NOT IN ('lost', 'again')
    )
"""
STUMBLE = "UPDATE records SET tried = %(tried)s WHERE job_id = %(job)s AND step = %(step)s"
ABANDON = Statement(
    "abandon_steps",
    """
    WITH dead AS (
        SELECT records.* FROM records JOIN jobs ON jobs.id = records.job_id
        WHERE records.status = 'running' AND lease_until < now() AND jobs.status <> ALL(%(active)s)
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), lost AS (
        INSERT INTO attempts (job_id, step, attempt, outcome, provider, started_at, finished_at)
        SELECT job_id, step, attempt, 'lost', provider, started_at, now() FROM dead
    ), released AS (
        UPDATE provider_calls SET look_at = now() FROM dead
        WHERE provider_calls.job_id = dead.job_id AND provider_calls.step = dead.step
        AND provider_calls.status IN ('intended', 'submitted')
    )
    UPDATE records SET status = 'cancelled', owner = NULL, lease_until = NULL, finished_at = now() FROM dead
    WHERE records.job_id = dead.job_id AND records.step = dead.step
    RETURNING records.step
    """,
)
RENEW = text(
    """
    UPDATE records SET lease_until = now() + :lease FROM jobs
    WHERE jobs.id = records.job_id AND job_id = :job AND step = :step AND attempt = :attempt
    AND records.status = 'running'
    RETURNING jobs.status
    """
).bindparams(lease=LEASE)


GIVE_BACK = text(
    """
    UPDATE records SET lease_until = now()
    WHERE job_id = :job AND step = :step AND attempt = :attempt AND status = 'running'
    """
)


# No number is given twice, and what was not begun was no try.
LET_GO = """
    UPDATE records SET status = %(status)s, waits = waits + 1, owner = NULL, lease_until = NULL
    WHERE job_id = %(job)s AND step = %(step)s AND attempt = %(attempt)s AND status = 'running'
"""


class Verdict(Enum):
    """Why a message leads to no work."""

    STALE = "the message is double, late or fenced: drop it and its chain"
    EARLY = "what the step reads is not all there: whoever completes it goes on"
    SATISFIED = "the step is done: go on with what follows"
    ASLEEP = "the step waits for its time: the message was kept"
    HELD = "whoever had this very message seems to be at it still: ask again in a moment"
    ALONE = "its last worker was lost in it, or it sleeps: it is to travel in a message of its own"
    POISON = "the step lost its worker each time: it and the job have failed"


class Hold(Enum):
    """Whether a step is still ours."""

    KEPT = "the lease is longer now"
    LOST = "the step has ended, or somebody else has it"
    ENDED = "the job was cancelled"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt a step, until the lease ends. `recovered`: an attempt at it was lost just before."""

    job_id: str
    client: str
    step: Step
    plan: Plan
    attempt: int
    tried: int
    inputs: Mapping[str, Any] = field(repr=False)
    digest: str = ""
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """The Celery message that asks for a step.

    `owner` is its task id, `delivery` names this one delivery of it, `life` the process that has it, `redelivered` is
    the broker's word, and `keep` gives the message as it can be sent again. `follows`: there is no message, the worker
    would go on with the step by itself. `makers`: by stage, whose outputs made for other jobs may be taken.
    """

    job_id: str
    step: str
    launch: int
    owner: str
    delivery: str
    redelivered: bool
    keep: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False)
    life: int | None = None
    follows: bool = False
    makers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def holder(self) -> str:
        return f"{self.owner}/{self.delivery}" + (f"/{self.life}" if self.life is not None else "")

    def holds(self, row: Seen) -> bool:
        """Whether this delivery has the step; whether its process could show that it lives may have changed since."""
        return (row.owner or "").split("/")[:2] == [self.owner, self.delivery]


def claim(connection: Connection, message: Message, *, made: Plan | None = None) -> Claim | Verdict:
    """Claim the step for this message. May be run twice: the same delivery holds it.

    `made` is the job's plan as it was seen last: if it still is, what the step reads is read with the job.
    """
    with turn(connection, message.job_id, entered=message.step, made=made) as job:
        return take(job, message) if job else Verdict.STALE


def take(job: Turn, message: Message) -> Claim | Verdict:
    """Claim the step for this message, in this turn at its job."""
    made = job.plan
    step = made.steps.get(message.step)
    if job.launch != message.launch or not job.active or step is None:
        return Verdict.STALE
    if step.key in (given := job.request.get(GIVEN, {})) and (skipped := _skip(job, step, given[step.key])):
        return skipped
    needed = made.predecessors[step.key]
    job.read(entered=step.key)
    row = job.seen[step.key]
    if not all(key in job.seen and job.seen[key].status in SATISFIED for key in needed):
        return Verdict.EARLY
    if (verdict := _occupied(job, row, message)) is not None:
        return verdict
    outputs = {key: job.seen[key].output for key in needed}
    read = inputs.resolve(job.request, made, step, outputs, row.variation, row.notes)
    digest = inputs.digest(step, read, row.variation)
    if row.output is not None and row.output_input_digest == digest:
        job.later(REUSE, {"job": job.id, "step": step.key})
        job.seen[step.key] = row._replace(status=StepStatus.REUSED)
        job.reach(step.key, row.output)
        job.move()
        return Verdict.SATISFIED
    references = inputs.references(made.origins[step.key])
    maker = message.makers.get(step.stage.name) if _is_new(row) else None
    if maker is not None and reuse.take(job, row, digest, read, references, maker=maker):
        return Verdict.SATISFIED
    begun = {"job": job.id, "step": step.key, "owner": message.holder, "lease": LEASE, "digest": digest}
    job.later(RUN, begun | {"input": jsonb(references)})
    job.begin(step.key, step.stage.label, first=row.attempt == 0)
    if row.waits:
        job.touch()  # it goes on waiting, perhaps: for the sweeper that is no move
    else:
        job.move()
    recovered = row.status == StepStatus.RUNNING and not message.holds(row)
    return Claim(job.id, job.client, step, made, row.attempt + 1, row.tried, read, digest, recovered)


def _is_new(row: Seen) -> bool:
    """Whether nothing was ever made or tried: who has a step run again wants it to run."""
    return row.attempt == 0 and row.output is None and row.variation == 0


def _skip(job: Turn, step: Step, output: Any) -> Verdict | None:
    """None: a person wants another variation than the one that was given."""
    job.read(step.key)
    row = job.seen[step.key]
    if row.variation:
        return None
    if row.status not in SATISFIED:
        digest = inputs.given_digest(step, output)
        told = {"output": jsonb(output), "digest": digest, "input": jsonb({GIVEN: f"snapshot/{GIVEN}/{step.key}"})}
        job.later(SKIP, told | {"job": job.id, "step": step.key})
        job.seen[step.key] = row._replace(status=StepStatus.SKIPPED, output=output, output_input_digest=digest)
        job.start()
        job.reach(step.key, output)
        job.move()
    return Verdict.SATISFIED


def stumble(connection: Connection, message: Message) -> None:
    """The claim itself is broken, by a fault of ours: after as many tries as the stage has, the job fails."""
    with turn(connection, message.job_id, message.step) as job:
        step = job.plan.steps.get(message.step) if job else None
        if job is None or step is None or job.launch != message.launch or not job.active:
            return
        job.read(step.key)
        tried = job.seen[step.key].tried + 1
        if tried < step.stage.tries:
            job.later(STUMBLE, {"job": job.id, "step": step.key, "tried": tried})
        else:
            error = Error(StageCrashed.code, f"{step.stage.label} cannot begin; it is in our log.", True)
            _fail(job, job.seen[step.key], error, attempts=tried)


def renew(session: Session, held: Claim) -> Hold:
    """Hold the lease for longer, if the step is still ours."""
    key = {"job": held.job_id, "step": held.step.key, "attempt": held.attempt}
    status = session.scalar(RENEW, key)
    if status is None:
        return Hold.LOST
    return Hold.ENDED if status == JobStatus.CANCELLED else Hold.KEPT


def give_back(session: Session, held: Claim) -> None:
    """Let the lease end now: nobody works under it any more. The sweeper brings the step back if no message does."""
    soon(session, held.job_id)
    session.execute(GIVE_BACK, {"job": held.job_id, "step": held.step.key, "attempt": held.attempt})


def let_go(connection: Connection, held: Sequence[Claim]) -> None:
    """Claims of one job under which nothing was begun: others may have the steps. May be run twice."""
    with turn(connection, held[0].job_id) as job:
        if job is None:
            return
        status = StepStatus.CANCELLED if job.status == JobStatus.CANCELLED else StepStatus.PENDING
        for each in held:
            job.later(LET_GO, {"job": job.id, "step": each.step.key, "attempt": each.attempt, "status": status})
        if job.active:
            job.rest(UNSENT_GRACE)


def abandon(session: Session, *, limit: int = 200) -> int:
    """Steps of ended jobs whose worker is gone: they are cancelled, so that nothing seems to run for ever."""
    return len(statements.run(session.connection(), [(ABANDON, {"limit": limit, "active": list(ACTIVE)})]))


def _occupied(job: Turn, row: Seen, message: Message) -> Verdict | None:
    """Why the step is not free; None when it is, or when whoever had it is gone."""
    if row.status in SATISFIED:
        return Verdict.SATISFIED
    if row.status == StepStatus.FAILED:
        return Verdict.STALE
    if row.status == StepStatus.WAITING and not row.due:
        if message.follows:
            return Verdict.ALONE
        job.later(KEEP, {"job": job.id, "step": row.step, "message": jsonb(dict(message.keep()))})
        return Verdict.ASLEEP
    if row.status != StepStatus.RUNNING or message.holds(row):
        return None
    again = message.redelivered and (row.owner or "").startswith(f"{message.owner}/")
    if row.leased and not _gone(job, row, again=again):
        return Verdict.HELD if again else Verdict.STALE
    if message.follows:
        return Verdict.ALONE
    ((lost,),) = job.ask(LOST, {"job": job.id, "step": row.step})
    if lost + 1 < MOST_LOST:
        job.later(LOSE, {"job": job.id, "step": row.step, "outcome": "lost", "error": None})
        return None
    error = Error(WorkerLost.code, f"Its worker was lost {MOST_LOST} times during this step.", WorkerLost.retryable)
    job.later(LOSE, {"job": job.id, "step": row.step, "outcome": "failed", "error": jsonb(codec.dump(error))})
    _fail(job, row, error, attempts=row.attempt - row.waits)
    return Verdict.POISON


def _gone(job: Turn, row: Seen, *, again: bool) -> bool:
    """Whether the process that has the step is dead. In doubt it is not, and its lease must end.

    That the broker gives a message again proves nothing: the one that it takes back may be a double.
    """
    gone = lives.gone(job.connection, row.owner, row.started_at)
    return again if gone is None else gone


def _fail(job: Turn, row: Seen, error: Error, *, attempts: int) -> None:
    fact = {"job": job.id, "step": row.step, "tried": row.tried + 1, "error": jsonb(codec.dump(error))}
    job.later(FAIL, fact)
    job.fail(problem(row.step, error, attempts=attempts, provider=row.provider))
