"""HTTP to vendors, as money asks for it: it is always known whether a request may have arrived.

Our key goes to the vendor's own address and nowhere else. What vendors write never enters an error's text: it may
repeat the script.
"""

import io
import ipaddress
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from random import uniform
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests

from pipeline.errors import (
    BadOutput,
    InsufficientFunds,
    Moderated,
    OutcomeUnknown,
    ProviderAuth,
    ProviderError,
    ProviderMissing,
    ProviderRejected,
    RateLimited,
    ResultExpired,
    VendorBusy,
)
from pipeline.settings import Vendor
from providers.exchange import Broken, NotSent, TooLarge, exchange, pour, unsigned

MIB = 2**20
AUTH_PAUSE_S = 300.0
FUNDS_PAUSE_S = 900.0
LONGEST_PAUSE_S = 900.0
HOPS = 3  # of a file's address, among hosts that are listed
TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")
NOT_TAKEN = {301, 302, 307, 308, 408, 409, 425, 503, 529}  # what the vendors' own clients send again
GONE = {401, 403, 404, 410}  # what a signed address of a file says when its time is over


@dataclass(frozen=True, slots=True)
class Reply:
    """A vendor's whole answer. `headers` by their lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body, or None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def object(self) -> dict[str, Any]:
        """The body, or an empty one where it is not a JSON object."""
        found = self.json()
        return found if isinstance(found, dict) else {}

    def pause_s(self) -> float | None:
        """How long the vendor asks us to wait, at most a quarter of an hour."""
        return pause_s(self.headers)


Explain = Callable[[Reply], ProviderError | None]


class Wire:
    """One vendor's API. `base` is its address (see `base_url`), `auth` the header that has our key.

    `explain` tells a refusal by the vendor's own words; None where the status says it all. `hosts` are where its files
    are: names, or `.name` for all below one.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        base: str,
        auth: tuple[str, str],
        explain: Explain = lambda reply: None,
        hosts: Collection[str] = (),
    ) -> None:
        self.name = vendor.name
        self._base = base.rstrip("/")
        self._origin = _origin(urlsplit(base))
        self._auth = auth
        self._explain = explain
        self._hosts = hosts

    def pay(self, path: str, *, seconds: float, max_bytes: int = 8 * MIB, **request: Any) -> Reply:
        """POST what may cost money; `request` as `requests` has it (json, params, data, files, headers).

        The reply is a success with a JSON object. Raises OutcomeUnknown where the vendor may have taken it, else what
        its refusal means.
        """
        try:
            reply = self._exchange("POST", self._base + path, seconds, max_bytes, **request)
        except NotSent as error:
            raise VendorBusy(f"{self.name} could not be reached: {error}.") from None
        except TooLarge:
            raise BadOutput(f"{self.name} answered with more than {max_bytes} bytes.") from None
        except Broken as error:
            raise OutcomeUnknown(f"{self.name} may have taken the request, but {error}.") from None
        if not reply.ok:
            raise self._explain(reply) or refusal(self.name, reply)
        if not isinstance(reply.json(), dict):
            raise OutcomeUnknown(f"{self.name} answered {reply.status} without a word of its own.", **facts(reply))
        return reply

    def ask(
        self,
        method: str,
        where: str,
        *,
        expect: Collection[int] = (),
        seconds: float = 30.0,
        max_bytes: int = 8 * MIB,
        **request: Any,
    ) -> Reply:
        """What costs nothing, and may be asked again. `where`: a path, or an address that `owns` knows.

        The reply is a success with JSON, or has a status of `expect`. Raises VendorBusy, RateLimited, ProviderAuth:
        a question that fails says nothing of the work that it is about.
        """
        url = where if "://" in where else self._base + where
        if not self.owns(url):
            raise VendorBusy(f"{self.name} gave an address that is not its own.")
        try:
            reply = self._exchange(method, url, seconds, max_bytes, **request)
        except (NotSent, Broken) as error:
            raise VendorBusy(f"{self.name} could not be asked: {error}.") from None
        if reply.status in expect:
            return reply
        if reply.ok:
            if reply.body and reply.json() is None:
                raise VendorBusy(f"{self.name} answered {reply.status} without a word of its own.", **facts(reply))
            return reply
        refused = self._explain(reply) or refusal(self.name, reply)
        if refused.ends_call or isinstance(refused, OutcomeUnknown):
            raise VendorBusy(f"{self.name} answered {reply.status}.", **facts(reply))
        raise refused

    def owns(self, url: str) -> bool:
        """Whether this address gets our key."""
        try:
            return _origin(urlsplit(url)) == self._origin
        except ValueError:
            return False

    def download(self, url: str, into: Path, *, media: Collection[str], max_bytes: int, seconds: float) -> str:
        """Fetch a file that the vendor made, without our key; its media type begins with one of `media`.

        Raises ResultExpired, BadOutput (another kind of file, too large, empty, elsewhere), VendorBusy (ask again).
        On an error nothing is left at `into`.
        """
        end = time.monotonic() + seconds
        try:
            for _ in range(HOPS + 1):
                with self._foreign("GET", url, end - time.monotonic(), headers={"Accept": "*/*"}) as response:
                    if not response.is_redirect:
                        return self._save(response, into, media, max_bytes)
                    url = urljoin(url, response.headers["location"])
        except BaseException:
            into.unlink(missing_ok=True)
            raise
        raise BadOutput(f"{self.name}'s file is always elsewhere.")

    def upload(self, url: str, file: Path, *, media_type: str, seconds: float) -> None:
        """PUT a file to an address that the vendor gave for it, without our key. Raises VendorBusy, BadOutput."""
        with file.open("rb") as body:
            headers = {"Content-Type": media_type}
            with self._foreign("PUT", url, seconds, data=body, headers=headers) as response:
                if not 200 <= response.status_code < 300:
                    raise VendorBusy(f"{self.name} did not take the file ({response.status_code}).")

    @contextmanager
    def _foreign(self, method: str, url: str, seconds: float, **request: Any) -> Iterator[requests.Response]:
        host = self._listed(url)
        try:
            with exchange(method, url, sign=unsigned, seconds=seconds, **request) as response:
                yield response
        except (NotSent, Broken) as error:
            raise VendorBusy(f"{host} could not be asked: {error}.") from None

    def _listed(self, url: str) -> str:
        try:
            scheme, host, _ = _origin(urlsplit(url))
        except ValueError:
            raise BadOutput(f"{self.name} gave an address that nobody can understand.") from None
        ours = self._origin[0] == "http" and is_local(host)  # a vendor that is run here has its files here
        named = any(f".{host}".endswith(each) if each.startswith(".") else host == each for each in self._hosts)
        if not ours and (scheme != "https" or not (named or self.owns(url))):
            raise BadOutput(f"{self.name} gave an address where its files are not taken from.")
        return host

    def _save(self, response: requests.Response, into: Path, media: Collection[str], max_bytes: int) -> str:
        status = response.status_code
        if status in GONE:
            raise ResultExpired(f"{self.name} no longer has the file ({status}).")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RateLimited(f"{self.name} asks for a pause.", pause_s=_rest(response.headers))
        if status != HTTPStatus.OK:
            raise VendorBusy(f"{self.name} answered {status} for its file.")
        media_type = str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()
        if not media_type.startswith(tuple(media)):
            raise BadOutput(f"{self.name} gave a file of another kind.", media_type=token(media_type.replace("/", ":")))
        try:
            with into.open("wb") as sink:
                size = pour(response, sink, max_bytes)
        except TooLarge:
            raise BadOutput(f"{self.name} gave a file of more than {max_bytes} bytes.") from None
        if not size:
            raise BadOutput(f"{self.name} gave an empty file.")
        return media_type

    def _exchange(self, method: str, url: str, seconds: float, max_bytes: int, **request: Any) -> Reply:
        def signed(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            prepared.headers[self._auth[0]] = self._auth[1]
            return prepared

        body = io.BytesIO()
        with exchange(method, url, sign=signed, seconds=seconds, **request) as response:
            pour(response, body, max_bytes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, headers, body.getvalue())


# --- what a vendor's own adapter needs besides ---------------------------------------------


def base_url(vendor: Vendor, default: str, variable: str = "BASE_URL") -> str:
    """The vendor's address as the operator has it. Raises ProviderMissing where it would give our key away."""
    url = vendor.variables.get(variable) or default
    try:
        parts = urlsplit(url)
        scheme, host, _ = _origin(parts)
    except ValueError:
        scheme, host, parts = "", "", urlsplit("")
    plain = bool(host) and not parts.query and not parts.fragment and parts.username is None
    if not plain or not (scheme == "https" or (scheme == "http" and is_local(host))):
        raise ProviderMissing(
            f"{vendor.variable(variable)} is an https:// address without a user or a query;"
            " http:// only for localhost and private addresses."
        )
    return url


def key(vendor: Vendor, variable: str) -> str:
    """The vendor's key as a header can have it. Raises ProviderMissing."""
    found = vendor.variables.get(variable, "").strip()
    if not found:
        raise ProviderMissing(f"{vendor.variable(variable)} not set")
    if not re.fullmatch(r"[!-~]+", found):
        raise ProviderMissing(f"{vendor.variable(variable)} has characters that no key has")
    return found


def is_local(host: str) -> bool:
    """Whether the name or address is of this machine or a private network."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return address.is_loopback or address.is_private
    return False


def token(word: object) -> str | None:
    """A code that a vendor gave, where it looks like one: prose may repeat the script."""
    return word if isinstance(word, str) and TOKEN.fullmatch(word) else None


def facts(reply: Reply, **more: object) -> dict[str, Any]:
    """What an error may tell of a reply: its status, the vendor's id for it, and `more` that is known."""
    found = {"status": reply.status, "request_id": token(reply.headers.get("request-id")), **more}
    return {name: value for name, value in found.items() if value is not None}


def refusal(name: str, reply: Reply, *, said: str | None = None) -> ProviderError:
    """What a status means for a request that may cost money, where the vendor did not say it better.

    `said`: the vendor's code. OutcomeUnknown where the vendor may have taken it all the same.
    """
    status, known = reply.status, facts(reply, vendor_code=said)
    words = f"{name} answered {status}" + (f" ({said})" if said else "")
    if status in (401, 403):
        return ProviderAuth(f"{words}: it does not accept our key.", pause_s=AUTH_PAUSE_S, **known)
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return InsufficientFunds(f"{words}: our account has no money left.", pause_s=FUNDS_PAUSE_S, **known)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"{words}: it asks for a pause.", pause_s=_rest(reply.headers), **known)
    if status == HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
        return Moderated(f"{words}: it does not allow this content.", **known)
    if status in NOT_TAKEN:
        return VendorBusy(f"{words}: it did not take the request.", **known)
    if 400 <= status < 500:
        return ProviderRejected(f"{words}: it does not take this input.", **known)
    return OutcomeUnknown(f"{words}: it may have taken the request.", **known)


