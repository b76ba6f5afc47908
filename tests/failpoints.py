"""Arming failpoints of processes that were told of a folder (pipeline/failpoints.py)."""

from pathlib import Path


def arm(folder: Path, point: str, fault: str) -> None:
    """Whoever comes by this point first does this: `kill_child`, `kill_worker`, `pause`. Seen whole, or not at all."""
    unseen = folder / f"{point}.new"
    unseen.write_text(fault)
    unseen.rename(folder / point)
