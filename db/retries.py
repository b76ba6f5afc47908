"""Having steps of a job run again: what that means, and doing it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from db import ids, keys
from db.keys import Key
from db.turns import Seen, Turn, jsonb, turn
from pipeline.graph import Step
from pipeline.retry import Outlook, outlook
from pipeline.routes import Plan
from pipeline.state import ACTIVE, SATISFIED, JobStatus, StepStatus
from schemas import inputs
from schemas import records as codec
from schemas.inputs import GIVEN

AGAIN = """
    UPDATE records SET
        status = 'pending', tried = 0, error = NULL, wake_at = NULL, message = NULL, awaits = NULL, why = NULL,
        owner = NULL, lease_until = NULL
    WHERE job_id = %(job)s AND step = ANY(%(steps)s)
"""
# Whatever it was made of: it runs, and is not found to be the same.
FORCE = """
    UPDATE records SET output_input_digest = NULL, variation = variation + %(more)s, notes = %(notes)s
    WHERE job_id = %(job)s AND step = ANY(%(steps)s)
"""
GIVE = """
    UPDATE records SET
        status = 'succeeded', origin = 'human', source = NULL, output = %(output)s, output_input_digest = %(digest)s,
        tried = 0, error = NULL, wake_at = NULL, message = NULL, awaits = NULL, why = NULL, owner = NULL,
        lease_until = NULL, finished_at = now()
    WHERE job_id = %(job)s AND step = %(step)s
"""
MARK = """
    UPDATE records SET status = CASE WHEN step = ANY(%(stale)s) THEN 'stale' ELSE 'succeeded' END
    WHERE job_id = %(job)s AND (
        (step = ANY(%(stale)s) AND status = ANY(%(satisfied)s)) OR (status = 'stale' AND step <> ALL(%(stale)s))
    )
"""
NOTE = """
    INSERT INTO decisions (id, job_id, decision, notes, edits, judged, digest)
    VALUES (%(id)s, %(job)s, 'retry', %(reason)s, %(edits)s, %(asked)s, %(digest)s)
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A retry as it is asked for. `edits`: outputs that a person gives, by step; `said` is how he put them."""

    from_stage: str | None = None
    single: bool = False
    regenerate: bool = False
    edits: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a step would read, and in which variation. Not `exact`: old outputs stand in for those made anew before."""

    step: Step
    inputs: Mapping[str, Any]
    variation: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """What a retry would do. `stale`: what a single step leaves behind; `digest` stands for all of it.

    `readings`: of the steps that would run, those of which it can be said.
    """

    run: tuple[str, ...]
    reuse: tuple[str, ...]
    voids: tuple[str, ...]
    stale: tuple[str, ...]
    digest: str
    readings: Mapping[str, Reading] = field(default_factory=dict)


class NoRetry(Exception):
    """The job is in a state in which this cannot be asked of it; the text says what could."""

    def __init__(self, says: str, status: str) -> None:
        super().__init__(says)
        self.status = status


class NoSuchStage(Exception):
    """The job has no such stage, or not yet."""

    def __init__(self, stage: str, known: Sequence[str]) -> None:
        super().__init__(f"{stage} is no stage of this job; those are {', '.join(known)}")


class PlanChanged(Exception):
    """The world is another one than when the plan was made."""

    def __init__(self, planned: Planned) -> None:
        super().__init__("since that plan was made, the job has changed")
        self.planned = planned


def consider(connection: Connection, job_id: str, asked: Asked, *, client: str) -> Planned | None:
    """What the retry would do; nothing changes. None: the client has no such job. Raises NoRetry, NoSuchStage."""
    with turn(connection, job_id) as job:
        if job is None or job.client != client:
            return None
        planned = _plan(job, asked)
        job.forget()
        return replace(planned, readings=dict(_readings(job, asked, planned.run)))


