"""What Prometheus reads: requests of this process, and the state of the queue of work as the database has it."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from db.overview import Backlog, Spending

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})

log = structlog.get_logger()


class Metrics:
    """A registry of its own for each app.

    gunicorn's processes each count for themselves, and a scrape meets one of them: so their series carry the
    `process`, and sums of rates are right. What comes from the database is the same whoever answers.
    """

    def __init__(self, backlog: Callable[[], Backlog]) -> None:
        self._registry = CollectorRegistry()
        labels = ("process", "method", "route")
        self._requests = Counter("likeness_requests", "Requests served.", (*labels, "status"), registry=self._registry)
        self._latency = Histogram(
            "likeness_request_seconds", "Time to serve a request.", labels, registry=self._registry, buckets=BUCKETS
        )
        self._registry.register(_Work(backlog))

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in METHODS else "other"
        process = str(os.getpid())
        self._requests.labels(process, known, route, str(status)).inc()
        self._latency.labels(process, known, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Work(Collector):
    def __init__(self, backlog: Callable[[], Backlog]) -> None:
        self._backlog = backlog

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("likeness_database_up", "Whether the database answered this scrape.")
        try:
            found = self._backlog()
        except Exception as error:  # a scrape tells what it can, above all that the database is away
            log.warning("metrics without the database", error=type(error).__name__)
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        jobs = GaugeMetricFamily("likeness_jobs", "Jobs by kind and status.", labels=("kind", "status"))
        for (kind, status), count in found.jobs.items():
            jobs.add_metric((kind, status), count)
        yield jobs
        waiting = GaugeMetricFamily("likeness_waiting_steps", "Waiting steps by what they await.", labels=("awaits",))
        for awaits, count in found.waiting.items():
            waiting.add_metric((awaits,), count)
        yield waiting
        yield GaugeMetricFamily("likeness_parked_steps", "Steps that only a person wakes.", found.parked)
        yield from _spending(found.calls)
        yield GaugeMetricFamily(
            "likeness_oldest_due_event_seconds", "For how long the oldest undelivered event is due.", found.event_age_s
        )
        yield GaugeMetricFamily(
            "likeness_oldest_idle_job_seconds", "For how long the oldest unfinished job has not moved.", found.job_age_s
        )


def _spending(calls: Sequence[Spending]) -> Iterable[Metric]:
    counts = GaugeMetricFamily(
        "likeness_provider_calls",
        "Paid calls: those without an end, and of the others those begun within a day.",
        labels=("provider", "status"),
    )
    sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for each in calls:
        counts.add_metric((each.provider, each.status), each.calls)
        for name in ("reserved", "settled", "wasted"):
            sums[each.provider, name] += getattr(each, name)
    money = GaugeMetricFamily(
        "likeness_provider_usd", "Money of these calls; wasted is a part of settled.", labels=("provider", "money")
    )
    for labels, amount in sums.items():
        money.add_metric(labels, float(amount))
    yield counts
    yield money
