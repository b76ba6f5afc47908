"""Is what we depend on there? Asked with a limit that the answer cannot stretch."""

import threading
from collections.abc import Callable

import kombu
import structlog

from db.database import Database
from db.schema import current

PATIENCE_S = 1.0

log = structlog.get_logger()


class Probe:
    """A check in a thread of its own: a frozen server holds that thread, and never the caller.

    While one hangs no second is started.
    """

    def __init__(self, name: str, check: Callable[[], str | None], *, patience_s: float = PATIENCE_S) -> None:
        self.name = name
        self._check = check
        self._patience_s = patience_s
        self._asking = threading.Lock()
        self._running: threading.Thread | None = None

    def ask(self) -> str | None:
        """What is wrong, in words that may be shown; None: nothing."""
        answers: list[str | None] = []
        with self._asking:
            if self._running is not None and self._running.is_alive():
                return "an earlier check still waits for an answer"
            thread = threading.Thread(target=self._run, args=(answers,), name=f"probe {self.name}", daemon=True)
            self._running = thread
            thread.start()
        thread.join(self._patience_s)
        return answers[0] if answers else f"no answer within {self._patience_s:g} s"

    def _run(self, answers: list[str | None]) -> None:
        try:
            answers.append(self._check())
        except Exception as error:  # a client library's own kinds
            # the message may hold an address: only the log has it
            log.warning("not ready", check=self.name, error=str(error))
            answers.append(f"does not answer ({type(error).__name__})")


def database(opened: Database) -> Probe:
    def check() -> str | None:
        opened.ping()
        return None if current(opened.engine) else "the schema is not the newest: run python -m db upgrade"

    return Probe("database", check)


def broker(url: str) -> Probe:
    def check() -> str | None:
        options = {"read_timeout": PATIENCE_S, "write_timeout": PATIENCE_S}
        connection = kombu.Connection(url, connect_timeout=PATIENCE_S, heartbeat=0, transport_options=options)
        transport = connection.transport
        transport.close_connection(transport.establish_connection())  # `connect` would try again after two seconds
        return None

    return Probe("broker", check)
