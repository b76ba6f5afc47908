"""A worker looks after its children each half second.

Celery's own look, each five seconds, is what a step waits for whose child died in the moment between closing its files
and being gone.
"""

from typing import Any

from celery import bootsteps

from tasks.app import app

LOOK_S = 0.5


class Vigil(bootsteps.StartStopStep):
    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        if hasattr(parent.pool, "maintain_pool"):
            parent.timer.call_repeatedly(LOOK_S, parent.pool.maintain_pool)


app.steps["worker"].add(Vigil)
