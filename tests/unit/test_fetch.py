"""Input URLs: where the fetcher goes, what it takes, and what a hostile server cannot make it do."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from pipeline.errors import FetchFailed, FetchRefused
from providers.fetch import MediaFetcher
from providers.line import is_public

BODY = b"\x89PNG" + bytes(100_000)


class Host(BaseHTTPRequestHandler):
    """Behaves as its path says."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        type(self).seen.append(dict(self.headers))
        getattr(self, self.path.partition("?")[0].strip("/").replace("-", "_") or "photo")()

    def photo(self, body: bytes = BODY, **headers: str) -> None:
        self.send_response(200)
        for name, value in (
            {"Content_Type": "image/png; charset=x", "Content_Length": str(len(body))} | headers
        ).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def page(self) -> None:
        self.photo(b"<html>", Content_Type="text/html")

    def packed(self) -> None:
        self.photo(b"x", Content_Encoding="gzip")

    def long(self) -> None:
        self.photo(b"", Content_Length="999999999")

    def endless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"4000\r\n" + bytes(0x4000) + b"\r\n")
        except OSError:
            self.close_connection = True

    def cut_short(self) -> None:
        self.photo(b"half", Content_Length="8")
        self.close_connection = True

    def drip_body(self) -> None:
        self.photo(b"", Content_Length="100")
        self.drip(b"x")

    def drip_body_of_unknown_length(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
        self.drip(b"x")

    def drip_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def drip(self, byte: bytes) -> None:
        try:
            for _ in range(100):
                self.wfile.write(byte)
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True

    def redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/photo")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def missing(self) -> None:
        self.send_error(404)

    def overloaded(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Starts a server on loopback; answers its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(trust: ssl.SSLContext | None = None) -> int:
        Host.seen = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
        if trust:
            server.socket = trust.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def get(serve: Callable[..., int], tmp_path: Path) -> Callable[..., str]:
    port = serve()

    def fetch(path: str, **limits: float) -> str:
        fetcher = MediaFetcher([f"127.0.0.1:{port}"], allow_private=True, **limits)  # type: ignore[arg-type]
        return fetcher.fetch(f"http://127.0.0.1:{port}/{path}", tmp_path / "input")

    return fetch


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Name -> addresses, in place of the machine's resolver. A name gives its addresses in turn, one list an asking."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: int, **kwargs: int):
        if host not in known:
            return real(host, port, *args, **kwargs)
        return [entry for address in known[host] for entry in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def test_an_image_is_written_and_its_type_told(get: Callable[..., str], tmp_path: Path) -> None:
    assert get("photo?size=1&x=%C3%A9") == "image/png"
    assert (tmp_path / "input").read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("page", FetchRefused, "no image or sound"),
        ("packed", FetchRefused, "packed"),
        ("long", FetchRefused, "more than 26214400 bytes"),
        ("redirect", FetchRefused, "redirects"),
        ("missing", FetchRefused, "404"),
        ("overloaded", FetchFailed, "503"),
        ("cut-short", FetchFailed, "ended after 4 of 8 bytes|IncompleteRead"),
    ],
)
def test_what_is_not_taken_is_said_and_leaves_nothing(
    get: Callable[..., str], tmp_path: Path, path: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        get(path)
    assert not (tmp_path / "input").exists()


def test_a_body_without_an_end_is_cut_at_the_limit(get: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(FetchRefused, match="more than 1000000 bytes"):
        get("endless", max_bytes=1_000_000)
    assert not (tmp_path / "input").exists()


@pytest.mark.parametrize("path", ["drip-body", "drip-body-of-unknown-length", "drip-headers"])
def test_a_sender_that_drips_is_cut_when_the_time_is_over(get: Callable[..., str], tmp_path: Path, path: str) -> None:
    begun = time.monotonic()
    with pytest.raises(FetchFailed, match=r"longer than 0\.5 s"):
        get(path, max_seconds=0.5)
    assert time.monotonic() - begun < 4
    assert not (tmp_path / "input").exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://media.test/photo",
        "ftp://media.test/photo",
        "file:///etc/passwd",
        "//media.test/photo",
        "https:///photo",
        "https://user:secret@media.test/photo",
        "https://media.test:99999/photo",
        "https://[::1/photo",
        "https://elsewhere.test/photo",
        "https://media.test.elsewhere.test/photo",
        "https://media.test:8443/photo",
        "https://media.test/a b",
        "https://media.test/a\x01b",
        "",
    ],
)
def test_a_url_that_leads_elsewhere_is_refused_unvisited(url: str, tmp_path: Path, names: dict[str, list[str]]) -> None:
    names["media.test"] = ["93.184.215.14"]
    with pytest.raises(FetchRefused) as caught:
        MediaFetcher(["media.test"]).fetch(url, tmp_path / "input")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.170",
        "198.18.0.1",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "::127.0.0.1",
        "2001:db8::1",
        "240.0.0.1",
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "[::1]", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_loopback_is_taken_even_where_any_host_is(host: str, tmp_path: Path) -> None:
    with pytest.raises(FetchRefused, match="not public"):
        MediaFetcher(["*"]).fetch(f"https://{host}/photo", tmp_path / "input")


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    tmp_path: Path, names: dict[str, list[str]]
) -> None:
    names["media.test"] = ["93.184.215.14", "10.0.0.7"]
    with pytest.raises(FetchRefused, match="not public"):
        MediaFetcher(["*"]).fetch("https://media.test/photo", tmp_path / "input")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def https(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_https_goes_to_the_checked_address_under_the_name_that_was_asked(
    serve: Callable[..., int],
    authority: trustme.CA,
    trust: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = serve(https(authority, "media.test"))
    asked: list[str] = []

    def rebinding(host: str, port: int, *_: int, **__: int):
        """The first asking gets the address that is checked; a second one would be led elsewhere."""
        asked.append(host)
        address = "127.0.0.1" if host in ("media.test", "127.0.0.1") and asked.count("media.test") < 2 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    fetcher = MediaFetcher([f"media.test:{port}"], allow_private=True, trust=trust)
    assert fetcher.fetch(f"https://media.test:{port}/photo", tmp_path / "input") == "image/png"
    assert asked.count("media.test") == 1
    assert Host.seen[0]["Host"] == f"media.test:{port}"


def test_a_certificate_for_another_name_is_not_taken(
    serve: Callable[..., int],
    authority: trustme.CA,
    trust: ssl.SSLContext,
    tmp_path: Path,
    names: dict[str, list[str]],
) -> None:
    port = serve(https(authority, "other.test"))
    names["media.test"] = ["127.0.0.1"]
    fetcher = MediaFetcher([f"media.test:{port}"], allow_private=True, trust=trust)
    with pytest.raises(FetchFailed, match="SSLCertVerificationError"):
        fetcher.fetch(f"https://media.test:{port}/photo", tmp_path / "input")
    assert Host.seen == []


def test_a_tls_handshake_that_never_ends_is_cut(tmp_path: Path, trust: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        fetcher = MediaFetcher([f"127.0.0.1:{port}"], allow_private=True, max_seconds=0.5, trust=trust)
        begun = time.monotonic()
        with pytest.raises(FetchFailed):
            fetcher.fetch(f"https://127.0.0.1:{port}/photo", tmp_path / "input")
        assert time.monotonic() - begun < 4
