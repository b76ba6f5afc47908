"""Why a job is where it is: asked through the API, of real records; and what it offers is taken as it stands."""

from typing import Any

from sqlalchemy import text

from tests.api import Caller, payload
from tests.workshop import Workshop


def explained(caller: Caller, job_id: str) -> dict[str, Any]:
    answer = caller.get(f"/v1/jobs/{job_id}/explain")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def take(caller: Caller, possible: dict[str, Any]) -> Any:
    """Send what is offered as it stands."""
    method, _, path = possible["call"].partition(" ")
    assert method == "POST"
    answer = caller.post(path, possible["body"])
    assert answer.status_code == 202, answer.text
    return answer.get_json()


def background(caller: Caller, job_id: str, scene: int) -> str:
    stages = caller.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]
    found = next(each for each in stages if each["key"] == f"scene/{scene}/background")
    return str(found["output"]["image"]["sha256"])


def again(caller: Caller, job_id: str, **asked: Any) -> None:
    answer = caller.post(f"/v1/jobs/{job_id}/retries", {"contract": "job.retry/1"} | asked)
    assert answer.status_code == 202, answer.text


def test_a_new_job_waits_for_a_worker(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job_id = workshop.submit(caller, "outputs", payload("output.generate/1", avatar_id=avatar))
    found = explained(caller, job_id)
    assert [(each["kind"], each["stage"]) for each in found["waits_for"]] == [("worker", "load_identity")]
    assert found["summary"].startswith("The job is accepted. load_identity is ready")
    take(caller, found["possible"][0])
    assert explained(caller, job_id)["summary"] == "The job was cancelled."


def test_an_open_gate_says_who_is_awaited_about_what_and_offers_the_decision(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    review = {"gates": ["script"], "expires_in_s": 3600}
    job = workshop.run(
        workshop.submit(caller, "outputs", payload("output.generate/1", avatar_id=avatar, review=review))
    )
    found = explained(caller, job.id)
    gate = caller.get(f"/v1/jobs/{job.id}").get_json()["gate"]
    (item,) = found["waits_for"]
    assert (item["kind"], item["gate"], item["digest"]) == ("decision", "script", gate["digest"])
    assert item["until"] == gate["expires_at"].replace("Z", "000Z")
    assert take(caller, found["possible"][0])["status"] == "running"
    assert workshop.run(job.id).status == "completed"
    assert explained(caller, job.id)["possible"] == []


def test_what_is_stale_says_which_input_changed_from_what_to_what(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = workshop.video(caller, avatar)
    was = background(caller, job.id, 2)
    again(caller, job.id, from_stage="scene/2/background", mode="single", regenerate=True)
    workshop.run(job.id)
    found = explained(caller, job.id)
    now = background(caller, job.id, 2)
    assert was != now
    stale = {each["stage"]: each["because"] for each in found["stale"]}
    assert list(stale) == ["scene/2/lip_sync", "stitch", "enhance", "publish"]
    assert stale["scene/2/lip_sync"] == [
        {"input": "backdrop", "from": "scene/2/background/image", "was": was, "is": now, "reason": "replaced"}
    ]
    assert [(each["input"], each["from"], each["reason"]) for each in stale["stitch"]] == [
        ("clips", "scene/2/lip_sync", "stale")
    ]
    assert "since scene/2/background/image changed" in found["summary"]
    again(caller, job.id, from_stage="scene/2/background", mode="single", regenerate=True)
    workshop.run(job.id)
    (because,) = explained(caller, job.id)["stale"][0]["because"]
    assert (because["was"], because["is"]) == (was, background(caller, job.id, 2)), "not what was there in between"
    take(caller, found["possible"][0])
    workshop.run(job.id)
    assert (explained(caller, job.id)["stale"], explained(caller, job.id)["summary"]) == ([], "The job is completed.")


def test_a_failed_step_offers_what_mends_it(workshop: Workshop, caller: Caller, avatar: str) -> None:
    asked = payload("output.generate/1", avatar_id=avatar, script={"text": "One.\nraise TextNotSpeakable"})
    job = workshop.run(workshop.submit(caller, "outputs", asked))
    found = explained(caller, job.id)
    assert [(each["stage"], each["code"]) for each in found["failed"]] == [("scene/2/speech", "text_not_speakable")]
    mended = found["possible"][0]
    assert mended["body"]["overrides"] == {"text": "raise TextNotSpeakable"}
    mended["body"]["overrides"]["text"] = "Two."
    take(caller, mended)
    assert workshop.run(job.id).status == "completed"


def test_a_running_step_and_a_parked_one_are_told_apart(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = workshop.run(
        workshop.submit(
            caller, "outputs", payload("output.generate/1", avatar_id=avatar, script={"text": "One.\nTwo."})
        ),
        until="scene/1/speech",
    )
    with workshop.house.database.transaction() as session:
        session.execute(
            text(
                "UPDATE records SET status = 'running', attempt = 1, started_at = now(), owner = 'w',"
                " lease_until = now() + interval '30 s' WHERE job_id = :job AND step = 'scene/1/speech'"
            ),
            {"job": job.id},
        )
        session.execute(
            text(
                "UPDATE records SET status = 'waiting', awaits = 'person', why = 'Nobody knows whether it was paid.'"
                " WHERE job_id = :job AND step = 'scene/2/speech'"
            ),
            {"job": job.id},
        )
    kinds = {each["stage"]: each["kind"] for each in explained(caller, job.id)["waits_for"]}
    assert kinds["scene/1/speech"] == "stage"
    assert kinds["scene/2/speech"] == "operator"
    assert kinds["scene/1/background"] == "worker"


def test_whoever_rejected_a_job_is_named_and_it_may_go_on_all_the_same(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    review = {"gates": ["script"]}
    job = workshop.run(
        workshop.submit(caller, "outputs", payload("output.generate/1", avatar_id=avatar, review=review))
    )
    asked = {"contract": "job.approve/1", "gate": "script", "decision": "reject", "reviewer": "r_7"}
    assert caller.post(f"/v1/jobs/{job.id}/approvals", asked).status_code == 202
    found = explained(caller, job.id)
    assert found["summary"] == "The job was cancelled: r_7 rejected script."
    take(caller, found["possible"][0])
    workshop.run(job.id)
    assert explained(caller, job.id)["status"] == "awaiting_approval"


def test_a_deleted_avatars_job_says_so_and_offers_nothing(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = workshop.video(caller, avatar)
    again(caller, job.id, from_stage="scene/2/background", mode="single", regenerate=True)
    workshop.run(job.id)
    headers = {"Authorization": f"Bearer {caller.token}"}
    assert caller.app.test_client().delete(f"/v1/avatars/{avatar}", headers=headers).status_code == 200
    found = explained(caller, job.id)
    assert found["possible"] == []
    assert "was deleted at" in found["summary"]


def test_other_clients_jobs_are_not_explained(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = workshop.video(caller, avatar)
    assert workshop.api.other.get(f"/v1/jobs/{job.id}/explain").status_code == 404
