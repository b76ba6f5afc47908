"""Workers that do jobs of instant stages on RabbitMQ and PostgreSQL; nobody else tells the broker of their jobs."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from celery import Celery
from sqlalchemy import text

from db import jobs
from db.database import Database
from db.models import Job
from pipeline.state import FINAL
from tests import inline, processes
from tests.conftest import Servers
from tests.processes import Process, eventually


@dataclass
class Running:
    environment: dict[str, str]
    database: Database
    steps: Process
    sweeper: Process
    avatar: str = ""

    def submit(self, lines: list[str], *, route: str | None = None) -> str:
        """The sweeper launches it: nobody else tells the broker."""
        asked = inline.output_request(self.avatar, text="\n".join(lines))
        job_id = inline.accept(self.database, asked, route=route)
        with self.database.transaction() as session:
            session.execute(text("UPDATE jobs SET nudge_at = now() WHERE id = :id"), {"id": job_id})
        return job_id

    def ended(self, job_id: str, *, within: float = 60) -> Job:
        def found() -> Job | None:
            job = inline.job(self.database, job_id)
            return job if job.status in FINAL else None

        return eventually(found, within=within, what=f"{job_id} ends")

    def under_way(self, job_id: str, step: str) -> None:
        def found() -> bool:
            row = inline.rows(self.database, job_id).get(step)
            return row is not None and row.status == "running"

        eventually(found, within=60, what=f"{step} runs")

    def reached(self, job_id: str, status: str, *steps: str) -> None:
        def found() -> bool:
            rows = inline.rows(self.database, job_id)
            return all(step in rows and rows[step].status == status for step in steps)

        eventually(found, within=60, what=f"{steps} are {status}")

    def cancel(self, job_id: str, step: str = "scene/1/speech") -> None:
        """The job, and with it its step, which is under way."""
        self.database.in_turn(lambda connection: jobs.cancel(connection, job_id, client=inline.CLIENT))

        def cancelled() -> bool:
            return inline.rows(self.database, job_id)[step].status == "cancelled"

        eventually(cancelled, within=30, what="the step is cancelled")

    def leave(self, app: Celery) -> None:
        """These workers do not serve the lane for now."""
        app.control.cancel_consumer("avatar", destination=[self.node], reply=True)

    def serve_again(self, app: Celery) -> None:
        app.control.add_consumer("avatar", destination=[self.node], reply=True)

    @property
    def node(self) -> str:
        return f"avatar-{os.getpid()}@{socket.gethostname()}"


@contextmanager
def open_running(
    servers: Servers, broker_url: str, folder: Path, *, pool: int = 2, line: Callable[[str], str] = str
) -> Iterator[Running]:
    """A worker of so many processes, one for maintenance with beat, and an avatar; failpoints are in the folder.

    `line` gives the address at which the first of them finds the database.
    """
    (folder / "failpoints").mkdir()
    name = servers.databases.clone()
    environment = {
        "LIKENESS_DATABASE_URL": servers.databases.url(name),
        "LIKENESS_BROKER_URL": broker_url,
        "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers()),
        "LIKENESS_FAILPOINTS": str(folder / "failpoints"),
    }
    database = Database(environment["LIKENESS_DATABASE_URL"])
    own = environment | {"LIKENESS_DATABASE_URL": line(environment["LIKENESS_DATABASE_URL"])}
    steps = processes.worker("avatar,marketing,callback", own, folder, processes=pool)
    sweeper = processes.worker("maintenance", environment, folder, processes=1, beat=True)
    try:
        for each in (steps, sweeper):
            eventually(partial(each.says, "ready."), within=120, what="a worker is ready")
        found = Running(environment, database, steps, sweeper)
        made = inline.accept(database, inline.avatar_request(inline.upload(database)))
        found.avatar = (found.ended(made).result or {})["avatar_id"]
        yield found
    finally:
        steps.kill()
        sweeper.kill()
        database.dispose()
        servers.databases.drop(name)
