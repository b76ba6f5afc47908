"""fal's queue: any of its models is asked, waited for, cancelled and read in this one way.

Read in November 2026: https://docs.fal.ai/model-apis/model-endpoints/queue and the source of its Python client.
"""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from random import uniform
from typing import Any

import structlog

from pipeline.calls import Answered, Repeat, Running, Ticket
from pipeline.errors import (
    CallVanished,
    ConcurrencyLimited,
    InsufficientFunds,
    Moderated,
    OutcomeUnknown,
    ProviderError,
    ProviderRejected,
    ResultExpired,
    VendorBusy,
    VendorFailed,
)
from pipeline.ports import AssetStore
from pipeline.settings import Vendor
from providers.operation import VendorOperation
from providers.wire import FUNDS_PAUSE_S, Reply, Wire, base_url, facts, key, refusal, token

BASE_URL = "https://queue.fal.run"
MEDIA_HOSTS = "fal.media"
SUBMIT_S = 60.0
START_WITHIN_S = 1200  # what has not begun by then fal drops, unpaid: less than an operation's deadline
RESULT_KEPT_S = 7 * 86400  # a person may take so long to tell us of a request whose answer was lost
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MODEL_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
NAMESPACES = ("workflows", "comfy")
ADDRESSES = ("status", "response", "cancel")
AT_WORK = ("IN_QUEUE", "IN_PROGRESS")
STOPPING = ("CANCELLATION_REQUESTED", "OK")
# About the question and not about the work: our key, our pace.
OF_THE_QUESTION = {401, 402, 403, 408, 409, 429}
OF_THE_WORK = frozenset(range(400, 600)) - OF_THE_QUESTION
MODERATED = "content_policy_violation"
# fal's own failures and stops: never charged, as are all 5xx (https://docs.fal.ai/faq).
UNCHARGED = {
    "client_cancelled",
    "client_disconnected",
    "internal_error",
    "request_timeout",
    "runner_connection_error",
    "runner_connection_refused",
    "runner_connection_timeout",
    "runner_disconnected",
    "runner_incomplete_response",
    "runner_scheduling_failure",
    "runner_server_error",
    "startup_timeout",
}
MAY_BE_CHARGED = 422

log = structlog.get_logger()


def ready(vendor: Vendor) -> None:
    """Raises ProviderMissing."""
    wire(vendor)


def wire(vendor: Vendor) -> Wire:
    """Raises ProviderMissing where a setting is missing or cannot be."""
    hosts = (vendor.variables.get("MEDIA_HOSTS") or MEDIA_HOSTS).lower().replace(" ", "").split(",")
    return Wire(
        vendor,
        base=base_url(vendor, BASE_URL),
        auth=("Authorization", f"Key {key(vendor, 'KEY')}"),
        explain=explain,
        hosts=[name for host in hosts if host for name in (host, f".{host}")],
    )


class Queued(VendorOperation):
    """Work in the queue. A model's own class says which `model` it is, what it is sent, and what its answer means."""

    repeat = Repeat.NEITHER
    deadline = timedelta(minutes=30)

    def __init__(self, assets: AssetStore, vendor: Vendor) -> None:
        super().__init__(assets, vendor)
        self.wire = wire(vendor)

    @property
    def model(self) -> str:
        """The model that is set up now: whose requests can be adopted."""
        raise NotImplementedError

    def body(self, action: Any) -> dict[str, Any]:
        raise NotImplementedError

    def read(self, action: Any, output: Mapping[str, Any], reply: Reply) -> Answered[Any]:
        """Fetch and keep what was made. Raises ResultExpired where its file is gone, which may be asked for again."""
        raise NotImplementedError

    def submit(self, action: Any, reference: str) -> Ticket | Answered[Any]:
        reply = self.wire.pay(
            f"/{action.model}",
            seconds=SUBMIT_S,
            json=self.body(action),
            params={"fal_webhook": self.vendor.hook} if self.vendor.hook else {},
            headers={
                "X-Fal-Request-Timeout": str(START_WITHIN_S),
                "X-Fal-Object-Lifecycle-Preference": json.dumps({"expiration_duration_seconds": RESULT_KEPT_S}),
            },
        )
        told = reply.object()
        request_id = told.get("request_id")
        if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
            raise OutcomeUnknown("fal took the request and did not say how it calls it.", **_known(reply))
        given = {name: told.get(f"{name}_url") for name in ADDRESSES}
        ours = {name: url for name, url in given.items() if isinstance(url, str) and self.wire.owns(url)}
        if len(ours) < len(ADDRESSES):
            log.warning("addresses not taken over", provider=self.provider, request=request_id)
        return Ticket(request_id, self._urls(action.model, request_id) | ours)

    def adopt(self, external_id: str) -> Ticket | None:
        if not REQUEST_ID.fullmatch(external_id):
            return None
        return Ticket(external_id, self._urls(self.model, external_id))

    def poll(self, action: Any, ticket: Ticket) -> Running | Answered[Any]:
        status = self.wire.ask("GET", ticket.urls["status"], expect=(404, 410))
        if not status.ok:
            raise CallVanished(f"fal does not know the request {ticket.external_id} any more.", **_known(status))
        told = status.object()
        word = told.get("status")
        if word != "COMPLETED":
            if word not in AT_WORK:
                log.warning("unknown status", provider=self.provider, status=token(word), request=ticket.external_id)
            return Running(timedelta())
        try:
            return self._result(action, ticket, told)
        except ResultExpired:
            return self._result(action, ticket, told)  # a new address for its file, if there is one

    def cancel(self, ticket: Ticket) -> bool:
        """Whether fal will try to stop it. It may be done, and paid, all the same."""
        reply = self.wire.ask("PUT", ticket.urls["cancel"], expect=(400, 404))
        return reply.object().get("status") in STOPPING

    def _result(self, action: Any, ticket: Ticket, told: Mapping[str, Any]) -> Answered[Any]:
        reply = self.wire.ask("GET", ticket.urls["response"], expect=OF_THE_WORK)
        if not reply.ok or told.get("error"):
            raise ended(reply, told)
        return self.read(action, reply.object(), reply)

    def _urls(self, model: str, request_id: str) -> dict[str, str]:
        """Where a request is when fal did not tell: without the model's sub-path."""
        parts = model.split("/")
        root = "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])
        base = f"{base_url(self.vendor, BASE_URL).rstrip('/')}/{root}/requests/{request_id}"
        return {"status": f"{base}/status", "response": base, "cancel": f"{base}/cancel"}


