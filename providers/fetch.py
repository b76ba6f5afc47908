"""Takes the bytes of an input URL, which a stranger may have written.

A server that fetches what it is told to can be made to read its own network.
So: only listed hosts, only public addresses, the connection goes to the very
address that was checked (a name may resolve to another one the next moment),
no redirects, and limits on size and time that a slow sender cannot stretch.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import certifi

from pipeline.errors import FetchFailed, FetchRefused, StageError

MIB = 2**20
CHUNK = 1 << 16
CONNECT_S = 10.0
PORTS = {"https": 443, "http": 80}
TAKEN = ("image/", "audio/")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What `is_global` lets through and a router may still bring home: IPv4 in IPv6 clothes (NAT64, 6to4, Teredo),
# site-local addresses, protocol assignments and the old 6to4 relays.
TUNNELS = tuple(
    ipaddress.ip_network(block)
    for block in (
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "fec0::/10",
        "::/96",
        "192.0.0.0/24",
        "192.88.99.0/24",
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads, once checked."""

    scheme: str
    host: str
    port: int
    path: str
    address: str


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
        with self._connected(target, late) as connection, into.open("wb") as sink:
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
            host = host.encode("idna").decode("ascii").lower() if not _is_address(host) else host
        except ValueError:
            raise FetchRefused("the input URL cannot be understood") from None
        if parts.scheme != "https" and not (self._allow_private and parts.scheme == "http"):
            raise FetchRefused("an input URL begins with https://", scheme=parts.scheme[:20])
        if not host or parts.username is not None or parts.password is not None:
            raise FetchRefused("an input URL names a host, and no user")
        if not self._listed(host, port, parts.scheme):
            raise FetchRefused(f"input media is not taken from {host}:{port}", host=host, port=port)
        return Target(parts.scheme, host, port, _request_path(parts), self._address(host, port))

    def _listed(self, host: str, port: int, scheme: str) -> bool:
        name = f"[{host}]" if ":" in host else host
        if f"{name}:{port}" in self._hosts:
            return True
        return port == PORTS[scheme] and not self._hosts.isdisjoint({name, host, "*"})

    def _address(self, host: str, port: int) -> str:
        """One address of the host; if any of them is not public, none is taken."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except OSError:
            raise FetchFailed(f"{host} has no address", host=host) from None
        addresses = [str(entry[4][0]) for entry in found]
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise FetchRefused(f"{host} leads to an address that is not public", host=host)
        # IPv4 first: a machine without IPv6 still gets AAAA records.
        return min(addresses, key=lambda address: ":" in address)

    @contextmanager
    def _connected(self, target: Target, late: threading.Event) -> Iterator[http.client.HTTPConnection]:
        """A connection whose socket is cut when the time is over: a timeout of each read alone would let a sender that
        drips a byte now and then hold a worker for hours."""
        patience = min(CONNECT_S, self._max_seconds)
        line = socket.create_connection((target.address, target.port), timeout=patience)

        def cut() -> None:
            late.set()
            with suppress(OSError):  # it ended by itself
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._max_seconds, cut)
        timer.daemon = True
        timer.start()
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.default_port = PORTS[target.scheme]
        try:
            if target.scheme == "https":
                trust = self._trust or ssl.create_default_context(cafile=certifi.where())
                line = trust.wrap_socket(line, server_hostname=target.host, do_handshake_on_connect=False)
                line.do_handshake()
            connection.sock = line
            yield connection
        finally:
            timer.cancel()
            connection.close()
            line.close()

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


def is_public(address: str) -> bool:
    """Whether a packet to this address leaves for the public internet, on any router we know of."""
    ip: Address = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    in_tunnel = any(ip.version == block.version and ip in block for block in TUNNELS)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not in_tunnel


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _request_path(parts: SplitResult) -> str:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(character <= " " or character == "\x7f" for character in path):
        raise FetchRefused("the input URL's path is not encoded")
    return path
