"""A vendor that takes money: a real HTTP server on loopback, with books of its own of what it charged.

Its three counters differ in what a caller can do who does not know whether a request arrived:

    POST /idempotent/calls   takes an Idempotency-Key: the same key, the same answer, charged once
    POST /findable/calls     keeps the caller's reference: GET /findable/calls?reference=… finds it
    POST /neither/calls      takes both, and heeds neither

Asked with `"form": "now"` it answers with the result; with `"form": "later"` with an id, to be asked for at
GET /<counter>/calls/<id>, and cancelled with DELETE. The books are the oracle: what is in them was paid.
"""

import contextlib
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

COUNTERS = ("idempotent", "findable", "neither")
PRICE_USD = 0.05


@dataclass(slots=True)
class Charge:
    """One piece of work that was taken and has to be paid. `what` is the digest of what was asked."""

    id: str
    counter: str
    what: str
    asked: dict[str, Any]
    reference: str
    at: float
    port: int
    cancelled: bool = False

    def done(self, render_s: float) -> bool:
        return time.monotonic() - self.at >= render_s


Hook = Callable[[Charge], bool]


@dataclass
class Vendor:
    """What it does to its callers, settable while it runs.

    `busy` and `flaky` are shares of requests refused with 429 and 503 before anything is taken, `deaf` the share of
    those taken (and charged) whose connection is then cut without an answer. `lag_s` passes before a request is taken,
    `slow_s` before it is answered. `after_charge` is called between the two, and cuts the connection if it says False.
    """

    url: str = ""
    busy: float = 0.0
    flaky: float = 0.0
    deaf: float = 0.0
    slow_s: float = 0.0
    lag_s: float = 0.0
    render_s: float = 0.4
    after_charge: Hook | None = None
    charges: list[Charge] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    _keys: dict[str, Charge] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def books(self) -> list[Charge]:
        """Everything that was charged so far."""
        with self._lock:
            return list(self.charges)

    def calm(self) -> None:
        """No more trouble."""
        self.busy = self.flaky = self.deaf = self.slow_s = self.lag_s = 0.0
        self.after_charge = None

    # --- what the HTTP handler asks --------------------------------------------------------

    def refusal(self) -> HTTPStatus | None:
        if random.random() < self.busy:
            self.refused["busy"] += 1
            return HTTPStatus.TOO_MANY_REQUESTS
        if random.random() < self.flaky:
            self.refused["flaky"] += 1
            return HTTPStatus.SERVICE_UNAVAILABLE
        return None

    def take(self, counter: str, asked: dict[str, Any], key: str, port: int) -> tuple[Charge, bool]:
        """The work, and whether it was charged just now."""
        time.sleep(self.lag_s)
        with self._lock:
            if counter == "idempotent" and key in self._keys:
                return self._keys[key], False
            content = json.dumps([counter, asked["content"]], sort_keys=True)
            what = hashlib.sha256(content.encode()).hexdigest()
            charge = Charge(f"{counter}-{len(self.charges) + 1}", counter, what, asked, key, time.monotonic(), port)
            self.charges.append(charge)
            self._keys.setdefault(key, charge)
            return charge, True

    def find(self, counter: str, *, id: str | None = None, reference: str | None = None) -> Charge | None:
        with self._lock:
            for charge in self.charges:
                if charge.counter == counter and (charge.id == id or (reference and charge.reference == reference)):
                    return charge
        return None

    def told(self, charge: Charge) -> dict[str, Any]:
        if charge.cancelled:
            return {"id": charge.id, "status": "cancelled"}
        if charge.asked["form"] == "later" and not charge.done(self.render_s):
            return {"id": charge.id, "status": "running"}
        return {"id": charge.id, "status": "succeeded", "result": f"made {charge.what}", "price": PRICE_USD}

    def leaves_unanswered(self, charge: Charge) -> bool:
        time.sleep(self.slow_s)
        hook = self.after_charge
        return (hook is not None and not hook(charge)) or random.random() < self.deaf


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    vendor: Vendor

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed while we answered it is no news here."""


class _Counter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        vendor, counter = self.server.vendor, self._counter()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if counter is None or self._id() is not None:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "no such counter"})
        if refused := vendor.refusal():
            return self._answer(refused, {"error": refused.phrase})
        asked = json.loads(body)
        key = self.headers.get("Idempotency-Key") or asked.get("reference") or ""
        charge, new = vendor.take(counter, asked, key, self.client_address[1])
        if new and vendor.leaves_unanswered(charge):
            self.close_connection = True
            return None
        later = asked["form"] == "later"
        return self._answer(HTTPStatus.ACCEPTED if later else HTTPStatus.OK, vendor.told(charge))

    def do_GET(self) -> None:
        vendor, counter = self.server.vendor, self._counter()
        reference = parse_qs(urlsplit(self.path).query).get("reference", [None])[0]
        if counter is None:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "no such counter"})
        if reference is not None and counter != "findable":
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "this counter cannot be searched"})
        charge = vendor.find(counter, id=self._id(), reference=reference)
        if reference is not None:
            return self._answer(HTTPStatus.OK, {"calls": [vendor.told(charge)] if charge else []})
        if charge is None:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "no such call"})
        return self._answer(HTTPStatus.OK, vendor.told(charge))

    def do_DELETE(self) -> None:
        counter = self._counter()
        charge = self.server.vendor.find(counter, id=self._id()) if counter else None
        if charge is None:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "no such call"})
        charge.cancelled = charge.cancelled or not charge.done(self.server.vendor.render_s)
        return self._answer(HTTPStatus.OK, self.server.vendor.told(charge))

    def _counter(self) -> str | None:
        name = urlsplit(self.path).path.split("/")[1]
        return name if name in COUNTERS else None

    def _id(self) -> str | None:
        parts = urlsplit(self.path).path.split("/")
        return parts[3] if len(parts) > 3 else None

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """The books tell enough."""


@contextlib.contextmanager
def open_vendor(port: int = 0) -> Iterator[Vendor]:
    """The vendor behind a real server; its address is in `url`."""
    server = _Server(("127.0.0.1", port), _Counter)
    server.vendor = Vendor(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, name="vendor", daemon=True)
    thread.start()
    try:
        yield server.vendor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
