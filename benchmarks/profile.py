"""Where a worker's time goes: each part of the work has a stopwatch, and the innermost that runs is charged."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

FOLDER = "REFERENCE_PROFILE"
BEGUN = "profiling"  # a file of this name: so that the first jobs of a worker do not count


@dataclass(slots=True)
class Part:
    count: int = 0
    wall: float = 0.0
    cpu: float = 0.0


@dataclass
class Stopwatches:
    """Of one process. Wall time has in it what others did on the same cores meanwhile, CPU time has not."""

    parts: dict[str, Part] = field(default_factory=dict)
    _inner: list[Part] = field(default_factory=lambda: [Part()])
    _begun: bool = False

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.thread_time()
        inner = Part()
        self._inner.append(inner)
        try:
            yield
        finally:
            self._inner.pop()
            spent = Part(1, time.perf_counter() - wall, time.thread_time() - cpu)
            outer = self._inner[-1]
            outer.wall += spent.wall
            outer.cpu += spent.cpu
            if self.begun:
                part = self.parts.setdefault(name, Part())
                part.count += 1
                part.wall += spent.wall - inner.wall
                part.cpu += spent.cpu - inner.cpu

    @property
    def begun(self) -> bool:
        self._begun = self._begun or _file(BEGUN).exists()
        return self._begun

    def wrap(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.timed(name):
                return work(*args, **kwargs)

        return run

    def keep(self, **_: Any) -> None:
        found = {name: [part.count, part.wall, part.cpu] for name, part in self.parts.items()}
        _file(f"profile-{os.getpid()}.json").write_text(json.dumps(found))


def begin(folder: Path) -> None:
    (folder / BEGUN).touch()


def read(folder: Path) -> dict[str, Part]:
    """All processes' parts together, once they have ended."""
    total: dict[str, Part] = {}
    for file in folder.glob("profile-*.json"):
        for name, (count, wall, cpu) in json.loads(file.read_text()).items():
            part = total.setdefault(name, Part())
            part.count += count
            part.wall += wall
            part.cpu += cpu
    return total


def _file(name: str) -> Path:
    return Path(os.environ[FOLDER]) / name
