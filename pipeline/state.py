"""The states of jobs and steps, and how far a job is."""

from collections.abc import Collection
from enum import StrEnum

from pipeline.graph import Node, parts, steps
from pipeline.stage import Stage

HEAVY_WEIGHT = 8  # rendering takes about this many times as long as planning


class JobStatus(StrEnum):
    ACCEPTED = "accepted"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    REUSED = "reused"
    FAILED = "failed"
    SKIPPED = "skipped"
    STALE = "stale"
    CANCELLED = "cancelled"


class EventType(StrEnum):
    ACCEPTED = "job.accepted"
    STARTED = "job.started"
    PROGRESS = "job.progress"
    APPROVAL_REQUIRED = "job.approval_required"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


ACTIVE = frozenset({JobStatus.ACCEPTED, JobStatus.RUNNING})
FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
SATISFIED = frozenset({StepStatus.SUCCEEDED, StepStatus.REUSED, StepStatus.SKIPPED, StepStatus.STALE})


def shares(route: Node, expanded: Node) -> dict[str, float]:
    """By step key: which part of the whole it is.

    Each top-level part of the route has a share of its own that does not depend on how many scenes there will be: so
    what was reached before that is known stays true.
    """
    found: dict[str, float] = {}
    total = sum(_weight(step.stage) for step in steps(route))
    known = list(steps(expanded))
    for part in parts(route):
        stages = {step.stage for step in steps(part)}
        todo = [step for step in known if step.stage in stages]
        weight = sum(_weight(step.stage) for step in todo)
        share = sum(map(_weight, stages)) / total
        found |= {step.key: share * _weight(step.stage) / weight for step in todo}
    return found


def progress(route: Node, expanded: Node, done: Collection[str]) -> float:
    """How much of the route is done, 0 to 1; it never falls when more is done."""
    return round(sum(share for key, share in shares(route, expanded).items() if key in done), 4)


def _weight(stage: Stage) -> int:
    return HEAVY_WEIGHT if stage.heavy else 1
