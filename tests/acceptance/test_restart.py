"""A deploy under load: every process is stopped in order and started again, one after the other."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from sqlalchemy import text

from pipeline.ports import CAPABILITIES
from tests import inline
from tests.endpoints import Endpoint, taking
from tests.fleet import READY, Fleet, fleet
from tests.logged import LOG
from tests.processes import eventually

PAUSE_S = 0.6
ANSWER_S = 1.0
IN_FLIGHT = 2  # steps of a worker with two processes


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with taking() as found:
        yield found


@pytest.fixture
def service(servers, endpoint: Endpoint, tmp_path: Path) -> Iterator[Fleet]:  # type: ignore[no-untyped-def]
    more = {
        "LIKENESS_PROVIDERS": json.dumps({name: ["tests.logged"] for name in CAPABILITIES}),
        LOG: str(tmp_path / "spoken"),
    }
    with fleet(servers, tmp_path, {"shop": endpoint.url}, **more) as found:
        yield found


class Load(threading.Thread):
    """A caller that asks for one output after the other, again with the same key where no answer comes."""

    def __init__(self, service: Fleet, avatar: str) -> None:
        super().__init__()
        self.service = service
        self.avatar = avatar
        self.jobs: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(PAUSE_S):
            number = len(self.jobs)
            lane = ("avatar", "marketing")[number % 2]
            request = self.service.output(self.avatar, f"Job {number}, one.\nJob {number}, two.", lane=lane)
            self.jobs.append(self._submit(request, uuid4().hex))

    def _submit(self, request: dict[str, object], key: str) -> str:
        while True:
            try:
                return self.service.submit("shop", "/v1/outputs", request, key=key)
            except requests.ConnectionError:
                if self.over.wait(0.1):
                    raise


@pytest.mark.slow
def test_a_rolling_restart_under_load_loses_nothing_and_runs_little_again(
    service: Fleet, endpoint: Endpoint, tmp_path: Path
) -> None:
    made = service.submit("shop", "/v1/avatars", service.avatar("shop"))
    eventually(lambda: ended(service, [made]) == {"completed": 1}, within=60, what="an avatar")
    load = Load(service, service.call("shop", "GET", f"/v1/jobs/{made}").json()["result"]["avatar_id"])
    load.start()
    try:
        for name in READY:
            service.restart(name)
    finally:
        load.over.set()
        load.join()
    eventually(lambda: sum(ended(service, load.jobs).values()) == len(load.jobs), within=60, what="all jobs end")
    assert ended(service, load.jobs) == {"completed": len(load.jobs)}
    eventually(lambda: pending(service) == 0, within=60, what="all events are delivered")
    heard = {job: [letter.body["data"]["sequence"] for letter in endpoint.about(job)] for job in load.jobs}
    told = sequences(service)
    assert {job: list(dict.fromkeys(each)) for job, each in heard.items()} == {
        job: list(range(1, told[job] + 1)) for job in load.jobs
    }
    spoken = Counter((tmp_path / "spoken").read_text().splitlines())
    assert len(spoken) == 2 * len(load.jobs)
    assert spoken.total() - len(spoken) <= 2 * IN_FLIGHT
    assert repeated(service) <= 2 * IN_FLIGHT


def test_a_callback_worker_that_is_stopped_ends_its_letters(servers, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with (
        taking(after_s=ANSWER_S) as endpoint,
        fleet(
            servers, tmp_path, {inline.CLIENT: endpoint.url}, start=("worker_callback", "worker_maintenance", "beat")
        ) as service,
    ):
        told = [inline.accept(service.database, inline.output_request("avt_x"), wanted=True)]
        eventually(lambda: endpoint.letters, within=60, what="a letter is on its way")
        stopped = service.running["worker_callback"]
        start = time.monotonic()
        stopped.stop()
        assert time.monotonic() - start < 10 * ANSWER_S
        assert outcomes(service) == [("delivered", 204)]
        told.append(inline.accept(service.database, inline.output_request("avt_x"), wanted=True))
        service.start("worker_callback")
        eventually(lambda: pending(service) == 0, within=60, what="the next one is delivered")
        assert [letter.body["data"]["job_id"] for letter in endpoint.letters] == told


def outcomes(service: Fleet) -> list[tuple[str, int]]:
    query = text("SELECT state, status FROM events JOIN deliveries ON event_id = events.id")
    with service.database.transaction() as session:
        return [(row.state, row.status) for row in session.execute(query)]


def ended(service: Fleet, jobs: list[str]) -> dict[str, int]:
    query = text("SELECT status, count(*) FROM jobs WHERE id = ANY(:jobs) AND finished_at IS NOT NULL GROUP BY status")
    with service.database.transaction() as session:
        return {row.status: row.count for row in session.execute(query, {"jobs": jobs})}


def pending(service: Fleet) -> int:
    with service.database.transaction() as session:
        return int(session.scalar(text("SELECT count(*) FROM events WHERE state <> 'delivered'")) or 0)


def sequences(service: Fleet) -> dict[str, int]:
    with service.database.transaction() as session:
        return {row.id: row.sequence for row in session.execute(text("SELECT id, sequence FROM jobs"))}


def repeated(service: Fleet) -> int:
    """Attempts beyond the first of each step."""
    with service.database.transaction() as session:
        return int(session.scalar(text("SELECT count(*) FROM attempts WHERE attempt > 1")) or 0)
