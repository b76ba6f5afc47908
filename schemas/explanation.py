"""Why a job is where it is, and what could be done: from what is known of it to words and data. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.graph import Step, first, segment
from pipeline.retry import outlook
from pipeline.review import Review
from pipeline.routes import Plan
from pipeline.state import ACTIVE, FINAL, SATISFIED, JobStatus, StepStatus
from schemas.changes import REPLACED, Change
from schemas.job_approve import EDITS
from schemas.job_retry import SCENE_WAYS

NAMED = 2  # what is waited for: more of it is only counted in the summary


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What the records say of a step. `because`: of a stale one, what it was made from that is otherwise now."""

    key: str
    status: str
    attempts: int = 0
    since: datetime | None = None
    lease_until: datetime | None = None
    wake_at: datetime | None = None
    awaits: str | None = None
    why: str | None = None
    provider: str | None = None
    error: Mapping[str, Any] | None = None
    output: Any = field(default=None, repr=False)
    because: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a job. `rejected`: the gate at which somebody ended it, and who."""

    job_id: str
    status: str
    lane: str
    plan: Plan
    review: Review
    now: datetime
    moved_at: datetime
    steps: Sequence[StepFacts]
    gate: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    rejected: tuple[str, str | None] | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """One thing that the job waits for. `kind`: `worker`, `stage`, `time`, `provider`, `slot`, `operator`, `decision`
    or `move`."""

    kind: str
    says: str
    stage: str | None = None
    gate: str | None = None
    digest: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    stage: str
    code: str | None
    message: str | None
    retryable: bool


@dataclass(frozen=True, slots=True)
class OutOfDate:
    stage: str
    because: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Possible:
    """A call that the job's state allows; its body can be sent as it is."""

    call: str
    body: Mapping[str, Any] | None
    says: str


@dataclass(frozen=True, slots=True)
class Explanation:
    job_id: str
    status: str
    summary: str
    waits_for: Sequence[Awaited]
    failed: Sequence[Failure]
    stale: Sequence[OutOfDate]
    possible: Sequence[Possible]


def explain(job: Facts) -> Explanation:
    awaited = list(_awaited(job))
    failed = list(_failed(job))
    stale = [OutOfDate(step.key, step.because) for step in job.steps if step.status == StepStatus.STALE]
    possible = [] if job.deleted_at else list(_possible(job))
    said = " ".join(filter(None, (_state(job, awaited, failed), _outdated(stale), _gone(job))))
    return Explanation(job.job_id, job.status, said, awaited, failed, stale, possible)


# --- what it waits for ---------------------------------------------------------------------


def _awaited(job: Facts) -> Iterator[Awaited]:
    if job.status == JobStatus.AWAITING_APPROVAL and job.gate is not None:
        yield _decision(job, job.gate)
    if job.status not in ACTIVE:
        return
    done = {step.key for step in job.steps if step.status in SATISFIED}
    ready = {step.key for step in first(segment(job.plan.left(done, job.review)))}
    found = [item for step in job.steps if (item := _step(job, step, ready)) is not None]
    says = "Nothing of it is under way at this moment: what is next is sent within seconds."
    yield from found or [Awaited("move", says, since=job.moved_at)]


def _decision(job: Facts, gate: Mapping[str, Any]) -> Awaited:
    about = _listed([item["stage"] for item in gate["items"]])
    says = f"A person decides at the gate {gate['name']}, opened for the {_ordinal(gate['round'])} time, about {about}."
    until = gate.get("expires_at")
    end = None if until is None else datetime.fromisoformat(until)
    if end is not None:
        over = end < job.now
        says += f" The time for it {'ended' if over else 'ends'} at {_at(end)}{'; the job waits all the same' * over}."
    opened = datetime.fromisoformat(gate["opened_at"])
    return Awaited("decision", says, gate["stage"], gate["name"], gate["digest"], since=opened, until=end)


def _step(job: Facts, step: StepFacts, ready: Iterable[str]) -> Awaited | None:
    if step.status == StepStatus.RUNNING:
        held = step.lease_until is not None and step.lease_until > job.now
        says = f"{step.key} is being worked on since {_at(step.since)}, attempt {step.attempts}."
        lost = (
            f"The worker that had {step.key} since {_at(step.since)} gave no sign of life; another one takes it over."
        )
        return Awaited("stage", says if held else lost, step.key, since=step.since, until=step.lease_until)
    if step.status == StepStatus.WAITING:
        return _pause(step)
    if step.status == StepStatus.PENDING and step.key in ready:
        says = f"{step.key} is ready, and waits for a free worker of the lane {job.lane}."
        return Awaited("worker", says, step.key, since=job.moved_at)
    return None


def _pause(step: StepFacts) -> Awaited:
    trouble = (step.error or {}).get("message")
    why = step.why or trouble or "It waits for its time."
    goes_on = f" It is looked after again at {_at(step.wake_at)}." if step.wake_at else ""
    if step.awaits == "person" and step.wake_at is None:
        says = f"{step.key} is parked: {_sentence(why)} The service's operator has to decide (`likeness calls`)."
        return Awaited("operator", says, step.key, since=step.since)
    kind = {"call": "provider"}.get(step.awaits or "", "slot" if (step.awaits or "").startswith("slot:") else "time")
    if kind == "time" and trouble and not step.why:
        says = f"{step.key} is tried again at {_at(step.wake_at)}, after: {_sentence(trouble)}"
    else:
        says = f"{step.key}: {_sentence(why)}{goes_on}"
    return Awaited(kind, says, step.key, since=step.since, until=step.wake_at)


