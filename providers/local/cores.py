"""The machine's cores, shared by all scenes that are drawn at once: as many renderers run as there are cores.

More of them would finish no sooner, and each takes its memory. Who takes a core has it until its end, whatever the end
is, as the lock on a file.
"""

import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import IO

from pipeline.errors import RenderFailed


def count() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def take() -> IO[bytes] | None:
    """A core, free again when it is closed; None where all are taken. Raises RenderFailed."""
    folder = _folder()
    for number in range(count()):
        lock = os.fdopen(os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock
    return None


def _folder() -> Path:
    """One for each user; where everybody may write, somebody else may have made it first."""
    folder = Path(tempfile.gettempdir()) / f"likeness-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RenderFailed(
            "The folder by which renderers are counted is somebody else's. Set TMPDIR to one of the service's own."
        )
    return folder
