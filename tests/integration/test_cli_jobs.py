"""`likeness submit`, `watch` and `cancel` against the real API behind a real server."""

import json
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import update

from db.models import AssetRow, AvatarRow, Job, Record
from tests import factories
from tests.api import Api, listening, picture
from tests.command import run

JPEG = picture()


@pytest.fixture(scope="module")
def url(api: Api) -> Iterator[str]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # else the app's log is in the command's output
    with listening(api.app) as found:
        yield found
    structlog.reset_defaults()


@pytest.fixture
def likeness(url: str) -> Any:
    """Runs a command as the client `product`."""
    return lambda *words, **options: run(
        *words, env={"LIKENESS_URL": url, "LIKENESS_TOKEN": "product token"}, **options
    )


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "me.jpg").write_bytes(JPEG)
    return tmp_path / "me.jpg"


def running_job(api: Api) -> Job:
    job: Job = factories.JobFactory.build(status="running")
    script = factories.RecordFactory.build(job_id=job.id)
    speech = factories.RecordFactory.build(
        job_id=job.id, step="scene/1/speech", stage="speech", scene=1, place=1, status="running"
    )
    api.add(job, script, speech)
    return job


def end(api: Api, job: Job, status: str, **facts: Any) -> None:
    with api.database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(status=status, **facts))
        session.execute(update(Record).where(Record.job_id == job.id).values(status="succeeded"))


# --- submit -------------------------------------------------------------------------------


def test_a_file_becomes_the_job_that_its_contract_names(api: Api, likeness: Any, tmp_path: Path) -> None:
    for payload, kind in ((api.avatar_payload(), "avatar"), (api.output_payload(), "output")):
        (tmp_path / "request.json").write_text(json.dumps(payload))
        result = likeness("submit", str(tmp_path / "request.json"))
        assert result.exit_code == 0, result.output
        job_id = result.stdout.split()[0]
        assert api.product.get(f"/v1/jobs/{job_id}").get_json()["kind"] == kind
        assert result.stderr.startswith("Idempotency-Key: cli-")


def test_the_same_key_asks_for_the_same_job(api: Api, likeness: Any, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(api.output_payload()))
    first, again = (likeness("submit", "--key", "k-1", "--json", str(tmp_path / "request.json")) for _ in range(2))
    assert json.loads(first.stdout)["id"] == json.loads(again.stdout)["id"]
    assert first.stderr == ""


def test_a_photo_becomes_an_avatar_job(api: Api, likeness: Any, photo: Path) -> None:
    result = likeness("submit", "avatar", "--name", "Ada", "--photo", str(photo), "--consent", "I agree.", "--json")
    assert result.exit_code == 0, result.output
    job = json.loads(result.stdout)
    with api.database.transaction() as session:
        snapshot = session.get_one(Job, job["id"]).snapshot
        kept = session.get_one(AssetRow, snapshot["inputs"]["images"][0]["asset_id"])
    assert (kept.sha256, snapshot["consent"]["subject"]) == (sha256(JPEG).hexdigest(), "Ada")