def retry(connection: Connection, job_id: str, asked: Asked, *, client: str, key: Key) -> bool | None:
    """Have it run: launch the job after the commit. False: this very call was served before. None: no such job.

    Raises NoRetry, NoSuchStage, PlanChanged, KeyReused.
    """
    with turn(connection, job_id) as job:
        if job is None or job.client != client:
            return None
        if keys.served(job, key):
            return False
        planned = _plan(job, asked)
        if asked.digest is not None and asked.digest != planned.digest:
            raise PlanChanged(planned)
        rest = job.status
        again = _again(asked)
        if asked.single:
            job.review = replace(job.review, only=planned.run, rest=rest)
        else:
            job.review = replace(job.review, only=None, rest=None)
        rerun(job, planned.run, again=again, regenerate=asked.regenerate)
        about = {"from_stage": asked.from_stage, "mode": "single" if asked.single else "downstream"}
        said = {"id": ids.new("dec"), "job": job.id, "reason": asked.reason, "digest": planned.digest}
        asked_for = about | {"regenerate": asked.regenerate}
        job.later(NOTE, said | {"edits": jsonb(dict(asked.said) or None), "asked": jsonb(asked_for)})
        resume(job, planned.run, asked.from_stage, "Retrying")
        return True


def rerun(
    job: Turn, steps: Collection[str], *, again: Collection[str], regenerate: bool, notes: str | None = None
) -> None:
    """These steps are to run, those in `again` whatever they are made from; what is worked on just now goes on."""
    due = [step for step in steps if step in job.seen and not _busy(job.seen[step])]
    job.later(AGAIN, {"job": job.id, "steps": due})
    forced = [step for step in due if step in again]
    if forced:
        job.later(FORCE, {"job": job.id, "steps": forced, "more": int(regenerate), "notes": notes})
    for step in due:
        row = job.seen[step]
        job.seen[step] = row._replace(status=StepStatus.PENDING, tried=0)
    voided = {gate.key for gate in job.plan.gates.values() if not set(job.plan.judged(gate)).isdisjoint(steps)}
    if voided & job.review.approved:
        job.review = replace(job.review, approved=job.review.approved - voided)
    if job.plan.storyboard in steps and job.review.only is None:
        job.count(None)


def resume(job: Turn, steps: Collection[str], stage: str | None, label: str) -> None:
    """The job goes on, without these steps."""
    done = [key for key in job.plan.steps if key not in steps and key in job.seen]
    reached = sum(job.plan.shares[key] for key in done if job.seen[key].status in SATISFIED)
    job.resume(stage, label, progress=min(round(reached, 6), 1.0))


def give(job: Turn, step: str, output: Any) -> None:
    """A person's output takes the place of the stage's, which is kept."""
    made = job.plan
    row = job.seen.get(step) or Seen.new(step)
    outputs = {key: job.seen[key].output for key in made.predecessors[step]}
    bound = made.steps[step]
    digest = inputs.digest(
        bound, inputs.resolve(job.request, made, bound, outputs, row.variation, row.notes), row.variation
    )
    job.keep_past(step)
    job.later(GIVE, {"job": job.id, "step": step, "output": jsonb(output), "digest": digest})
    job.seen[step] = row._replace(status=StepStatus.SUCCEEDED, output=output, output_input_digest=digest)
    if step == made.storyboard:
        job.count(len(output["scenes"]))
        job.read(*(key for key in job.plan.steps if key not in job.seen))
    job.touch()


def settle(job: Turn) -> None:
    """The only step that was asked for is done: what was made of its old output is stale now."""
    read(job)
    seen = {key: job.seen[key].status for key in job.plan.steps if key in job.seen}
    due = outlook(job.plan, seen, again=(), changed=lambda key: changed(job, key)).run
    job.stale = tuple(key for key in due if seen.get(key) in SATISFIED)
    job.later(MARK, {"job": job.id, "stale": list(job.stale), "satisfied": list(SATISFIED)})
    for key in job.plan.steps.keys() & job.seen.keys():
        status = job.seen[key].status
        if status in SATISFIED and (key in job.stale or status == StepStatus.STALE):
            job.seen[key] = job.seen[key]._replace(
                status=StepStatus.STALE if key in job.stale else StepStatus.SUCCEEDED
            )
    job.review = replace(job.review, only=None, rest=None)


def read(job: Turn) -> None:
    """See every step."""
    job.read(*job.plan.steps)


def changed(job: Turn, key: str) -> bool:
    """Whether the step's inputs are others now than its output was made of."""
    made = job.plan
    step, row = made.steps[key], job.seen[key]
    if key in job.request.get(GIVEN, {}) and row.output_input_digest == inputs.given_digest(step, row.output):
        return False
    return row.output_input_digest != current(job, made, step, row)


def current(job: Turn, made: Plan, step: Step, row: Seen) -> str:
    outputs = {other: job.seen[other].output for other in made.predecessors[step.key]}
    return inputs.digest(
        step, inputs.resolve(job.request, made, step, outputs, row.variation, row.notes), row.variation
    )


