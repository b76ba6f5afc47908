"""A voice is deleted by itself: what goes, what stays, and who keeps it from going."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text, update

from db import deletion
from db.claims import Claim
from db.models import IdempotencyKey, Job, Record
from pipeline.outcome import Failed
from pipeline.state import FINAL, JobStatus
from tasks.attempt import attempt
from tasks.watch import Watched
from tests import factories, inline
from tests.api import Api, code, payload
from tests.processes import eventually
from tests.workshop import Workshop

NAME_OF = "Zerlina Quast"
CONSENT = {"statement": "Zerlina agreed in writing.", "subject": "Z. Quast", "granted_at": "2026-11-01T09:00:00Z"}
PRIVATE = ("Zerlina", "Quast", "crm-4711")
HEAD = b"RIFF\x24\x00\x00\x00WAVEfmt "


@pytest.fixture
def api(workshop: Workshop) -> Api:
    return workshop.api


def sample(api: Api, content: bytes = b"hello") -> str:
    return str(api.product.upload(HEAD + content, "sample.wav").get_json()["id"])


def asked(sample_id: str, **changes: Any) -> dict[str, Any]:
    inputs = {"voice_sample": {"asset_id": sample_id}}
    about = {"name": NAME_OF, "consent": CONSENT, "metadata": {"user": "crm-4711"}}
    return payload("voice.clone/1", inputs=inputs, **about | changes)


def voice(workshop: Workshop, sample_id: str | None = None, **changes: Any) -> str:
    sent = asked(sample_id or sample(workshop.api), **changes)
    job = workshop.run(workshop.submit(workshop.api.product, "voices", sent))
    assert job.status == "completed", job.error
    return str((job.result or {})["voice_id"])


def avatar(workshop: Workshop, **changes: Any) -> str:
    return workshop.avatar(workshop.api.product, workshop.upload(workshop.api.product), **changes)


def delete(api: Api, voice_id: str) -> Any:
    return api.product._ask("DELETE", f"/v1/voices/{voice_id}")


def creation(api: Api, voice_id: str) -> str:
    return str(api.product.get(f"/v1/voices/{voice_id}").get_json()["job_id"])


def test_nothing_of_the_speaker_is_left_but_that_there_was_a_job(workshop: Workshop, api: Api) -> None:
    sample_id = sample(api)
    voice_id = voice(workshop, sample_id)
    job_id, preview = creation(api, voice_id), api.product.get(f"/v1/voices/{voice_id}").get_json()["preview"]
    made = [row.id for row in workshop.made_by(job_id)]
    assert all(word in workshop.dump() for word in PRIVATE)

    answer = delete(api, voice_id)
    assert answer.status_code == 200, answer.text
    assert answer.get_json() == {"id": voice_id, "deleted": True, "assets": len(made) + 1, "jobs": [job_id]}
    workshop.sweep()

    after = workshop.dump()
    assert [each for each in (*PRIVATE, voice_id, sample_id, *made, preview["sha256"]) if each in after] == []
    assert workshop.files() == set()
    job = api.product.get(f"/v1/jobs/{job_id}").get_json()
    assert (job["status"], job["result"], job["metadata"]) == ("completed", None, {})
    assert job["deleted_at"] is not None
    stages = api.product.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]
    assert [(stage["key"], stage["status"], stage["output"]) for stage in stages] == [
        (key, "succeeded", {"deleted": True}) for key in ("validate_voice", "clone_voice", "persist_voice")
    ]
    for path in (f"/v1/voices/{voice_id}", f"/v1/assets/{sample_id}", f"/v1/assets/{preview['id']}/content"):
        assert api.product.get(path).status_code == 404, path


def test_whoever_asks_again_or_for_anothers_voice_is_told_that_there_is_none(workshop: Workshop, api: Api) -> None:
    voice_id = voice(workshop)
    before = workshop.dump()
    answer = api.other._ask("DELETE", f"/v1/voices/{voice_id}")
    assert (answer.status_code, code(answer)) == (404, "not_found")
    assert workshop.dump() == before
    assert delete(api, voice_id).status_code == 200
    again = delete(api, voice_id)
    assert (again.status_code, code(again)) == (404, "not_found")


def test_a_sample_goes_with_the_last_identity_that_has_it(workshop: Workshop, api: Api) -> None:
    shared = sample(api)
    inputs = {"images": [{"asset_id": workshop.upload(api.product)}], "voice_sample": {"asset_id": shared}}
    person = workshop.run(workshop.submit(api.product, "avatars", payload("avatar.create/1", inputs=inputs)))
    first, second = voice(workshop, shared), voice(workshop, shared)
    assert delete(api, first).status_code == 200
    assert delete(api, second).status_code == 200
    assert api.product.get(f"/v1/assets/{shared}").status_code == 200, "the avatar has it"
    assert api.product._ask("DELETE", f"/v1/avatars/{(person.result or {})['avatar_id']}").status_code == 200
    assert api.product.get(f"/v1/assets/{shared}").status_code == 404


def test_a_try_that_failed_on_the_sample_is_forgotten_as_well(workshop: Workshop, api: Api) -> None:
    shared = sample(api)
    failed = workshop.submit(api.product, "voices", asked(shared, name="Quast, first try"))
    workshop.run(failed, until="persist_voice")
    with api.database.transaction() as session:
        session.execute(update(Job).where(Job.id == failed).values(status=JobStatus.FAILED))
    voice_id = voice(workshop, shared)
    assert set(delete(api, voice_id).get_json()["jobs"]) > {failed}
    workshop.sweep()
    assert "Quast" not in workshop.dump()
    assert workshop.files() == set()


def test_videos_that_it_spoke_stay_but_hold_no_voice_any_more(workshop: Workshop, api: Api) -> None:
    voice_id = voice(workshop)
    job = workshop.video(api.product, avatar(workshop), voice_id=voice_id)
    with api.database.transaction() as session:
        external = session.scalar(text("SELECT model ->> 'external_id' FROM voices"))
    retried = {"contract": "job.retry/1", "from_stage": "load_identity", "mode": "single", "regenerate": True}
    assert api.product.post(f"/v1/jobs/{job.id}/retries", retried).status_code == 202
    assert workshop.run(job.id).status == "completed"
    assert "past_outputs" in workshop.dump()
    before = {row.id: row.sha256 for row in workshop.made_by(job.id)}
    assert delete(api, voice_id).status_code == 200
    workshop.sweep()
    assert external not in workshop.dump()
    for asset_id in before:
        assert api.product.get(f"/v1/assets/{asset_id}/content").status_code == 200
    shown = api.product.get(f"/v1/jobs/{job.id}").get_json()
    assert (shown["deleted_at"], shown["result"]["video"]["sha256"]) == (None, before[shown["result"]["video"]["id"]])
    stages = api.product.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]
    (loaded,) = (stage["output"]["voice"] for stage in stages if stage["key"] == "load_identity")
    assert (loaded["provider"], loaded["external_id"], loaded["settings"], loaded["samples"]) == ("deleted", "", {}, [])
    refused = api.product.post("/v1/outputs", api.output_payload(voice_id=voice_id))
    assert (refused.status_code, code(refused)) == (422, "validation_failed")


def test_a_scene_that_is_spoken_again_after_that_is_told_that_the_voice_is_gone(workshop: Workshop, api: Api) -> None:
    """And not spoken in another."""
    voice_id = voice(workshop)
    job = workshop.video(api.product, avatar(workshop), voice_id=voice_id)
    assert delete(api, voice_id).status_code == 200
    with api.database.transaction() as session:
        speech = (Record.job_id == job.id) & (Record.step == "scene/1/speech")
        session.execute(update(Record).where(speech).values(status="pending"))
        session.execute(update(Job).where(Job.id == job.id).values(status=JobStatus.RUNNING))
    error = workshop.run(job.id).error or {}
    assert (error["stage"], error["code"]) == ("scene/1/speech", "voice_missing")
    assert "with another voice" in error["message"]


@pytest.mark.parametrize("status", sorted(set(JobStatus) - FINAL))
def test_it_is_refused_while_a_job_speaks_with_it_and_says_which(workshop: Workshop, api: Api, status: str) -> None:
    voice_id = voice(workshop)
    job = workshop.video(api.product, avatar(workshop), voice_id=voice_id)
    with api.database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(status=status))
    before = workshop.dump()
    answer = delete(api, voice_id)
    assert (answer.status_code, code(answer)) == (409, "state_conflict")
    assert answer.get_json(force=True)["jobs"] == [{"job_id": job.id, "why": f"it is {status}"}]
    assert job.id in answer.get_json(force=True)["detail"]
    assert workshop.dump() == before
    with api.database.transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(status=JobStatus.CANCELLED))
    assert delete(api, voice_id).status_code == 200


def test_what_an_ended_job_still_does_with_it_is_waited_for(workshop: Workshop, api: Api) -> None:
    voice_id = voice(workshop)
    job = workshop.video(api.product, avatar(workshop), voice_id=voice_id)
    speech = (Record.job_id == job.id) & (Record.step == "scene/1/speech")
    with api.database.transaction() as session:
        session.execute(update(Record).where(speech).values(status="running"))
    answer = delete(api, voice_id)
    assert (answer.status_code, "scene/1/speech" in answer.get_json(force=True)["detail"]) == (409, True)


def test_a_sample_that_an_unfinished_job_has_too_is_not_taken_from_it(workshop: Workshop, api: Api) -> None:
    shared = sample(api)
    voice_id = voice(workshop, shared)
    late = workshop.submit(api.product, "voices", asked(shared))
    assert delete(api, voice_id).status_code == 200
    workshop.sweep()
    assert workshop.run(late).status == "completed"


def test_an_avatars_own_voice_goes_only_with_the_avatar(workshop: Workshop, api: Api) -> None:
    inputs = {"images": [{"asset_id": workshop.upload(api.product)}], "voice_sample": {"asset_id": sample(api)}}
    job = workshop.run(workshop.submit(api.product, "avatars", payload("avatar.create/1", inputs=inputs)))
    made = job.result or {}
    answer = delete(api, made["voice_id"])
    assert (answer.status_code, code(answer)) == (409, "state_conflict")
    assert answer.get_json(force=True)["avatars"] == [made["avatar_id"]]
    assert "Delete the avatar" in answer.get_json(force=True)["detail"]
    assert api.product._ask("DELETE", f"/v1/avatars/{made['avatar_id']}").status_code == 200
    assert delete(api, made["voice_id"]).status_code == 404


def test_another_avatars_record_of_a_deleted_avatars_voice_is_blanked(workshop: Workshop, api: Api) -> None:
    """Where nothing of it was made from the sample, as with vendors' speech: the video stays."""
    inputs = {"images": [{"asset_id": workshop.upload(api.product)}], "voice_sample": {"asset_id": sample(api)}}
    job = workshop.run(workshop.submit(api.product, "avatars", payload("avatar.create/1", inputs=inputs)))
    made = job.result or {}
    with api.database.transaction() as session:
        external = session.scalar(text("SELECT model ->> 'external_id' FROM voices"))
    film = workshop.video(api.product, avatar(workshop, name="Ada"), voice_id=made["voice_id"])
    assert workshop.dump().count(external) > 0
    assert api.product._ask("DELETE", f"/v1/avatars/{made['avatar_id']}").status_code == 200
    assert external not in workshop.dump()
    assert api.product.get(f"/v1/jobs/{film.id}").get_json()["deleted_at"] is None


