"""What follows a step, as Celery keeps it in the request: the rest of the chain, and the chord whose body waits.

A worker that goes on with the next step itself takes it out of here, so that Celery does not send it as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.app.task import Task
from celery.canvas import Signature, _chain

ADVANCE = "advance"


@dataclass(frozen=True, slots=True)
class Next:
    """A plain task that follows: a step, or `advance`, which has none."""

    task: str
    task_id: str
    job_id: str
    step: str | None
    launch: int
    joins: bool


class Course:
    """The course of one message; `owner` is the task id of the step that is under way."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._app: Celery = task.app
        self._request = task.request
        self.owner: str = task.request.id
        self.redelivered = bool((task.request.delivery_info or {}).get("redelivered"))

    def next(self) -> Next | None:
        """What could be done without a message: None where a fan-out or nothing follows."""
        signature = self._signature()
        if signature is None or not _plain(signature):
            return None
        task_id = signature.options.get("task_id")
        if task_id is None:
            return None
        job_id, *step, launch = signature.args
        return Next(signature.task, task_id, job_id, step[0] if step else None, launch, joins=not self._request.chain)

    def enter(self, follow: Next) -> None:
        """Take what follows upon us: Celery will send only what follows that."""
        if follow.joins:
            body = _unpacked(self._app, self._request.chord)
            self._request.chain = [dict(each) for each in reversed(body[1:])]
            self._request.chord = body[0].options.get("chord")
        else:
            entered = self._request.chain.pop()
            self._request.chord = entered["options"].get("chord")
        self.owner = follow.task_id

    def stay(self) -> None:
        """The chord that this step is a part of is not complete, as was seen under the job's lock: do not ask again."""
        self._request.chord = None

    def message(self, stage: str, job_id: str, step: str, launch: int, lane: str) -> dict[str, Any]:
        """The message that would bring the step under way here, chain and chord intact."""
        signature = self._app.signature(
            stage,
            args=(job_id, step, launch),
            immutable=True,
            options={
                "task_id": self.owner,
                "root_id": self._request.root_id,
                "parent_id": self._request.parent_id,
                "group_id": self._request.group,
                "group_index": self._request.group_index,
                "chain": self._request.chain,
                "chord": self._request.chord,
                "queue": lane,
                "routing_key": f"{lane}.{stage}",
                "argsrepr": f"(job={job_id}, step={step}, launch={launch})",
                "soft_time_limit": (self._request.timelimit or [None, None])[1],
                "time_limit": (self._request.timelimit or [None, None])[0],
            },
        )
        return dict(signature)

    def _signature(self) -> Signature | None:
        if self._request.chain:
            return Signature.from_dict(dict(self._request.chain[-1]), app=self._app)
        if self._request.chord:
            body = _unpacked(self._app, self._request.chord)
            return body[0] if all(map(_plain, body)) else None
        return None


def head(signature: Signature) -> Signature:
    """The first task that a body would run."""
    while isinstance(signature, _chain):
        signature = signature.tasks[0]
    return signature


def _unpacked(app: Celery, body: Mapping[str, Any]) -> list[Signature]:
    signature = Signature.from_dict(dict(body), app=app)
    tasks = signature.tasks if isinstance(signature, _chain) else [signature]
    return [Signature.from_dict(dict(each), app=app) for each in tasks]


def _plain(signature: Signature) -> bool:
    return "tasks" not in signature.kwargs and "header" not in signature.kwargs
