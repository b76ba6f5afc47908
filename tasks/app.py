"""The Celery application."""

from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from kombu import Connection

app = Celery("likeness", config_source="celeryconfig", set_as_current=True)
app.conf.imports = ("tasks.stages", "tasks.callbacks", "tasks.maintenance", "tasks.stopping")

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
