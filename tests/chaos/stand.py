"""An installation of the service that may be broken: servers, processes, the product's receiver and a paid vendor.

Everything is its own: PostgreSQL and RabbitMQ in temporary folders on free ports, a folder for files, scratch and logs.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import requests
from psycopg2.extras import RealDictCursor

from db.schema import upgrade
from pipeline.ports import CAPABILITIES
from tests import failpoints, paid
from tests.api import picture
from tests.chaos.receiver import SECRET, Receiver, open_receiver
from tests.chaos.supervisor import Supervisor
from tests.processes import eventually
from tests.servers.postgres import PrivatePostgres, connect
from tests.servers.process import free_port
from tests.servers.rabbit import PrivateRabbit
from tests.vendors.paid import Vendor, open_vendor

TOKEN = "lk_test_0123456789"
CLIENT = "shop"
SERVES = "ready."
ENDED = ("completed", "failed", "cancelled")
SUBMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as the Procfile has it; `queues` with commas where a small stand saves processes."""

    name: str
    queues: str
    processes: int


FULL = (
    Worker("avatar-1", "avatar", 3),
    Worker("avatar-2", "avatar", 3),
    Worker("marketing-1", "marketing", 1),
    Worker("marketing-2", "marketing", 1),
    Worker("callback", "callback", 2),
    Worker("maintenance", "maintenance", 2),
)
SMALL = (
    Worker("avatar-1", "avatar", 2),
    Worker("avatar-2", "avatar", 2),
    Worker("marketing-1", "marketing", 1),
    Worker("marketing-2", "marketing", 1),
    Worker("maintenance", "maintenance,callback", 2),
)


