"""How long the machine may have a job: through the API, on real records."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from db import deadlines
from db.claims import Claim
from db.models import Job
from tasks.attempt import attempt
from tasks.watch import Watched
from tests import inline
from tests.api import Caller, flaws, payload
from tests.workshop import Workshop

LINES = "One.\nTwo.\nThree."
OVER = text("UPDATE jobs SET deadline_at = now() - interval '1 second' WHERE id = :job")


def submit(workshop: Workshop, avatar_id: str, **changes: Any) -> str:
    asked = payload("output.generate/1", avatar_id=avatar_id, script={"text": LINES}) | changes
    return workshop.submit(workshop.api.product, "outputs", asked)


def let_time_pass(workshop: Workshop, job_id: str) -> None:
    with workshop.api.database.transaction() as session:
        session.execute(OVER, {"job": job_id})


def sweep(workshop: Workshop) -> list[str]:
    """The jobs that the sweeper fails."""
    database = workshop.api.database
    with database.transaction() as session:
        found = deadlines.overdue(session)
    return [each for each in found if database.in_turn(lambda connection, each=each: deadlines.fail(connection, each))]


def shown(caller: Caller, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = caller.get(f"/v1/jobs/{job_id}").get_json()
    return found


def story(caller: Caller, job_id: str) -> list[dict[str, Any]]:
    return [event["data"] for event in caller.get(f"/v1/jobs/{job_id}/events").get_json()["events"]]


def retry(caller: Caller, job_id: str) -> Any:
    return caller.post(f"/v1/jobs/{job_id}/retries", {"contract": "job.retry/1"})


def seconds_left(job: dict[str, Any]) -> float:
    return (datetime.fromisoformat(job["deadline_at"]) - datetime.fromisoformat(job["updated_at"])).total_seconds()


def test_a_job_that_takes_too_long_fails_where_it_is_and_can_be_resumed(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job_id = submit(workshop, avatar, deadline_s=60)
    assert seconds_left(shown(caller, job_id)) == pytest.approx(60, abs=1)
    workshop.run(job_id, until="scene/2/speech")
    assert sweep(workshop) == []
    let_time_pass(workshop, job_id)
    assert sweep(workshop) == [job_id]
    job = shown(caller, job_id)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "deadline_exceeded", True)
    assert job["error"]["stage"] == "scene/2/speech"
    assert job["deadline_at"] is None
    assert (told := story(caller, job_id)[-1])["error"] == job["error"], told
    assert workshop.run(job_id).status == "failed", "nothing more of it runs"
    before = inline.rows(workshop.api.database, job_id)
    assert retry(caller, job_id).status_code == 202
    assert seconds_left(shown(caller, job_id)) == pytest.approx(60, abs=1)
    assert workshop.run(job_id).status == "completed"
    after = inline.rows(workshop.api.database, job_id)
    done = {key for key, row in before.items() if row.status == "succeeded"}
    assert len(done) > 3
    assert {after[key].attempt for key in done} == {1}


def test_a_job_that_nobody_took_up_fails_as_well(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job_id = submit(workshop, avatar, deadline_s=10)
    let_time_pass(workshop, job_id)
    assert sweep(workshop) == [job_id]
    assert shown(caller, job_id)["error"]["stage"] == "load_identity"


def test_what_still_runs_ends_by_itself_and_is_kept(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job_id = submit(workshop, avatar, deadline_s=60)
    launch = inline.advance(workshop.api.database, job_id).launch
    assert launch is not None
    workshop.run(job_id, until="script")
    held = inline.claim(workshop.api.database, job_id, "script", launch.number)
    assert isinstance(held, Claim)
    let_time_pass(workshop, job_id)
    assert sweep(workshop) == [job_id]
    outcome = attempt(workshop.house, held, Watched(held)).outcome
    assert inline.record(workshop.api.database, held, outcome)
    assert shown(caller, job_id)["status"] == "failed"
    assert inline.rows(workshop.api.database, job_id)["script"].status == "succeeded"
    assert retry(caller, job_id).status_code == 202
    assert workshop.run(job_id).status == "completed"
    assert inline.rows(workshop.api.database, job_id)["script"].attempt == 1


def test_the_clock_stands_still_while_a_person_decides_and_begins_anew_then(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job_id = submit(workshop, avatar, deadline_s=60, review={"gates": ["script"]})
    workshop.run(job_id)
    let_time_pass(workshop, job_id)
    assert sweep(workshop) == []
    assert shown(caller, job_id)["deadline_at"] is None
    decided = {"contract": "job.approve/1", "gate": "script", "decision": "approve"}
    assert caller.post(f"/v1/jobs/{job_id}/approvals", decided).status_code == 202
    assert seconds_left(shown(caller, job_id)) == pytest.approx(60, abs=1)
    assert workshop.run(job_id).status == "completed"


def test_a_job_that_has_ended_or_has_no_deadline_is_left_alone(workshop: Workshop, caller: Caller, avatar: str) -> None:
    done: Job = workshop.video(caller, avatar, deadline_s=60)
    let_time_pass(workshop, done.id)
    job_id = submit(workshop, avatar)
    workshop.run(job_id, until="script")
    assert sweep(workshop) == []
    assert shown(caller, done.id)["status"] == "completed"
    assert shown(caller, job_id)["deadline_at"] is None


@pytest.mark.parametrize("wrong", [9, 7 * 86_400 + 1, 60.5, "60", True])
@pytest.mark.parametrize("call", ["outputs", "avatars", "voices"])
def test_a_deadline_is_ten_seconds_to_a_week(workshop: Workshop, caller: Caller, call: str, wrong: Any) -> None:
    contract = {"outputs": "output.generate/1", "avatars": "avatar.create/1", "voices": "voice.clone/1"}[call]
    refused = caller.post(f"/v1/{call}", payload(contract, deadline_s=wrong))
    assert refused.status_code == 422
    assert "/deadline_s" in flaws(refused)
