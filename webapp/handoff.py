"""Handing a job on after its commit, so that no broker, slow or frozen, ever holds a request."""

import os
import queue
import threading
from collections.abc import Callable

import structlog

ROOM = 1000

log = structlog.get_logger()


class Handoff:
    """A bounded queue and one thread per process, started by the first job after a fork.

    What finds no room, or is lost with the process, the sweeper launches: the commit stands.
    """

    def __init__(
        self, launch: Callable[[str], None], resume: Callable[[str], None] | None = None, *, room: int = ROOM
    ) -> None:
        self._launch = launch
        self._resume = resume or launch
        self._waiting: queue.Queue[tuple[Callable[[str], None], str]] = queue.Queue(room)
        self._starting = threading.Lock()
        self._owner: int | None = None

    def give(self, job_id: str, *, resumed: bool = False) -> None:
        """`resumed`: it was launched before, and goes on."""
        self._start()
        try:
            self._waiting.put_nowait((self._resume if resumed else self._launch, job_id))
        except queue.Full:
            log.warning("left to the sweeper", job=job_id, reason="the broker does not keep up")

    def _start(self) -> None:
        with self._starting:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                threading.Thread(target=self._work, name="handoff", daemon=True).start()

    def _work(self) -> None:
        while True:
            launch, job_id = self._waiting.get()
            try:
                launch(job_id)
            except Exception as error:  # whatever it is, the next job must not wait for it
                log.warning("left to the sweeper", job=job_id, error=type(error).__name__, exc_info=True)
