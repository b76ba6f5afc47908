"""What Celery makes of a tree, kept: the canvases of two jobs of one shape differ in job, launch and ids alone.

To build a canvas anew costs more than all the rest of a launch.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from celery import Celery, uuid
from celery.result import AsyncResult

from db.jobs import Launch
from pipeline.graph import Node
from tasks import canvas, posting
from tasks.posting import posted

JOB = "job_of_nobody"
NUMBER = 987_654_321
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
    text = _stencil(launch.tree, launch.lane).replace(JOB, launch.job_id).replace(str(NUMBER), str(launch.number))
    ids: defaultdict[str, str] = defaultdict(uuid)
    made: list[dict[str, Any]] = json.loads(ID.sub(lambda found: ids[found[0]], text))
    return made


def send(app: Celery, made: Iterable[dict[str, Any]]) -> None:
    """The broker has them when this returns. Raises kombu.exceptions.OperationalError."""
    with posted():
        for message in made:
            app.send_task(**message, producer=posting.producer(app))
        posting.settle()


@lru_cache(maxsize=32)
def _stencil(tree: Node, lane: str) -> str:
    """The messages as JSON."""
    collector = _Collector()
    made = canvas.compile(collector, Launch(JOB, NUMBER, lane, tree))
    # in a thread of its own, where no task is under way whose children these would seem to be
    with ThreadPoolExecutor(1) as thread:
        thread.submit(made.apply_async).result()
    return json.dumps(collector.sent)
