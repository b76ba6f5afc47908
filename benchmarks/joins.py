"""What the pipeline itself costs: two-scene jobs whose stages do nothing, on PostgreSQL and RabbitMQ.

Prints the wall time of a job, the pause between a join's last branch and its
body, and beside them, from the same run, what a commit and a confirmed
message cost on this machine: ratios to these floors can be compared between
machines, milliseconds cannot.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kombu import Connection, Exchange, Queue
from sqlalchemy import text

from db.database import Database
from db.models import Record
from pipeline.routes import plan
from tests import inline, processes
from tests.conftest import Servers
from tests.processes import eventually

JOBS = 20
LINES = "One.\nTwo."


def main() -> None:
    with ExitStack() as stack:
        servers = Servers(stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-bench-")))
        name = servers.databases.clone()
        stack.callback(servers.databases.drop, name)
        environment = {
            "LIKENESS_DATABASE_URL": servers.databases.url(name),
            "LIKENESS_BROKER_URL": servers.vhosts.make(),
            "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
            "LIKENESS_SIGNING_KEY": "k" * 40,
            "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers()),
        }
        database = Database(environment["LIKENESS_DATABASE_URL"])
        stack.callback(database.dispose)
        commit = _median(lambda: _commit(database), times=200)
        message = _messages(environment["LIKENESS_BROKER_URL"])
        for queues, beat in (("avatar,marketing,callback", False), ("maintenance", True)):
            worker = processes.worker(queues, environment, folder, beat=beat)
            stack.callback(worker.stop)
            eventually(lambda worker=worker: worker.says("ready."), within=60, what="a worker is ready")
        avatar = _run(database, inline.accept(database, inline.avatar_request(inline.upload(database))))
        request = inline.output_request((avatar or {})["avatar_id"], text=LINES)
        jobs = [inline.accept(database, request) for _ in range(1)]
        _run(database, jobs.pop())  # the first job of a worker opens its connections
        walls, joins = [], []
        for _ in range(JOBS):
            job_id = inline.accept(database, request)
            _run(database, job_id)
            walls.append(_wall(database, job_id))
            joins += _joins(database, job_id)
        print(f"a commit              {commit * 1000:7.2f} ms  median of 200")
        print(f"a confirmed message   {message * 1000:7.2f} ms  median of 200")
        wall, join = statistics.median(walls), statistics.median(joins)
        print(f"a job of 12 steps     {wall * 1000:7.1f} ms  median of {JOBS}, {wall / (commit + message):.0f} floors")
        print(f"a join                {join * 1000:7.2f} ms  median of {len(joins)}, most {max(joins) * 1000:.1f} ms")


def _run(database: Database, job_id: str) -> dict[str, Any] | None:
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET nudge_at = now() WHERE id = :id"), {"id": job_id})
    job = eventually(lambda: (found := inline.job(database, job_id)).finished_at and found, within=60, what=job_id)
    if job.status != "completed":
        raise SystemExit(f"{job_id} is {job.status}: {job.error}")
    return job.result


def _wall(database: Database, job_id: str) -> float:
    job = inline.job(database, job_id)
    assert job.finished_at is not None
    assert job.started_at is not None
    return (job.finished_at - job.started_at).total_seconds()


def _joins(database: Database, job_id: str) -> list[float]:
    """For each step that reads several others: from the last of these recorded to its own claim."""
    rows: dict[str, Record] = inline.rows(database, job_id)
    made = plan("multi_scene", inline.job(database, job_id).scenes)
    found = []
    for key in (step for step in rows if step.endswith("lip_sync") or step == "stitch"):
        last = max(moment for other in made.predecessors[key] if (moment := rows[other].finished_at))
        claimed = rows[key].started_at
        assert claimed is not None
        found.append((claimed - last).total_seconds())
    return found


def _commit(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET updated_at = now() WHERE id = ''"))
        session.execute(text("INSERT INTO deliveries (latency_ms, answer) SELECT 0, '' WHERE false"))
        session.execute(text("SELECT pg_current_xact_id()"))


def _messages(url: str) -> float:
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = Queue("floor", Exchange("floor", type="topic"), "#", queue_arguments={"x-queue-type": "quorum"})
        producer = connection.Producer(serializer="json")
        floor = _median(lambda: producer.publish({}, declare=[queue], exchange="floor", routing_key="x"), times=200)
        queue.bind(connection.default_channel).delete()
        return floor


def _median(work: Callable[[], object], *, times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
