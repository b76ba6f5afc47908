"""An HTTP connection to where a stranger's URL leads: to the very address that was checked, and not for long.

A server that calls what it is told to can be made to call its own network. So
only public addresses are taken, the connection goes to the one that was
checked (a name may resolve to another the next moment), and a timer cuts it.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import certifi

CONNECT_S = 10.0
PORTS = {"https": 443, "http": 80}

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


class NotPublic(Exception):
    """The name leads to an address that is not public."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads, once checked."""

    scheme: str
    host: str
    port: int
    path: str
    address: str


def is_public(address: str) -> bool:
    """Whether a packet to this address leaves for the public internet, on any router we know of."""
    ip: Address = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    in_tunnel = any(ip.version == block.version and ip in block for block in TUNNELS)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not in_tunnel


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listed(hosts: Collection[str], host: str, port: int, *, default: int) -> bool:
    """Whether `hosts` names it: a name, `name:port` where it is not the default one, or `*` for any at the default."""
    name = f"[{host}]" if ":" in host else host
    if f"{name}:{port}" in hosts:
        return True
    return port == default and any(each in hosts for each in (name, host, "*"))


def resolve(host: str, port: int, *, allow_private: bool) -> str:
    """One address of the host. Raises OSError where it has none, NotPublic where any of them is not public."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private and not all(is_public(address) for address in addresses):
        raise NotPublic(host)
    # IPv4 first: a machine without IPv6 still gets AAAA records.
    return min(addresses, key=lambda address: ":" in address)


@contextmanager
def connected(
    target: Target, late: threading.Event, seconds: float, *, trust: ssl.SSLContext | None = None
) -> Iterator[http.client.HTTPConnection]:
    """A connection that is cut, and `late` set, when the time is over.

    A timeout of each read alone would let a sender that drips a byte now and
    then hold a worker for hours. `trust` replaces the public authorities.
    """
    line = socket.create_connection((target.address, target.port), timeout=min(CONNECT_S, seconds))

    def cut() -> None:
        late.set()
        with suppress(OSError):  # it ended by itself
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.default_port = PORTS[target.scheme]
    try:
        if target.scheme == "https":
            secure = trust or _public_trust()
            line = secure.wrap_socket(line, server_hostname=target.host, do_handshake_on_connect=False)
            line.do_handshake()
        connection.sock = line
        yield connection
    finally:
        timer.cancel()
        connection.close()
        line.close()


@cache
def _public_trust() -> ssl.SSLContext:
    """The public authorities: reading them takes longer than most answers."""
    return ssl.create_default_context(cafile=certifi.where())