# --- what failed, and the words for all of it ----------------------------------------------


def _failed(job: Facts) -> Iterator[Failure]:
    told = [step for step in job.steps if step.status == StepStatus.FAILED]
    for step in told:
        yield _failure(step.key, step.error or {})
    if job.status == JobStatus.FAILED and job.error and job.error["stage"] not in {step.key for step in told}:
        yield _failure(job.error["stage"], job.error)


def _failure(stage: str, error: Mapping[str, Any]) -> Failure:
    return Failure(stage, error.get("code"), error.get("message"), bool(error.get("retryable")))


def _state(job: Facts, awaited: Sequence[Awaited], failed: Sequence[Failure]) -> str:
    if job.status == JobStatus.FAILED and job.error:
        said = f": {_sentence(job.error['message'])}" if job.error.get("message") else "."
        return f"The job failed at {job.error['stage']}{said}"
    if job.status == JobStatus.CANCELLED:
        gate, who = job.rejected or (None, None)
        return f"The job was cancelled: {who or 'a reviewer'} rejected {gate}." if gate else "The job was cancelled."
    if job.status in FINAL:
        return f"The job is {job.status}."
    more = len(awaited) - NAMED
    told = [item.says for item in awaited[:NAMED]] + ([f"{more} more things are waited for."] if more > 0 else [])
    return " ".join([f"The job is {job.status.replace('_', ' ')}.", *told])


def _outdated(stale: Sequence[OutOfDate]) -> str:
    if not stale:
        return ""
    every = [change for each in stale for change in each.because if change.reason == REPLACED and change.source]
    roots = list(dict.fromkeys(change.source for change in every if change.source))
    since = f", since {_listed(roots)} changed" if roots else ""
    are = "is" if len(stale) == 1 else "are"
    return f"{_listed([each.stage for each in stale])} {are} out of date{since}."


def _gone(job: Facts) -> str:
    if job.deleted_at is None:
        return ""
    return f"The job's avatar was deleted at {_at(job.deleted_at)}, and with it all that the job was about."


# --- what could be done --------------------------------------------------------------------


def _possible(job: Facts) -> Iterator[Possible]:
    if job.status == JobStatus.AWAITING_APPROVAL and job.gate is not None:
        yield from _decisions(job, job.gate)
    elif job.status in FINAL:
        yield from _retries(job)
    if job.status not in FINAL:
        yield Possible(f"POST /v1/jobs/{job.job_id}/cancel", None, "Stops the job; what was made is kept.")


def _decisions(job: Facts, gate: Mapping[str, Any]) -> Iterator[Possible]:
    says = {
        "approve": f"Goes on with what is there; with `edits.{EDITS[gate['name']]}`, with that in its place.",
        "revise": "Has another variation made and opens the gate again; say what to change in `notes`.",
        "reject": "Ends the job as cancelled.",
    }
    for decision, told in says.items():
        about = {"gate": gate["name"], "decision": decision, "digest": gate["digest"]}
        yield Possible(f"POST /v1/jobs/{job.job_id}/approvals", {"contract": "job.approve/1"} | about, told)


def _retries(job: Facts) -> Iterator[Possible]:
    statuses = {step.key: step.status for step in job.steps}
    due = outlook(job.plan, statuses, again=(), changed=lambda key: statuses[key] == StepStatus.STALE).run
    if not due:
        return
    hopeless = [each.stage for each in _failed(job) if not each.retryable]
    if hopeless:
        for step in job.steps:
            if step.key in hopeless:
                yield from _mended(job, step)
        says = f"Goes on from where it failed; without a change, {_listed(hopeless)} will most likely fail again."
    elif all(statuses.get(key) in SATISFIED for key in due):
        says = f"Brings up to date what is stale: {_listed(due)}."
    else:
        says = f"Goes on where the job ended, with {_listed(due)}."
    yield _retry(job, says)


def _mended(job: Facts, step: StepFacts) -> Iterator[Possible]:
    """With something said anew, whose present wording the body has; and what the error itself points at."""
    if said := _wording(job, job.plan.steps.get(step.key)):
        names = _listed([f"`overrides.{name}`" for name in said])
        yield _retry(job, f"Put other words into {names} before sending.", from_stage=step.key, overrides=said)
    defects = ((step.error or {}).get("details") or {}).get("defects") or ()
    for scene in sorted({each["scene"] for each in defects if each.get("scene")}):
        says = f"Has another variation of scene {scene} made."
        yield _retry(job, says, from_stage=f"scene/{scene}/lip_sync", regenerate=True)


def _retry(job: Facts, says: str, **asked: Any) -> Possible:
    return Possible(f"POST /v1/jobs/{job.job_id}/retries", {"contract": "job.retry/1"} | asked, says)


def _wording(job: Facts, step: Step | None) -> dict[str, str]:
    outputs = {each.key: each.output for each in job.steps}
    board = outputs.get(job.plan.storyboard or "")
    if step is None or step.scene is None or not board:
        return {}
    scene = board["scenes"][step.scene - 1]
    ways = (SCENE_WAYS[read.type] for read in step.stage.reads if read.type in SCENE_WAYS)
    return {name: scene[part][inner] for name, (part, inner) in ways if scene.get(part)}


# --- words ---------------------------------------------------------------------------------


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def _at(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
