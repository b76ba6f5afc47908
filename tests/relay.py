"""A line to a server that can be cut, and on which answers can be held back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Relay:
    """`url` leads to the server as long as nobody cuts the line."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 5672)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self._answers = threading.Event()
        self._answers.set()
        port = self._server.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_answers(self) -> None:
        """What the server says stays here until the line is cut."""
        self._answers.clear()

    def cut(self) -> None:
        """All lines; new ones may be opened."""
        lines, self._lines = self._lines, []
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        self._answers.set()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(self._target)
                self._lines += [client, server]
                threading.Thread(target=self._pass, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, self._answers), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, allowed: threading.Event | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if allowed is not None:
                    allowed.wait()
                target.sendall(data)


@contextmanager
def relayed(url: str) -> Iterator[Relay]:
    relay = Relay(url)
    try:
        yield relay
    finally:
        relay.close()
