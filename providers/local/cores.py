"""The machine's cores, shared by all scenes that are drawn at once: as many renderers run as there are cores.

More of them would finish no sooner, and each takes its memory. Who takes a core has it until its end, whatever the end
is, as the lock on a file.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


def count() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def take() -> IO[bytes] | None:
    """A core, free again when it is closed; None where all are taken."""
    folder = Path(tempfile.gettempdir()) / f"likeness-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(count()):
        lock = (folder / str(number)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock
    return None
