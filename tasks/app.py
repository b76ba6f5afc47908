"""The Celery application."""

from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from celery.concurrency import get_implementation
from kombu import Connection

app = Celery("likeness", config_source="celeryconfig", events="tasks.monitoring:Events", set_as_current=True)
app.conf.imports = ("tasks.stages", "tasks.callbacks", "tasks.maintenance", "tasks.stopping", "tasks.vigil")

log = structlog.get_logger()


class DeadLetters(bootsteps.StartStopStep):
    """Declares the queue of poison messages, which nobody consumes: without it they would vanish."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        from celeryconfig import DEAD

        with parent.connection_for_write() as connection:
            declare(connection, DEAD)


def declare(connection: Connection, queue: Any) -> None:
    queue.bind(connection.default_channel).declare()


app.steps["consumer"].add(DeadLetters)


@signals.setup_logging.connect
def log_json(**_: Any) -> None:
    from schemas import logs

    logs.configure()


@signals.worker_init.connect
def keep_threads_quiet(sender: Any, **_: Any) -> None:
    """Else they send events over a connection that Celery's main thread reads too: at times both wait for ever."""
    if get_implementation(sender.pool_cls) is get_implementation("threads"):
        for task in sender.app.tasks.values():
            task.send_events = False
