"""fal as its clients see it: a queue, a media host on another port, webhooks signed with Ed25519, and books.

Work is taken without a look at it, waits, is done, and is charged when it is done: a body that the model does not
take fails there, as at fal. What is in `books` was paid. `python -m tests.vendors.fal --port 9201` runs it alone.
"""

import argparse
import base64
import contextlib
import hashlib
import io
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from tests.vendors.server import Call, FakeVendor, HungUp, Reply, serving

KEY = "key-id:key-secret"
MODEL = "fal-ai/flux/dev"
KEYS_PATH = "/.well-known/jwks.json"
PRICE_PER_MEGAPIXEL = Decimal("0.025")
HOOK_TIMEOUT_S = 15.0
REQUEST = re.compile(r"/(?P<app>[\w-]+/[\w-]+)/requests/(?P<id>[0-9a-f-]{36})(?P<what>/status|/cancel)?")
MEDIA = re.compile(r"/files(?P<again>/again)?/(?P<id>[0-9a-f-]{36})\.\w+")
FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "prompt": lambda value: isinstance(value, str) and bool(value),
    "image_size": lambda value: _whole(value.get("width"), 1, 14142) and _whole(value.get("height"), 1, 14142),
    "num_images": lambda value: _whole(value, 1, 4),
    "num_inference_steps": lambda value: _whole(value, 1, 50),
    "seed": lambda value: _whole(value, 0, 2**63 - 1),
    "enable_safety_checker": lambda value: isinstance(value, bool),
    "output_format": lambda value: value in ("jpeg", "png"),
}


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def detail(status: int, said: Any, **headers: str) -> Reply:
    """An error as fal tells it."""
    return Reply(status, {"detail": said}, headers)


@dataclass(frozen=True, slots=True)
class Charge:
    request_id: str
    app: str
    asked: Mapping[str, Any]
    usd: Decimal
    at: float


@dataclass
class Work:
    """One request in the queue. `ends` is when it will be done; `cancelled` when it was removed before it began."""

    request_id: str
    app: str
    asked: Mapping[str, Any]
    hook: str | None
    begins: float
    ends: float
    failure: "Failure | None"
    cancelled: bool = False
    charged: bool = False

    @property
    def state(self) -> str:
        now = time.monotonic()
        if self.cancelled or now >= self.ends:
            return "COMPLETED"
        return "IN_PROGRESS" if now >= self.begins else "IN_QUEUE"


@dataclass(frozen=True, slots=True)
class Failure:
    """How work ends without a result: what response_url answers, and what the status says of it, if anything."""

    reply: Reply
    error: str | None = None
    error_type: str | None = None
    charged: bool = False


CANCELLED = Failure(
    Reply(499, {"detail": "Request was cancelled", "error_type": "client_cancelled"}),
    "Request was cancelled",
    "client_cancelled",
)


