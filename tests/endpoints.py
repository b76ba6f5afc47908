"""Product backends as they are met: one that takes everything, one that takes connections and never answers."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrival:
    """A letter, and the Unix time at which it came."""

    at: float
    id: str
    body: dict[str, Any]


@dataclass
class Endpoint:
    url: str
    letters: list[Arrival] = field(default_factory=list)

    def about(self, job_id: str) -> list[Arrival]:
        return [letter for letter in self.letters if letter.body["data"]["job_id"] == job_id]


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def taking(*, after_s: float = 0.0) -> Iterator[Endpoint]:
    """Answers 204."""
    found = Endpoint("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.letters.append(Arrival(time.time(), self.headers["webhook-id"], json.loads(body)))
            time.sleep(after_s)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = _Server(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def black_hole() -> Iterator[str]:
    """The URL of an endpoint that takes every connection and answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
