"""What every peer of a comparison can be asked, and what its makers need for it."""

import os
import select
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2

from tests.processes import Process, eventually

START_S = 60.0
PROCESSES = 2
WORKER = "REFERENCE_WORKER"


class Workers:
    """Processes that are started, stopped and killed together; each says `ready.` in its log when it takes work."""

    def __init__(self, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], folder: Path) -> None:
        self._commands = commands
        self._environment = environment
        self._folder = folder
        self._running: list[Process] = []
        self._starts = 0

    def start(self) -> None:
        self._starts += 1
        self._running = [
            Process(command, {**self._environment, WORKER: name}, self._folder / f"{name}-{self._starts}.log")
            for name, command in self._commands.items()
        ]
        for process in self._running:
            eventually(partial(process.says, "ready."), within=START_S, what="a worker is ready")

    def stop(self) -> None:
        for process in self._running:
            process.stop()
        self._running = []

    def kill(self) -> None:
        for process in self._running:
            process.kill()
        self._running = []

    def pids(self) -> list[int]:
        return [process.pid for process in self._running]


class Peer(ABC):
    """One way to run the reference job."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def start(self) -> None:
        """Start the workers; return when they take work."""
        self._workers.start()

    def stop(self) -> None:
        self._workers.stop()

    def kill(self) -> None:
        """SIGKILL for all workers at once."""
        self._workers.kill()

    def pids(self) -> list[int]:
        """The workers' main processes."""
        return self._workers.pids()

    @abstractmethod
    def submit(self, scenes: int) -> str:
        """Hand in one job; answers its name."""

    @abstractmethod
    def ends(self, jobs: Collection[str], within: float) -> dict[str, float]:
        """When each of these jobs' last step was seen recorded (monotonic); those that did not end are missing."""

    @abstractmethod
    def audit(self) -> None:
        """From now on count every time that a step is recorded as done."""

    @abstractmethod
    def recorded_twice(self) -> int | None:
        """How many steps were, since then; None where that cannot be told."""


class Ends:
    """A database tells when last steps are recorded: with the commit, and without being asked again and again."""

    def __init__(self, url: str) -> None:
        self._connection: Any = psycopg2.connect(url.replace("+psycopg2", ""))
        self._connection.autocommit = True
        self._seen: dict[str, float] = {}
        self.ask("LISTEN reference_ended")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def watch(self, table: str, job: str, when: str, event: str = "INSERT OR UPDATE") -> None:
        """Tell of each row of `table` for which `when` comes true; `job` names the job."""
        self.ask(
            f"CREATE FUNCTION reference_ended() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_notify('reference_ended', {job}); RETURN NULL; END $$"
        )
        self._trigger("reference_ended", table, when, event)

    def audit(self, table: str, step: str, when: str, event: str = "INSERT OR UPDATE") -> None:
        """Keep a row for each time that `when` comes true; `step` names the step."""
        self.ask("CREATE TABLE reference_recorded (step text NOT NULL)")
        self.ask(
            f"CREATE FUNCTION reference_recorded() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN INSERT INTO reference_recorded VALUES ({step}); RETURN NULL; END $$"
        )
        self._trigger("reference_recorded", table, when, event)

    def recorded_twice(self) -> int:
        ((again,),) = self.ask("SELECT count(*) - count(DISTINCT step) FROM reference_recorded")
        return int(again)

    def wait(self, jobs: Collection[str], within: float) -> dict[str, float]:
        end = time.monotonic() + within
        while not self._seen.keys() >= set(jobs) and (left := end - time.monotonic()) > 0:
            if select.select([self._connection], [], [], left)[0]:
                self._connection.poll()
                now = time.monotonic()
                for notice in self._connection.notifies:
                    self._seen.setdefault(notice.payload, now)
                self._connection.notifies.clear()
        return {job: self._seen[job] for job in jobs if job in self._seen}

    def close(self) -> None:
        self._connection.close()

    def _trigger(self, function: str, table: str, when: str, event: str) -> None:
        self.ask(
            f"CREATE TRIGGER {function} AFTER {event} ON {table} FOR EACH ROW WHEN ({when})"
            f" EXECUTE FUNCTION {function}()"
        )


def celery(app: str, name: str, *options: str, processes: int = PROCESSES) -> list[str]:
    """The command of a prefork worker."""
    return [
        sys.executable, "-m", "celery", "--app", app, "worker", "--hostname", f"{name}-{os.getpid()}@%h",
        "--concurrency", str(processes), "--loglevel", "INFO", *options,
    ]  # fmt: skip
