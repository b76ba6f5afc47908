"""Gates, decisions and retries: what runs, what does not, and what is kept; through the API, on real records."""

from typing import Any

import pytest

from db.models import Job
from tests.api import Caller, code, flaws, payload
from tests.workshop import Workshop

LINES = "One.\nTwo.\nThree."


def gated(workshop: Workshop, avatar_id: str, *gates: str, **changes: Any) -> Job:
    """A job at its first gate."""
    review = {"gates": list(gates)} | changes.pop("review", {})
    asked = payload("output.generate/1", avatar_id=avatar_id, script={"text": LINES}, review=review, **changes)
    return workshop.run(workshop.submit(workshop.api.product, "outputs", asked))


def shown(caller: Caller, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = caller.get(f"/v1/jobs/{job_id}").get_json()
    return found


def stages(caller: Caller, job_id: str) -> dict[str, dict[str, Any]]:
    return {each["key"]: each for each in caller.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]}


def ran(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> set[str]:
    """The steps with an attempt more; of all others no time and no attempt has changed."""
    more = {key for key, step in after.items() if step["attempts"] > before.get(key, {"attempts": 0})["attempts"]}
    for key in after.keys() - more:
        for fact in ("attempts", "started_at", "finished_at", "output"):
            assert after[key][fact] == before[key][fact], (key, fact)
    return more


def say(caller: Caller, job_id: str, gate: str, decision: str = "approve", **more: Any) -> Any:
    asked = {"contract": "job.approve/1", "gate": gate, "decision": decision, "reviewer": "r_7"} | more
    return caller.post(f"/v1/jobs/{job_id}/approvals", asked)


def again(caller: Caller, job_id: str, from_stage: str | None = None, **more: Any) -> Any:
    named = {} if from_stage is None else {"from_stage": from_stage}
    return caller.post(f"/v1/jobs/{job_id}/retries", {"contract": "job.retry/1"} | named | more)


def test_each_gate_opens_in_turn_with_the_very_things_to_judge(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = gated(workshop, avatar, "script", "storyboard", "background", "video_asset")
    seen = []
    while (now := shown(caller, job.id))["status"] == "awaiting_approval":
        gate = now["gate"]
        seen.append((gate["name"], [item["stage"] for item in gate["items"]]))
        records = stages(caller, job.id)
        for item in gate["items"]:
            assert item["output"] == records[item["stage"]]["output"]
        assert say(caller, job.id, gate["name"], digest=gate["digest"]).status_code == 202
        workshop.run(job.id)
    assert seen == [
        ("script", ["script"]),
        ("storyboard", ["storyboard"]),
        ("background", [f"scene/{scene}/background" for scene in (1, 2, 3)]),
        ("video_asset", [f"scene/{scene}/lip_sync" for scene in (1, 2, 3)]),
    ]
    assert (now["route"], now["status"], now["progress"], now["gate"]) == ("approval_gated", "completed", 1.0, None)
    assert {step["attempts"] for step in stages(caller, job.id).values()} == {1}
    told = [event["data"] for event in caller.get(f"/v1/jobs/{job.id}/events").get_json()["events"]]
    assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
    asked = [event["gate"] for event in told if event["status"] == "awaiting_approval"]
    assert [gate["name"] for gate in asked] == ["script", "storyboard", "background", "video_asset"]
    assert asked[2]["items"][0]["output"]["image"]["url"].startswith("http")


def test_a_gate_that_was_not_asked_for_is_passed(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = gated(workshop, avatar, "video_asset")
    assert shown(caller, job.id)["gate"]["name"] == "video_asset"
    assert say(caller, job.id, "video_asset").status_code == 202
    assert workshop.run(job.id).status == "completed"


def test_revising_one_scene_makes_that_one_anew_and_opens_the_gate_again(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = gated(workshop, avatar, "background")
    before, gate = stages(caller, job.id), shown(caller, job.id)["gate"]
    answer = say(caller, job.id, "background", "revise", scenes=[2], notes="brighter", digest=gate["digest"])
    assert answer.status_code == 202, answer.text
    workshop.run(job.id)
    after = stages(caller, job.id)
    assert ran(before, after) == {"scene/2/background"}
    assert after["scene/2/background"]["variation"] == 1
    assert after["scene/2/background"]["notes"] == "brighter"
    assert (
        after["scene/2/background"]["output"]["image"]["sha256"]
        != before["scene/2/background"]["output"]["image"]["sha256"]
    )
    opened = shown(caller, job.id)["gate"]
    assert (opened["name"], opened["round"]) == ("background", 2)
    assert opened["digest"] != gate["digest"]
    stale = say(caller, job.id, "background", digest=gate["digest"])
    assert (stale.status_code, stale.get_json()["digest"]) == (409, opened["digest"])
    assert say(caller, job.id, "background", digest=opened["digest"]).status_code == 202
    assert workshop.run(job.id).status == "completed"


def test_an_edit_takes_the_place_of_what_was_made_and_that_is_kept(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = gated(workshop, avatar, "script", "storyboard")
    assert say(caller, job.id, "script", edits={"text": "Other.\nWords."}).status_code == 202
    workshop.run(job.id)
    step = stages(caller, job.id)["script"]
    assert (step["origin"], step["output"]) == ("human", {"text": "Other.\nWords.", "origin": "edited"})
    scenes = [{"transcript": "Only one scene now.", "shot": "close"}]
    assert say(caller, job.id, "storyboard", edits={"scenes": scenes}).status_code == 202
    done = workshop.run(job.id)
    assert done.status == "completed"
    assert [scene["transcript"] for scene in (done.result or {})["scenes"]] == ["Only one scene now."]
    left = {key: step["status"] for key, step in stages(caller, job.id).items() if step["scene"] == 2}
    assert set(left.values()) <= {"cancelled"}
    said = caller.get(f"/v1/jobs/{job.id}/approvals").get_json()["approvals"]
    assert [(each["gate"], each["decision"], each["reviewer"], each["in_force"]) for each in said] == [
        ("script", "approve", "r_7", True),
        ("storyboard", "approve", "r_7", True),
    ]


def test_rejecting_ends_the_job(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = gated(workshop, avatar, "script")
    assert say(caller, job.id, "script", "reject").get_json()["status"] == "cancelled"
    closed = say(caller, job.id, "script")
    assert closed.status_code == 409
    assert "reject" in closed.get_json()["detail"]


def test_approving_twice_is_harmless_and_whoever_decides_otherwise_learns_of_it(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = gated(workshop, avatar, "script")
    assert say(caller, job.id, "script").status_code == 202
    assert say(caller, job.id, "script", reviewer="r_8").status_code == 200
    other = say(caller, job.id, "script", "revise", reviewer="r_8")
    assert other.status_code == 409
    assert "by r_7: approve" in other.get_json()["detail"]
    assert len(caller.get(f"/v1/jobs/{job.id}/approvals").get_json()["approvals"]) == 1


def test_another_variation_of_a_finished_jobs_background_reaches_its_scene_alone(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = workshop.video(caller, avatar, LINES)
    before = stages(caller, job.id)
    plan = again(caller, job.id, "scene/2/background", regenerate=True, dry_run=True).get_json()
    run = ["scene/2/background", "scene/2/lip_sync", "stitch", "enhance", "publish"]
    assert plan["run"] == run
    assert set(plan["reuse"]) == before.keys() - set(run)
    assert stages(caller, job.id) == before
    asked = again(caller, job.id, "scene/2/background", regenerate=True, digest=plan["digest"])
    assert asked.status_code == 202, asked.text
    assert workshop.run(job.id).status == "completed"
    assert ran(before, stages(caller, job.id)) == set(run)


def test_a_typo_in_one_scene_is_mended_in_that_scene_alone(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = workshop.video(caller, avatar, LINES)
    assert again(caller, job.id, "scene/3/speech", overrides={"text": "Three, mended."}).status_code == 202
    done = workshop.run(job.id)
    after = stages(caller, job.id)
    expected = {"scene/3/speech", "scene/3/lip_sync", "stitch", "enhance", "publish"}
    assert {key for key in expected if after[key]["attempts"] == 2} == expected
    assert {key for key, step in after.items() if step["attempts"] == 2} == expected
    assert after["storyboard"]["origin"] == "human"
    assert [scene["transcript"] for scene in (done.result or {})["scenes"]] == ["One.", "Two.", "Three, mended."]


def test_a_single_step_leaves_what_used_it_stale_until_a_retry_brings_exactly_that_up_to_date(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = workshop.video(caller, avatar, LINES)
    before = stages(caller, job.id)
    asked = again(caller, job.id, "scene/2/background", mode="single", regenerate=True)
    assert asked.status_code == 202, asked.text
    workshop.run(job.id)
    now, middle = shown(caller, job.id), stages(caller, job.id)
    stale = ["scene/2/lip_sync", "stitch", "enhance", "publish"]
    assert (now["status"], now["stages"]["stale"]) == ("completed", stale)
    assert now["result"]["video"]["id"] == before["publish"]["output"]["video"]["id"]
    assert ran(before, middle) == {"scene/2/background"}
    told = caller.get(f"/v1/jobs/{job.id}/events").get_json()["events"][-1]["data"]
    assert (told["status"], told["stale"]) == ("completed", stale)
    assert again(caller, job.id).status_code == 202
    workshop.run(job.id)
    assert ran(middle, stages(caller, job.id)) == set(stale)
    assert shown(caller, job.id)["stages"]["stale"] == []
    nothing = again(caller, job.id)
    assert nothing.status_code == 409
    assert "up to date" in nothing.get_json()["detail"]


def test_equal_output_stops_the_wave(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = workshop.video(caller, avatar, LINES)
    before = stages(caller, job.id)
    assert again(caller, job.id, "scene/2/background").status_code == 202
    assert workshop.run(job.id).status == "completed"
    after = stages(caller, job.id)
    assert {key for key, step in after.items() if step["attempts"] == 2} == {"scene/2/background"}
    assert {after[key]["status"] for key in ("scene/2/lip_sync", "stitch", "enhance", "publish")} == {"reused"}
    assert after["stitch"]["finished_at"] == before["stitch"]["finished_at"]


def test_a_plan_that_is_out_of_date_is_refused_with_the_new_one(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    job = workshop.video(caller, avatar, LINES)
    plan = again(caller, job.id, "scene/1/speech", regenerate=True, dry_run=True).get_json()
    assert again(caller, job.id, "scene/2/speech", mode="single", regenerate=True).status_code == 202
    workshop.run(job.id)
    refused = again(caller, job.id, "scene/1/speech", regenerate=True, digest=plan["digest"])
    assert refused.status_code == 409
    assert refused.get_json()["plan"]["digest"] != plan["digest"]


def test_a_retry_from_a_failed_step_runs_what_is_left(workshop: Workshop, caller: Caller, avatar: str) -> None:
    asked = payload("output.generate/1", avatar_id=avatar, script={"text": "One.\nraise TextNotSpeakable"})
    job = workshop.run(workshop.submit(caller, "outputs", asked))
    assert job.status == "failed"
    before = stages(caller, job.id)
    assert before["scene/2/speech"]["status"] == "failed"
    assert again(caller, job.id, "scene/2/speech", overrides={"text": "Two."}).status_code == 202
    assert workshop.run(job.id).status == "completed"
    after = stages(caller, job.id)
    assert after["scene/1/speech"] == before["scene/1/speech"]
    assert after["load_identity"] == before["load_identity"]


def test_a_cancelled_job_goes_on_where_it_was(workshop: Workshop, caller: Caller, avatar: str) -> None:
    asked = payload("output.generate/1", avatar_id=avatar, script={"text": LINES})
    job = workshop.run(workshop.submit(caller, "outputs", asked), until="scene/2/lip_sync")
    assert caller.post(f"/v1/jobs/{job.id}/cancel").status_code == 202
    before = stages(caller, job.id)
    assert again(caller, job.id).status_code == 202
    assert workshop.run(job.id).status == "completed"
    done = {key for key, step in before.items() if step["status"] == "succeeded"}
    assert done.isdisjoint(ran(before, stages(caller, job.id)))


def test_a_regeneration_voids_the_approval_of_what_it_replaces(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = gated(workshop, avatar, "background")
    say(caller, job.id, "background")
    assert workshop.run(job.id).status == "completed"
    plan = again(caller, job.id, "scene/1/background", regenerate=True, dry_run=True).get_json()
    assert plan["voids"] == ["approve_background"]
    assert again(caller, job.id, "scene/1/background", regenerate=True).status_code == 202
    workshop.run(job.id)
    assert shown(caller, job.id)["gate"]["name"] == "background"
    said = caller.get(f"/v1/jobs/{job.id}/approvals").get_json()["approvals"]
    assert [each["in_force"] for each in said] == [False, False]
    assert say(caller, job.id, "background").status_code == 202
    assert workshop.run(job.id).status == "completed"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"from_stage": "scene/9/speech"}, "/from_stage"),
        ({"from_stage": "scene/1/speech", "overrides": {"prompt": "x"}}, "/overrides/prompt"),
        ({"from_stage": "stitch", "overrides": {"text": "x"}}, "/overrides/text"),
        ({"from_stage": "scene/1/lip_sync", "overrides": {"shot": "huge"}}, "/overrides/shot"),
        ({"overrides": {"text": "x"}}, "/overrides"),
        ({"mode": "single"}, "/mode"),
        ({"from_stage": "stitch", "mode": "sideways"}, "/mode"),
        ({"from_stage": "stitch", "colour": "red"}, "/colour"),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused_where_it_is_wrong(
    workshop: Workshop, caller: Caller, avatar: str, asked: dict[str, Any], pointer: str
) -> None:
    job = workshop.video(caller, avatar, LINES)
    assert list(flaws(again(caller, job.id, **asked))) == [pointer]


def test_keys_and_owners_are_seen_to(workshop: Workshop, caller: Caller, avatar: str) -> None:
    job = gated(workshop, avatar, "script")
    asked = {"contract": "job.approve/1", "gate": "script", "decision": "approve"}
    where = f"/v1/jobs/{job.id}/approvals"
    assert workshop.api.other.post(where, asked).status_code == 404
    assert code(caller.post(where, asked | {"contract": "job.approve/9"})) == "unknown_contract"
    first = caller.post(where, asked, key="one")
    replay = caller.post(where, asked, key="one")
    assert (first.status_code, replay.status_code) == (202, 200)
    assert replay.headers["Idempotent-Replayed"] == "true"
    assert code(caller.post(where, asked | {"decision": "reject"}, key="one")) == "idempotency_key_reused"
