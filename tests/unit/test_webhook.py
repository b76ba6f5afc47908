"""Posting to endpoints that strangers run."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from providers import webhook


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that takes one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(65536)
                try:
                    serve(line)
                except OSError:
                    return  # the other side had enough

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook?x=1"
        thread.join()


def test_the_answer_is_kept_but_not_all_of_it() -> None:
    with answering(lambda line: line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000)) as url:
        reply = webhook.post(url, b"{}", {}, allow_private=True)
    assert (reply.status, reply.text) == (200, "a" * webhook.ANSWER_BYTES)


def test_a_server_that_never_answers_is_left_in_time() -> None:
    over = threading.Event()
    with answering(lambda line: over.wait(10) and None) as url:
        start = time.monotonic()
        reply = webhook.post(url, b"{}", {}, allow_private=True, timeout_s=0.3)
        taken = time.monotonic() - start
        over.set()
    assert reply.status is None
    assert taken < 5


def test_an_answer_that_drips_is_left_in_time() -> None:
    def drip(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            line.sendall(b"a")
            time.sleep(0.05)

    with answering(drip) as url:
        start = time.monotonic()
        webhook.post(url, b"{}", {}, allow_private=True, timeout_s=0.5)
        assert time.monotonic() - start < 4


def test_headers_that_drip_are_left_in_time() -> None:
    def drip(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            line.sendall(b"X-%d: a\r\n" % number)
            time.sleep(0.05)

    with answering(drip) as url:
        start = time.monotonic()
        assert webhook.post(url, b"{}", {}, allow_private=True, timeout_s=0.5).status is None
        assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "https://localhost/hook",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://10.0.0.1/",
    ],
)
def test_private_addresses_are_not_called(url: str) -> None:
    reply = webhook.post(url, b"{}", {}, allow_private=False)
    assert reply.status is None
    assert "not public" in reply.text or "https" in reply.text


def test_nobody_listening_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reply = webhook.post(f"http://127.0.0.1:{port}/", b"{}", {}, allow_private=True)
    assert reply.status is None