def _again(asked: Asked) -> tuple[str, ...]:
    """What is to run whatever it is made from: the stage that is named, unless a change for it is all that was said."""
    if asked.from_stage is None or asked.from_stage in asked.edits or (asked.edits and not asked.regenerate):
        return ()
    return (asked.from_stage,)


def _plan(job: Turn, asked: Asked) -> Planned:
    if job.status in ACTIVE:
        raise NoRetry(f"The job is {job.status}. Wait for its end, or cancel it first.", job.status)
    read(job)
    made = job.plan
    if asked.from_stage is not None and asked.from_stage not in made.steps:
        raise NoSuchStage(asked.from_stage, list(made.steps))
    _refuse_what_is_not_free(job, asked)
    for step, output in asked.edits.items():
        give(job, step, output)
    made = job.plan
    statuses = {key: job.seen[key].status for key in made.steps if key in job.seen}
    if asked.from_stage is None:
        found = outlook(made, statuses, again=(), changed=lambda key: changed(job, key))
    else:  # what is stale elsewhere stays so
        kept = {key for key, status in statuses.items() if status == StepStatus.STALE}
        found = outlook(made, statuses, again=_again(asked), changed=lambda key: key not in kept and changed(job, key))
    return _planned(job, asked, found)


def _readings(job: Turn, asked: Asked, run: Sequence[str]) -> Iterator[tuple[str, Reading]]:
    made, again = job.plan, _again(asked)
    there = {key: row.output for key, row in job.seen.items() if row.output is not None}
    for key in run:
        if made.predecessors[key] <= there.keys():
            row = job.seen.get(key) or Seen.new(key)
            variation = row.variation + int(key in again and asked.regenerate)
            notes = None if key in again else row.notes
            read = inputs.resolve(job.request, made, made.steps[key], there, variation, notes)
            yield key, Reading(made.steps[key], read, variation, made.predecessors[key].isdisjoint(run))


def _refuse_what_is_not_free(job: Turn, asked: Asked) -> None:
    named = asked.from_stage
    if named is None:
        return
    if asked.single or asked.edits:
        lacking = [
            key for key in job.plan.predecessors[named] if key not in job.seen or job.seen[key].status not in SATISFIED
        ]
        if lacking:
            raise NoRetry(
                f"{named} cannot run alone, since it reads what is not there yet: {', '.join(sorted(lacking))}.",
                job.status,
            )


def _refuse_what_would_miss_it(job: Turn, run: Collection[str], again: Collection[str]) -> None:
    """A step that is worked on just now goes on with what it has read."""
    for key in run:
        reads_anew = key in again or not job.plan.predecessors[key].isdisjoint(run)
        if key in job.seen and _busy(job.seen[key]) and reads_anew:
            raise NoRetry(f"{key} is about to end: ask again in a moment.", job.status)


def _planned(job: Turn, asked: Asked, found: Outlook) -> Planned:
    run: tuple[str, ...] = found.run
    stale: tuple[str, ...] = ()
    if asked.single:
        run = tuple(key for key in found.run if key == asked.from_stage)
        stale = tuple(key for key in found.run if key not in run and key in job.seen and _done(job.seen[key]))
    voids = tuple(gate.key for gate in found.voids if gate.key in job.review.approved and _judges(job, gate, run))
    _refuse_what_would_miss_it(job, run, _again(asked))
    if not run:
        raise NoRetry("There is nothing to run: everything is there and up to date. Name a stage.", job.status)
    if job.status == JobStatus.AWAITING_APPROVAL and asked.from_stage is None:
        raise NoRetry("The job waits for a decision: approve, revise or reject, or name a stage.", job.status)
    reuse = tuple(key for key in job.plan.steps if key not in run and key in job.seen and _done(job.seen[key]))
    facts = {
        key: [row.status, row.attempt, row.variation, codec.digest(row.output)]
        for key, row in job.seen.items()
        if key in job.plan.steps
    }
    stands_for = {"run": run, "reuse": reuse, "voids": voids, "stale": stale, "launch": job.launch, "steps": facts}
    return Planned(run, reuse, voids, stale, codec.digest(stands_for))


def _judges(job: Turn, gate: Any, run: Collection[str]) -> bool:
    return not set(job.plan.judged(gate)).isdisjoint(run)


def _done(row: Seen) -> bool:
    return row.status in SATISFIED


def _busy(row: Seen) -> bool:
    return row.status == StepStatus.RUNNING and row.leased