def test_a_job_accepted_first_is_seen_and_one_that_comes_second_finds_nothing(workshop: Workshop, api: Api) -> None:
    voice_id, speaker = voice(workshop), avatar(workshop)
    sent = payload("output.generate/1", avatar_id=speaker, voice_id=voice_id)
    with ThreadPoolExecutor(1) as hands:
        with api.database.transaction() as session:
            request = {"avatar": {"avatar_id": speaker, "voice_id": voice_id}}
            session.add(factories.JobFactory.build(id="job_first", request=request, status="accepted"))
            session.flush()
            session.execute(text("SELECT FROM voices WHERE id = :id FOR KEY SHARE"), {"id": voice_id})
            late = hands.submit(delete, api, voice_id)
            eventually(lambda: workshop.waits(), within=10, what="the deletion waits for the acceptance")
        assert late.result(10).status_code == 409
        with api.database.transaction() as session:
            session.execute(update(Job).where(Job.id == "job_first").values(status=JobStatus.CANCELLED))
            session.flush()
            assert deletion.delete_voice(session, voice_id, client="product")
            call = hands.submit(api.product.post, "/v1/outputs", sent)
            eventually(lambda: workshop.waits(), within=10, what="intake waits for the deletion")
        assert call.result(10).status_code == 422


@pytest.mark.parametrize("kind", ["avatars", "voices"])
def test_a_worker_that_was_taken_for_dead_brings_nobody_back(workshop: Workshop, api: Api, kind: str) -> None:
    """It is in its last step while the job is cancelled and the identity of an earlier save is deleted."""
    made = avatar(workshop) if kind == "avatars" else voice(workshop)
    job_id = str(api.product.get(f"/v1/{kind}/{made}").get_json()["job_id"])
    last = "persist_identity" if kind == "avatars" else "persist_voice"
    with api.database.transaction() as session:
        mine = (Record.job_id == job_id) & (Record.step == last)
        session.execute(update(Record).where(mine).values(status="pending", output_input_digest=None))
        session.execute(update(Job).where(Job.id == job_id).values(status=JobStatus.RUNNING))
    held = inline.claim(api.database, job_id, last, inline.job(api.database, job_id).launch)
    assert isinstance(held, Claim)
    with api.database.transaction() as session:
        session.execute(update(Record).where(mine).values(status="cancelled"))
        session.execute(update(Job).where(Job.id == job_id).values(status=JobStatus.CANCELLED))
    assert api.product._ask("DELETE", f"/v1/{kind}/{made}").status_code == 200
    before = api.rows()
    tried = attempt(workshop.house, held, Watched(held)).outcome
    assert isinstance(tried, Failed)
    assert tried.error.code == "asset_damaged"
    assert api.rows() == before


