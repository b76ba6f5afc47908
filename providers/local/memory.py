"""What this process has freed goes back to the machine."""

import ctypes
import sys


def give_back() -> None:
    """glibc keeps what lies between pieces still in use: after preparing a scene 50 to 70 MB of a process that then
    only waits, or draws frames in far less."""
    if sys.platform.startswith("linux") and hasattr(library := ctypes.CDLL(None), "malloc_trim"):  # musl has none
        library.malloc_trim(0)
