"""Monitoring events of steps that had no message of their own, so that Flower shows every step.

Nobody waits for them: a thread sends together what has come within a moment.
"""

import threading
from collections import deque
from functools import cache
from time import sleep, time
from typing import Any

import structlog
from celery import Celery
from celery.app.task import Task
from celery.events.event import Event

from db.claims import Claim
from pipeline.outcome import Done, Outcome
from tasks.monitoring import TOGETHER_S, unconfirmed

log = structlog.get_logger()


class Board:
    """A process's events that are not sent yet."""

    def __init__(self, app: Celery, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._events: deque[dict[str, Any]] = deque()
        self._pinned = threading.Event()
        threading.Thread(target=self._keep, name="sightings", daemon=True).start()

    def pin(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        self._pinned.set()

    def send(self) -> None:
        events = [self._events.popleft() for _ in range(len(self._events))]
        if not events:
            return
        try:
            with unconfirmed().acquire(block=True) as producer:
                dispatcher = self._app.events.Dispatcher(producer.connection, self._hostname, channel=producer.channel)
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
            log.info("sightings not sent", error=type(error).__name__)

    def _keep(self) -> None:
        while self._pinned.wait():
            sleep(TOGETHER_S)
            self._pinned.clear()
            self.send()


@cache
def board(app: Celery, hostname: str) -> Board:
    """One per process; begun by the first event that it sends."""
    return Board(app, hostname)


class Sightings:
    """Of the steps that one message leads to. Celery itself reports the first of them."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._wanted = bool(task.app.conf.worker_send_task_events)
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

    def _note(self, kind: str, task_id: str, **fields: Any) -> None:
        if self._wanted and task_id != self._task.request.id:
            clock = self._task.app.clock.forward()
            hostname = self._task.request.hostname
            event = Event(kind, uuid=task_id, hostname=hostname, utcoffset=0, clock=clock, **fields)
            board(self._task.app, hostname).pin(event)


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
