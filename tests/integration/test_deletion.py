"""A person is deleted: what must be gone, what must stay, and what nobody may lose meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text, update

from db import deletion, files, jobs
from db.calls import NotUncertain, adopt
from db.jobs import NotFailed
from db.models import AssetRow, AvatarRow, FileRemoval, HeldFile, Job, Record
from pipeline.calls import Ticket
from pipeline.errors import AssetDamaged
from pipeline.state import FINAL, JobStatus
from providers.storage import Storage
from tasks import removing
from tasks.store import StepAssets, holder
from tests import factories
from tests.api import Api, code, payload, picture
from tests.processes import eventually
from tests.workshop import Workshop
from webapp.door import NAME

NAME_OF = "Zerlina Quast"
CONSENT = {"statement": "Zerlina agreed in writing.", "subject": "Z. Quast", "granted_at": "2026-11-01T09:00:00Z"}
WORDS = "Marzipan is what I sell.\nCome to Nougatstrasse."
PRIVATE = ("Zerlina", "Quast", "Marzipan", "Nougat", "bakery", "crm-4711")


@pytest.fixture
def api(workshop: Workshop) -> Api:
    return workshop.api


def person(workshop: Workshop, *photos: str, **changes: Any) -> str:
    asked = {"name": NAME_OF, "consent": CONSENT, "metadata": {"user": "crm-4711"}} | changes
    return workshop.avatar(workshop.api.product, *(photos or [workshop.upload(workshop.api.product)]), **asked)


def film(workshop: Workshop, avatar_id: str, **changes: Any) -> Job:
    output = payload("output.generate/1")["output"] | {"background": "a bakery"}
    asked = {"output": output, "metadata": {"order": "crm-4711"}} | changes
    return workshop.video(workshop.api.product, avatar_id, WORDS, **asked)


def delete(api: Api, avatar_id: str) -> Any:
    return api.product._ask("DELETE", f"/v1/avatars/{avatar_id}")


def creation(api: Api, avatar_id: str) -> str:
    return str(api.product.get(f"/v1/avatars/{avatar_id}").get_json()["job_id"])


def change(api: Api, row: Any, key: Any, **values: Any) -> None:
    with api.database.transaction() as session:
        session.execute(update(row).where(key).values(**values))


# --- everything is gone -------------------------------------------------------------------


def test_nothing_of_the_person_is_left_but_that_there_were_jobs(workshop: Workshop, api: Api) -> None:
    photo = workshop.upload(api.product)
    avatar = person(workshop, photo)
    first = creation(api, avatar)
    job = film(workshop, avatar)
    # what providers and endpoints said may quote it, and so may what went wrong
    trouble = {"code": "vendor_failed", "message": "Marzipan?", "retryable": True, "details": {"text": "Nougat"}}
    told_of_it = {"job_id": job.id, "status": "failed", "result": None, "error": trouble, "metadata": {"x": "Quast"}}
    event = factories.EventFactory.build(job_id=job.id, sequence=99, type="job.failed", data=told_of_it)
    brought = [{"asset": {"sha256": "f" * 64}, "facts": {"title": "Quast"}}]
    api.add(
        factories.CallFactory.build(
            job_id=job.id, status="succeeded", digest="c" * 64, request={"text": "Marzipan"},
            output={"value": "Nougat"}, error=trouble,
            urls={"result": "https://vendor.example/Quast"}, made=brought,
        ),
        factories.AttemptFactory.build(job_id=job.id, attempt=7, outcome="again", error=trouble),
        event,
        factories.DeliveryFactory.build(event_id=event.id, answer="we got Marzipan"),
    )  # fmt: skip
    change(
        api, Record, (Record.job_id == job.id) & (Record.step == "scene/1/speech"),
        error=trouble, passed_over=[trouble], why="Marzipan waits",
    )  # fmt: skip
    change(api, Job, Job.id == job.id, error=trouble | {"stage": "script", "attempts": 1, "provider": None})
    before = workshop.dump()
    assert all(word in before for word in PRIVATE)
    made = {row.id: row.sha256 for row in workshop.made_by(first, job.id)}
    link = urlsplit(job_shown(api, job.id)["result"]["video"]["url"])
    facts = {name: steps(api, name) for name in (first, job.id)}
    told = [(event["type"], event["created_at"]) for event in events(api, job.id)]

    answer = delete(api, avatar)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "id": avatar, "deleted": True, "assets": len(made) + 1, "jobs": sorted([first, job.id]),
    }  # fmt: skip
    assert workshop.sweep() == len(set(made.values())) + 2, "the photo as well, and what the call had brought"

    after = workshop.dump()
    assert [word for word in PRIVATE if word in after] == []
    assert [name for name in (photo, *made, *made.values(), "c" * 64) if name in after] == []
    assert workshop.files() == set()
    # what is left is an account of what was done
    for name in (first, job.id):
        shown = job_shown(api, name)
        assert (shown["status"], shown["result"], shown["metadata"]) == ("completed", None, {})
        assert shown["deleted_at"] is not None
        assert [[step[fact] for fact in ("key", "status", "provider", "started_at")] for step in steps(api, name)] == [
            [step[fact] for fact in ("key", "status", "provider", "started_at")] for step in facts[name]
        ]
        assert all(step["output"] == {"deleted": True} for step in steps(api, name))
    assert job_shown(api, job.id)["error"]["code"] == "vendor_failed"
    assert [(event["type"], event["created_at"]) for event in events(api, job.id)] == told
    # and no way leads to what is gone
    for path in (
        f"/v1/avatars/{avatar}", f"/v1/assets/{photo}", *(f"/v1/assets/{name}" for name in made),
        f"/v1/assets/{photo}/content", f"{link.path}?{link.query}", f"/v1/jobs/{job.id}/timeline",
    ):  # fmt: skip
        assert (api.product if "signature" not in path else api.nobody).get(path).status_code == 404, path


def test_whoever_asks_again_is_told_that_there_is_none(workshop: Workshop, api: Api) -> None:
    avatar = person(workshop)
    assert delete(api, avatar).status_code == 200
    again = delete(api, avatar)
    assert (again.status_code, code(again)) == (404, "not_found")
    assert delete(api, "avt_never").status_code == 404


def test_another_clients_avatar_cannot_be_deleted(workshop: Workshop, api: Api) -> None:
    avatar = person(workshop)
    before = workshop.dump()
    answer = api.other._ask("DELETE", f"/v1/avatars/{avatar}")
    assert (answer.status_code, code(answer)) == (404, "not_found")
    assert workshop.dump() == before


def test_a_new_video_of_the_deleted_is_refused_and_a_repeated_call_gets_its_old_job(
    workshop: Workshop, api: Api
) -> None:
    avatar = person(workshop)
    asked = payload("output.generate/1", avatar_id=avatar)
    job_id = api.product.post("/v1/outputs", asked, key="once").get_json()["id"]
    workshop.run(job_id)
    delete(api, avatar)
    refused = api.product.post("/v1/outputs", asked)
    assert (refused.status_code, code(refused)) == (422, "validation_failed")
    again = api.product.post("/v1/outputs", asked, key="once")
    assert (again.status_code, again.get_json()["id"]) == (200, job_id)


# --- others are left alone ----------------------------------------------------------------


def test_what_others_have_stays_to_the_last_byte(workshop: Workshop, api: Api) -> None:
    """Another person of the same client, and the same files at another client."""
    content = picture()
    theirs = workshop.upload(api.other, content)
    gone, stays = person(workshop, workshop.upload(api.product, content)), person(workshop, name="Ada")
    deleted, kept = film(workshop, gone), film(workshop, stays)
    shared = {row.sha256 for row in workshop.made_by(deleted.id)} & {row.sha256 for row in workshop.made_by(kept.id)}
    assert shared, "both stand before the same wall"
    mine = [row.id for row in workshop.made_by(kept.id, creation(api, stays))]
    told = rows(workshop, stays, kept.id, creation(api, stays), *mine)

    assert delete(api, gone).status_code == 200
    workshop.sweep()

    assert api.other.get(f"/v1/assets/{theirs}/content").data == content
    assert {api.product.get(f"/v1/assets/{name}/content").status_code for name in mine} == {200}
    assert rows(workshop, stays, kept.id, creation(api, stays), *mine) == told
    assert workshop.run(workshop.submit(api.product, "outputs", payload("output.generate/1", avatar_id=stays))).result


def test_a_photo_goes_with_the_last_avatar_that_has_it(workshop: Workshop, api: Api) -> None:
    photo, own = workshop.upload(api.product), workshop.upload(api.product)
    first, second = person(workshop, photo, own), person(workshop, photo, name="The same person")
    assert delete(api, first).status_code == 200
    assert api.product.get(f"/v1/assets/{photo}").status_code == 200
    assert api.product.get(f"/v1/assets/{own}").status_code == 404
    assert api.product.get(f"/v1/avatars/{second}").status_code == 200
    assert delete(api, second).status_code == 200
    assert api.product.get(f"/v1/assets/{photo}").status_code == 404


def test_a_try_that_failed_on_the_photo_is_forgotten_as_well(workshop: Workshop, api: Api) -> None:
    photo = workshop.upload(api.product)
    asked = payload("avatar.create/1", name="Quast, first try", inputs={"images": [{"asset_id": photo}]})
    failed = workshop.submit(api.product, "avatars", asked)
    workshop.run(failed, until="persist_identity")
    change(api, Job, Job.id == failed, status=JobStatus.FAILED)
    assert delete(api, person(workshop, photo)).status_code == 200
    workshop.sweep()
    assert "Quast" not in workshop.dump()
    assert workshop.files() == set()
    with pytest.raises(NotFailed), api.database.transaction() as session:
        jobs.resume(session, failed)


def test_what_shows_the_person_goes_from_other_persons_videos_too(workshop: Workshop, api: Api) -> None:
    """A film of another avatar that has a clip of this one in it."""
    gone, stays = person(workshop), person(workshop, name="Ada")
    clip = next(row for row in workshop.made_by(film(workshop, gone).id) if row.kind == "clip")
    both = film(workshop, stays)
    api.add(factories.AssetFactory.build(id="ast_insert", kind="clip", job_id=both.id))
    with api.database.transaction() as session:
        session.execute(text("INSERT INTO asset_edges VALUES ('ast_insert', :clip)"), {"clip": clip.id})
    assert both.id in delete(api, gone).get_json()["jobs"]
    assert job_shown(api, both.id)["deleted_at"] is not None
    assert api.product.get(f"/v1/avatars/{stays}").status_code == 200


def test_files_of_attempts_that_came_to_nothing_go_too(workshop: Workshop, api: Api, tmp_path: Path) -> None:
    avatar = person(workshop)
    file = tmp_path / "half"
    file.write_text("the face, half drawn")
    hold = holder(api.database, creation(api, avatar))
    StepAssets(workshop.house.storage, hold).keep(file, kind="clip", media_type="video/mp4")
    assert delete(api, avatar).status_code == 200
    workshop.sweep()
    assert workshop.files() == set()
    with pytest.raises(AssetDamaged):  # a worker that was taken for dead, and was not
        StepAssets(workshop.house.storage, hold).keep(file, kind="clip", media_type="video/mp4")
    assert workshop.files() == set()


# --- while jobs use it --------------------------------------------------------------------


@pytest.mark.parametrize("until", ["load_identity", "scene/1/lip_sync"])
def test_it_is_refused_while_a_job_uses_it_and_says_which(workshop: Workshop, api: Api, until: str) -> None:
    avatar = person(workshop)
    job_id = workshop.submit(api.product, "outputs", payload("output.generate/1", avatar_id=avatar))
    workshop.run(job_id, until=until)
    before = workshop.dump()
    answer = delete(api, avatar)
    assert (answer.status_code, code(answer)) == (409, "state_conflict")
    assert [use["job_id"] for use in answer.get_json()["jobs"]] == [job_id]
    assert job_id in answer.get_json()["detail"]
    assert workshop.dump() == before
    assert api.product.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert delete(api, avatar).status_code == 200


@pytest.mark.parametrize("status", sorted(set(JobStatus) - FINAL))
def test_every_job_that_has_not_ended_uses_it(workshop: Workshop, api: Api, status: str) -> None:
    avatar = person(workshop)
    change(api, Job, Job.id == film(workshop, avatar).id, status=status)
    answer = delete(api, avatar)
    assert (answer.status_code, answer.get_json()["jobs"][0]["why"]) == (409, f"it is {status}")


def test_what_an_ended_job_still_does_is_waited_for(workshop: Workshop, api: Api) -> None:
    avatar = person(workshop)
    job = film(workshop, avatar)
    lip_sync = (Record.job_id == job.id) & (Record.step == "scene/2/lip_sync")
    change(api, Record, lip_sync, status="running")
    answer = delete(api, avatar)
    assert (answer.status_code, "scene/2/lip_sync" in answer.get_json()["detail"]) == (409, True)
    change(api, Record, lip_sync, status="succeeded")
    api.add(factories.CallFactory.build(job_id=job.id, status="submitted", provider="heygen"))
    answer = delete(api, avatar)
    assert (answer.status_code, "heygen" in answer.get_json()["detail"]) == (409, True)


def test_an_asset_of_it_that_another_job_names_is_not_taken_from_that_job(workshop: Workshop, api: Api) -> None:
    avatar, other = person(workshop), person(workshop, name="Ada")
    clip = next(row for row in workshop.made_by(film(workshop, avatar).id) if row.kind == "clip")
    for status in ("running", "awaiting_approval"):
        request = {"avatar": {"avatar_id": other}, "b_roll": {"assets": [clip.id]}}
        user = factories.JobFactory.build(request=request, status=status)
        api.add(user)
        answer = delete(api, avatar)
        assert (answer.status_code, [use["job_id"] for use in answer.get_json()["jobs"]]) == (409, [user.id])
        change(api, Job, Job.id == user.id, status="cancelled")
    assert delete(api, avatar).status_code == 200


def test_an_asset_of_it_that_a_reviewer_chose_for_another_job_is_not_taken_from_that_job(
    workshop: Workshop, api: Api
) -> None:
    doomed, other = (person(workshop, workshop.upload(api.product)) for _ in range(2))
    behind = film(workshop, doomed).result["scenes"][0]["background"]["id"]  # type: ignore[index]
    asked = payload("output.generate/1", avatar_id=other, script={"text": "One."}, review={"gates": ["background"]})
    job = workshop.run(workshop.submit(api.product, "outputs", asked))
    chosen = {"assets": {"scene/1/background": behind}}
    said = {"contract": "job.approve/1", "gate": "background", "decision": "approve", "edits": chosen}
    assert api.product.post(f"/v1/jobs/{job.id}/approvals", said).status_code == 202
    answer = delete(api, doomed)
    assert (answer.status_code, [use["job_id"] for use in answer.get_json()["jobs"]]) == (409, [job.id])


def test_a_call_that_nobody_knows_about_can_only_be_dropped(workshop: Workshop, api: Api) -> None:
    avatar = person(workshop)
    call = factories.CallFactory.build(job_id=creation(api, avatar), status="uncertain", request={"text": "Marzipan"})
    api.add(call)
    assert delete(api, avatar).status_code == 200
    with pytest.raises(NotUncertain, match="dropped"), api.database.transaction() as session:
        adopt(session, call.id, Ticket("v-1"))


# --- at the same moment -------------------------------------------------------------------


def test_a_job_accepted_first_is_seen_and_one_that_comes_second_finds_nothing(workshop: Workshop, api: Api) -> None:
    """Intake and deletion, each in the middle of its transaction while the other begins."""
    with ThreadPoolExecutor(2) as hands:
        for first, second in (("outputs", "delete"), ("delete", "outputs")):
            avatar = person(workshop)
            calls = {
                "outputs": lambda avatar=avatar: api.product.post(
                    "/v1/outputs", payload("output.generate/1", avatar_id=avatar)
                ),
                "delete": lambda avatar=avatar: delete(api, avatar),
            }
            with api.database.transaction() as session:
                if first == "outputs":
                    request = {"avatar": {"avatar_id": avatar}}
                    session.add(factories.JobFactory.build(request=request, status="accepted"))
                    session.flush()
                    session.execute(text("SELECT FROM avatars WHERE id = :id FOR KEY SHARE"), {"id": avatar})
                else:
                    deletion.delete_avatar(session, avatar, client="product")
                late = hands.submit(calls[second])
                eventually(lambda: workshop.waits(), within=10, what=f"{second} waits for the other")
            assert late.result(10).status_code == (409 if second == "delete" else 422)


def test_a_photo_that_is_being_deleted_starts_no_avatar(workshop: Workshop, api: Api) -> None:
    photo = workshop.upload(api.product)
    avatar = person(workshop, photo)
    asked = payload("avatar.create/1", inputs={"images": [{"asset_id": photo}]})
    with ThreadPoolExecutor(1) as hands:
        with api.database.transaction() as session:
            deletion.delete_avatar(session, avatar, client="product")
            late = hands.submit(api.product.post, "/v1/avatars", asked)
            eventually(lambda: workshop.waits(), within=10, what="intake waits")
        assert late.result(10).status_code == 422


def test_many_at_once_delete_it_once(workshop: Workshop, api: Api) -> None:
    avatar = person(workshop)
    with ThreadPoolExecutor(4) as hands:
        answers = list(hands.map(lambda _: delete(api, avatar).status_code, range(4)))
    assert sorted(answers) == [200, 404, 404, 404]


# --- the files ----------------------------------------------------------------------------


class Slow(Storage):
    """Storage whose deletions wait in the middle."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.began, self.go_on = threading.Event(), threading.Event()

    def delete(self, sha256: str) -> None:
        self.began.set()
        assert self.go_on.wait(20)
        super().delete(sha256)


