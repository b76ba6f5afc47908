"""Named places in which a process can be made to die or to wait: they exist only where a setting names a folder.

A file there with the name of a place arms it, once: whoever comes by first takes the file and does what it says.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

LONGEST_PAUSE_S = 120.0


def disarmed(name: str) -> None:
    """The service as it is operated: nothing happens at any place."""


def armed(folder: Path) -> Callable[[str], None]:
    """`kill_child` ends this process, `kill_worker` its parent as well; `pause` waits until the `.hit` file is gone."""

    def come_by(name: str) -> None:
        hit = folder / f"{name}.hit"
        try:
            fault = (folder / name).read_text()
            (folder / name).rename(hit)
        except OSError:
            return
        if fault == "kill_worker":
            os.kill(os.getppid(), signal.SIGKILL)
        if fault.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + LONGEST_PAUSE_S
        while hit.exists() and time.monotonic() < end:
            time.sleep(0.05)

    return come_by


_come_by: Callable[[str], None] = disarmed


def arm(folder: str | None) -> None:
    global _come_by
    _come_by = armed(Path(folder)) if folder else disarmed


def failpoint(name: str) -> None:
    _come_by(name)
