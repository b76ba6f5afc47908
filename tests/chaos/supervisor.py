"""Keeps processes running, as a platform does: what ended is started again after a short pause."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.processes import Process, eventually

PAUSE_S = 0.5
LOOK_S = 0.05
READY_S = 120.0


@dataclass
class Part:
    """One process that must run; `ready` is what its log says once it serves."""

    name: str
    command: Sequence[str]
    ready: str
    log: Path
    process: Process
    heard: int = 0


class Supervisor:
    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._parts: dict[str, Part] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()
        self.restarts: Counter[str] = Counter()

    def run(self, name: str, words: Sequence[str], *, ready: str) -> None:
        """Start `python -m <words>` and keep it running."""
        command, log = [sys.executable, "-m", *words], self._folder / f"{name}.log"
        with self._lock:
            self._parts[name] = Part(name, command, ready, log, Process(command, self._environment, log))

    @property
    def names(self) -> list[str]:
        return list(self._parts)

    def main(self, name: str) -> psutil.Process:
        with self._lock:
            return psutil.Process(self._parts[name].process.pid)

    def children(self, name: str) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.main(name).children(recursive=True)
        return []

    def signal(self, name: str, number: int) -> None:
        """To the process and all its children."""
        for process in [*self.children(name), self.main(name)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def frozen(self, name: str) -> bool:
        return self.main(name).status() == psutil.STATUS_STOPPED

    def kill(self, name: str) -> None:
        """SIGKILL for the process and its children, as when their container is lost; it is started again."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            os.killpg(self._parts[name].process.pid, signal.SIGKILL)

    def await_ready(self, *names: str) -> None:
        for name in names or self.names:
            eventually(lambda name=name: self.serves(name), within=READY_S, what=f"{name} serves")  # type: ignore[misc]

    def serves(self, name: str) -> bool:
        with self._lock:
            part = self._parts[name]
            text = part.log.read_bytes() if part.log.exists() else b""
            return part.process.alive and part.ready.encode() in text[part.heard :]

    def roll(self, *names: str) -> None:
        """A deploy: one process after the other is asked to end, and its successor awaited."""
        for name in names:
            before = self.main(name).pid
            os.kill(before, signal.SIGTERM)
            eventually(lambda: self._parts[name].process.pid != before, within=120, what=f"{name} ends")  # noqa: B023
            self.await_ready(name)

    def stop(self) -> None:
        """Of what they have, nothing is needed any more."""
        self._over.set()
        self._thread.join()
        for part in self._parts.values():
            part.process.kill()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                dead = [part for part in self._parts.values() if not part.process.alive]
                for part in dead:
                    part.process.kill()  # children that outlived their parent
            if not dead:
                continue
            time.sleep(PAUSE_S)
            with self._lock:
                for part in dead:
                    part.heard = part.log.stat().st_size
                    part.process = Process(part.command, self._environment, part.log)
                    self.restarts[part.name] += 1
