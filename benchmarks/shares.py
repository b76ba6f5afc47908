"""Where the time of one step goes, and how far that is from the floor."""

from typing import Any

from benchmarks import figures, floor, profile, reference
from benchmarks.likeness_peer import profiled
from benchmarks.meter import Meter
from benchmarks.turn import Turn


def measure(turn: Turn) -> dict[str, Any]:
    """Seconds of a step, by part; of one job at a time, so that the parts do not wait for each other.

    `parts` are those of the two pool processes, which do the steps; `outside` is CPU time of whom they lean on.
    """
    rates = floor.measure(turn.database_url, turn.broker_url, times=turn.size.floor)
    peer = profiled(turn)
    peer.start()
    try:
        figures.warm(peer, jobs=turn.size.warm)
        profile.begin(turn.folder)
        meter = Meter(peer.pids, turn.servers)
        figures.warm(peer, jobs=turn.size.profiled)
        used = meter.used()
    finally:
        peer.stop()
    steps = turn.size.profiled * reference.count(reference.SCENES)
    parts = {
        name: {"count": part.count / steps, "wall": part.wall / steps, "cpu": part.cpu / steps}
        for name, part in profile.read(turn.folder).items()
    }
    whole = sum(part["wall"] for part in parts.values())
    least = floor.step_s(rates)
    outside = {name: spent / steps for name, spent in used.items() if name != "driver"}
    outside["workers' main processes"] = outside.pop("workers") - sum(part["cpu"] for part in parts.values())
    return {
        "floor": rates,
        "parts": parts,
        "outside": outside,
        "step": whole,
        "floor_of_step": least,
        "ratio": whole / least,
    }
