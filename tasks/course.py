"""What follows a step, as Celery keeps it in the request: the rest of the chain, and the chord whose body waits.

A worker that goes on with the next step itself takes it out of here, so that Celery does not send it as well.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Self

from celery import Celery
from celery.app.task import Task
from celery.canvas import Signature, _chain, group

from tasks import stencils

ADVANCE = "advance"


@dataclass(frozen=True, slots=True)
class Next:
    """A plain task that follows: a step, or `advance`, which has none.

    `joins`: it is the body of the chord that we are a part of; `fans`: it is the first of several that follow.
    """

    task: str
    task_id: str
    job_id: str
    step: str | None
    launch: int
    joins: bool = False
    fans: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is: the task id of the step under way, and what follows it."""

    owner: str
    chain: list[dict[str, Any]]
    chord: dict[str, Any] | None

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        return cls(message["task_id"], list(message.get("chain") or ()), message.get("chord"))


NOWHERE = Place("", [], None)  # what is in hand is followed by what its tree says


class Course:
    """The course of one message."""

    def __init__(self, task: Task) -> None:
        self._app: Celery = task.app
        self._request = task.request
        self._start = monotonic()
        self.redelivered = bool((task.request.delivery_info or {}).get("redelivered"))
        self.place = Place(task.request.id, list(task.request.chain or ()), task.request.chord)

    @property
    def seconds_left(self) -> float:
        """Until the message's time limit, which all its steps share."""
        _, soft = self._request.timelimit or (None, None)
        return (soft or math.inf) - (monotonic() - self._start)

    def next(self) -> Next | None:
        """What could be done without a message: of a fan-out the first. None where nothing follows."""
        signature = self._signature()
        if signature is None:
            return None
        first = head(self._app, signature)
        task_id = first.options.get("task_id")
        if task_id is None:
            return None
        job_id, *step, launch = first.args
        joins = not self.place.chain
        fans = first is not signature
        return Next(first.task, task_id, job_id, step[0] if step else None, launch, joins=joins, fans=fans)

    def after(self, follow: Next) -> Place:
        """Where the message is once it has entered what follows."""
        if follow.joins:
            body = self.place.chord or {}
            first, *rest = _unpacked(self._app, body)
            # a chord that was itself a part of a chain keeps the rest of that chain in its body's options
            beyond = body.get("options", {}).get("chain") or ()
            chain = [*beyond, *(dict(each) for each in reversed(rest))]
            return Place(follow.task_id, chain, first.options.get("chord"))
        if follow.fans:
            return Place(follow.task_id, [], None)  # where it leads is seen when the others are sent
        *rest, entered = self.place.chain
        return Place(follow.task_id, rest, entered["options"].get("chord"))

    def enter(self, follow: Next) -> list[dict[str, Any]]:
        """Take what follows upon us: Celery will send only what follows that. The messages of what stands beside it."""
        if not follow.fans:
            self._set(self.after(follow))
            return []
        *rest, fan = self.place.chain
        ids = {"parent_id": self._request.id, "root_id": self._request.root_id}
        first, *others = stencils.fan(fan, rest, job_id=follow.job_id, **ids)
        self._set(Place.of(first))
        return others

    def go(self, place: Place) -> None:
        """Go on from a message that was not sent."""
        self._set(place)

    def stay(self) -> None:
        """The chord that this step is a part of is not complete, as was seen under the job's lock: do not ask again."""
        self._set(replace(self.place, chord=None))

    def message(self, signature: Signature, place: Place) -> dict[str, Any]:
        """The step's message as it can be sent again from this place, chain and chord intact."""
        carried = {
            "task_id": place.owner,
            "root_id": self._request.root_id,
            "parent_id": self._request.parent_id,
            "group_id": self._request.group,
            "group_index": self._request.group_index,
            "chain": place.chain,
            "chord": place.chord,
        }
        return dict(signature.clone(**carried))

    def _set(self, place: Place) -> None:
        self.place = place
        self._request.chain = place.chain
        self._request.chord = place.chord

    def _signature(self) -> Signature | None:
        if self.place.chain:
            return Signature.from_dict(dict(self.place.chain[-1]), app=self._app)
        if self.place.chord:
            body = _unpacked(self._app, self.place.chord)
            return body[0] if all(map(_plain, body)) else None
        return None


def head(app: Celery, signature: Signature) -> Signature:
    """The first task that this would run."""
    while not _plain(signature):
        tasks = signature.tasks
        first = (tasks.tasks if isinstance(tasks, group) else tasks)[0]
        signature = Signature.from_dict(dict(first), app=app)
    return signature


def _unpacked(app: Celery, body: Mapping[str, Any]) -> list[Signature]:
    signature = Signature.from_dict(dict(body), app=app)
    tasks = signature.tasks if isinstance(signature, _chain) else [signature]
    return [Signature.from_dict(dict(each), app=app) for each in tasks]


def _plain(signature: Signature) -> bool:
    return "tasks" not in signature.kwargs and "header" not in signature.kwargs
