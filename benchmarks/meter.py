"""CPU time of whole families of processes: a peer's workers, its driver, and the servers they lean on."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import psutil


class Meter:
    """CPU seconds by family since it was made."""

    def __init__(self, workers: Callable[[], Sequence[int]], servers: Mapping[str, int]) -> None:
        self._families: dict[str, Callable[[], Sequence[int]]] = {
            "workers": workers,
            "driver": lambda: [os.getpid()],
            **{name: lambda pid=pid: [pid] for name, pid in servers.items()},  # type: ignore[misc]
        }
        self._before = self._now()

    def used(self) -> dict[str, float]:
        now = self._now()
        return {name: now[name] - self._before[name] for name in now}

    def _now(self) -> dict[str, float]:
        return {
            name: sum(map(_family, roots())) if name != "driver" else _own() for name, roots in self._families.items()
        }


def _family(root: int) -> float:
    """Of the living, and of those they buried: so a worker's child that was replaced still counts."""
    spent = 0.0
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(root)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                spent += sum(process.cpu_times()[:4])
    return spent


def _own() -> float:
    return sum(os.times()[:2])


def listener(url: str) -> int | None:
    """The process that serves this address, where it is on this machine and we may know."""
    port = urlsplit(url).port
    with suppress(psutil.AccessDenied):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return int(each.pid)
    return None