def test_a_text_becomes_an_output_job_with_only_what_was_said(api: Api, likeness: Any, tmp_path: Path) -> None:
    avatar: AvatarRow = api.avatar()
    (tmp_path / "script.txt").write_text("Grüezi. One, two.", encoding="utf-8")
    result = likeness("submit", "output", "--avatar", avatar.id, "--text", f"@{tmp_path / 'script.txt'}", "--single",
                      "--captions", "sidecar", "--size", "640x360", "--seed", "3", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    with api.database.transaction() as session:
        snapshot = session.get_one(Job, json.loads(result.stdout)["id"]).snapshot
    assert snapshot == {
        "contract": "output.generate/1", "avatar_id": avatar.id, "script": {"text": "Grüezi. One, two."},
        "scenes": {"mode": "single"}, "output": {"width": 640, "height": 360, "captions": "sidecar"}, "seed": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submit", "nowhere.json"), "nowhere.json"),
        (("submit", "output", "--avatar", "avt_1"), "--text or --brief"),
        (("submit", "output", "--avatar", "avt_1", "--text", "@nowhere.txt"), "nowhere.txt"),
        (("submit", "output", "--avatar", "avt_1", "--text", "Hi.", "--size", "large"), "1280x720"),
        (("submit", "avatar", "--name", "A", "--photo", "nowhere.jpg", "--consent", "x"), "nowhere.jpg"),
        (("watch", "job_nobody"), "Not found (404)"),
        (("watch", "../../metrics"), "Not found (404)"),
        (("cancel", "job_nobody"), "Not found (404)"),
    ],
)
def test_a_mistake_is_one_clear_message(likeness: Any, words: tuple[str, ...], said: str) -> None:
    result = likeness(*words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert isinstance(result.exception, SystemExit), "no traceback"


def test_every_flaw_of_a_payload_is_shown_at_its_place(api: Api, likeness: Any, tmp_path: Path) -> None:
    wrong = api.output_payload(seed=-1, surprise=True) | {"script": {}}
    (tmp_path / "request.json").write_text(json.dumps(wrong))
    result = likeness("submit", str(tmp_path / "request.json"))
    assert result.exit_code == 1
    assert "(422)" in result.stderr
    for pointer in ("/seed: ", "/surprise: ", "/script: "):
        assert f"  {pointer}" in result.stderr


@pytest.mark.parametrize("content", ["no json", '{"contract": "cake.bake/1"}', "[]"])
def test_a_file_that_is_no_request_is_not_sent(likeness: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "request.json").write_text(content)
    result = likeness("submit", str(tmp_path / "request.json"))
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_wrong_token_and_an_absent_service_are_told_apart(url: str) -> None:
    wrong = run("watch", "job_1", env={"LIKENESS_URL": url, "LIKENESS_TOKEN": "wrong"})
    assert "(401)" in wrong.stderr
    none = run("watch", "job_1", env={"LIKENESS_URL": url, "LIKENESS_TOKEN": ""})
    assert none.exit_code == 2
    assert "LIKENESS_TOKEN" in none.stderr
    away = run("cancel", "job_1", env={"LIKENESS_URL": "http://127.0.0.1:9", "LIKENESS_TOKEN": "x"})
    assert away.exit_code == 1
    assert "no service answers at http://127.0.0.1:9" in away.stderr
    nonsense = run("cancel", "job_1", env={"LIKENESS_URL": "nonsense", "LIKENESS_TOKEN": "x"})
    assert "nonsense" in nonsense.stderr
    assert isinstance(nonsense.exception, SystemExit)


# --- watch --------------------------------------------------------------------------------


def test_a_job_is_followed_to_its_end(api: Api, likeness: Any) -> None:
    job = running_job(api)

    def complete() -> None:
        time.sleep(0.8)
        end(api, job, "completed", progress=1.0, result={"avatar_id": "avt_1"})

    ending = threading.Thread(target=complete)
    ending.start()
    result = likeness("watch", job.id)
    ending.join()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any("scene/1/speech running" in line for line in lines)
    assert any("scene/1/speech succeeded" in line for line in lines)
    assert lines[-2:] == [f"{job.id} completed", "  avatar_id: avt_1"]


def test_a_failed_job_says_what_can_be_done(api: Api, likeness: Any) -> None:
    job = running_job(api)
    error = {
        "stage": "validate_images", "code": "no_face", "message": "There is no face in the photo.",
        "retryable": False, "attempts": 1, "provider": "local", "details": {},
    }  # fmt: skip
    end(api, job, "failed", error=error)
    result = likeness("watch", job.id)
    assert result.exit_code == 1
    assert "validate_images: There is no face in the photo. (no_face)" in result.stdout
    assert "change what was sent" in result.stdout


def test_a_job_is_cancelled_once(api: Api, likeness: Any) -> None:
    job = running_job(api)
    assert likeness("cancel", job.id).stdout == f"{job.id} cancelled\n"
    assert likeness("watch", job.id).exit_code == 1
    done = running_job(api)
    end(api, done, "completed", result={})
    assert "(409)" in likeness("cancel", done.id).stderr


def test_the_files_of_a_job_are_brought_and_checked(api: Api, likeness: Any, photo: Path, tmp_path: Path) -> None:
    asset = api.product.upload(JPEG).get_json()
    shown = {
        "id": asset["id"],
        "kind": "sheet",
        "media_type": "image/jpeg",
        "bytes": len(JPEG),
        "sha256": asset["sha256"],
    }
    job = running_job(api)
    end(api, job, "completed", result={"character_sheet": shown, "scenes": [{"video": shown}]})
    result = likeness("watch", job.id, "--into", str(tmp_path / "made"))
    assert result.exit_code == 0, result.output
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["character_sheet.jpg"]
    assert (tmp_path / "made" / "character_sheet.jpg").read_bytes() == JPEG

    end(api, job, "completed", result={"character_sheet": shown | {"sha256": "0" * 64}})
    damaged = likeness("watch", job.id, "--into", str(tmp_path / "damaged"))
    assert damaged.exit_code == 1
    assert list((tmp_path / "damaged").iterdir()) == []
