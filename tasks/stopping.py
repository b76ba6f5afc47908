"""How a worker stops at SIGTERM: it takes nothing new and ends what it does; what takes too long, it puts back.

Celery's own soft shutdown sleeps for all of its time, however soon the last step ends, and serves nothing meanwhile. So
this is its warm shutdown, and after a grace the cold one.
"""

import os
import signal
import threading
from typing import Any

from celery import signals
from celery.worker import state

GRACE_S = 60


@signals.worker_ready.connect
def expect(**_: object) -> None:
    if threading.current_thread() is threading.main_thread():  # an embedded worker's process is not ours
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGALRM, _put_back)


def _stop(*_: Any) -> None:
    state.should_stop = os.EX_OK
    signal.alarm(GRACE_S)


def _put_back(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGQUIT)
