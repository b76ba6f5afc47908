"""A whole worker inside this process: for the demo, where no server is installed.

The in-memory broker loses its messages with the process. That is all it loses:
the records are in PostgreSQL, and the sweeper sends what is missing.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from celery.worker import WorkController

from tasks import maintenance
from tasks.app import app

SWEEP_S = 1.0
STOP_S = 30.0

log = structlog.get_logger()


@contextmanager
def worker(*, concurrency: int = 3) -> Iterator[None]:
    """Serve every queue with threads (rendering has processes of its own), and sweep each second."""
    app.loader.import_default_modules()
    controller = WorkController(
        app=app, pool_cls="threads", concurrency=concurrency, hostname="likeness@embedded", without_gossip=True,
        without_mingle=True, without_heartbeat=True, quiet=True,
    )  # fmt: skip
    over = threading.Event()
    threads = [
        threading.Thread(target=controller.start, name="worker", daemon=True),
        threading.Thread(target=_sweep, args=(over,), name="sweeper", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        controller.stop()
        for thread in threads:
            thread.join(STOP_S)


def _sweep(over: threading.Event) -> None:
    while not over.wait(SWEEP_S):
        try:
            maintenance.sweep()
        except Exception:
            log.exception("sweep failed")  # the next one does it all
