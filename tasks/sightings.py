"""Monitoring events of steps that had no message of their own, so that Flower shows every step."""

from time import time
from typing import Any

import structlog
from celery.app.task import Task
from celery.events.event import Event

from db.claims import Claim
from pipeline.outcome import Done, Outcome
from tasks.monitoring import unconfirmed

log = structlog.get_logger()


class Sightings:
    """Of the steps that one message leads to. They are sent together; Celery itself reports the first of them."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._wanted = bool(task.app.conf.worker_send_task_events)
        self._events: list[dict[str, Any]] = []
        self._started = time()

    def start(self, task_id: str, held: Claim) -> None:
        self._started = time()
        self._note("task-received", task_id, **_told(self._task, held))
        self._note("task-started", task_id)

    def end(self, task_id: str, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            self._note("task-succeeded", task_id, result="None", runtime=time() - self._started)
        else:
            self._note("task-failed", task_id, exception=type(outcome).__name__, traceback="")

    def send(self) -> None:
        """Also from another thread, where a step lasts."""
        events, self._events = self._events, []
        if not events:
            return
        app, hostname = self._task.app, self._task.request.hostname
        try:
            with unconfirmed().acquire(block=True) as producer:
                dispatcher = app.events.Dispatcher(producer.connection, hostname, channel=producer.channel)
                producer.publish(
                    events,
                    exchange=dispatcher.exchange,
                    routing_key="task.multi",
                    headers=dispatcher.headers,
                    delivery_mode=dispatcher.delivery_mode,
                    serializer=dispatcher.serializer,
                )
        except Exception as error:
            # who only watches must not end the work: the connection may have died with a restarting broker
            log.info("sightings not sent", task=self._task.name, error=type(error).__name__)

    def _note(self, kind: str, task_id: str, **fields: Any) -> None:
        if self._wanted and task_id != self._task.request.id:
            clock = self._task.app.clock.forward()
            hostname = self._task.request.hostname
            self._events.append(Event(kind, uuid=task_id, hostname=hostname, utcoffset=0, clock=clock, **fields))


def _told(task: Task, held: Claim) -> dict[str, Any]:
    info = task.request.delivery_info or {}
    lane = info.get("routing_key", "").partition(".")[0]
    return {
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
