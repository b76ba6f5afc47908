"""A server process of our own: its folder, its log, and what can happen to it."""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

START_S = 90.0  # RabbitMQ took 28 s on a loaded machine of two cores
STOP_S = 15.0
PORTS = range(
    12000, 32000
)  # below those that the kernel gives to clients, so a server finds its own again after a restart


class ServerMissing(Exception):
    """No server answers and none can be started; the message is one line that says what to do."""


def private_wanted() -> bool:
    return os.environ.get("LIKENESS_TEST_SERVERS") == "private"


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerMissing("no free port was found between 12000 and 32000")


def wait_for(ready: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} took longer than {seconds:g} s")
        time.sleep(0.05)


def _die_with_parent() -> None:
    """In the child, before exec: SIGKILL when the test process ends, however it ends."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _forget_dead(prefix: str) -> None:
    """Folders of test runs that were killed: each has the number of its process in its name."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        process = folder.name.removeprefix(prefix).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


class PrivateServer:
    """Started, stopped, killed or frozen by a test; `start` after `stop` or `kill` keeps the data and the port."""

    def __init__(self, name: str) -> None:
        prefix = f"likeness-{name.lower()}-"
        _forget_dead(prefix)
        self.name = name
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
        self.folder.chmod(0o755)  # another user may have to come in
        self.process: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        raise NotImplementedError

    def spawn(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their servers in order
                preexec_fn=_die_with_parent,
                **options,
            )

    def await_start(self) -> None:
        wait_for(self._ready, START_S, f"{self.name}'s start")

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            tail = (self.folder / "log").read_text(errors="replace").splitlines()[-5:]
            raise ServerMissing(f"{self.name} ended at once: {' | '.join(tail)}")
        return self.answers()

    def _family(self) -> list[psutil.Process]:
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.process.pid)
            return [leader, *leader.children(recursive=True)]
        return []

    def _signal(self, number: int) -> list[psutil.Process]:
        family = self._family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family

    def freeze(self) -> None:
        """It answers nothing and closes nothing, like a stalled machine."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would, children too."""
        if self.process is not None:
            family = self._signal(signal.SIGKILL)
            self.process.wait(STOP_S)
            psutil.wait_procs(family, timeout=STOP_S)
            self.process = None

    def end(self, number: int) -> None:
        """Send the signal that asks it to end; kill it if it does not."""
        if self.process is not None:
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
                self.process = None
            self.kill()

    def remove(self) -> None:
        """Kill it and forget its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
