"""Likeness: the service's own workers, records, events and sweeper, with the reference job as a route."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

from benchmarks import profile, reference, route
from benchmarks.peer import Ends, Peer, Workers, celery
from benchmarks.turn import Turn
from tests import processes

CLIENT = "reference"
LANE = "marketing"
DONE = "NEW.status IN ('succeeded', 'reused')"
ANEW = f"{DONE} AND (OLD.status, OLD.finished_at) IS DISTINCT FROM (NEW.status, NEW.finished_at)"


class LikenessPeer(Peer):
    """One lane with two processes, one process for maintenance with beat.

    To be made in a process whose environment has the service's settings: it publishes as the web process does.
    """

    def __init__(self, environment: dict[str, str], folder: Path, *, app: str = "benchmarks.likeness_app") -> None:
        beat = ("--beat", "--schedule", str(folder / "beat-schedule"))
        commands = {
            "lane": celery(app, "lane", "--queues", LANE),
            "maintenance": celery(app, "maintenance", "--queues", "maintenance", *beat, processes=1),
        }
        super().__init__(Workers(commands, environment, folder))
        self._ends = Ends(environment["LIKENESS_DATABASE_URL"])
        self._ends.watch("records", job="NEW.job_id", when=f"NEW.step = 'publish' AND {DONE}", event="UPDATE")

    def submit(self, scenes: int) -> str:
        from benchmarks import likeness_app  # noqa: F401  # its settings are read on import
        from db import jobs
        from schemas import records as codec
        from tasks.house import house
        from tasks.launching import begin

        ticket = uuid4().hex
        request = codec.dump(route.ReferenceSnapshot(route.Ticket(ticket), route.SceneCount(scenes)))
        order = jobs.Order(
            client=CLIENT,
            kind="output",
            route=route.NAME,
            lane=LANE,
            snapshot={"metadata": {"ticket": ticket}},
            request=request,
            digest=codec.digest(request),
            key=ticket,
            wanted=False,
            most_active=100_000,
        )
        with house().database.transaction() as session:
            job_id, _ = jobs.accept(session, order)
        begin(job_id)
        return job_id

    def ends(self, jobs: Collection[str], within: float) -> dict[str, float]:
        return self._ends.wait(jobs, within)

    def audit(self) -> None:
        self._ends.audit("records", step="NEW.job_id || NEW.step", when=ANEW, event="UPDATE")

    def recorded_twice(self) -> int | None:
        return self._ends.recorded_twice()


def light(turn: Turn) -> LikenessPeer:
    """Every stage light, as speech and background are in the product."""
    return _peer(turn)


def heavy(turn: Turn) -> LikenessPeer:
    """lip_sync travels in a message of its own, as in the product."""
    return _peer(turn, heavy="lip_sync")


def profiled(turn: Turn) -> LikenessPeer:
    """Its workers note where their time goes, in the turn's folder."""
    return _peer(turn, app="benchmarks.profiled_app")


def _peer(turn: Turn, *, heavy: str = "", app: str = "benchmarks.likeness_app") -> LikenessPeer:
    environment = _settings(turn) | {route.HEAVY: heavy, reference.TRACE: str(turn.trace), profile.FOLDER: turn.path}
    os.environ.update(environment)
    return LikenessPeer(environment, turn.folder, app=app)


def _settings(turn: Turn) -> dict[str, str]:
    return {
        "LIKENESS_DATABASE_URL": turn.database_url,
        "LIKENESS_BROKER_URL": turn.broker_url,
        "LIKENESS_STORAGE_URL": (turn.folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers()),
    }
