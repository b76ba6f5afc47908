"""The service as an operator runs it: every process of the Procfile, on real servers, with the local family."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from providers.local import ffmpeg
from providers.local.sample import portrait
from tests.processes import Process, eventually
from tests.servers.process import free_port

TOKEN = "lk_test_0123456789"
SCRIPT = "Hello, I am a synthetic demo. Maybe my lips move properly, but nobody recorded me."


@dataclass
class Service:
    api: str
    flower: str

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        url = path if path.startswith("http") else self.api + path
        return requests.request(method, url, headers=headers, timeout=30, **options)

    def job(self, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Submit and follow to the end."""
        answer = self.call("POST", path, json=payload, headers={"Idempotency-Key": uuid4().hex})
        assert answer.status_code == 202, answer.text
        where = answer.headers["Location"]

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", where).json()
            return found if found["status"] in {"completed", "failed", "cancelled"} else None

        found = eventually(ended, within=200, what=f"{where} ends")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def service(servers, broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("procfile")
    name = servers.databases.clone()
    port, flower = free_port(), free_port()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": str(port),
        "FLOWER_PORT": str(flower),
        "FLOWER_UNAUTHENTICATED_API": "true",
        "WEB_PROCESSES": "1",
        "MARKETING_PROCESSES": "1",
        "LIKENESS_DATABASE_URL": servers.databases.url(name),
        "LIKENESS_BROKER_URL": broker_url,
        "LIKENESS_STORAGE_URL": (folder / "assets").as_uri(),
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_CLIENTS": json.dumps(
            [{"name": "shop", "token_sha256": [hashlib.sha256(TOKEN.encode()).hexdigest()]}]
        ),
    }
    started = Process([sys.executable, "-m", "honcho", "start"], environment, folder / "honcho.log")
    found = Service(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{flower}")
    try:
        eventually(lambda: started.says("Booting worker"), within=120, what="the API runs")
        eventually(lambda: all(started.says(f"{queue}@") for queue in ("avatar", "maintenance")), within=120)
        eventually(lambda: _answers(f"{found.api}/readyz") and _answers(f"{found.flower}/healthcheck"), within=120)
        yield found
    finally:
        started.stop()
        servers.databases.drop(name)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_a_photo_and_a_script_become_a_talking_video(service: Service, tmp_path: Path) -> None:
    with portrait().open("rb") as photo:
        uploaded = service.call("POST", "/v1/assets", files={"file": ("portrait.png", photo)})
    assert uploaded.status_code == 201, uploaded.text
    avatar = service.job(
        "/v1/avatars",
        {
            "contract": "avatar.create/1",
            "lane": "avatar",
            "name": "Demo",
            "inputs": {"images": [{"asset_id": uploaded.json()["id"]}]},
            "consent": {"statement": "Public domain.", "subject": "Demo", "granted_at": "2026-11-01T09:00:00Z"},
        },
    )
    assert avatar["status"] == "completed", avatar["error"]

    made = service.job(
        "/v1/outputs",
        {
            "contract": "output.generate/1",
            "lane": "marketing",
            "avatar_id": avatar["result"]["avatar_id"],
            "script": {"text": SCRIPT},
            "scenes": {"mode": "multi", "max": 2},
            "output": {"width": 640, "height": 360, "fps": 25, "captions": "burned"},
        },
    )
    assert made["status"] == "completed", made["error"]
    assert made["progress"] == 1.0
    assert " ".join(scene["transcript"] for scene in made["result"]["scenes"]) == SCRIPT

    video = tmp_path / "video.mp4"
    video.write_bytes(service.call("GET", made["result"]["video"]["url"]).content)
    assert hashlib.sha256(video.read_bytes()).hexdigest() == made["result"]["video"]["sha256"]
    facts = ffmpeg.probe(video)
    assert facts.seconds == pytest.approx(made["result"]["duration_s"], abs=0.05)

    stages = service.call("GET", made["links"]["stages"]).json()["stages"]
    assert {stage["status"] for stage in stages} == {"succeeded"}
    assert {stage["provider"] for stage in stages} == {"local", None}

    def shown() -> list[dict[str, Any]]:
        tasks = service.call("GET", f"{service.flower}/api/tasks?limit=200").json().values()
        return [task for task in tasks if made["id"] in (task["args"] or "")]

    # Flower hears of a task by an event, which may come after the job's end.
    eventually(
        lambda: {"speech", "lip_sync", "stitch", "publish"} <= {task["name"] for task in shown()},
        within=30,
        what="Flower shows the stages",
    )
    assert any("step=scene/2/lip_sync" in task["args"] for task in shown())
