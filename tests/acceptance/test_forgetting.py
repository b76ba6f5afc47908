"""A person is deleted while the Procfile's processes run, and die."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.ports import CAPABILITIES
from tests import fleet
from tests.api import picture
from tests.command import run
from tests.conftest import Servers
from tests.fleet import Fleet
from tests.processes import eventually

CLIENT = "acme"


@dataclass
class Town:
    fleet: Fleet
    failpoints: Path

    def person(self) -> tuple[str, str]:
        """An avatar and a job that made a video of it."""
        photo = self.fleet.call(CLIENT, "POST", "/v1/assets", files={"file": ("me.jpg", picture())}).json()["id"]
        asked = self.fleet.avatar(CLIENT) | {"inputs": {"images": [{"asset_id": photo}]}}
        made = self.ended(self.fleet.submit(CLIENT, "/v1/avatars", asked))
        avatar = str(made["result"]["avatar_id"])
        film = self.fleet.submit(CLIENT, "/v1/outputs", self.fleet.output(avatar, "Marzipan.\nNougat."))
        self.ended(film)
        return avatar, film

    def ended(self, job_id: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            job: dict[str, Any] = self.fleet.call(CLIENT, "GET", f"/v1/jobs/{job_id}").json()
            return job if job["status"] == "completed" else None

        return eventually(found, within=90, what=f"{job_id} is completed") or {}

    def files(self) -> int:
        return sum(each.is_file() for each in (self.fleet.folder / "assets" / "sha256").rglob("*"))

    def removals(self) -> int:
        with self.fleet.database.transaction() as session:
            return session.scalar(text("SELECT count(*) FROM file_removals")) or 0


@pytest.fixture(scope="module")
def town(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    failpoints = folder / "failpoints"
    failpoints.mkdir()
    more = {
        "LIKENESS_PROVIDERS": json.dumps({capability: ["tests.filed"] for capability in CAPABILITIES}),
        "LIKENESS_FAILPOINTS": str(failpoints),
    }
    start = ("web", "worker_avatar", "worker_marketing", "worker_maintenance", "beat")
    with fleet.fleet(servers, folder, {CLIENT: None}, start, **more) as found:
        yield Town(found, failpoints)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before_removal", "after_removal"])
def test_a_sweeper_that_dies_at_a_file_is_followed_by_one_that_finishes(town: Town, moment: str) -> None:
    """Between the commit that deletes the rows and the removal of the files, and between a removal and its commit."""
    avatar, _ = town.person()
    (town.failpoints / moment).write_text("kill_child")
    sweeper = town.fleet.running["worker_maintenance"]
    assert town.fleet.call(CLIENT, "DELETE", f"/v1/avatars/{avatar}").status_code == 200
    eventually(lambda: not sweeper.alive, within=60, what="the sweeper has died")
    sweeper.kill()
    assert town.removals() > 0
    assert town.files() > 0
    assert town.fleet.call(CLIENT, "DELETE", f"/v1/avatars/{avatar}").status_code == 404

    town.fleet.start("worker_maintenance")
    eventually(lambda: town.removals() == 0, within=90, what="every file was removed")
    assert town.files() == 0


@pytest.mark.slow
def test_likeness_forget(town: Town) -> None:
    avatar, film = town.person()
    env = {"LIKENESS_URL": town.fleet.url, "LIKENESS_TOKEN": CLIENT}
    kept = run("forget", avatar, env=env, input="n\n")
    assert (kept.exit_code, "Delete" in kept.stderr) == (1, True)
    gone = run("forget", avatar, env=env, input="y\n")
    assert gone.exit_code == 0, gone.output
    assert f"{avatar} deleted" in gone.stdout
    assert "the content of 2 jobs" in gone.stdout
    assert run("forget", avatar, "--yes", env=env).exit_code == 1
    assert town.fleet.call(CLIENT, "GET", f"/v1/jobs/{film}").json()["deleted_at"] is not None
    eventually(lambda: town.files() == 0, within=60, what="the files are gone")
