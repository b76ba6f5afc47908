"""Showing how far a job is: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from webapp.cli.gate import invitation

Job = Mapping[str, Any]
Steps = Sequence[Mapping[str, Any]]

MARKS = {
    "pending": ("·", "dim"),
    "running": ("▸", "cyan"),
    "waiting": ("⧗", "yellow"),
    "succeeded": ("✓", "green"),
    "reused": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
    "stale": ("~", "yellow"),
    "cancelled": ("–", "yellow"),
}
AWAITS = {"person": "for a person", "call": "the provider is at work"}
WORTH_SAYING = {"waiting", "reused", "failed", "skipped", "stale", "cancelled"}
BAR_WIDTH = 40


class Shown(Protocol):
    def update(self, job: Job, steps: Steps) -> None: ...

    def note(self, text: str) -> None:
        """A word that is not about a stage: the service does not answer, say."""
        ...


class Clock:
    """How long each step took. A running one is timed here: the service's clock may differ from ours."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: dict[tuple[str, int], float] = {}

    def seconds(self, step: Mapping[str, Any]) -> float | None:
        if step.get("why"):
            return None  # what is known is how long it last looked whether the wait is over
        if step.get("origin") == "human":
            return None  # nor is it known how long a person thought
        if step["status"] == "running":
            now = self._now()
            return now - self._began.setdefault((step["key"], step["attempts"]), now)
        if step.get("started_at") and step.get("finished_at"):
            began, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "finished_at"))
            return (ended - began).total_seconds()
        return None


@contextmanager
def shown(console: Console) -> Iterator[Shown]:
    """How jobs are shown on this console, until the block ends; what was last shown stays."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, refresh_per_second=8, vertical_overflow="ellipsis") as live:
        yield Board(live)


class Board:
    """A line for each stage of the job, one line for all the stages of a scene."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._clock = Clock()
        self._last: RenderableType = Text("")

    def update(self, job: Job, steps: Steps) -> None:
        self._last = draw(job, steps, self._clock)
        self._live.update(self._last)

    def note(self, text: str) -> None:
        self._live.update(Group(self._last, Text(f"  {text}", "yellow")))


def draw(job: Job, steps: Steps, clock: Clock) -> RenderableType:
    table = _stages()
    scenes = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    parts: list[RenderableType] = [table]
    for number, group in _grouped(steps):
        if number is None:
            for step in group:
                mark, style = MARKS.get(step["status"], ("?", ""))
                name = Text(str(step.get("label") or step["key"]), style if step["status"] != "succeeded" else "")
                table.add_row(Text(mark, style), name, _time(clock.seconds(step)), _aside(step))
            continue
        if scenes not in parts:
            table = _stages()
            parts += [scenes, table]
        scenes.add_row(Text(f"  Scene {number}"), *(_cell(step, clock) for step in group))
    done = float(job.get("progress") or 0.0)
    bar = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    bar.add_row(ProgressBar(1.0, done, width=BAR_WIDTH), f"{done:4.0%}", str(job["status"]))
    for parked in job.get("parked") or []:
        parts.append(Text(f"{parked['stage']}: {parked['why']}", MARKS["waiting"][1]))
    parts += [Text(line, MARKS["waiting"][1]) for line in invitation(job)]
    return Padding(Group(*parts, bar), (0, 0, 0, 2))


def _stages() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True, min_width=26)
    table.add_column(justify="right", no_wrap=True, min_width=7)
    table.add_column()
    return table


def _grouped(steps: Steps) -> Iterator[tuple[int | None, list[Mapping[str, Any]]]]:
    """The job's stages before its scenes, each scene, the stages after: in the order of the route."""
    groups: dict[tuple[int, int | None], list[Mapping[str, Any]]] = {}
    part = 0
    for step in steps:
        number = step.get("scene")
        if number is None and any(key[1] is not None for key in groups):
            part = 1
        groups.setdefault((0 if number is not None else part, number), []).append(step)
    for (_, number), group in groups.items():
        yield number, group


def _cell(step: Mapping[str, Any], clock: Clock) -> Text:
    mark, style = MARKS.get(step["status"], ("?", ""))
    name = str(step["name"]).replace("_", " ")
    cell = Text.assemble((mark, style), " ", (name, "dim" if step["status"] == "pending" else ""))
    cell.append(f" {_time(clock.seconds(step))}".rstrip(), "dim")
    if (aside := _aside(step)).plain:
        cell.append(" ").append_text(aside)
    return cell


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _aside(step: Mapping[str, Any]) -> Text:
    """What is out of the ordinary: the status where it is not plain success, further attempts, the error."""
    said = [step["status"]] if step["status"] in WORTH_SAYING else []
    if awaits := step.get("awaits"):
        _, slot, provider = awaits.partition("slot:")
        said.append(f"for a place at {provider}" if slot else AWAITS.get(awaits, awaits))
    if step.get("origin") == "human":
        said.append("by a person")
    if int(step.get("attempts") or 0) > 1:
        said.append(f"attempt {step['attempts']}")
    if step["status"] in ("failed", "waiting") and isinstance(step.get("error"), dict):
        said.append(str(step["error"].get("code")))
    said += [f"not by {each['provider']}: {each['code']}" for each in step.get("passed_over") or []]
    return Text(", ".join(said), MARKS.get(step["status"], ("", ""))[1] if said else "")


def _still_waits(last: tuple[str, int, str | None], state: tuple[str, int, str | None]) -> bool:
    """Looking whether the wait is over is no news: a step at a provider does it every few seconds."""
    return last[0] == "waiting" and state[0] in ("running", "pending") and last[1] == state[1]


class Lines:
    """A line whenever a step's status changes: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = Clock()
        self._began = time.monotonic()
        self._told: dict[str, tuple[str, int, str | None]] = {}
        self._status: str | None = None
        self._noted = ""
        self._gate: str | None = None

    def update(self, job: Job, steps: Steps) -> None:
        progress = f"{float(job.get('progress') or 0.0):4.0%}"
        ended = bool(job.get("finished_at"))
        self._noted = ""
        if not ended:
            self._tell_status(job, progress)
        for step in steps:
            seconds = self._clock.seconds(step)
            state = (str(step["status"]), int(step.get("attempts") or 0), step.get("why"))
            last = self._told.get(step["key"], ("pending", 0, None))
            if last == state or _still_waits(last, state):
                continue
            self._told[step["key"]] = state
            took = "" if seconds is None or step["status"] == "running" else f" {_time(seconds)}"
            aside = _aside(step).plain
            extra = f" ({aside})" if aside and aside != step["status"] else ""
            why = f" {step['why']}" if step.get("why") else ""
            self._line(f"{progress}  {step['key']} {step['status']}{took}{extra}{why}")
        if ended:
            self._tell_status(job, progress)
        self._tell_gate(job)

    def _tell_status(self, job: Job, progress: str) -> None:
        if job["status"] != self._status:
            self._status = job["status"]
            self._line(f"{progress}  job {self._status}")

    def _tell_gate(self, job: Job) -> None:
        """Once for each time that it is opened."""
        lines = invitation(job)
        opened = job["gate"]["opened_at"] if lines else None
        if opened is not None and opened != self._gate:
            for line in lines:
                self._line(line)
        self._gate = opened

    def note(self, text: str) -> None:
        if text != self._noted:  # once for each time that it happens
            self._noted = text
            self._line(text)

    def _line(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._began:7.1f} s  {escape(text)}", soft_wrap=True, highlight=False)