class HookKey:
    """One of fal's keys, and what it signs."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        public = self._private.public_key().public_bytes_raw()
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode()}

    def headers(self, raw: bytes, request_id: str, *, at: float, user_id: str = "user-1") -> dict[str, str]:
        message = "\n".join((request_id, user_id, str(int(at)), hashlib.sha256(raw).hexdigest()))
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": str(int(at)),
            "X-Fal-Webhook-Signature": self._private.sign(message.encode()).hex(),
            "Content-Type": "application/json",
        }


class MediaHost(FakeVendor):
    """v3.fal.media: public, so it asks for no key and must be given none."""

    fal: "Fal"

    def answer(self, call: Call) -> Reply:
        return self.fal.media(call.path)


@dataclass
class Fal(FakeVendor):
    """Besides what any vendor does: `queue_s` and `work_s` are how long work waits and takes.

    `failure` is how work that is submitted from now on ends. `hooks` are the webhooks sent for each work: `genuine`,
    `forged` (another key), `stale` (ten minutes old). `word` replaces the status, `elsewhere` the place that the
    returned addresses lead to. `output` changes a result, `picture` makes the file.
    """

    key: str = KEY
    cdn: MediaHost = field(default_factory=MediaHost)
    queue_s: float = 0.0
    work_s: float = 0.0
    stops_at_once: bool = False
    charged_at_once: bool = False
    failure: Failure | None = None
    word: str | None = None
    elsewhere: str | None = None
    output: Callable[[dict[str, Any]], Any] | None = None
    picture: Callable[[Mapping[str, Any]], bytes] | None = None
    media_type: str = "image/png"
    expired: bool = False
    moves_expired: bool = False
    hooks: Sequence[str] = ("genuine",)
    hook_lag_s: float = 0.0
    keys: list[HookKey] = field(default_factory=lambda: [HookKey()])
    works: dict[str, Work] = field(default_factory=dict)
    hooks_answered: list[int] = field(default_factory=list)
    _scripts: dict[str, list[Reply]] = field(default_factory=dict)
    _timers: list[threading.Timer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cdn.fal = self

    @property
    def variables(self) -> dict[str, str]:
        """The settings of a service that is to use it, without the `FAL_`."""
        return {"KEY": self.key, "BASE_URL": self.url, "JWKS_URL": self.url + KEYS_PATH}

    @property
    def key_calls(self) -> int:
        """How often the public keys were asked for."""
        return sum(call.path == KEYS_PATH for call in self.calls)

    def answers_at(self, place: str, *replies: Reply) -> None:
        """The next calls of a place (`submit`, `status`, `response`, `cancel`, `keys`) are answered so."""
        with self.lock:
            self._scripts.setdefault(place, []).extend(replies)

    def rotate(self) -> None:
        self.keys = [HookKey()]

    # --- answers ---------------------------------------------------------------------------

    def answer(self, call: Call) -> Reply:
        if call.path == KEYS_PATH:
            return self._scripted("keys") or Reply(200, {"keys": [key.jwk for key in self.keys]})
        work, place = self._meant(call)
        return self._scripted(place) or self._denied(call) or getattr(self, f"_{place}")(call, work)

    def _scripted(self, place: str) -> Reply | None:
        with self.lock:
            waiting = self._scripts.get(place)
            return waiting.pop(0) if waiting else None

    def _meant(self, call: Call) -> tuple[Work | None, str]:
        """The request, and what is asked of it. fal drops the model's sub-path from the addresses of a request."""
        if call.method == "POST":
            return None, "submit"
        found = REQUEST.fullmatch(call.path)
        place = (found["what"] or "/response")[1:] if found else "response"
        work = self.works.get(found["id"]) if found else None
        if (
            found is None
            or work is None
            or _root(work.app) != found["app"]
            or (call.method == "PUT") != (place == "cancel")
        ):
            return None, place
        return work, place

    def _denied(self, call: Call) -> Reply | None:
        given = call.headers.get("authorization")
        if given == f"Key {self.key}":
            return None
        said = (
            "Authentication is required to access this application." if given is None else "No user found for this key."
        )
        return detail(401, said)

    def _submit(self, call: Call, _: None) -> Reply:
        app = call.path.strip("/")
        if app != MODEL:
            return detail(404, f"Application {app!r} not found")
        if set(call.query) - {"fal_webhook"} or call.headers.get("content-type") != "application/json":
            return detail(400, "Bad request")
        try:
            asked = json.loads(call.body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return detail(422, [{"loc": ["body"], "msg": "Invalid JSON", "type": "json_invalid"}])
        work = self.take(app, asked, call.query.get("fal_webhook", [None])[0])
        base = f"{self.elsewhere or self.url}/{_root(app)}/requests/{work.request_id}"
        told = {"status": "IN_QUEUE", "request_id": work.request_id, "queue_position": self.queued_before(work)}
        urls = {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}
        return Reply(200, told | urls, {"x-fal-request-id": work.request_id})

    def _status(self, _: Call, work: Work | None) -> Reply:
        if work is None:
            return detail(404, "Request not found")
        self.settle(work)
        state = self.word or work.state
        told: dict[str, Any] = {"status": state, "request_id": work.request_id}
        if state == "IN_QUEUE":
            told["queue_position"] = self.queued_before(work)
        if state == "COMPLETED":
            told |= {"logs": None, "metrics": {"inference_time": self.work_s}}
            if work.failure is not None and work.failure.error is not None:
                told |= {"error": work.failure.error, "error_type": work.failure.error_type}
        return Reply(200 if state == "COMPLETED" else 202, told)

    def _response(self, _: Call, work: Work | None) -> Reply:
        if work is None:
            return detail(404, "Request not found")
        if work.state != "COMPLETED":
            return detail(400, "Request is still in progress")
        marks = {"x-fal-request-id": work.request_id}
        if work.failure is not None:
            reply = work.failure.reply
            return Reply(reply.status, reply.body, marks | dict(reply.headers), reply.cut)
        units = {"x-fal-billable-units": str(_megapixels(work.asked))}
        return Reply(200, self.result(work), marks | units)

    def _cancel(self, _: Call, work: Work | None) -> Reply:
        """Work that runs goes on, and is charged, unless the model knows how to stop (`stops_at_once`)."""
        with self.lock:
            if work is None:
                return Reply(404, {"status": "NOT_FOUND"})
            if work.state == "COMPLETED":
                return Reply(400, {"status": "ALREADY_COMPLETED"})
            if work.state == "IN_QUEUE" or self.stops_at_once:
                work.cancelled = True
                work.failure = CANCELLED
            return Reply(202, {"status": "CANCELLATION_REQUESTED"})

    # --- work ------------------------------------------------------------------------------

    def take(self, app: str, asked: Mapping[str, Any], hook: str | None) -> Work:
        now = time.monotonic()
        begins = now + self.queue_s
        work = Work(
            str(uuid.uuid4()), app, asked, hook, begins, begins + self.work_s, self.failure or _refusal(app, asked)
        )
        with self.lock:
            self.works[work.request_id] = work
        if self.charged_at_once:
            self._charge(work)
        timer = threading.Timer(max(work.ends - now, 0.0), self._end, (work,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()
        if (self.after_taken is not None and not self.after_taken(work)) or random.random() < self.deaf:
            raise HungUp
        return work

    def queued_before(self, work: Work) -> int:
        with self.lock:
            return sum(other.state == "IN_QUEUE" and other.begins < work.begins for other in self.works.values())

    def finish(self, request_id: str) -> None:
        """Work that would take long is done now, and its webhooks go out."""
        work = self.works[request_id]
        work.begins = work.ends = time.monotonic()
        threading.Thread(target=self._end, args=(work,), daemon=True).start()

    def settle(self, work: Work) -> None:
        with self.lock:
            if work.state == "COMPLETED" and not work.cancelled:
                self._charge(work)

    def _end(self, work: Work) -> None:
        self.settle(work)
        if work.cancelled:
            return
        for kind in self.hooks if work.hook else ():
            time.sleep(self.hook_lag_s)
            self._call(work, kind)

    def _charge(self, work: Work) -> None:
        if work.charged or (work.failure is not None and not work.failure.charged):
            return
        work.charged = True
        usd = PRICE_PER_MEGAPIXEL * _megapixels(work.asked)
        self.books.append(Charge(work.request_id, work.app, work.asked, usd, time.monotonic()))

    # --- webhooks --------------------------------------------------------------------------

    def hook(
        self, request_id: str, *, at: float | None = None, key: HookKey | None = None
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of a webhook, signed with `key` (ours) at a time (now)."""
        work = self.works.get(request_id)
        body = {"request_id": request_id, "gateway_request_id": request_id, "status": "OK", "payload": {}}
        if work is not None and work.failure is None:
            body["payload"] = self.result(work)
        raw = json.dumps(body).encode()
        return (key or self.keys[-1]).headers(raw, request_id, at=time.time() if at is None else at), raw

    def _call(self, work: Work, kind: str) -> None:
        at = time.time() - 600 if kind == "stale" else time.time()
        headers, raw = self.hook(work.request_id, at=at, key=HookKey() if kind == "forged" else None)
        with contextlib.suppress(requests.RequestException):  # whoever cannot be reached polls
            answer = requests.post(work.hook or "", data=raw, headers=headers, timeout=HOOK_TIMEOUT_S)
            self.hooks_answered.append(answer.status_code)

    # --- results ---------------------------------------------------------------------------

    def result(self, work: Work) -> dict[str, Any]:
        size = _size(work.asked)
        moved = "/again" if self.moves_expired and self.cdn.calls else ""
        url = f"{self.cdn.url}/files{moved}/{work.request_id}.{work.asked.get('output_format', 'jpeg')}"
        told: dict[str, Any] = {
            "images": [{"url": url, **size, "content_type": self.media_type}],
            "timings": {"inference": self.work_s},
            "seed": work.asked.get("seed", 0),
            "has_nsfw_concepts": [False],
            "prompt": work.asked.get("prompt"),
        }
        return self.output(told) if self.output else told

    def media(self, path: str) -> Reply:
        found = MEDIA.fullmatch(path)
        if found is None or self.expired or (self.moves_expired and not found["again"]):
            return Reply(404, b"not found", {"Content-Type": "text/plain"})
        data = (self.picture or paint)(self.works[found["id"]].asked)
        return Reply(200, data, {"Content-Type": self.media_type})

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()


def paint(asked: Mapping[str, Any]) -> bytes:
    """A picture of the size that was asked for; the same seed gives the same."""
    size = _size(asked)
    picture = Image.linear_gradient("L").rotate(asked.get("seed", 0) % 360).resize((size["width"], size["height"]))
    made = io.BytesIO()
    picture.convert("RGB").save(made, "PNG" if asked.get("output_format") == "png" else "JPEG")
    return made.getvalue()


def _refusal(app: str, asked: Mapping[str, Any]) -> Failure | None:
    """Why the model does not take it: told when the work ends, as at fal."""
    wrong = ["prompt"] if "prompt" not in asked else []
    for name, value in asked.items():
        with contextlib.suppress(AttributeError):
            if name in FIELDS and FIELDS[name](value):
                continue
        wrong.append(name)
    if not wrong:
        return None
    said = [{"loc": ["body", name], "msg": f"{name} is not valid", "type": "value_error"} for name in wrong]
    return Failure(detail(422, said, **{"X-Fal-Retryable": "false"}))


def _root(app: str) -> str:
    return "/".join(app.split("/")[:2])


def _size(asked: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = asked.get("image_size") or {"width": 1024, "height": 768}
    return found


def _megapixels(asked: Mapping[str, Any]) -> int:
    size = _size(asked)
    return -(-size["width"] * size["height"] // 10**6)


@contextlib.contextmanager
def open_fal(port: int = 0) -> Iterator[Fal]:
    """fal behind real servers; the media host takes the next port."""
    fal = Fal()
    with serving(fal, port), serving(fal.cdn, port + 1 if port else 0):
        try:
            yield fal
        finally:
            fal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fal that charges nobody.")
    parser.add_argument("--port", type=int, default=0, help="the queue's; the media host takes the next one")
    with open_fal(parser.parse_args().port) as running:
        print(json.dumps({f"FAL_{name}": value for name, value in running.variables.items()}), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
