"""Posting to a callback endpoint that a stranger's server answers.

The connection goes to the very address that was checked, no redirect is
followed, and neither a slow nor an endless answer can hold a worker.
"""

import ipaddress
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from providers.fetch import is_public

TIMEOUT_S = 15.0
ANSWER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; no `status` means that no answer did, and `text` says why."""

    status: int | None
    latency_ms: int
    text: str


def post(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool, timeout_s: float = TIMEOUT_S) -> Reply:
    """One attempt; never raises for what the other side does."""
    start = time.monotonic()
    try:
        status, text = _post(url, body, headers, allow_private, start + timeout_s)
    except (HTTPError, OSError, ValueError) as error:
        status, text = None, type(error).__name__ if not isinstance(error, _Refused) else str(error)
    return Reply(status, round((time.monotonic() - start) * 1000), text)


class _Refused(ValueError):
    """The endpoint leads to where we do not go."""


def _post(url: str, body: bytes, headers: dict[str, str], allow_private: bool, deadline: float) -> tuple[int, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(host, port, allow_private)
    timeout = urllib3.Timeout(total=max(deadline - time.monotonic(), 0.001))
    if parts.scheme == "https":
        pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
            address, port, server_hostname=host, assert_hostname=host, ca_certs=certifi.where(), timeout=timeout
        )
    elif allow_private:
        pool = urllib3.HTTPConnectionPool(address, port, timeout=timeout)
    else:
        raise _Refused("a callback URL begins with https://")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with pool:
        answer = pool.urlopen(
            "POST",
            path,
            body=body,
            headers={"Host": parts.netloc.rpartition("@")[2], "User-Agent": "likeness", **headers},
            redirect=False,
            retries=False,
            preload_content=False,
        )
        try:
            return answer.status, _beginning(answer, deadline)
        finally:
            answer.close()


def _beginning(answer: urllib3.BaseHTTPResponse, deadline: float) -> str:
    taken = b""
    while len(taken) < ANSWER_BYTES and time.monotonic() < deadline:
        piece = answer.read1(ANSWER_BYTES - len(taken))
        if not piece:
            break
        taken += piece
    return taken.decode("utf-8", "replace")


def _address(host: str, port: int, allow_private: bool) -> str:
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not allow_private and not all(is_public(address) for address in addresses):
        raise _Refused("the callback URL leads to an address that is not public")
    return min(addresses, key=lambda address: ipaddress.ip_address(address.partition("%")[0]).version)
