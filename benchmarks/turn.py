"""What a peer is given for its turn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.size import Size

FOUND = "found.json"


@dataclass(frozen=True, slots=True)
class Turn:
    """Servers that are its own for now, a folder, and how much to run.

    `servers` names the processes whose CPU time is read.
    """

    peer: str
    database_url: str
    broker_url: str
    redis_url: str | None
    path: str
    servers: dict[str, int]
    size: Size
    in_jobs: tuple[int, ...]

    @property
    def folder(self) -> Path:
        return Path(self.path)

    @property
    def trace(self) -> Path:
        return self.folder / "trace"


def load(setting: dict[str, Any]) -> Turn:
    return Turn(**setting | {"size": Size(**setting["size"])})
