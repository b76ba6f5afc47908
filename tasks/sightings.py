"""Monitoring events of steps that had no message of their own, so that Flower shows every step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog
from celery.app.task import Task

from db.claims import Claim
from pipeline.outcome import Done, Outcome

log = structlog.get_logger()


@dataclass(slots=True)
class Sighting:
    outcome: Outcome | None = None


@contextmanager
def seen(task: Task, task_id: str, held: Claim) -> Iterator[Sighting]:
    """Celery itself reports the step that a message names; the ones after it are reported here."""
    sighting = Sighting()
    if task_id == task.request.id or not task.app.conf.worker_send_task_events:
        yield sighting
        return
    start = monotonic()
    _send(task, [("task-received", _told(task, task_id, held)), ("task-started", {"uuid": task_id})])
    yield sighting
    if isinstance(sighting.outcome, Done):
        end = ("task-succeeded", {"uuid": task_id, "result": "None", "runtime": monotonic() - start})
    else:
        end = ("task-failed", {"uuid": task_id, "exception": type(sighting.outcome).__name__, "traceback": ""})
    _send(task, [end])


def _send(task: Task, events: list[tuple[str, dict[str, Any]]]) -> None:
    try:
        with task.app.events.default_dispatcher(hostname=task.request.hostname) as dispatcher:
            for name, fields in events:
                dispatcher.send(name, **fields)
    except Exception as error:
        # who only watches must not end the work: the connection may have died with a restarting broker
        log.info("sighting not sent", task=task.name, error=type(error).__name__)


def _told(task: Task, task_id: str, held: Claim) -> dict[str, Any]:
    info = task.request.delivery_info or {}
    lane = info.get("routing_key", "").partition(".")[0]
    return {
        "uuid": task_id,
        "name": held.step.stage.name,
        "args": f"(job={held.job_id}, step={held.step.key})",
        "kwargs": "{}",
        "root_id": task.request.root_id,
        "parent_id": task.request.id,
        "retries": 0,
        "eta": None,
        "expires": None,
        "exchange": info.get("exchange"),
        "routing_key": f"{lane}.{held.step.stage.name}",
    }
