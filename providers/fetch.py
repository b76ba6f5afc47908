"""Takes the bytes of an input URL, which a stranger may have written.

Only from listed hosts, over a line that was checked (providers/line.py), with no
redirects, and with limits on size and time that a slow sender cannot stretch.
"""

import http.client
import ssl
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import FetchFailed, FetchRefused, StageError
from providers.line import PORTS, NotPublic, Target, connected, is_address, listed, resolve

MIB = 2**20
CHUNK = 1 << 16
TAKEN = ("image/", "audio/")


class MediaFetcher:
    """Fetches images and sounds from `hosts`: names, `name:port` where it is not 443, or `*` for any public address.

    `allow_private` is for tests: it also takes http and addresses that are not
    public. `trust` replaces the public certificate authorities.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        allow_private: bool = False,
        max_bytes: int = 25 * MIB,
        max_seconds: float = 60.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(host.strip().lower() for host in hosts)
        self._allow_private = allow_private
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._trust = trust

    def fetch(self, url: str, into: Path) -> str:
        """Write the body to the file `into`; answers its media type. On an error nothing is left there.

        Raises FetchRefused (the same URL will not be taken later either) or FetchFailed (it may be).
        """
        target = self._target(url)
        late = threading.Event()
        whole = False
        try:
            media_type = self._receive(target, into, late)
            whole = not late.is_set()  # a body without a length ends where it is cut
        except (StageError, OSError, http.client.HTTPException, ValueError) as error:
            if not late.is_set():
                if isinstance(error, StageError):
                    raise
                raise FetchFailed(f"{target.host} cannot be read ({type(error).__name__})", host=target.host) from None
        finally:
            if not whole:
                into.unlink(missing_ok=True)
        if not whole:
            raise FetchFailed(f"{target.host} took longer than {self._max_seconds:g} s", host=target.host)
        return media_type

    def _receive(self, target: Target, into: Path, late: threading.Event) -> str:
        with connected(target, late, self._max_seconds, trust=self._trust) as connection, into.open("wb") as sink:
            headers = {"Accept": "image/*, audio/*", "Accept-Encoding": "identity"}
            connection.request("GET", target.path, headers=headers)
            response = connection.getresponse()
            media_type = self._accepted(response, target.host)
            for piece in self._body(response, target.host):
                sink.write(piece)
        return media_type

    def _target(self, url: str) -> Target:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS.get(parts.scheme, 0)
            host = host.encode("idna").decode("ascii").lower() if not is_address(host) else host
        except ValueError:
            raise FetchRefused("the input URL cannot be understood") from None
        if parts.scheme != "https" and not (self._allow_private and parts.scheme == "http"):
            raise FetchRefused("an input URL begins with https://", scheme=parts.scheme[:20])
        if not host or parts.username is not None or parts.password is not None:
            raise FetchRefused("an input URL names a host, and no user")
        if not listed(self._hosts, host, port, default=PORTS[parts.scheme]):
            raise FetchRefused(f"input media is not taken from {host}:{port}", host=host, port=port)
        return Target(parts.scheme, host, port, _request_path(parts), self._address(host, port))

    def _address(self, host: str, port: int) -> str:
        try:
            return resolve(host, port, allow_private=self._allow_private)
        except OSError:
            raise FetchFailed(f"{host} has no address", host=host) from None
        except NotPublic:
            raise FetchRefused(f"{host} leads to an address that is not public", host=host) from None

    def _accepted(self, response: http.client.HTTPResponse, host: str) -> str:
        """The answer's media type, if it is one that is taken."""
        if 300 <= response.status < 400:
            raise FetchRefused(f"{host} redirects, which is not followed", host=host, status=response.status)
        if response.status in (408, 425, 429) or response.status >= 500:
            raise FetchFailed(f"{host} answered {response.status}", host=host, status=response.status)
        if response.status != http.HTTPStatus.OK:
            raise FetchRefused(f"{host} answered {response.status}", host=host, status=response.status)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not media_type.startswith(TAKEN):
            raise FetchRefused(f"{host} gave no image or sound", host=host, media_type=media_type[:100])
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise FetchRefused(f"{host} sent a packed body, which was not asked for", host=host)
        if (response.length or 0) > self._max_bytes:
            raise self._too_large(host)
        return media_type

    def _body(self, response: http.client.HTTPResponse, host: str) -> Iterator[bytes]:
        taken = 0
        promised = response.length
        while piece := response.read1(CHUNK):
            taken += len(piece)
            if taken > self._max_bytes:
                raise self._too_large(host)
            yield piece
        if promised is not None and taken < promised:
            raise FetchFailed(f"{host} ended after {taken} of {promised} bytes", host=host)

    def _too_large(self, host: str) -> FetchRefused:
        return FetchRefused(f"{host} sends more than {self._max_bytes} bytes", host=host, limit=self._max_bytes)


def _request_path(parts: SplitResult) -> str:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(character <= " " or character == "\x7f" for character in path):
        raise FetchRefused("the input URL's path is not encoded")
    return path
