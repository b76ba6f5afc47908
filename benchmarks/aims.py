"""What the pipeline is meant to reach, beside what it reached in the same run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Found = Mapping[str, Any]

LATENCY_SHARE = 0.06
JOBS_TIMES = 3.5
JOIN_S = 0.015
SCENES_TIMES = 8.0
FLAT = 0.15
OVER_S = 6.0
AGAIN = 10


@dataclass(frozen=True, slots=True)
class Aim:
    """`met` is None where this run cannot tell."""

    text: str
    reached: str
    met: bool | None


def judge(found: Found) -> list[Aim]:
    """`found`: by peer, its figures."""
    return [aim(text, reached, found) for text, reached in AIMS]


def aim(text: str, reached: Callable[[Found], tuple[str, bool]], found: Found) -> Aim:
    try:
        return Aim(text, *reached(found))
    except (KeyError, TypeError, StopIteration):  # a peer that was left out, jobs that did not end
        return Aim(text, "not measured", None)


def _one(found: Found, peer: str) -> float:
    return float(found[peer]["latency"]["median"])


def _rate(found: Found, peer: str) -> float:
    return float(found[peer]["throughput"]["jobs_per_s"])


def _latency_to(peer: str, most: float) -> Callable[[Found], tuple[str, bool]]:
    def reached(found: Found) -> tuple[str, bool]:
        share = _one(found, "likeness") / _one(found, peer)
        return f"{share:.3f}x", share <= most

    return reached


def _jobs_to(peer: str, least: float) -> Callable[[Found], tuple[str, bool]]:
    def reached(found: Found) -> tuple[str, bool]:
        times = _rate(found, "likeness") / _rate(found, peer)
        return f"{times:.2f}x", times >= least

    return reached


def _join(found: Found) -> tuple[str, bool]:
    median = found["likeness"]["latency"]["join_median"]
    return f"{median * 1000:.1f} ms", median <= JOIN_S


def _scenes(found: Found) -> tuple[str, bool]:
    fifty = next(each for each in found["likeness"]["scenes"] if each["scenes"] == 50)
    times = fifty["median"] / _one(found, "likeness")
    return f"{times:.1f}x", times <= SCENES_TIMES


def _flat(found: Found) -> tuple[str, bool]:
    rates = [each["jobs_per_s"] for each in found["likeness"]["jobs"]]
    spread = 1 - min(rates) / max(rates)
    if len(rates) < 2:
        raise KeyError("jobs")
    return f"{spread:.0%} between the best and the worst", spread <= FLAT


def _over(found: Found) -> tuple[str, bool]:
    over = found["likeness"]["recovery"]["over"]
    return f"{over:+.1f} s", over <= OVER_S


def _again(found: Found) -> tuple[str, bool]:
    killed = found["likeness"]["recovery"]
    said = f"{killed['again']} run again, {killed['recorded_twice']} recorded twice, {killed['lost']} jobs lost"
    return said, killed["again"] <= AGAIN and not killed["recorded_twice"] and not killed["lost"]


AIMS = [
    (
        f"one job takes at most {LATENCY_SHARE}x of what Celery with PostgreSQL results and its default poll takes",
        _latency_to("celery_postgres", LATENCY_SHARE),
    ),
    ("one job takes no longer than with Celery and Redis", _latency_to("celery_redis", 1.0)),
    (
        f"at least {JOBS_TIMES}x the jobs/s of Celery with PostgreSQL results, of 200 at once",
        _jobs_to("celery_postgres", JOBS_TIMES),
    ),
    ("more jobs/s than DBOS in threads", _jobs_to("dbos", 1.0)),
    ("more jobs/s than DBOS on its event loop", _jobs_to("dbos_async", 1.0)),
    (f"a join takes at most {JOIN_S * 1000:.0f} ms (median)", _join),
    (f"a job of 50 scenes takes at most {SCENES_TIMES:.0f}x as long as one of 4", _scenes),
    (f"jobs/s are flat within {FLAT:.0%} from 100 to 800 at once", _flat),
    (f"after SIGKILL of all workers 50 jobs are done within the undisturbed time + {OVER_S:.0f} s", _over),
    (f"and at most {AGAIN} bodies ran again, none was recorded twice, no job was lost", _again),
]
