"""The service's own processes, as the Procfile starts them, for tests that need them for real."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from honcho.environ import parse_procfile

from pipeline.ports import CAPABILITIES

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
START_S = 120.0
STOP_S = 30.0


class Gone(AssertionError):
    """A process that should run has ended; the message has the end of its log."""


class Process:
    """One process with its log; `stop` ends it and all its children."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=sink, stderr=sink, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def says(self, words: str) -> bool:
        if self._process.poll() is not None:
            raise Gone(f"{self._process.args!r} ended with {self._process.returncode}:\n{self.text()[-3000:]}")
        return words in self.text()

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(sign)
                try:
                    self._process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    continue
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the process and what it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait(STOP_S)


def instant_providers() -> dict[str, list[str]]:
    return {capability: ["tests.instant"] for capability in CAPABILITIES}


def worker(
    queues: str, environment: Mapping[str, str], folder: Path, *, processes: int = 2, beat: bool = False
) -> Process:
    """A Celery worker; `beat` adds the clock that sends the sweeper out."""
    name = queues.partition(",")[0]
    command = [
        sys.executable, "-m", "celery", "--app", "tasks.app", "worker", "--queues", queues,
        "--hostname", f"{name}-{os.getpid()}@%h", "--concurrency", str(processes), "--loglevel", "INFO",
    ]  # fmt: skip
    if beat:
        command += ["--beat", "--schedule", str(folder / "beat-schedule")]
    return Process(command, environment, folder / f"worker-{name}.log")


def procfile(name: str, environment: Mapping[str, str], folder: Path) -> Process:
    """A process as the Procfile starts it."""
    command = parse_procfile((ROOT / "Procfile").read_text()).processes[name]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return Process(
        ["bash", "-c", command], {"PATH": path, "PYTHONPATH": str(ROOT), **environment}, folder / f"{name}.log"
    )


def web(port: int, environment: Mapping[str, str], folder: Path) -> Process:
    """The HTTP API, listening on loopback."""
    command = [
        sys.executable, "-m", "gunicorn", "webapp:create_app()", "--bind", f"127.0.0.1:{port}", "--worker-class",
        "gthread", "--threads", "8",
    ]  # fmt: skip
    process = Process(command, environment, folder / "web.log")
    eventually(lambda: process.says("Booting worker") and _listens(port), within=START_S, what="the API listens")
    return process


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(found: Callable[[], T], *, within: float, what: str = "") -> T:
    """Poll until the answer is true; fail with the last answer."""
    end = time.monotonic() + within
    while True:
        answer = found()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what} (last answer: {answer!r})")
        time.sleep(0.02)
