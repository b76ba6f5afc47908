"""An avatar whose job makes its pictures or its voice anew: what its versions show, and which one a video has."""

from typing import Any

from alembic import command
from sqlalchemy import text

from db.database import Database
from db.models import Job
from db.schema import config
from tests import factories
from tests.api import Api, payload
from tests.workshop import Workshop

SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt "


def avatar_with_voice(workshop: Workshop) -> str:
    product = workshop.api.product
    sample = product.upload(SOUND + b"hello", "sample.wav").get_json()["id"]
    inputs = {"images": [{"asset_id": workshop.upload(product)}], "voice_sample": {"asset_id": sample}}
    job = workshop.run(workshop.submit(product, "avatars", payload("avatar.create/1", inputs=inputs)))
    assert job.status == "completed", job.error
    return str((job.result or {})["avatar_id"])


def shown(api: Api, avatar_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.product.get(f"/v1/avatars/{avatar_id}").get_json()
    return found


def again(workshop: Workshop, avatar_id: str, stage: str, **others: str) -> Job:
    """The stage and what follows once more; `others` are capabilities that another family has now."""
    job_id = shown(workshop.api, avatar_id)["job_id"]
    asked = {"contract": "job.retry/1", "from_stage": stage, "regenerate": True}
    answer = workshop.api.product.post(f"/v1/jobs/{job_id}/retries", asked)
    assert answer.status_code == 202, answer.text
    job = Workshop.of(workshop.api, **others).run(job_id)
    assert job.status == "completed", job.error
    return job


def saves(workshop: Workshop, job: Job) -> int:
    """How often its last stage has run."""
    stages = workshop.api.product.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]
    return int(stages[-1]["attempts"])


def test_a_new_avatar_has_one_version(workshop: Workshop) -> None:
    avatar = shown(workshop.api, avatar_with_voice(workshop))
    (only,) = avatar["versions"]
    assert (avatar["version"], only["version"], only["voice_version"]) == (1, 1, 1)
    for same in ("voice_id", "created_at"):
        assert only[same] == avatar[same]
    for asset in ("neutral_image", "character_sheet"):
        assert only[asset]["sha256"] == avatar[asset]["sha256"]
        assert set(only[asset]) == {"id", "url", "media_type", "bytes", "sha256"}


def test_to_make_the_same_again_changes_nothing(workshop: Workshop) -> None:
    """Even where other rows stand for the same files."""
    avatar = avatar_with_voice(workshop)
    before = shown(workshop.api, avatar)
    job = again(workshop, avatar, "neutral_image")
    assert saves(workshop, job) == 1, "what it would save is the same: it is not even run"
    assert saves(workshop, again(workshop, avatar, "persist_identity")) == 2
    after = shown(workshop.api, avatar)
    assert (after["version"], len(after["versions"])) == (1, 1)
    assert after["neutral_image"]["id"] == before["neutral_image"]["id"]
    assert after["versions"][0]["created_at"] == before["created_at"]


def test_what_was_made_anew_is_a_new_version_and_the_old_one_stays(workshop: Workshop) -> None:
    avatar = avatar_with_voice(workshop)
    before = shown(workshop.api, avatar)
    again(workshop, avatar, "character_sheet", character_sheet="tests.instant")
    after = shown(workshop.api, avatar)
    assert (after["id"], after["version"]) == (avatar, 2)
    newest, oldest = after["versions"]
    assert (newest["version"], oldest["version"]) == (2, 1)
    assert newest["character_sheet"]["sha256"] == after["character_sheet"]["sha256"]
    assert oldest["character_sheet"]["sha256"] == before["character_sheet"]["sha256"]
    assert newest["character_sheet"]["sha256"] != oldest["character_sheet"]["sha256"]
    assert newest["neutral_image"]["sha256"] == oldest["neutral_image"]["sha256"]
    assert newest["created_at"] > oldest["created_at"] == before["created_at"]
    kept = workshop.api.product.get(f"/v1/assets/{oldest['character_sheet']['id']}/content")
    assert kept.status_code == 200


def test_a_voice_cloned_anew_makes_a_version_of_the_voice_and_of_the_avatar(workshop: Workshop) -> None:
    avatar = avatar_with_voice(workshop)
    voice_id = shown(workshop.api, avatar)["voice_id"]
    again(workshop, avatar, "clone_voice", voice_cloning="tests.instant", speech="tests.instant")
    versions = shown(workshop.api, avatar)["versions"]
    assert [(each["version"], each["voice_id"], each["voice_version"]) for each in versions] == [
        (2, voice_id, 2),
        (1, voice_id, 1),
    ]
    assert workshop.api.product.get(f"/v1/voices/{voice_id}").get_json()["version"] == 2


def test_a_video_has_the_version_that_is_the_newest_when_it_begins_and_says_which(workshop: Workshop) -> None:
    avatar = avatar_with_voice(workshop)
    early = workshop.video(workshop.api.product, avatar)
    again(workshop, avatar, "character_sheet", character_sheet="tests.instant")
    late = workshop.video(workshop.api.product, avatar)
    for job, version in ((early, 1), (late, 2)):
        stages = workshop.api.product.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]
        (loaded,) = (stage["output"] for stage in stages if stage["key"] == "load_identity")
        assert (loaded["avatar_id"], loaded["version"]) == (avatar, version)


def test_every_version_goes_with_its_avatar(workshop: Workshop) -> None:
    avatar = avatar_with_voice(workshop)
    again(workshop, avatar, "character_sheet", character_sheet="tests.instant")
    versions = shown(workshop.api, avatar)["versions"]
    named = [each[asset]["id"] for each in versions for asset in ("neutral_image", "character_sheet")]
    assert workshop.api.product._ask("DELETE", f"/v1/avatars/{avatar}").status_code == 200
    workshop.sweep()
    left = workshop.dump()
    assert [name for name in (*named, "avatar_versions", versions[0]["voice_id"]) if name in left] == []
    assert workshop.files() == set(), "the sample that was uploaded for its voice as well"


OLD_JOB = text(
    "INSERT INTO jobs (id, client, kind, route, lane, snapshot, request, status, callbacks)"
    " VALUES ('job_old', 'product', 'avatar', 'avatar_creation', 'avatar', '{}', '{}', 'completed', false)"
)


def test_avatars_from_before_there_were_versions_have_their_first(database_url: str) -> None:
    database = Database(database_url)
    command.downgrade(config(database_url), "0008-1")
    avatar = factories.AvatarFactory.build(job_id="job_old")
    with database.transaction() as session:
        session.execute(OLD_JOB)
        session.add(avatar)
    command.upgrade(config(database_url), "head")
    with database.transaction() as session:
        (row,) = session.execute(text("SELECT * FROM avatar_versions")).mappings()
    assert (row["avatar_id"], row["version"], row["sheet"]) == (avatar.id, 1, avatar.sheet)
    assert (row["voice_id"], row["voice_version"]) == (None, None)
    database.dispose()
