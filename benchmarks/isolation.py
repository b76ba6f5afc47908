"""Whether one client, or one lane, slows down the others: delays beside endpoints that are dead, and behind a flood.

What is measured belongs to clients that do little: how long an avatar job waits for its first step (accepted to
claimed), an event for its arrival (told to arrived), and an event whose message was lost (told to arrived: the sweeper
looks each second).
"""

import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.database import Database
from tests.conftest import Servers
from tests.endpoints import Endpoint, black_hole, taking
from tests.fleet import Fleet, fleet
from tests.processes import eventually

SECONDS = 20.0
PAUSE_S = 0.25
PENDING = 500
EVENTS_A_JOB = 4
FLOOD = 2000
SHOP, QUIET, CROWD, DEAD = "shop", "quiet", "crowd", ("dead-1", "dead-2", "dead-3")


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="likeness-bench-")))
        endpoint = stack.enter_context(taking())
        callbacks = {SHOP: endpoint.url, QUIET: endpoint.url, CROWD: None} | {
            name: stack.enter_context(black_hole()) for name in DEAD
        }
        running = stack.enter_context(fleet(Servers(stack), folder, callbacks))
        _delays(running, endpoint, seconds=2.0)  # the first jobs of a worker open its connections
        found = {"alone": _delays(running, endpoint)}
        for count in (1, 3):
            _backlog(running.database, DEAD[:count])
            time.sleep(2.0)  # the sweeper finds them
            found[f"{count} dead"] = _delays(running, endpoint)
        _forget_backlog(running.database)
        _flood(running)
        found["flood"] = _delays(running, endpoint) | {"still queued": _unfinished(running.database)}
    for what, figures in found.items():
        print(
            f"{what:8}",
            *(f"{name} p50 {each['p50']:.3f} s, p95 {each['p95']:.3f} s;" for name, each in _times(figures)),
        )
    print(json.dumps(found))


def _delays(running: Fleet, endpoint: Endpoint, *, seconds: float = SECONDS) -> dict[str, Any]:
    end = time.monotonic() + seconds
    jobs, lost = [], []
    while time.monotonic() < end:
        jobs.append(running.submit(SHOP, "/v1/avatars", running.avatar(SHOP)))
        lost.append(_untold(running.database))
        time.sleep(PAUSE_S)
    told = _told(running.database, [*jobs, *lost])
    eventually(lambda: told.keys() <= {letter.id for letter in endpoint.letters}, within=120, what="all events arrive")
    arrived = {letter.id: letter for letter in endpoint.letters}
    unswept = {event for event in told if arrived[event].body["data"]["job_id"] in set(lost)}
    return {
        "first step": _summary(_begun(running.database, jobs)),
        "event": _summary(arrived[event].at - at for event, at in told.items() if event not in unswept),
        "swept event": _summary(arrived[event].at - told[event] for event in unswept),
    }


def _untold(database: Database) -> str:
    """A job with an event that nobody was asked to deliver."""
    with database.transaction() as session:
        return _jobs(session, QUIET, 1, 1)[0]


def _backlog(database: Database, clients: Iterable[str]) -> None:
    with database.transaction() as session:
        for client in clients:
            session.execute(text("DELETE FROM jobs WHERE client = :client"), {"client": client})
            _jobs(session, client, PENDING // EVENTS_A_JOB, EVENTS_A_JOB)


def _forget_backlog(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("DELETE FROM jobs WHERE client LIKE 'dead-%'"))


def _jobs(session: Any, client: str, jobs: int, events: int) -> list[str]:
    rows = text(
        "INSERT INTO jobs (id, client, kind, route, lane, snapshot, request, status, callbacks, sequence) "
        "SELECT 'job_' || gen_random_uuid(), :client, 'output', 'multi_scene', 'marketing', '{}', '{}', 'completed', "
        "true, :events FROM generate_series(1, :jobs) RETURNING id"
    )
    made = session.scalars(rows, {"client": client, "jobs": jobs, "events": events}).all()
    told = text(
        "INSERT INTO events (id, job_id, client, sequence, type, state, data, due_at, created_at) "
        "SELECT substr('evt_' || gen_random_uuid(), 1, 40), id, client, n, 'job.progress', 'pending', "
        """jsonb_build_object('job_id', id, 'sequence', n, 'result', null), CASE WHEN n = 1 THEN now() END, """
        "clock_timestamp() FROM jobs, generate_series(1, :events) n WHERE id = ANY(:made)"
    )
    session.execute(told, {"events": events, "made": list(made)})
    return list(made)


def _flood(running: Fleet) -> None:
    """Marketing jobs of which each step waits in the queue of its lane."""
    job = running.submit(CROWD, "/v1/avatars", running.avatar(CROWD))
    query = text("SELECT result ->> 'avatar_id' FROM jobs WHERE id = :id")

    def avatar() -> str | None:
        with running.database.transaction() as session:
            found: str | None = session.scalar(query, {"id": job})
            return found

    request = running.output(eventually(avatar, within=60, what="an avatar") or "", "sleep")
    for _ in range(FLOOD):
        running.submit(CROWD, "/v1/outputs", request)


def _unfinished(database: Database) -> int:
    with database.transaction() as session:
        count = text("SELECT count(*) FROM jobs WHERE client = :client AND finished_at IS NULL")
        return int(session.scalar(count, {"client": CROWD}) or 0)


def _begun(database: Database, jobs: Sequence[str]) -> list[float]:
    query = text(
        "SELECT extract(epoch FROM min(records.started_at) - jobs.created_at) FROM jobs JOIN records "
        "ON records.job_id = jobs.id WHERE jobs.id = ANY(:jobs) GROUP BY jobs.id"
    )
    with database.transaction() as session:
        return [float(each) for each in session.scalars(query, {"jobs": list(jobs)})]


def _told(database: Database, jobs: Sequence[str]) -> dict[str, float]:
    """By event: the Unix time at which it was written; once the jobs have ended."""
    ended = text("SELECT bool_and(status = 'completed') FROM jobs WHERE id = ANY(:jobs)")
    query = text("SELECT id, extract(epoch FROM created_at) AS at FROM events WHERE job_id = ANY(:jobs)")

    def over() -> bool:
        with database.transaction() as session:
            return bool(session.scalar(ended, {"jobs": list(jobs)}))

    eventually(over, within=120, what="the jobs end")
    with database.transaction() as session:
        return {row.id: float(row.at) for row in session.execute(query, {"jobs": list(jobs)})}


def _summary(delays: Iterable[float]) -> dict[str, float]:
    ordered = sorted(delays)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"count": len(ordered), "p50": statistics.median(ordered), "p95": p95, "most": ordered[-1]}


def _times(figures: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    return [(name, each) for name, each in figures.items() if isinstance(each, dict)]


if __name__ == "__main__":
    main()
