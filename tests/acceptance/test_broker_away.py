"""The broker is down, or takes connections and answers nothing: callers do not notice, and no job is lost."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from db.database import Database
from tests import inline, processes
from tests.processes import eventually
from tests.servers.process import free_port
from tests.servers.rabbit import PrivateRabbit

TOKEN = "lk_test_0123456789"
PATIENCE_S = 90.0  # the workers' pauses before they connect again grow to some seconds


@dataclass
class Service:
    url: str
    avatar: str

    def submit(self) -> tuple[dict[str, Any], float]:
        """The accepted job, and how long the call took."""
        start = time.monotonic()
        answer = requests.post(
            f"{self.url}/v1/outputs",
            json={
                "contract": "output.generate/1",
                "lane": "avatar",
                "avatar_id": self.avatar,
                "script": {"text": "One. Two."},
                "scenes": {"mode": "multi", "max": 2},
            },
            headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": uuid4().hex},
            timeout=10,
        )
        assert answer.status_code == 202, answer.text
        return answer.json(), time.monotonic() - start

    def completed(self, job: dict[str, Any]) -> bool:
        answer = requests.get(
            self.url + job["links"]["self"] if job["links"]["self"].startswith("/") else job["links"]["self"],
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=10,
        )
        return bool(answer.json()["status"] == "completed")


@pytest.fixture(scope="module")
def service(servers, private_rabbit: PrivateRabbit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("service")
    name = servers.databases.clone()
    port = free_port()
    client = {"name": inline.CLIENT, "token_sha256": [hashlib.sha256(TOKEN.encode()).hexdigest()]}
    environment = {
        "LIKENESS_DATABASE_URL": servers.databases.url(name),
        "LIKENESS_BROKER_URL": private_rabbit.url,
        "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers()),
        "LIKENESS_CLIENTS": json.dumps([client]),
    }
    database = Database(environment["LIKENESS_DATABASE_URL"])
    started = [
        processes.web(port, environment, folder),
        processes.worker("avatar,marketing,callback", environment, folder),
        processes.worker("maintenance", environment, folder, processes=1, beat=True),
    ]
    try:
        for each in started[1:]:
            eventually(lambda each=each: each.says("ready."), within=120, what="a worker is ready")
        made = inline.accept(database, inline.avatar_request(inline.upload(database)))
        job = eventually(lambda: (found := inline.job(database, made)).result and found, within=60, what="the avatar")
        yield Service(f"http://127.0.0.1:{port}", (job.result or {})["avatar_id"])
    finally:
        for each in started:
            each.kill()
        database.dispose()
        servers.databases.drop(name)


def test_with_the_broker_down_a_job_is_accepted_in_a_second_and_runs_when_it_is_back(
    service: Service, private_rabbit: PrivateRabbit
) -> None:
    private_rabbit.kill()
    try:
        accepted = [service.submit() for _ in range(3)]
    finally:
        private_rabbit.start()
    assert max(seconds for _, seconds in accepted) < 1.0
    for job, _ in accepted:
        eventually(lambda job=job: service.completed(job), within=PATIENCE_S, what="the job ends")


def test_with_the_broker_frozen_a_job_is_accepted_in_a_second_and_runs_when_it_is_back(
    service: Service, private_rabbit: PrivateRabbit
) -> None:
    private_rabbit.freeze()
    try:
        accepted = [service.submit() for _ in range(3)]
    finally:
        private_rabbit.thaw()
    assert max(seconds for _, seconds in accepted) < 1.0
    for job, _ in accepted:
        eventually(lambda job=job: service.completed(job), within=PATIENCE_S, what="the job ends")
