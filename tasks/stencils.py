"""What Celery makes of a tree, kept: the canvases of two jobs of one shape differ in job, launch and ids alone.

To build a canvas anew costs more than all the rest of a launch.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

from celery import Celery, uuid
from celery.canvas import Signature
from celery.result import AsyncResult

from db.jobs import Launch
from pipeline.graph import Node
from tasks import canvas, posting
from tasks.posting import posted

JOB = "job_of_nobody"
NUMBER = 987_654_321
PLACE = "00000000-0000-4000-8000-{:012d}"
ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class _Collector(Celery):
    """Sends nothing, and keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__(
            "stencils", broker="memory://nowhere", backend="tasks.backend:RecordBackend", set_as_current=False
        )
        self.finalized = True  # it shares no tasks with other applications: what it does not know, it sends by name
        self.sent: list[dict[str, Any]] = []

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult:
        options.pop("producer", None)
        self.sent.append({"name": name, "args": args, **options})
        return self.AsyncResult(options.get("task_id"))


def messages(launch: Launch) -> list[dict[str, Any]]:
    """The first messages of the canvas, in its order; they carry what follows."""
    return _fill(_canvas(launch.tree, launch.lane).replace(str(NUMBER), str(launch.number)), launch.job_id, {})


def fan(
    signature: Mapping[str, Any], rest: Sequence[Mapping[str, Any]], *, job_id: str, parent_id: str, root_id: str
) -> list[dict[str, Any]]:
    """The messages that Celery would send for this part of a chain, `rest` being what follows it there."""
    text = json.dumps([signature, rest, parent_id, root_id]).replace(job_id, JOB)
    known: dict[str, str] = {}
    shape = ID.sub(lambda found: known.setdefault(found[0], PLACE.format(len(known))), text)
    return _fill(_fan(shape), job_id, {place: id for id, place in known.items()})


def _fill(stencil: str, job_id: str, known: Mapping[str, str]) -> list[dict[str, Any]]:
    """Ids that are not known are new."""
    ids = defaultdict(uuid, known)
    made: list[dict[str, Any]] = json.loads(ID.sub(lambda found: ids[found[0]], stencil.replace(JOB, job_id)))
    return made


def send(app: Celery, made: Iterable[dict[str, Any]]) -> None:
    """The broker has them at the end of what is `posted`. Raises kombu.exceptions.OperationalError."""
    with posted():
        for message in made:
            app.send_task(**message, producer=posting.producer(app))


@lru_cache(maxsize=128)
def _canvas(tree: Node, lane: str) -> str:
    """The messages of a launch, as JSON."""
    collector = _Collector()
    return _collect(collector, canvas.compile(collector, Launch(JOB, NUMBER, lane, tree)).apply_async)


@lru_cache(maxsize=512)
def _fan(shape: str) -> str:
    """The messages of a fan-out, as JSON."""
    signature, rest, parent_id, root_id = json.loads(shape)
    collector = _Collector()
    fan = Signature.from_dict(signature, app=collector)
    return _collect(collector, partial(fan.apply_async, (None,), chain=rest, parent_id=parent_id, root_id=root_id))


def _collect(collector: _Collector, send: Callable[[], object]) -> str:
    # in a thread of its own, where no task is under way whose children these would seem to be
    with ThreadPoolExecutor(1) as thread:
        thread.submit(send).result()
    return json.dumps(collector.sent)
