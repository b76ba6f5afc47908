"""The figures of a run: as JSON, as tables, and in the page for operators."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.matrix import FAULTS, POINTS, Result, cells, row

BEGIN, END = "<!-- figures: written by make chaos -->", "<!-- end of figures -->"


def line(result: Result) -> str:
    times = f"outage {result.outage_s:5.1f}  moved {_s(result.recovered_s)}  ended {_s(result.ended_s)}"
    return f"{result.cell:48} {result.status:9} {times}  charges {result.charges}  " + "; ".join(result.flaws)


def figures(results: Sequence[Result], matrix_s: float, soak: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "matrix": {"cells": [row(result) for result in results], "seconds": round(matrix_s)} if results else None,
        "whole": {each.cell for each in results} == {cell.name for cell in cells()},
        "faults": [_fault(name, [each for each in results if each.fault == name]) for name in FAULTS],
        "points": [_fault(name, [each for each in results if each.point == name]) for name in POINTS],
        "soak": soak,
    }


def _fault(name: str, results: Sequence[Result]) -> dict[str, Any]:
    recovered = [each.recovered_s for each in results if each.recovered_s is not None]
    ended = [each.ended_s for each in results if each.ended_s is not None and each.status != "parked"]
    words = [flaw for each in results for flaw in each.flaws]
    return {
        "name": name,
        "runs": len(results),
        "ended": sum(each.status == "completed" for each in results),
        "parked": sum(each.status == "parked" for each in results),
        "double_charges": sum("charged" in word for word in words),
        "lost_events": sum("event" in word or "sequence" in word for word in words),
        "other_flaws": sum(not any(sign in word for sign in ("charged", "event", "sequence")) for word in words),
        "outage_s": _median(each.outage_s for each in results),
        "recovered_median_s": _median(recovered),
        "recovered_p95_s": _p95(recovered),
        "ended_median_s": _median(ended),
        "ended_p95_s": _p95(ended),
    }


def held(figures: dict[str, Any]) -> bool:
    flaws = [flaw for cell in (figures["matrix"] or {"cells": []})["cells"] for flaw in cell["flaws"]]
    soak = figures["soak"] or {"flaws": {}}
    return not flaws and not any(soak["flaws"].values())


def verdict(figures: dict[str, Any]) -> str:
    lines = [table(figures["faults"], "fault")] if figures["matrix"] else []
    if figures["soak"]:
        lines.append(json.dumps({name: value for name, value in figures["soak"].items() if name != "flaws"}, indent=1))
        lines += [f"{question}: {flaw}" for question, flaws in figures["soak"]["flaws"].items() for flaw in flaws]
    lines.append("the promise held" if held(figures) else "THE PROMISE DID NOT HOLD")
    return "\n\n".join(lines)


def table(rows: Sequence[dict[str, Any]], what: str) -> str:
    head = (what, "runs", "completed", "parked", "double charges", "lost events", "server away, s",
            "moves again, s (median / p95)", "job ends, s (median / p95)")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for each in rows:
        if each["runs"]:
            cells = (
                each["name"].replace("_", " "), each["runs"], each["ended"], each["parked"], each["double_charges"],
                each["lost_events"], _s(each["outage_s"]),
                f"{_s(each['recovered_median_s'])} / {_s(each['recovered_p95_s'])}",
                f"{_s(each['ended_median_s'])} / {_s(each['ended_p95_s'])}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def keep(figures: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=1, default=str) + "\n")


def write(figures: dict[str, Any], page: Path) -> None:
    """Put the tables between the page's marks; what was not run as a whole keeps what stands there."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    made = {"matrix": _matrix(figures) if figures["whole"] else "", "soak": _soak(figures["soak"])}
    parts = [made[name] or _part(old, name) for name in made]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(filter(None, parts)) + f"\n\n{END}{after}")


def _part(old: str, name: str) -> str:
    _, mark, rest = old.partition(f"### The {name}")
    return (mark + rest.partition("\n### ")[0]).strip()


def _matrix(figures: dict[str, Any]) -> str:
    if not figures["matrix"]:
        return ""
    matrix = figures["matrix"]
    return (
        f"### The matrix\n\n{len(matrix['cells'])} cells in {matrix['seconds'] / 60:.0f} minutes.\n\n"
        + table(figures["faults"], "fault")
        + "\n\n"
        + table(figures["points"], "place")
    )


def _soak(soak: dict[str, Any] | None) -> str:
    if not soak:
        return ""
    jobs = ", ".join(f"{count} {status}" for status, count in sorted(soak["jobs"].items()))
    lines = [
        f"### The soak\n\n{soak['minutes']:g} minutes, seed {soak['seed']}: "
        f"{sum(soak['jobs'].values())} jobs ({jobs}), "
        f"{sum(soak['faults'].values())} faults, {sum(soak['restarts'].values())} processes started again, "
        f"{soak['charges']} paid calls, {soak['events']} events, "
        f"{sum(soak['decisions'].values())} decisions at gates. "
        f"Quiet {soak['settled_s']:g} s after the last fault.\n",
        "| question | found wrong |\n| --- | --- |",
        *(f"| {question} | {len(flaws)} |" for question, flaws in soak["flaws"].items()),
        "\n| fault | times |\n| --- | --- |",
        *(f"| {name} | {times} |" for name, times in sorted(soak["faults"].items())),
    ]
    return "\n".join(lines)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(statistics.median(found), 2) if found else None


def _p95(values: Sequence[float]) -> float | None:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * 0.95))], 2) if values else None


def _s(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
