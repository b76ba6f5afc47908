"""Posting to a callback endpoint that a stranger's server answers.

Over a line that was checked, with no redirects; neither a slow nor an endless
answer can hold a worker.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from providers.line import PORTS, NotPublic, Target, connected, resolve

TIMEOUT_S = 15.0
ANSWER_BYTES = 1024


class Refused(Exception):
    """The URL is not one that we call."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; no `status` means that no answer did, and `text` says why."""

    status: int | None
    latency_ms: int
    text: str


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    timeout_s: float = TIMEOUT_S,
    trust: ssl.SSLContext | None = None,
) -> Reply:
    """One attempt; never raises for what the other side does. Private addresses may be called without TLS."""
    start = time.monotonic()
    late = threading.Event()
    status: int | None = None
    try:
        target = _target(url, allow_private)
        with connected(target, late, timeout_s, trust=trust) as connection:
            connection.request("POST", target.path, body, {"User-Agent": "likeness", **headers})
            answer = connection.getresponse()
            if late.is_set():
                raise TimeoutError  # a head that was cut looks like one that ended
            status = answer.status
            text = answer.read(ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        text = f"no answer within {timeout_s:g} s" if late.is_set() else type(error).__name__
    except NotPublic:
        text = "the callback URL leads to an address that is not public"
    except Refused as error:
        text = str(error)
    return Reply(status, round((time.monotonic() - start) * 1000), text)


def _target(url: str, allow_private: bool) -> Target:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or not (parts.scheme == "https" or allow_private):
        raise Refused("a callback URL begins with https:// and names a host")
    port = parts.port or PORTS[parts.scheme]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port, path, resolve(parts.hostname, port, allow_private=allow_private))
