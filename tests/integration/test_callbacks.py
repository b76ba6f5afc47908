"""Events reach the product backend: signed, in order, again until they are taken."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from db.database import Database
from db.events import story
from pipeline.outcome import Failed
from tests import inline, processes
from tests.integration.test_records import NO_FACE, begin
from tests.processes import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ROTATED = "whsec_c2VjcmV0LXRoYXQtaXMtYmVpbmctcm90YXRlZA=="


@dataclass
class Backend:
    """A product backend: answers as it is told, and keeps what it was sent."""

    answers: list[int] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def about(self, job_id: str) -> list[dict[str, Any]]:
        bodies = [json.loads(body) for _, body in self.taken]
        return [body for body in bodies if body["data"]["job_id"] == job_id]


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    found = Backend()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = found.answers.pop(0) if found.answers else 204
            found.asked.append(self.path)
            if 200 <= answer < 300:
                found.taken.append((dict(self.headers), body))
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def database(
    servers, broker_url: str, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:  # type: ignore[no-untyped-def]
    """A database whose events are delivered by a callback worker and a sweeper."""
    folder: Path = tmp_path_factory.mktemp("callbacks")
    name = servers.databases.clone()
    client = {
        "name": inline.CLIENT,
        "token_sha256": ["0" * 64],
        "callback_url": f"http://127.0.0.1:{backend.port}/hook",
        "callback_secrets": [SECRET, ROTATED],
    }
    environment = {
        "LIKENESS_DATABASE_URL": servers.databases.url(name),
        "LIKENESS_BROKER_URL": broker_url,
        "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_CLIENTS": json.dumps([client]),
        "LIKENESS_CALLBACK_ALLOW_PRIVATE": "on",
        "LIKENESS_CALLBACK_SCHEDULE_S": "0.1,0.1",
    }
    environment["BEAT_SCHEDULE"] = str(folder / "beat-schedule")
    names = ("worker_callback", "worker_maintenance", "beat")
    started = [processes.procfile(name, environment, folder) for name in names]
    made = Database(environment["LIKENESS_DATABASE_URL"])
    try:
        for worker in started[:2]:
            eventually(lambda worker=worker: worker.says("ready."), within=120, what="a worker is ready")
        yield made
    finally:
        for each in started:
            each.kill()
        made.dispose()
        servers.databases.drop(name)


@pytest.fixture(autouse=True)
def fresh(backend: Backend) -> None:
    backend.answers.clear()
    backend.taken.clear()
    backend.asked.clear()


def failed_job(database: Database) -> str:
    """A job with four events: accepted, started, progress, failed; all told at once."""
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET nudge_at = now() + interval '1 hour'"))
    job_id = inline.accept(database, inline.output_request("avt_x"), wanted=True)
    held = inline.claim(database, job_id, "load_identity", begin(database, job_id))
    assert not isinstance(held, inline.Verdict)
    inline.record(database, held, Failed(NO_FACE))
    return job_id


def states(database: Database, job_id: str) -> list[str]:
    with database.transaction() as session:
        return [event.state for event, _ in story(session, job_id)]


def test_events_arrive_in_order_and_verify_under_every_secret(database: Database, backend: Backend) -> None:
    job_id = failed_job(database)
    eventually(lambda: states(database, job_id) == ["delivered"] * 4, within=60, what="all are delivered")
    assert [body["type"] for body in backend.about(job_id)] == [
        "job.accepted", "job.started", "job.progress", "job.failed",
    ]  # fmt: skip
    assert [body["data"]["sequence"] for body in backend.about(job_id)] == [1, 2, 3, 4]
    for headers, body in backend.taken:
        lower = {name.lower(): value for name, value in headers.items()}
        for secret in (SECRET, ROTATED):
            assert Webhook(secret).verify(body, lower)["contract"] == "event/1"


def test_an_event_that_is_not_taken_comes_again_before_any_later_one(database: Database, backend: Backend) -> None:
    backend.answers[:] = [500, 503]
    job_id = failed_job(database)
    eventually(lambda: states(database, job_id) == ["delivered"] * 4, within=60, what="all are delivered")
    assert [body["data"]["sequence"] for body in backend.about(job_id)] == [1, 2, 3, 4]
    with database.transaction() as session:
        first, *_ = story(session, job_id)
        assert [delivery.status for delivery in first[1]] == [500, 503, 204]


def test_an_event_nobody_takes_is_dead_and_the_next_is_told(database: Database, backend: Backend) -> None:
    backend.answers[:] = [500, 500, 500]
    job_id = failed_job(database)
    expected = ["dead", "delivered", "delivered", "delivered"]
    eventually(lambda: states(database, job_id) == expected, within=60, what="the rest is delivered")


def test_gone_switches_the_job_off(database: Database, backend: Backend) -> None:
    backend.answers[:] = [410]
    job_id = failed_job(database)
    eventually(lambda: set(states(database, job_id)) == {"unwanted"}, within=60, what="the job is switched off")
    assert backend.about(job_id) == []


def test_a_redirect_is_not_followed(database: Database, backend: Backend) -> None:
    backend.answers[:] = [302]
    job_id = failed_job(database)
    eventually(lambda: states(database, job_id) == ["delivered"] * 4, within=60, what="all are delivered")
    assert set(backend.asked) == {"/hook"}
