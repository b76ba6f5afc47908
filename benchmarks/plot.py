"""The figures as one picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

LABELS = {
    "celery_postgres": "Celery, PostgreSQL, 1.0 s",
    "celery_postgres_fast": "Celery, PostgreSQL, 0.1 s",
    "celery_redis": "Celery, Redis",
    "dbos": "DBOS, threads",
    "dbos_async": "DBOS, event loop",
    "likeness": "Likeness",
    "likeness_heavy": "Likeness, heavy lip_sync",
}
COLOURS = {
    "celery_postgres": "#7f8c9b",
    "celery_postgres_fast": "#a9b4c0",
    "celery_redis": "#c0603b",
    "dbos": "#4f8a5b",
    "dbos_async": "#8fbf8a",
    "likeness": "#1f4e9e",
    "likeness_heavy": "#6f9be0",
}


def draw(found: dict[str, Any], file: Path) -> None:
    """`found`: by peer, its figures. SVG, the same bytes for the same figures."""
    with plt.rc_context(
        {"svg.hashsalt": "likeness", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure, axes = plt.subplots(2, 3, figsize=(13, 7), facecolor="white", layout="constrained")
        bars = [
            (axes[0, 0], "one job of 22 steps, ms", lambda of: of["latency"]["median"] * 1000, True),
            (axes[0, 1], "jobs/s, many at once", lambda of: of["throughput"]["jobs_per_s"], False),
            (axes[0, 2], "a join, ms (median of single jobs)", lambda of: of["latency"]["join_median"] * 1000, True),
            (
                axes[1, 0],
                "CPU ms of the workers for a job",
                lambda of: of["throughput"]["cpu"]["workers"] * 1000,
                False,
            ),
        ]
        for axis, title, value, log in bars:
            _bars(axis, title, {peer: value(of) for peer, of in found.items()}, log=log)
        for axis, title, series in (
            (axes[1, 1], "latency by number of scenes, ms", _scenes(found)),
            (axes[1, 2], "jobs/s by number of jobs at once", _jobs(found)),
        ):
            _lines(axis, title, series)
        plt.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)


def _bars(axis: Axes, title: str, values: dict[str, float], *, log: bool) -> None:
    peers = list(reversed(values))
    drawn = axis.barh(
        [LABELS[peer] for peer in peers], [values[peer] for peer in peers], color=[COLOURS[peer] for peer in peers]
    )
    axis.bar_label(drawn, fmt=lambda value: f"{value:.0f}" if value >= 20 else f"{value:.1f}", padding=3)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.margins(x=0.15)
    if log:
        axis.set_xscale("log")


def _lines(axis: Axes, title: str, series: dict[str, list[tuple[float, float]]]) -> None:
    for peer, points in series.items():
        across, up = zip(*sorted(points), strict=True)
        axis.plot(across, up, marker="o", color=COLOURS[peer], label=LABELS[peer])
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.legend(frameon=False, fontsize=7)


def _scenes(found: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    return {peer: [(each["scenes"], each["median"] * 1000) for each in of["scenes"]] for peer, of in found.items()}


def _jobs(found: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    return {peer: [(each["jobs"], each["jobs_per_s"]) for each in of["jobs"]] for peer, of in found.items()}
