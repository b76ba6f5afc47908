"""Whatever happens on the way to a vendor, it is known whether it may have to be paid, and our key stays with it."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

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
from providers.wire import Wire, base_url, key, pause_s, token
from tests.vendors.server import Call, FakeVendor, Reply, serving

KEY = "sk_secret"
MEDIA = ("video/",)


class Echo(FakeVendor):
    """Takes everything, and remembers it."""

    reply = Reply(200, {"taken": True})

    def answer(self, call: Call) -> Reply:
        self.charge(call.path)
        return self.reply


@pytest.fixture
def vendor() -> Iterator[Echo]:
    with serving(Echo()) as echo:
        yield echo


@pytest.fixture
def cdn() -> Iterator[Echo]:
    with serving(Echo()) as echo:
        echo.reply = Reply(200, b"moving pictures", {"Content-Type": "video/mp4"})
        yield echo


def wire(base: str, **options: object) -> Wire:
    return Wire(Vendor("acme"), base=base, auth=("xi-api-key", KEY), **options)  # type: ignore[arg-type]


@contextmanager
def line(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does to each connection what a web server would not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def run() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


# --- what may have to be paid ---------------------------------------------------------------


def test_what_was_never_sent_is_the_vendor_being_busy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for base in (nobody, "https://vendor.invalid"):
        with pytest.raises(VendorBusy, match="could not be reached"):
            wire(base).pay("/calls", json={}, seconds=5)


def test_a_handshake_that_fails_sent_nothing() -> None:
    read = []

    def serve(connection: socket.socket) -> None:
        read.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with line(serve) as address, pytest.raises(VendorBusy, match="could not be reached"):
        wire(f"https://{address}").pay("/calls", json={"text": "a script"}, seconds=5)
    assert b"script" not in read[0]
    assert KEY.encode() not in read[0]


def test_a_connection_that_ends_after_the_request_leaves_the_outcome_unknown(vendor: Echo) -> None:
    vendor.after_taken = lambda charge: False
    with pytest.raises(OutcomeUnknown):
        wire(vendor.url).pay("/calls", json={}, seconds=5)
    assert vendor.books == ["/calls"]  # once: nothing below us tried again


def test_an_answer_that_takes_too_long_leaves_the_outcome_unknown(vendor: Echo) -> None:
    vendor.slow_s = 2.0
    with pytest.raises(OutcomeUnknown, match=r"longer than 0\.2 s"):
        wire(vendor.url).pay("/calls", json={}, seconds=0.2)
    assert vendor.books == ["/calls"]


def test_a_vendor_that_drips_is_cut_at_the_limit() -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while not done.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                return

    started = time.monotonic()
    with line(drip) as address:
        with pytest.raises(OutcomeUnknown, match=r"longer than 0\.5 s"):
            wire(f"http://{address}").pay("/calls", json={}, seconds=0.5)
        done.set()
    assert time.monotonic() - started < 5


def test_half_an_answer_is_no_answer(vendor: Echo) -> None:
    vendor.reply = Reply(200, {"id": "x" * 100}, cut=20)
    with pytest.raises(OutcomeUnknown):
        wire(vendor.url).pay("/calls", json={}, seconds=5)
    with pytest.raises(VendorBusy):
        wire(vendor.url).ask("GET", "/calls/1")


@pytest.mark.parametrize("body", [b"<html>all is well</html>", b"[1, 2]", b"", b'{"a": '])
def test_a_success_without_the_vendors_word_leaves_the_outcome_unknown(vendor: Echo, body: bytes) -> None:
    vendor.reply = Reply(200, body)
    with pytest.raises(OutcomeUnknown):
        wire(vendor.url).pay("/calls", json={}, seconds=5)


def test_an_endless_answer_is_not_read(vendor: Echo) -> None:
    vendor.reply = Reply(200, {"sound": "x" * 5000})
    with pytest.raises(BadOutput) as told:
        wire(vendor.url).pay("/calls", json={}, seconds=5, max_bytes=1000)
    assert told.value.charged


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejected), (401, ProviderAuth), (402, InsufficientFunds), (403, ProviderAuth),
        (404, ProviderRejected), (408, VendorBusy), (409, VendorBusy), (413, ProviderRejected),
        (422, ProviderRejected), (429, RateLimited), (451, Moderated), (500, OutcomeUnknown), (502, OutcomeUnknown),
        (503, VendorBusy), (504, OutcomeUnknown), (529, VendorBusy), (303, OutcomeUnknown), (307, VendorBusy),
    ],
)  # fmt: skip
def test_a_status_alone_says_what_to_do_and_its_page_is_not_repeated(
    vendor: Echo, status: int, kind: type[ProviderError]
) -> None:
    vendor.reply = Reply.html(status)
    with pytest.raises(kind) as told:
        wire(vendor.url).pay("/calls", json={"text": "a script"}, seconds=5)
    assert type(told.value) is kind
    assert str(status) in told.value.message
    assert not any(word in f"{told.value.message} {told.value.details}" for word in ("html", "nginx", KEY, "script"))
    assert told.value.charged is False


@pytest.mark.parametrize("status", [400, 402, 404, 422, 451, 500, 502, 504, 302])
def test_a_question_that_fails_says_nothing_of_the_work(vendor: Echo, status: int) -> None:
    vendor.reply = Reply.html(status)
    with pytest.raises(VendorBusy):
        wire(vendor.url).ask("GET", "/calls/1")
    assert wire(vendor.url).ask("GET", "/calls/1", expect=(status,)).status == status


def test_a_question_is_told_of_its_key_and_of_pauses(vendor: Echo) -> None:
    vendor.answers(Reply.html(401), Reply.html(429, **{"Retry-After": "7"}))
    with pytest.raises(ProviderAuth):
        wire(vendor.url).ask("GET", "/calls/1")
    with pytest.raises(RateLimited) as told:
        wire(vendor.url).ask("GET", "/calls/1")
    assert told.value.pause_s == 7


def test_each_request_has_a_connection_of_its_own(vendor: Echo) -> None:
    asked = wire(vendor.url)
    for _ in range(5):
        asked.pay("/calls", json={}, seconds=5)
        asked.ask("GET", "/calls/1")
    assert all(call.headers["connection"] == "close" for call in vendor.calls)
    assert len({call.port for call in vendor.calls}) == len(vendor.calls)


# --- our key --------------------------------------------------------------------------------


def test_no_redirect_takes_our_key_elsewhere(vendor: Echo, cdn: Echo) -> None:
    vendor.reply = Reply(307, headers={"Location": f"{cdn.url}/calls"})
    with pytest.raises(VendorBusy):
        wire(vendor.url).pay("/calls", json={}, seconds=5)
    with pytest.raises(VendorBusy):
        wire(vendor.url).ask("GET", "/calls/1")
    assert cdn.calls == []


def test_an_address_that_is_not_the_vendors_is_not_asked(vendor: Echo, cdn: Echo) -> None:
    asked = wire(vendor.url)
    with pytest.raises(VendorBusy, match="not its own"):
        asked.ask("GET", f"{cdn.url}/calls/1")
    assert cdn.calls == []
    assert asked.ask("GET", f"{vendor.url}/calls/1").ok
    assert vendor.calls[0].headers["xi-api-key"] == KEY
    assert not asked.owns(vendor.url.replace("http:", "https:"))
    assert not asked.owns("http://[bad")


def test_files_are_fetched_without_our_key_or_any_other(
    vendor: Echo, cdn: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    asked = wire(vendor.url)
    asked.download(f"{cdn.url}/f.mp4?signature=s", tmp_path / "f", media=MEDIA, max_bytes=100, seconds=5)
    asked.upload(f"{cdn.url}/up", tmp_path / "f", media_type="video/mp4", seconds=5)
    for call in cdn.calls:
        assert "xi-api-key" not in call.headers
        assert "authorization" not in call.headers
    assert cdn.calls[1].body == b"moving pictures"
    assert cdn.calls[1].headers["content-type"] == "video/mp4"
    asked.ask("GET", "/calls")
    assert "authorization" not in vendor.calls[0].headers


def test_the_key_is_in_no_error_and_no_log(vendor: Echo, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.after_taken = lambda charge: False
    with pytest.raises(OutcomeUnknown) as told:
        wire(vendor.url).pay("/calls", json={"text": "a script"}, seconds=5)
    seen = f"{caplog.text} {told.value!r} {told.value.__cause__!r} {told.value.details}"
    assert KEY not in seen
    assert "script" not in seen


@pytest.mark.parametrize("told", ["", " ", "sk_1\nX-Other: 2", "schlüssel"])
def test_a_key_that_cannot_be_one_is_not_used(told: str) -> None:
    with pytest.raises(ProviderMissing, match="ACME_KEY") as missing:
        key(Vendor("acme", {"KEY": told}), "KEY")
    assert not told.strip() or told not in str(missing.value)
    assert key(Vendor("acme", {"KEY": " sk_1\n"}), "KEY") == "sk_1"


def test_an_address_that_would_give_our_key_away_is_not_used() -> None:
    def base(url: str) -> str:
        return base_url(Vendor("acme", {"BASE_URL": url}), "https://api.acme.example")

    for url in ("https://gateway.example/acme", "http://127.0.0.1:9", "http://10.0.0.5:8080", "http://localhost:1"):
        assert base(url) == url
    assert base("") == "https://api.acme.example"
    for url in ("http://api.acme.example", "http://8.8.8.8", "ftp://a.example", "https://me:pw@a.example",
                "https://a.example?x=1", "api.acme.example", "https://", "https://[bad"):  # fmt: skip
        with pytest.raises(ProviderMissing, match="ACME_BASE_URL"):
            base(url)


# --- pauses ---------------------------------------------------------------------------------


def test_a_vendor_says_in_many_ways_how_long_to_wait() -> None:
    now = time.time()
    for headers, seconds in (
        ({"retry-after": "12"}, 12),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(now + 60, usegmt=True)}, 60),
        ({"retry-after": formatdate(now - 60, usegmt=True)}, 0),
        ({"x-ratelimit-reset": str(int(now + 30))}, 30),
        ({"x-ratelimit-reset": "20"}, 20),
        ({"retry-after": "soon", "x-ratelimit-reset": "3"}, 3),
        ({"retry-after": "999999"}, 900),
        ({"retry-after": "-4"}, 0),
    ):
        assert pause_s(headers) == pytest.approx(seconds, abs=1.5), headers
    for headers in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after-ms": ""}):
        assert pause_s(headers) is None


def test_a_vendor_that_names_no_time_is_asked_again_after_some_seconds(vendor: Echo) -> None:
    vendor.reply = Reply(429)
    with pytest.raises(RateLimited) as told:
        wire(vendor.url).pay("/calls", json={}, seconds=5)
    assert 5 <= (told.value.pause_s or 0) <= 10


def test_only_codes_of_the_vendor_are_repeated() -> None:
    assert token("quota_exceeded") == "quota_exceeded"
    assert [token(word) for word in ("Hello there", "", None, 5, "x" * 90, "<b>")] == [None] * 6


# --- files ----------------------------------------------------------------------------------


def test_a_file_is_what_was_announced_or_it_is_not_there(vendor: Echo, cdn: Echo, tmp_path: Path) -> None:
    asked, into = wire(vendor.url), tmp_path / "video"

    def fetch(reply: Reply) -> str:
        cdn.reply = reply
        return asked.download(f"{cdn.url}/f.mp4", into, media=MEDIA, max_bytes=100, seconds=5)

    assert fetch(Reply(200, b"moving pictures", {"Content-Type": "video/mp4; codecs=x"})) == "video/mp4"
    assert into.read_bytes() == b"moving pictures"
    video = {"Content-Type": "video/mp4"}
    for reply, kind in (
        (Reply(200, b"x" * 50, video, cut=10), VendorBusy),
        (Reply(200, b"x" * 101, video), BadOutput),
        (Reply(200, b"", video), BadOutput),
        (Reply.html(200), BadOutput),
        (Reply.html(403), ResultExpired),
        (Reply.html(404), ResultExpired),
        (Reply.html(410), ResultExpired),
        (Reply.html(429), RateLimited),
        (Reply.html(500), VendorBusy),
    ):
        with pytest.raises(kind):
            fetch(reply)
        assert not into.exists()


def test_a_file_is_only_taken_from_where_the_vendor_has_its_files(vendor: Echo, cdn: Echo, tmp_path: Path) -> None:
    public = wire("https://api.acme.example", hosts=("files.acme.example", ".acme.media"))
    for url in (cdn.url, "https://evil.example/f", "http://files.acme.example/f", "https://acme.media.evil.example/f",
                "file:///etc/passwd", "https://[bad"):  # fmt: skip
        with pytest.raises(BadOutput):
            public.download(url, tmp_path / "f", media=MEDIA, max_bytes=100, seconds=5)
    assert cdn.calls == []


def test_a_file_that_moved_is_followed_where_it_may_be(vendor: Echo, cdn: Echo, tmp_path: Path) -> None:
    asked = wire(vendor.url)
    vendor.reply = Reply(302, headers={"Location": f"{cdn.url}/moved.mp4"})
    asked.download(f"{vendor.url}/f.mp4", tmp_path / "f", media=MEDIA, max_bytes=100, seconds=5)
    assert [call.path for call in cdn.calls] == ["/moved.mp4"]
    for elsewhere in ("https://evil.example/f", "/f.mp4"):
        vendor.reply = Reply(302, headers={"Location": elsewhere})
        with pytest.raises(BadOutput):
            asked.download(f"{vendor.url}/f.mp4", tmp_path / "f", media=MEDIA, max_bytes=100, seconds=5)


def test_a_vendor_that_hangs_up_on_a_file_is_asked_again(vendor: Echo, cdn: Echo, tmp_path: Path) -> None:
    cdn.after_taken = lambda charge: False
    with pytest.raises(VendorBusy):
        wire(vendor.url).download(f"{cdn.url}/f", tmp_path / "f", media=MEDIA, max_bytes=9, seconds=5)
    cdn.calm()
    cdn.slow_s = 2
    with pytest.raises(VendorBusy):
        wire(vendor.url).download(f"{cdn.url}/f", tmp_path / "f", media=MEDIA, max_bytes=9, seconds=0.2)