def explain(reply: Reply) -> ProviderError | None:
    """What fal says of a request that it did not take, where its status alone does not tell."""
    code, detail = _code(reply), reply.object().get("detail")
    prose = detail.lower() if isinstance(detail, str) else ""
    if reply.status == 403 and "locked" in prose:  # "User is locked. Reason: Exhausted balance."
        return InsufficientFunds("fal has locked our account: it has no money left.", pause_s=FUNDS_PAUSE_S)
    if reply.status == 429 and "concurren" in prose:
        return ConcurrencyLimited("fal takes no more of our requests at once.", pause_s=uniform(2.0, 4.0))
    if code == MODERATED:
        return Moderated("fal does not allow this content.", **_known(reply))
    if reply.status == 404:
        return ProviderRejected("fal has no such model: an operator has to look at the settings.", **_known(reply))
    return refusal("fal", reply, said=code) if code else None


def ended(reply: Reply, told: Mapping[str, Any]) -> ProviderError:
    """Why work ended without a result: from what is at its response_url, and what its status told.

    A proxy's word before fal is none: VendorBusy, and it is asked again.
    """
    status, code = reply.status, _code(reply) or token(told.get("error_type"))
    known = _known(reply) | ({"vendor_code": code} if code else {})
    words = f"fal could not do it ({code or status})."
    failed_there = bool(told.get("error"))
    if not reply.ok and not failed_there:
        if not (code or "x-fal-request-id" in reply.headers or "detail" in reply.object()):
            return VendorBusy(f"fal could not be asked for the result ({status}).", **known)
        if status in (404, 410) and code is None:
            return ResultExpired("fal no longer has the result.", **known)
    paid = status == MAY_BE_CHARGED or (reply.ok and code not in UNCHARGED)
    hint = _hint(reply)
    if code == MODERATED or status == 451:
        return Moderated("fal does not allow this content.", charged=paid, **known)
    if 400 <= status < 500 and code not in UNCHARGED and not failed_there and not hint:
        return ProviderRejected(f"fal does not take this input ({code or status}).", charged=paid, **known)
    failed = VendorFailed(words, charged=paid, **known)
    failed.retryable = failed.retryable and hint is not False
    return failed


def _code(reply: Reply) -> str | None:
    """fal's code of an error: of the platform in `error_type`, of a model in each of `detail`."""
    told = reply.object()
    detail = told.get("detail")
    first = detail[0].get("type") if isinstance(detail, list) and detail and isinstance(detail[0], dict) else None
    return token(told.get("error_type")) or token(first) or token(reply.headers.get("x-fal-error-type"))


def _hint(reply: Reply) -> bool | None:
    """Whether fal thinks that the same could go well later; its docs have two names for this header."""
    for name in ("x-fal-retryable", "x-fal-needs-retry"):
        if (said := reply.headers.get(name, "").lower()) in ("true", "1", "false", "0"):
            return said in ("true", "1")
    return None


def _known(reply: Reply) -> dict[str, Any]:
    code, request_id = _code(reply), token(reply.headers.get("x-fal-request-id"))
    return facts(reply, vendor_code=code) | ({"request_id": request_id} if request_id else {})
