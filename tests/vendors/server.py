"""What stateful fake vendors share: a real HTTP server on loopback that remembers what came, and can be made to fail.

A vendor is a class with `answer(call) -> Reply`. While it runs, GET /_books tells its books as JSON, and PUT /_switches
sets attributes of it: `{"slow_s": 2, "flaky": 0.3}`.
"""

import argparse
import contextlib
import dataclasses
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit


class HungUp(Exception):
    """The connection is cut without an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a `body` that is no bytes is sent as JSON. `cut` sends only so many bytes of it, and hangs up."""

    status: int
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None

    @classmethod
    def html(cls, status: int, **headers: str) -> "Reply":
        """What a proxy before the vendor says."""
        page = f"<html><body><center>{status} key sk_secret</center><hr><center>nginx</center></body></html>".encode()
        return cls(status, page, {"Content-Type": "text/html", **headers})


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in; header names are small. `port` is the caller's: one for each connection."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    port: int


@dataclass
class FakeVendor:
    """What any vendor does to its callers, settable while it runs.

    `slow_s` passes before each answer. `flaky` is the share of calls refused with 503 before anything is taken, `deaf`
    the share of those taken (and charged) whose connection is then cut; `after_taken` is called between the two with
    the charge, and cuts the connection where it says False.
    """

    url: str = ""
    slow_s: float = 0.0
    flaky: float = 0.0
    deaf: float = 0.0
    after_taken: Callable[[Any], bool] | None = None
    books: list[Any] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _next: list[Reply] = field(default_factory=list)

    def answers(self, *replies: Reply) -> None:
        """So the next calls are answered, whatever they are; nothing is taken."""
        with self.lock:
            self._next += replies

    def calm(self) -> None:
        """No more trouble."""
        self.slow_s = self.flaky = self.deaf = 0.0
        self.after_taken = None
        self._next.clear()

    def answer(self, call: Call) -> Reply:
        raise NotImplementedError

    # --- for vendors ----------------------------------------------------------------------

    def trouble(self) -> Reply | None:
        """What is answered before the vendor has looked at the call."""
        with self.lock:
            if self._next:
                return self._next.pop(0)
        return Reply.html(503) if random.random() < self.flaky else None

    def charge(self, entry: Any) -> None:
        """Write it into the books. Raises HungUp."""
        with self.lock:
            self.books.append(entry)
        if (self.after_taken is not None and not self.after_taken(entry)) or random.random() < self.deaf:
            raise HungUp


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    vendor: FakeVendor

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        call = Call(self.command, parts.path, query, headers, body, self.client_address[1])
        vendor = self.server.vendor
        if parts.path.startswith("/_"):
            return self._send(self._inside(call))
        with vendor.lock:
            vendor.calls.append(call)
        try:
            reply = vendor.trouble() or vendor.answer(call)
            time.sleep(vendor.slow_s)
        except HungUp:
            time.sleep(vendor.slow_s)
            self.close_connection = True
            return None
        return self._send(reply)

    def do_GET(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def do_PUT(self) -> None:
        self._take()

    def do_DELETE(self) -> None:
        self._take()

    def _inside(self, call: Call) -> Reply:
        vendor = self.server.vendor
        if call.path == "/_books":
            return Reply(200, [dataclasses.asdict(entry) for entry in vendor.books])
        for name, value in json.loads(call.body).items():
            setattr(vendor, name, value)
        return Reply(200)

    def _send(self, reply: Reply) -> None:
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body, default=str).encode()
        self.send_response(reply.status)
        own = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**own, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: reply.cut])
        if reply.cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """The books tell enough."""


V = TypeVar("V", bound=FakeVendor)


@contextlib.contextmanager
def serving(vendor: V, port: int = 0) -> Iterator[V]:
    """The vendor behind a real server; its address is in `url`."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.vendor = vendor
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="vendor", daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def alone(vendor: FakeVendor, variables: Callable[[], Mapping[str, str]]) -> None:
    """Run it until Ctrl-C; prints the variables of a service that is to use it."""
    parser = argparse.ArgumentParser(description="A vendor that charges nobody.")
    parser.add_argument("--port", type=int, default=0)
    with serving(vendor, parser.parse_args().port):
        print(json.dumps(dict(variables())), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
