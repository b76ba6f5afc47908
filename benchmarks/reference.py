"""The reference job: what every peer runs, so that only the machinery around it differs.

validate → script → storyboard → for each scene [voice → (background ∥ pose) → lip_sync] → stitch → enhance → publish:
22 steps with four scenes. The bodies are empty: each notes in a trace that it ran, and returns about 300 bytes.
"""

import os
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HEAD = ("validate", "script", "storyboard")
SCENE = ("voice", "background", "pose", "lip_sync")
TAIL = ("stitch", "enhance", "publish")
SCENES = 4
TRACE = "REFERENCE_TRACE"
FILLING = "x" * 260


def body(job: str, step: str) -> str:
    """The work of a step. One write to a file in append mode: lines of many processes do not mix."""
    os.write(_trace(), f"{job} {step} {time.monotonic():.6f}\n".encode())
    return f"{job} {step} {FILLING}"


def key(stage: str, scene: int) -> str:
    return f"scene/{scene}/{stage}"


def count(scenes: int) -> int:
    """How many steps a job has."""
    return len(HEAD) + len(SCENE) * scenes + len(TAIL)


@cache
def _trace() -> int:
    return os.open(os.environ[TRACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a body; `at` is on the machine's monotonic clock, which all its processes share."""

    job: str
    step: str
    at: float


class Trace:
    """What the bodies wrote since `mark` was called."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._from = 0
        file.touch()

    def mark(self) -> None:
        self._from = self.file.stat().st_size

    def lines(self) -> int:
        return len(self.runs())

    def runs(self) -> list[Ran]:
        with self.file.open("rb") as file:
            file.seek(self._from)
            return [
                Ran(job, step, float(at))
                for job, step, at in (line.split() for line in file.read().decode().splitlines())
            ]

    def again(self) -> int:
        """How many bodies ran although they had run before."""
        return sum(times - 1 for times in Counter((each.job, each.step) for each in self.runs()).values())


def joins(runs: Iterable[Ran]) -> list[float]:
    """Seconds from the end of a join's last branch to the start of what follows, for each join of each job."""
    jobs: dict[str, dict[str, float]] = {}
    for each in runs:
        jobs.setdefault(each.job, {})[each.step] = each.at
    return [pause for steps in jobs.values() for pause in _joins(steps)]


def _joins(steps: Mapping[str, float]) -> list[float]:
    clips = [step for step in steps if step.endswith("/lip_sync")]
    found = []
    for clip in clips:
        scene = clip.removesuffix("lip_sync")
        found.append(steps[clip] - max(steps[f"{scene}background"], steps[f"{scene}pose"]))
    return [*found, steps["stitch"] - max(steps[clip] for clip in clips)]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def p95(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
