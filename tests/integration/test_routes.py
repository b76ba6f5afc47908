"""Poses and b-roll through the API, on the instant family: what was asked for is what the steps and the result tell."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from sqlalchemy import text

from pipeline.state import FINAL
from tests import processes
from tests.api import Api, code, flaws, picture, serve
from tests.conftest import Servers
from tests.processes import eventually

LINES = "Good morning.\nThis is the middle.\nGood bye."


@dataclass
class House:
    """The API, and workers that serve its jobs."""

    api: Api

    def made(self, **wishes: Any) -> dict[str, Any]:
        """The job at its end."""
        answer = self.api.product.post("/v1/outputs", self.api.output_payload(script={"text": LINES}, **wishes))
        assert answer.status_code == 202, answer.text
        job_id = answer.get_json()["id"]
        with self.api.database.transaction() as session:
            session.execute(text("UPDATE jobs SET nudge_at = now() WHERE id = :id"), {"id": job_id})

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = self.api.product.get(f"/v1/jobs/{job_id}").get_json()
            return job if job["status"] in FINAL else None

        return eventually(ended, within=90, what=f"{job_id} ends")

    def steps(self, job: dict[str, Any]) -> dict[str, dict[str, Any]]:
        stages = self.api.product.get(f"/v1/jobs/{job['id']}/stages").get_json()["stages"]
        return {step["key"]: step for step in stages}


@pytest.fixture(scope="module")
def house(servers: Servers, broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("routes")
    name = servers.databases.clone()
    url, storage = servers.databases.url(name), (folder / "assets").as_uri()
    environment = {
        "LIKENESS_DATABASE_URL": url,
        "LIKENESS_BROKER_URL": broker_url,
        "LIKENESS_STORAGE_URL": storage,
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps(processes.instant_providers()),
    }
    api = serve(url, storage)
    steps = processes.worker("avatar,marketing,callback", environment, folder)
    sweeper = processes.worker("maintenance", environment, folder, processes=1, beat=True)
    try:
        for each in (steps, sweeper):
            eventually(lambda each=each: each.says("ready."), within=120, what="a worker is ready")
        yield House(api)
    finally:
        steps.kill()
        sweeper.kill()
        api.database.dispose()
        servers.databases.drop(name)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small MP4 whose index stands at its end."""
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    writer = imageio_ffmpeg.write_frames(str(file), (64, 48), fps=25, macro_block_size=2)
    writer.send(None)
    for _ in range(25):
        writer.send(bytes(64 * 48 * 3))
    writer.close()
    return file.read_bytes()


def test_a_posed_job_gives_each_scene_the_next_pose(house: House) -> None:
    job = house.made(poses={"enabled": True, "sequence": ["think", "welcome"]})
    assert (job["route"], job["status"]) == ("pose_based", "completed")
    assert [scene["pose"] for scene in job["result"]["scenes"]] == ["think", "welcome", "think"]
    steps = house.steps(job)
    assert {key for key in steps if key.startswith("scene/2/")} == {
        f"scene/2/{stage}" for stage in ("speech", "background", "pose", "lip_sync")
    }
    assert steps["scene/2/pose"]["output"]["name"] == "welcome"
    assert {step["status"] for step in steps.values()} == {"succeeded"}


def test_a_job_with_b_roll_cuts_away_to_the_clients_media_in_turn(house: House, film: bytes) -> None:
    media = [house.api.product.upload(content).get_json() for content in (picture(), film)]
    assert [(each["kind"], each["media_type"]) for each in media] == [("photo", "image/jpeg"), ("video", "video/mp4")]
    job = house.made(b_roll={"enabled": True, "assets": [each["id"] for each in media], "picture_in_picture": True})
    assert (job["route"], job["status"]) == ("b_roll", "completed")
    steps = house.steps(job)
    inserts = [steps[f"scene/{number}/b_roll"]["output"]["insert"] for number in (1, 2, 3)]
    for insert in inserts:
        assert 0.4 <= insert["start"] < insert["start"] + insert["footage"]["seconds"] <= 1.6
        assert insert["picture_in_picture"] is True
    cutaways = [scene["cutaway"]["medium"] for scene in steps["storyboard"]["output"]["scenes"]]
    assert cutaways == [media[0]["id"], media[1]["id"], media[0]["id"]]
    assert [scene["pose"] for scene in job["result"]["scenes"]] == [None] * 3
    assert job["result"]["duration_s"] == 6.0


def test_both_wishes_are_kept(house: House) -> None:
    job = house.made(b_roll={"enabled": True}, poses={"enabled": True, "sequence": ["serious"]})
    assert (job["route"], job["status"]) == ("b_roll", "completed")
    assert [scene["pose"] for scene in job["result"]["scenes"]] == ["serious"] * 3
    assert house.steps(job)["scene/1/b_roll"]["output"]["insert"] is not None


def test_b_roll_is_the_clients_own_photos_and_videos(api: Api) -> None:
    voice = api.product.upload(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100), "voice.wav").get_json()["id"]
    theirs = api.other.upload(picture()).get_json()["id"]
    mine = api.product.upload(picture()).get_json()["id"]
    asked = {"enabled": True, "assets": [mine, voice, theirs, "ast_nothing"]}
    found = flaws(api.product.post("/v1/outputs", api.output_payload(b_roll=asked)))
    assert found == {
        "/b_roll/assets/1": f"{voice} is a voice_sample, not a photo or a video",
        "/b_roll/assets/2": f"there is no asset {theirs}",
        "/b_roll/assets/3": "there is no asset ast_nothing",
    }


def test_an_unknown_pose_is_refused_with_those_that_are_known(api: Api) -> None:
    response = api.product.post("/v1/outputs", api.output_payload(poses={"enabled": True, "sequence": ["dance"]}))
    assert response.status_code == 422
    assert '"welcome"' in flaws(response)["/poses/sequence/0"]


def test_a_video_that_ends_early_is_refused_at_the_door(api: Api, film: bytes) -> None:
    response = api.product.upload(film[: len(film) // 2], "film.mp4")
    assert (response.status_code, code(response)) == (422, "unreadable_video")
    assert api.product.upload(film, "film.bin").get_json()["media_type"] == "video/mp4"


def test_a_video_obeys_the_size_limit(api: Api, film: bytes) -> None:
    response = api.product.upload(film + bytes(api.settings.max_upload_bytes), "film.mp4")
    assert (response.status_code, code(response)) == (413, "payload_too_large")
