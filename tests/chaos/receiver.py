"""The product's side of events: a real HTTP endpoint that verifies what comes and keeps it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True, slots=True)
class Came:
    """One delivery that was taken."""

    event_id: str
    type: str
    sequence: int
    at: float


@dataclass
class Receiver:
    """`away`: it answers 503 to everything, and takes nothing."""

    url: str = ""
    away: bool = False
    forged: int = 0
    _came: dict[str, list[Came]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, headers: dict[str, str], body: bytes) -> HTTPStatus:
        if self.away:
            return HTTPStatus.SERVICE_UNAVAILABLE
        try:
            event = Webhook(SECRET).verify(body, headers)
        except WebhookVerificationError:
            self.forged += 1
            return HTTPStatus.BAD_REQUEST
        data = event["data"]
        came = Came(headers["webhook-id"], event["type"], data["sequence"], time.monotonic())
        with self._lock:
            self._came.setdefault(data["job_id"], []).append(came)
        return HTTPStatus.NO_CONTENT

    def of(self, job_id: str) -> list[Came]:
        """Everything that came for a job, in the order in which it came."""
        with self._lock:
            return list(self._came.get(job_id, ()))

    def flaws(self, job_id: str, *, sequences: int) -> list[str]:
        """What is wrong with what came, of which there should be 1 to `sequences`: repetitions are allowed."""
        found: list[str] = []
        ids: dict[int, str] = {}
        newest = 0
        for each in self.of(job_id):
            if ids.setdefault(each.sequence, each.event_id) != each.event_id:
                found.append(f"{job_id}: sequence {each.sequence} came under two ids")
            if each.sequence > newest + 1:
                found.append(f"{job_id}: event {each.sequence} came before {newest + 1}")
            newest = max(newest, each.sequence)
        lost = sorted(set(range(1, sequences + 1)) - ids.keys())
        if lost:
            found.append(f"{job_id}: events {lost} never came")
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed while we answered it is no news here."""


class _Endpoint(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """What came is kept."""


@contextlib.contextmanager
def open_receiver() -> Iterator[Receiver]:
    server = _Server(("127.0.0.1", 0), _Endpoint)
    server.receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hooks")
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