def pause_s(headers: Mapping[str, str]) -> float | None:
    """The seconds that `retry-after-ms`, `retry-after` (seconds or a date) or `x-ratelimit-reset` (a Unix time, or
    seconds) ask for, 0 to 900; None where none of them is there."""
    for name, read in (
        ("retry-after-ms", lambda value: float(value) / 1000),
        ("retry-after", _retry_after),
        ("x-ratelimit-reset", _reset),
    ):
        with suppress(ValueError, TypeError, OverflowError):
            seconds = read(str(headers[name]).strip()) if name in headers else None
            if seconds is not None and seconds == seconds:
                return min(max(seconds, 0.0), LONGEST_PAUSE_S)
    return None


def _retry_after(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return parsedate_to_datetime(value).timestamp() - time.time()


def _reset(value: str) -> float:
    moment = float(value)
    return moment - time.time() if moment > 10**9 else moment


def _rest(headers: Mapping[str, str]) -> float:
    """Seconds before the vendor is asked again: not none, and where it named no time not the same for all who wait."""
    told = pause_s(headers)
    return uniform(5.0, 10.0) if told is None else max(told, 1.0)


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError."""
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".").lower()
    if scheme not in ("https", "http") or not host:
        raise ValueError
    return scheme, host, parts.port or (443 if scheme == "https" else 80)
