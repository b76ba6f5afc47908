"""The figures as one picture."""

from collections.abc import Callable
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


STYLE = {"svg.hashsalt": "likeness", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw(found: dict[str, Any], file: Path) -> None:
    """`found`: by peer, its figures. SVG, the same bytes for the same figures."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(13, 7), facecolor="white", layout="constrained")
        (one, many, join), (cpu, scenes, jobs) = axes
        _bars(one, "one job of 22 steps, ms", found, lambda of: of["latency"]["median"] * 1000)
        _bars(many, "many at once, jobs/s", found, lambda of: of["throughput"]["jobs_per_s"])
        _bars(join, "a join, ms", found, lambda of: of["latency"]["join_median"] * 1000)
        _bars(cpu, "CPU of the workers, ms a job", found, lambda of: of["throughput"]["cpu"]["workers"] * 1000)
        for axis in (many, join):
            axis.set_yticklabels([])
        _lines(scenes, "one job, ms, by scenes", found, "scenes", lambda each: (each["scenes"], each["median"] * 1000))
        _lines(jobs, "jobs/s, by jobs at once", found, "jobs", lambda each: (each["jobs"], each["jobs_per_s"]))
        figure.legend(*scenes.get_legend_handles_labels(), loc="outside lower center", ncols=len(found), frameon=False)
        plt.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)


def _bars(axis: Axes, title: str, found: dict[str, Any], value: Callable[[dict[str, Any]], float]) -> None:
    peers = list(reversed(found))
    drawn = axis.barh(
        [LABELS[peer] for peer in peers],
        [value(found[peer]) for peer in peers],
        color=[COLOURS[peer] for peer in peers],
    )
    axis.bar_label(drawn, fmt=lambda figure: f"{figure:.0f}" if figure >= 20 else f"{figure:.1f}", padding=3)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.margins(x=0.15)


def _lines(
    axis: Axes,
    title: str,
    found: dict[str, Any],
    grown: str,
    point: Callable[[dict[str, Any]], tuple[float, float]],
) -> None:
    for peer, of in found.items():
        across, up = zip(*sorted(map(point, of[grown])), strict=True)
        axis.plot(across, up, marker="o", color=COLOURS[peer], label=LABELS[peer])
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
