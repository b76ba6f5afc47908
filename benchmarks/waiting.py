"""What waiting costs: thousands of steps that wait for their time, and how late they are woken.

Each scene's speech waits until a moment that its line names, as it would for a provider at work. Prints, and as a JSON
line: how many messages the broker keeps for them, what an idle sweep costs, and the lateness from the moment that was
asked for to the claim of the step by a worker.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import text

from db import calls, claims, jobs, outbox, records
from db.database import Database
from pipeline.calls import NotYet
from pipeline.outcome import Wait
from tests import inline, instant, processes
from tests.conftest import Servers
from tests.processes import eventually

SCENES = 50
SPREAD_S = 0.04  # between two wakings: what two processes can serve, and their clips after them
SETTLING_S = 0.05  # a step, to become a waiting one
SWEEPS = 50


class Waiting(instant.Instant):
    """Speech that is ready at the Unix time that its text begins with."""

    def speak(self, *arguments: Any, **options: Any) -> Any:
        if "frame" not in options:
            left = float(arguments[0].split()[0]) - time.time()
            if left > 0:
                raise NotYet(Wait(timedelta(seconds=left), "The voice is not ready yet."))
        return super().speak(*arguments, **options)


ADAPTERS = instant.ADAPTERS | {"speech": "benchmarks.waiting:Waiting"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5000)
    steps = parser.parse_args().steps
    with ExitStack() as stack:
        found = _measure(stack, steps)
    for name, value in found.items():
        print(f"{name:44} {value}")
    print(json.dumps(found))


def _measure(stack: ExitStack, steps: int) -> dict[str, Any]:
    servers = Servers(stack)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-bench-")))
    name = servers.databases.clone()
    stack.callback(servers.databases.drop, name)
    environment = {
        "LIKENESS_DATABASE_URL": servers.databases.url(name),
        "LIKENESS_BROKER_URL": servers.vhosts.make(),
        "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers() | {"speech": ["benchmarks.waiting"]}),
    }
    database = Database(environment["LIKENESS_DATABASE_URL"])
    stack.callback(database.dispose)
    for queues, beat in (("avatar,marketing,callback", False), ("maintenance", True)):
        worker = processes.worker(queues, environment, folder, beat=beat)
        stack.callback(worker.stop)
        eventually(lambda worker=worker: worker.says("ready."), within=60, what="a worker is ready")
    avatar = inline.accept(database, inline.avatar_request(inline.upload(database)))
    eventually(lambda: inline.job(database, avatar).result, within=60, what="an avatar")
    first = time.time() + 20 + steps * SETTLING_S
    begun = time.monotonic()
    for job in range(0, steps, SCENES):
        lines = (f"{first + (job + scene) * SPREAD_S:.3f} scene." for scene in range(min(SCENES, steps - job)))
        request = inline.output_request(inline.job(database, avatar).result["avatar_id"], text="\n".join(lines))
        inline.accept(database, request)
    waiting = "SELECT count(*) FROM records WHERE status = 'waiting'"
    eventually(lambda: _ask(database, waiting) == steps, within=steps * SETTLING_S + 60, what="all wait")
    settled = time.monotonic() - begun
    held = eventually(lambda: _held(environment["LIKENESS_BROKER_URL"]), within=steps * SETTLING_S, what="no message")
    sweeps = [_timed(lambda: _sweep(database)) for _ in range(SWEEPS)]
    late = """SELECT extract(epoch FROM r.started_at)
        - split_part(s.output -> 'scenes' -> (r.scene - 1) -> 'line' ->> 'text', ' ', 1)::float
        FROM records r JOIN records s USING (job_id)
        WHERE r.stage = 'speech' AND s.stage = 'storyboard' AND r.status = 'succeeded'"""
    done = "SELECT count(*) FROM records WHERE stage = 'speech' AND status = 'succeeded'"
    eventually(
        lambda: _ask(database, done) == steps, within=first - time.time() + steps * SPREAD_S + 60, what="all wake"
    )
    with database.transaction() as session:
        lateness = [float(row[0]) for row in session.execute(text(late))]
    return {
        "steps": steps,
        "seconds until all waited": round(settled, 1),
        "messages in the broker while they wait": held,
        "idle sweep, median ms": round(statistics.median(sweeps) * 1000, 2),
        "idle sweep, p95 ms": round(statistics.quantiles(sweeps, n=20)[-1] * 1000, 2),
        "lateness, median s": round(statistics.median(lateness), 2),
        "lateness, p95 s": round(statistics.quantiles(lateness, n=20)[-1], 2),
        "lateness, most s": round(max(lateness), 2),
    }


def _sweep(database: Database) -> None:
    """What a sweep asks the database for when nothing is due."""
    for part in (records.wake, jobs.stuck, outbox.overdue, claims.abandon, calls.orphans):
        with database.transaction() as session:
            part(session)


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ask(database: Database, question: str) -> Any:
    with database.transaction() as session:
        return session.scalar(text(question))


def _held(url: str) -> str:
    """How many messages the lanes' queues hold for the waiting steps, once the other steps are through: none."""
    vhost = unquote(urlsplit(url).path[1:])
    command = ["rabbitmqctl", "-q", "list_queues", "-p", vhost, "name", "messages_ready", "messages_unacknowledged"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines if line.startswith(("avatar", "marketing"))]
    counts = [sum(int(row[column]) for row in rows) for column in (1, 2)]
    return "" if any(counts) else "0 ready, 0 unacknowledged"


if __name__ == "__main__":
    main()