def test_a_photo_that_is_sent_again_while_its_file_is_removed_is_not_lost(workshop: Workshop, api: Api) -> None:
    content = picture()
    delete(api, person(workshop, workshop.upload(api.product, content)))
    with api.database.transaction() as session:  # of all files only the photo's
        session.execute(text("DELETE FROM file_removals WHERE sha256 <> encode(sha256(:it), 'hex')"), {"it": content})
    slow = Slow(api.settings.storage_url)
    with ThreadPoolExecutor(2) as hands:
        sweeping = hands.submit(removing.clear, api.database, slow)
        assert slow.began.wait(10)
        sent = hands.submit(workshop.upload, api.product, content)
        eventually(lambda: workshop.waits(), within=10, what="the upload waits for the removal")
        slow.go_on.set()
        assert sweeping.result(10) == 1
        again = sent.result(10)
    assert api.product.get(f"/v1/assets/{again}/content").data == content
    workshop.sweep()
    assert api.product.get(f"/v1/assets/{again}/content").data == content


def test_a_file_that_is_stored_but_has_no_row_yet_is_not_removed(
    workshop: Workshop, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between an upload's file and its row there is time for a whole sweep."""
    content = picture()
    delete(api, person(workshop, workshop.upload(api.product, content)))
    storage = api.app.extensions[NAME].storage
    put, swept = storage.put, []

    def put_and_sweep(file: Path, **options: Any) -> tuple[str, int]:
        stored: tuple[str, int] = put(file, **options)
        swept.append(workshop.sweep())
        return stored

    monkeypatch.setattr(storage, "put", put_and_sweep)
    again = workshop.upload(api.product, content)
    assert swept[0] > 0, "the other files went"
    assert api.product.get(f"/v1/assets/{again}/content").data == content
    change(api, FileRemoval, text("true"), due_at=factories.NOW)
    assert workshop.sweep() == 0, "it has a row now"
    assert "file_removals" not in workshop.dump()


def test_a_file_that_a_step_made_is_safe_until_the_step_is_recorded(
    workshop: Workshop, api: Api, tmp_path: Path
) -> None:
    """What one deletion lets go of, a running step of another job has just kept."""
    gone = film(workshop, person(workshop))
    wall = next(row for row in workshop.made_by(gone.id) if row.kind == "background")
    stays = person(workshop, name="Ada")
    job_id = workshop.submit(api.product, "outputs", payload("output.generate/1", avatar_id=stays))
    file = tmp_path / "wall"
    file.write_bytes((stored(workshop, wall.sha256)).read_bytes())
    StepAssets(workshop.house.storage, holder(api.database, job_id)).keep(file, kind="background", media_type="x/y")
    with api.database.transaction() as session:
        avatar = session.query(AvatarRow).where(AvatarRow.name == NAME_OF).one().id
    assert delete(api, avatar).status_code == 200
    workshop.sweep()
    assert stored(workshop, wall.sha256).exists()


def test_the_rows_end_the_hold(workshop: Workshop, api: Api) -> None:
    film(workshop, person(workshop))
    with api.database.transaction() as session:
        assert session.query(HeldFile).count() == 0
        assert session.query(AssetRow).count() > 10


def test_an_upload_that_broke_off_leaves_no_file_for_long(
    workshop: Workshop, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.assets.add", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        api.product.upload(picture())
    with api.database.transaction() as session:
        files.give_up(session, timedelta(hours=1))
    assert workshop.sweep() == 0
    assert len(workshop.files()) == 1
    with api.database.transaction() as session:
        files.give_up(session, timedelta(0))
    assert workshop.sweep() == 1
    assert workshop.files() == set()


def test_a_storage_that_is_away_is_asked_again_later(
    workshop: Workshop, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(api, person(workshop))
    count = len(workshop.files())
    with monkeypatch.context() as away:
        away.setattr(Storage, "delete", lambda *_: (_ for _ in ()).throw(OSError("read-only")))
        assert workshop.sweep() == 0
    assert workshop.sweep() == 0, "not at once"
    change(api, FileRemoval, text("true"), due_at=factories.NOW)
    assert workshop.sweep() == count
    assert workshop.files() == set()


def job_shown(api: Api, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.product.get(f"/v1/jobs/{job_id}").get_json()
    return found


def steps(api: Api, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.product.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]
    return found


def events(api: Api, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.product.get(f"/v1/jobs/{job_id}/events").get_json()["events"]
    return found


def rows(workshop: Workshop, *names: str) -> list[str]:
    """Every row that names one of these."""
    return sorted(row for row in workshop.dump().splitlines() if any(name in row for name in names))


def stored(workshop: Workshop, sha256: str) -> Path:
    return workshop.root / "sha256" / sha256[:2] / sha256[2:4] / sha256