# --- the keys -----------------------------------------------------------------------------


def test_a_key_forgets_its_payload_and_still_makes_no_second_person(workshop: Workshop, api: Api) -> None:
    """A digest would confirm a guess of what was said; a stray repetition must not make the deleted anew."""
    sent = asked(sample(api))
    job_id = api.product.post("/v1/voices", sent, key="once").get_json()["id"]
    result = workshop.run(job_id).result or {}
    kept = asked(sample(api))
    other = api.product.post("/v1/voices", kept, key="other").get_json()["id"]
    assert delete(api, result["voice_id"]).status_code == 200
    with api.database.transaction() as session:
        digests = {row.key: row.request_digest for row in session.query(IdempotencyKey)}
    assert (digests["once"], len(digests["other"])) == ("", 64)
    before = api.rows()
    again = api.product.post("/v1/voices", sent, key="once")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert (again.get_json()["id"], again.get_json()["metadata"]) == (job_id, {})
    assert again.get_json()["deleted_at"] is not None
    assert api.rows() == before
    # those of other jobs are as before
    assert api.product.post("/v1/voices", kept, key="other").get_json()["id"] == other
    assert code(api.product.post("/v1/voices", kept | {"name": "Bob"}, key="other")) == "idempotency_key_reused"
    assert api.other.post("/v1/voices", asked("ast_no"), key="once").status_code == 422
