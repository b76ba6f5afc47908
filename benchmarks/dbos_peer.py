"""DBOS Transact on the same PostgreSQL: two worker processes that take jobs from one queue."""

import sys
from collections.abc import Collection
from functools import cached_property
from uuid import uuid4

from dbos import DBOSClient, EnqueueOptions

from benchmarks import dbos_app, reference
from benchmarks.peer import PROCESSES, Ends, Peer, Workers
from benchmarks.turn import Turn

STEPS = "dbos.operation_outputs"


class DbosPeer(Peer):
    def __init__(self, turn: Turn, *, workflow: str) -> None:
        self._workflow = workflow
        self._url = turn.database_url.replace("+psycopg2", "")
        self._ends = Ends(turn.database_url)
        environment = {reference.TRACE: str(turn.trace), dbos_app.URL: self._url}
        command = [sys.executable, "-m", "benchmarks.dbos_app"]
        super().__init__(
            Workers({f"worker-{number}": command for number in range(PROCESSES)}, environment, turn.folder)
        )

    def submit(self, scenes: int) -> str:
        job = uuid4().hex
        asked = EnqueueOptions(queue_name=dbos_app.QUEUE, workflow_name=self._workflow, workflow_id=job)
        self._client.enqueue(asked, job, scenes)
        return job

    @cached_property
    def _client(self) -> DBOSClient:
        """Made when the workers have made the tables."""
        ended = "NEW.function_name LIKE '%publish%' AND NEW.output IS NOT NULL"
        self._ends.watch(STEPS, job="NEW.workflow_uuid", when=ended)
        return DBOSClient(system_database_url=self._url)

    def ends(self, jobs: Collection[str], within: float) -> dict[str, float]:
        return self._ends.wait(jobs, within)

    def audit(self) -> None:
        self._ends.audit(STEPS, step="NEW.workflow_uuid || '/' || NEW.function_id", when="NEW.output IS NOT NULL")

    def recorded_twice(self) -> int | None:
        return self._ends.recorded_twice()


def threads(turn: Turn) -> DbosPeer:
    return DbosPeer(turn, workflow="threads")


def event_loop(turn: Turn) -> DbosPeer:
    return DbosPeer(turn, workflow="event_loop")
