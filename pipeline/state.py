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


def progress(route: Node, expanded: Node, done: Collection[str]) -> float:
    """How much of the route is done, 0 to 1.

    Each top-level part has a share of its own that does not depend on how many
    scenes there will be: so the figure never falls.
    """
    total = reached = 0.0
    for part in parts(route):
        stages = {step.stage for step in steps(part)}
        share = sum(map(_weight, stages))
        todo = [step for step in steps(expanded) if step.stage in stages]
        finished = sum(_weight(step.stage) for step in todo if step.key in done)
        total += share
        reached += share * finished / sum(_weight(step.stage) for step in todo) if todo else 0.0
    return round(reached / total, 4)


def _weight(stage: Stage) -> int:
    return HEAVY_WEIGHT if stage.heavy else 1
