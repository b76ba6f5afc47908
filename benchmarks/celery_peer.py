"""Plain Celery on the same RabbitMQ, results in the same PostgreSQL or in Redis: a prefork worker of two processes."""

import json
import os
import time
from collections.abc import Collection
from typing import Any
from uuid import uuid4

from celery.exceptions import TimeoutError as NotInTime

from benchmarks import reference
from benchmarks.peer import Ends, Peer, Workers, celery
from benchmarks.turn import Turn

PREFIX = "job-"
SUCCESS = "NEW.status = 'SUCCESS'"


class CeleryPeer(Peer):
    """Where results lie, the subclasses know."""

    def __init__(self, turn: Turn, **settings: Any) -> None:
        environment = {
            reference.TRACE: str(turn.trace),
            "REFERENCE_CELERY": json.dumps({"broker_url": turn.broker_url, **settings}),
        }
        os.environ.update(environment)
        from benchmarks.celery_app import app, canvas  # reads its settings on import

        self.app, self._canvas = app, canvas
        super().__init__(Workers({"celery": celery("benchmarks.celery_app", "celery")}, environment, turn.folder))

    def submit(self, scenes: int) -> str:
        job = f"{PREFIX}{uuid4().hex}"
        self._canvas(job, scenes).apply_async()
        return job


class PostgresResults(CeleryPeer):
    def __init__(self, turn: Turn, *, poll_s: float) -> None:
        url = f"db+{turn.database_url}"
        super().__init__(turn, result_backend=url, result_chord_retry_interval=poll_s)
        self.app.backend.ResultSession().close()  # makes the tables
        self._ends = Ends(turn.database_url)
        self._ends.watch("celery_taskmeta", job="NEW.task_id", when=f"{SUCCESS} AND NEW.task_id LIKE '{PREFIX}%'")

    def ends(self, jobs: Collection[str], within: float) -> dict[str, float]:
        return self._ends.wait(jobs, within)

    def audit(self) -> None:
        self._ends.audit("celery_taskmeta", step="NEW.task_id", when=SUCCESS)

    def recorded_twice(self) -> int | None:
        return self._ends.recorded_twice()


class RedisResults(CeleryPeer):
    def __init__(self, turn: Turn) -> None:
        self._keys = f"likeness_bench_{uuid4().hex}_"
        options = {"global_keyprefix": self._keys}
        super().__init__(turn, result_backend=turn.redis_url, result_backend_transport_options=options)

    def ends(self, jobs: Collection[str], within: float) -> dict[str, float]:
        """Redis tells of each result as it comes; they are heard in the order in which they were asked for."""
        end = time.monotonic() + within
        found = {}
        for job in jobs:
            try:
                self.app.AsyncResult(job).get(timeout=max(0.01, end - time.monotonic()))
            except NotInTime:
                continue
            found[job] = time.monotonic()
        return found

    def audit(self) -> None:
        """Redis overwrites a result, and keeps nothing that would tell."""

    def recorded_twice(self) -> int | None:
        return None

    def stop(self) -> None:
        super().stop()
        client = self.app.backend.client
        for key in client.scan_iter(match=f"{self._keys}*", count=1000):
            client.delete(key)


def postgres(turn: Turn) -> PostgresResults:
    """As Celery comes: a chord's members are counted each second."""
    return PostgresResults(turn, poll_s=1.0)


def postgres_fast(turn: Turn) -> PostgresResults:
    return PostgresResults(turn, poll_s=0.1)


def redis(turn: Turn) -> RedisResults:
    return RedisResults(turn)