@dataclass
class Stand:
    folder: Path
    postgres: PrivatePostgres
    rabbit: PrivateRabbit
    vendor: Vendor
    receiver: Receiver
    port: int
    workers: Sequence[Worker]
    accepted: list[str] = field(default_factory=list)
    avatar: str = ""
    _line: Any = None

    def __post_init__(self) -> None:
        for name in ("assets", "scratch", "failpoints"):
            (self.folder / name).mkdir()
        (self.folder / "scratch").chmod(0o777)
        self.journal = self.folder / "journal"
        self.database_url = self.postgres.url.rpartition("/")[0] + "/likeness"
        self.supervisor = Supervisor(self.folder, self.environment)

    @property
    def environment(self) -> Mapping[str, str]:
        client = {
            "name": CLIENT,
            "token_sha256": [hashlib.sha256(TOKEN.encode()).hexdigest()],
            "callback_url": self.receiver.url,
            "callback_secrets": [SECRET],
        }
        families = {name: ["tests.paid" if name in paid.CAPABILITIES else "tests.instant"] for name in CAPABILITIES}
        return {
            "LIKENESS_DATABASE_URL": self.database_url,
            "LIKENESS_BROKER_URL": self.rabbit.url,
            "LIKENESS_STORAGE_URL": (self.folder / "assets").as_uri(),
            "LIKENESS_SIGNING_KEY": "k" * 40,
            "LIKENESS_CLIENTS": json.dumps([client]),
            "LIKENESS_PROVIDERS": json.dumps(families),
            "LIKENESS_CALLBACK_ALLOW_PRIVATE": "on",
            "LIKENESS_CALLBACK_SCHEDULE_S": ",".join(["1"] * 60),
            "LIKENESS_FAILPOINTS": str(self.folder / "failpoints"),
            "PAID_BASE_URL": self.vendor.url,
            "PAID_JOURNAL": str(self.journal),
            "TMPDIR": str(self.folder / "scratch"),
            "REMAP_SIGTERM": "SIGQUIT",  # as the Procfile has it: beat and the web process do not look at it
            "NO_COLOR": "1",
        }

    # --- its processes ---------------------------------------------------------------------

    def begin(self) -> None:
        """Migrate, start everything, and make the avatar that outputs use."""
        server = connect(self.postgres.url)
        with contextlib.closing(server), server.cursor() as cursor:
            server.autocommit = True
            cursor.execute("CREATE DATABASE likeness")
        upgrade(self.database_url)
        run = self.supervisor.run
        bound = ["--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--threads", "8"]
        celery = ["celery", "--app", "tasks.app"]
        run("web", ["gunicorn", "webapp:create_app()", *bound, "--no-control-socket"], ready="Booting worker")
        for each in self.workers:
            words = ["--queues", each.queues, "--hostname", f"{each.name}@%h", "--concurrency", str(each.processes)]
            run(each.name, [*celery, "worker", *words, "--loglevel", "INFO"], ready=SERVES)
        schedule = str(self.folder / "beat-schedule")
        run(
            "beat",
            [*celery, "beat", "--schedule", schedule, "--pidfile=", "--loglevel", "INFO"],
            ready="is starting",
        )
        self.supervisor.await_ready()
        eventually(self._answers, within=30, what="the API answers")
        made = self.avatar_job()
        found = eventually(lambda: self.ended(made), within=60, what="the avatar is made")
        assert found is not None
        self.avatar = found["result"]["avatar_id"]

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        return False

    # --- its callers -----------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call, and again with the same key until it is answered: as a careful client does."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": uuid4().hex}
        end = time.monotonic() + SUBMIT_S
        while True:
            try:
                answer = requests.request(method, self.url + path, headers=headers, timeout=15, **options)
            except requests.RequestException:
                answer = None
            if answer is not None and answer.status_code < 500:
                return answer
            if time.monotonic() > end:
                raise AssertionError(f"{method} {path} was not answered within {SUBMIT_S:g} s")
            time.sleep(0.2)

    def avatar_job(self, lane: str = "avatar") -> str:
        photo = self.call("POST", "/v1/assets", files={"file": ("photo.jpg", picture())}).json()["id"]
        consent = {"statement": "I agree.", "subject": "Demo", "granted_at": "2026-11-01T09:00:00Z"}
        asked = {"name": "Demo", "inputs": {"images": [{"asset_id": photo}]}, "consent": consent}
        return self._submit("/v1/avatars", {"contract": "avatar.create/1", "lane": lane, **asked})

    def output_job(
        self,
        *,
        seed: int = 0,
        scenes: int = 1,
        lane: str = "avatar",
        text: str | None = None,
        gates: Sequence[str] = (),
        poses: bool = False,
    ) -> str:
        """A talking video whose every scene says something that was never said before."""
        word = uuid4().hex[:12]
        lines = [f"{text or 'Scene'} {number} {word}" for number in range(1, scenes + 1)]
        asked = {
            "avatar_id": self.avatar,
            "script": {"text": "\n".join(lines) if text is None or scenes > 1 else text},
            "scenes": {"mode": "multi" if scenes > 1 else "single", "max": scenes},
            "output": {"background": f"an office {word}", "captions": "sidecar"},
            "poses": {"enabled": poses},
            "review": {"gates": list(gates)},
            "seed": seed,
        }
        return self._submit("/v1/outputs", {"contract": "output.generate/1", "lane": lane, **asked})

    def _submit(self, path: str, payload: dict[str, Any]) -> str:
        answer = self.call("POST", path, json=payload)
        assert answer.status_code in (200, 202), answer.text
        self.accepted.append(answer.json()["id"])
        return self.accepted[-1]

    def gates(self) -> list[dict[str, Any]]:
        """The jobs at which a person is to decide: `id` and `gate`."""
        return self.ask("SELECT id, gate FROM jobs WHERE status = 'awaiting_approval' AND gate IS NOT NULL")

    def decide(self, job_id: str, gate: Mapping[str, Any], decision: str) -> int:
        """The answer's status."""
        asked = {"contract": "job.approve/1", "gate": gate["name"], "digest": gate["digest"], "decision": decision}
        return self.call("POST", f"/v1/jobs/{job_id}/approvals", json=asked).status_code

    def cancel(self, job_id: str) -> bool:
        """False where it had ended already."""
        return self.call("POST", f"/v1/jobs/{job_id}/cancel").status_code == 202

    # --- what is known of it ---------------------------------------------------------------

    def ask(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows; patient while the database is away."""
        end = time.monotonic() + SUBMIT_S
        while True:
            try:
                if self._line is None:
                    self._line = connect(self.database_url)
                    self._line.autocommit = True
                with self._line.cursor(cursor_factory=RealDictCursor) as cursor:
                    cursor.execute(statement, parameters)
                    return [dict(row) for row in cursor.fetchall()]
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._line = None
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def job(self, job_id: str) -> dict[str, Any]:
        return self.ask("SELECT * FROM jobs WHERE id = %s", job_id)[0]

    def ended(self, job_id: str) -> dict[str, Any] | None:
        """The job, once it has ended or waits for a person alone."""
        job = self.job(job_id)
        return job if job["status"] in ENDED or self.parked(job_id) else None

    def parked(self, job_id: str) -> list[dict[str, Any]]:
        """The steps that wait for a person; empty while anything else of the job can still move."""
        rows = self.ask("SELECT step, status, wake_at, awaits, why FROM records WHERE job_id = %s", job_id)
        waiting = [row for row in rows if row["status"] == "waiting"]
        moves = [row for row in rows if row["status"] == "running" or (row in waiting and row["wake_at"] is not None)]
        parked = [row for row in waiting if row["wake_at"] is None and row["awaits"] == "person"]
        return [] if moves else parked

    def calls(self, job_id: str) -> list[dict[str, Any]]:
        return self.ask("SELECT * FROM provider_calls WHERE job_id = %s ORDER BY id", job_id)

    # --- its failpoints --------------------------------------------------------------------

    def arm(self, point: str, fault: str) -> None:
        """Whoever comes by this point first does this: `kill_child`, `kill_worker`, `pause`."""
        failpoints.arm(self.folder / "failpoints", point, fault)

    def struck(self, point: str) -> bool:
        folder = self.folder / "failpoints"
        return (folder / f"{point}.hit").exists() and not (folder / point).exists()

    def release(self) -> None:
        """Disarm every point, and let go whoever pauses at one."""
        for file in (self.folder / "failpoints").iterdir():
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def open_stand(
    folder: Path, *, workers: Sequence[Worker] = FULL, rabbit: Callable[[], PrivateRabbit] | None = None
) -> Iterator[Stand]:
    """`rabbit` gives one that runs already."""
    with ExitStack() as stack:
        if rabbit is None:
            broker = PrivateRabbit()
            stack.callback(broker.remove)
            broker.start()
        else:
            broker = rabbit()
        postgres = PrivatePostgres()
        stack.callback(postgres.remove)
        postgres.start()
        vendor = stack.enter_context(open_vendor())
        receiver = stack.enter_context(open_receiver())
        stand = Stand(folder, postgres, broker, vendor, receiver, free_port(), workers)
        stack.callback(stand.supervisor.stop)
        stack.callback(stand.release)
        stand.begin()
        yield stand
