"""One HTTP request and its answer, of which it is always known whether a byte of it was written.

Each has a connection of its own: one that was kept alive may be dead, and then nobody knows whether the other side read
what was written to it. Nothing is tried twice, no redirect is followed, and the whole has one limit of time.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import requests
from requests.adapters import HTTPAdapter

CHUNK = 1 << 16
CONNECT_S = 10.0

Sign = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class NotSent(Exception):
    """It ended before a byte of the request was written; says why, in our words."""


class Broken(Exception):
    """It ended when the request may have been read; says why, in our words."""


class TooLarge(Broken):
    def __init__(self) -> None:
        super().__init__("the answer is too large")


def unsigned(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Nobody's key. Without it, requests would look for a password in ~/.netrc."""
    return prepared


@contextmanager
def exchange(
    method: str, url: str, *, sign: Sign = unsigned, seconds: float, **request: Any
) -> Iterator[requests.Response]:
    """The answer as far as its headers; what reads the rest (`pour`) does so inside. `request` as `requests` has it.

    Raises NotSent, Broken.
    """
    line = _Line()
    timer = threading.Timer(max(seconds, 0.0), line.cut)  # limits of single reads let a sender drip for hours
    timer.daemon = True
    own = {"User-Agent": "likeness", "Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    request["headers"] = own | dict(request.get("headers", {}))
    request["timeout"] = (min(CONNECT_S, max(seconds, 0.1)), max(seconds, 0.1))
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(line))
    timer.start()
    failed = slow = False
    try:
        with session.request(method, url, auth=sign, allow_redirects=False, stream=True, **request) as response:
            yield response
    except requests.RequestException as error:
        failed, slow = True, isinstance(error, requests.Timeout)
    except Exception:
        if not line.late:  # else what was made of the answer was made of a part
            raise
    finally:
        timer.cancel()
        session.close()
    if failed or line.late:  # a body without a length just ends where it is cut
        why = f"it took longer than {seconds:.3g} s" if slow or line.late else "the connection failed"
        raise (Broken if line.sent else NotSent)(why)


def pour(response: requests.Response, sink: IO[bytes], max_bytes: int) -> int:
    """Write the body; answers its size. Raises TooLarge. Fewer bytes than were announced are a failed connection."""
    announced = str(response.headers.get("content-length", ""))
    if announced.isdecimal() and int(announced) > max_bytes:
        raise TooLarge
    size = 0
    for piece in response.iter_content(CHUNK):
        size += len(piece)
        if size > max_bytes:
            raise TooLarge
        sink.write(piece)
    return size


class _Line:
    """What is known of an exchange's connection, and the means to end it."""

    def __init__(self) -> None:
        self.sent = False
        self.late = False
        self._socket: Any = None

    def connected(self, line: Any) -> None:
        self._socket = line
        if self.late:
            raise TimeoutError

    def cut(self) -> None:
        self.late = True
        if isinstance(self._socket, socket.socket):
            with suppress(OSError):  # it ended by itself
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Watched:
    """Mixed into urllib3's connections: tells the line when it stands, and before the first byte is written."""

    line: _Line
    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.line.connected(self.sock)

    def request(self, *arguments: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()
        self.line.sent = True
        super().request(*arguments, **options)  # type: ignore[misc]


class _Adapter(HTTPAdapter):
    def __init__(self, line: _Line) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._line = line

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = type("Watched", (_Watched, pool.ConnectionCls), {"line": self._line})
        return pool
