"""The figures of one peer. Each function runs jobs and answers numbers: times in seconds, CPU in seconds a job."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks import reference
from benchmarks.meter import Meter
from benchmarks.peer import Peer
from benchmarks.reference import SCENES, Trace

JOB_S = 60.0
POLL_S = 0.02
KILLED_AT = 0.25  # of all bodies: far enough from the start that every worker is busy

MeterOf = Callable[[], Meter]


class JobsMissing(Exception):
    """Jobs of an undisturbed run did not end."""


def warm(peer: Peer, *, jobs: int) -> None:
    """The first jobs of a worker open its connections and fill its caches."""
    for _ in range(jobs):
        _one(peer, SCENES)


def latency(peer: Peer, trace: Trace, *, scenes: int, times: int) -> dict[str, Any]:
    """One job at a time, from before it is submitted until its last step is seen recorded; and how long joins took."""
    trace.mark()
    taken = [_one(peer, scenes) for _ in range(times)]
    return {"scenes": scenes, "jobs": times, "median": reference.median(taken), "most": max(taken)} | _joins(trace)


def throughput(peer: Peer, trace: Trace, meter: MeterOf, *, jobs: int) -> dict[str, Any]:
    """All jobs at once, from before the first is submitted until the last has ended."""
    trace.mark()
    used = meter()
    start = time.monotonic()
    names = [peer.submit(SCENES) for _ in range(jobs)]
    submitted = time.monotonic() - start
    seconds = max(_all(peer, names, JOB_S + jobs).values()) - start
    cpu = {name: spent / jobs for name, spent in used.used().items()}
    return {
        "jobs": jobs,
        "seconds": seconds,
        "submitted": submitted,
        "jobs_per_s": jobs / seconds,
        "cpu": cpu,
    } | _joins(trace)


def middle(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several runs with the same number of jobs the one in the middle, by number."""
    of: dict[int, list[dict[str, Any]]] = {}
    for run in runs:
        of.setdefault(run["jobs"], []).append(run)
    ordered = (sorted(of[jobs], key=lambda run: run["jobs_per_s"]) for jobs in sorted(of))
    return [run[len(run) // 2] for run in ordered]


def recovery(peer: Peer, trace: Trace, *, jobs: int, patience: float) -> dict[str, Any]:
    """SIGKILL for all workers with the jobs in flight, workers started again at once; beside it the same without."""
    trace.mark()
    start = time.monotonic()
    calm = max(_all(peer, [peer.submit(SCENES) for _ in range(jobs)], JOB_S + jobs).values()) - start
    peer.audit()
    trace.mark()
    start = time.monotonic()
    names = [peer.submit(SCENES) for _ in range(jobs)]
    while trace.lines() < KILLED_AT * jobs * reference.count(SCENES):
        time.sleep(POLL_S)
    killed = time.monotonic()
    peer.kill()
    before = trace.lines()
    peer.start()
    restarted = time.monotonic()
    ends = peer.ends(names, within=patience)
    seconds = max(ends.values()) - start if len(ends) == jobs else None
    return {
        "jobs": jobs,
        "ideal": calm,
        "seconds": seconds,
        "over": None if seconds is None else seconds - calm,
        "killed_at": killed - start,
        "bodies_before": before,
        "restart": restarted - killed,
        "lost": jobs - len(ends),
        "again": trace.again(),
        "recorded_twice": peer.recorded_twice(),
    }


def _one(peer: Peer, scenes: int) -> float:
    start = time.monotonic()
    name = peer.submit(scenes)
    return _all(peer, [name], JOB_S)[name] - start


def _all(peer: Peer, names: list[str], within: float) -> Mapping[str, float]:
    ends = peer.ends(names, within)
    if len(ends) < len(names):
        raise JobsMissing(f"{len(names) - len(ends)} of {len(names)} jobs did not end within {within:g} s")
    return ends


def _joins(trace: Trace) -> dict[str, float]:
    pauses = reference.joins(trace.runs())
    return {"joins": len(pauses), "join_median": reference.median(pauses), "join_p95": reference.p95(pauses)}
