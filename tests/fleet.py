"""The Procfile's processes with the instant family, each of which can be stopped and started."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from db import ids
from db.database import Database
from db.models import AssetRow
from tests import processes
from tests.conftest import Servers
from tests.processes import Process, eventually
from tests.servers.process import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WORKERS = ("worker_avatar", "worker_marketing", "worker_callback", "worker_maintenance")
READY = {"web": "Booting worker", "beat": "maxinterval"} | dict.fromkeys(WORKERS, "ready.")


@dataclass
class Fleet:
    url: str
    database: Database
    environment: Mapping[str, str]
    folder: Path
    running: dict[str, Process] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names:
            folder = self.folder / f"{name}-{uuid4().hex[:6]}"
            folder.mkdir()
            self.running[name] = processes.procfile(name, self.environment, folder)
        for name in names:
            found = self.running[name]
            eventually(lambda found=found, name=name: found.says(READY[name]), within=120, what=f"{name} is ready")

    def restart(self, name: str) -> None:
        """SIGTERM, wait for the end, start anew: as a deploy does."""
        self.running[name].stop()
        self.start(name)

    def submit(self, client: str, path: str, payload: Mapping[str, Any], *, key: str | None = None) -> str:
        """The accepted job's id."""
        answer = self.call(client, "POST", path, json=payload, headers={"Idempotency-Key": key or uuid4().hex})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def call(self, client: str, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {client}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def avatar(self, client: str, *, lane: str = "avatar") -> dict[str, Any]:
        """What asks for an avatar of an uploaded photo."""
        row = AssetRow(
            id=ids.new("ast"), client=client, kind="photo", media_type="image/png", bytes=3, sha256="0" * 64, facts={}
        )
        with self.database.transaction() as session:
            session.add(row)
        return {
            "contract": "avatar.create/1",
            "lane": lane,
            "name": "Demo",
            "inputs": {"images": [{"asset_id": row.id}]},
            "consent": {"statement": "I agree.", "subject": "Demo", "granted_at": "2026-11-01T09:00:00Z"},
        }

    def output(self, avatar_id: str, text: str, *, lane: str = "marketing") -> dict[str, Any]:
        return {
            "contract": "output.generate/1",
            "lane": lane,
            "avatar_id": avatar_id,
            "script": {"text": text},
            "scenes": {"mode": "multi", "max": 4},
        }


@contextmanager
def fleet(
    servers: Servers,
    folder: Path,
    callbacks: Mapping[str, str | None],
    start: Sequence[str] = tuple(READY),
    **more: str,
) -> Iterator[Fleet]:
    """Clients by name, each with its callback URL; the name is the token as well. `more` goes to the environment."""
    name = servers.databases.clone()
    port = free_port()
    clients = [
        {
            "name": client,
            "token_sha256": [hashlib.sha256(client.encode()).hexdigest()],
            "callback_url": url,
            "callback_secrets": [SECRET],
            "max_active_jobs": 10_000,
        }
        for client, url in callbacks.items()
    ]
    environment = {
        "PORT": str(port),
        "WEB_PROCESSES": "1",
        "BEAT_SCHEDULE": str(folder / "beat-schedule"),
        "LIKENESS_DATABASE_URL": servers.databases.url(name),
        "LIKENESS_BROKER_URL": servers.vhosts.make(),
        "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers()),
        "LIKENESS_CLIENTS": json.dumps(clients),
        "LIKENESS_CALLBACK_ALLOW_PRIVATE": "on",
        **more,
    }
    found = Fleet(f"http://127.0.0.1:{port}", Database(environment["LIKENESS_DATABASE_URL"]), environment, folder)
    try:
        found.start(*start)
        yield found
    finally:
        for each in found.running.values():
            each.kill()
        found.database.dispose()
        servers.databases.drop(name)
        servers.vhosts.give_back(environment["LIKENESS_BROKER_URL"])
