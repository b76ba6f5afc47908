"""Stopping a stage's body from outside, in the middle of what it does.

It is done with the signal of Celery's soft time limit, which raises SoftTimeLimitExceeded in the main thread of a
prefork child. A body in another thread cannot be interrupted; it is only seen afterwards that it should have been.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from celery.exceptions import SoftTimeLimitExceeded

SIGNAL = signal.SIGUSR1


class Body:
    """A stage's body while it runs in the main thread: `sections` of it that must not be interrupted are open."""

    def __init__(self) -> None:
        self.begun = monotonic()
        self.sections = 0
        self.late = False
        self._open = True
        self._lock = threading.Lock()

    def interrupt(self) -> None:
        """From another thread, once. What has ended is left alone."""
        global _sent
        with self._lock:
            if self._open:
                self._open = False
                _sent += 1
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    def close(self) -> None:
        with self._lock:
            self._open = False


_body: Body | None = None
_sent = 0  # signals of ours that the main thread has not seen yet


@contextmanager
def interruptible() -> Iterator[Body | None]:
    """While this lasts, the signal ends it with SoftTimeLimitExceeded. None: not in the main thread."""
    global _body
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    if signal.getsignal(SIGNAL) is not _come:
        signal.signal(SIGNAL, _come)
    body = _body = Body()
    try:
        yield body
    finally:
        _body = None
        body.close()


@contextmanager
def held_off() -> Iterator[None]:
    """A section that is not interrupted: if it should have been, it is when it ends. What it raises goes first."""
    body = _body if threading.current_thread() is threading.main_thread() else None
    if body is None:
        yield
        return
    body.sections += 1
    try:
        yield
    finally:
        body.sections -= 1
    if body.late and not body.sections:
        raise SoftTimeLimitExceeded


def _come(_number: int, _frame: FrameType | None) -> None:
    """One that was sent to a body which has ended since is forgotten; others are Celery's."""
    global _sent
    ours = _sent > 0
    _sent = max(_sent - 1, 0)
    if _body is not None and _body.sections:
        _body.late = True
    elif _body is not None or not ours:
        raise SoftTimeLimitExceeded
