"""What a new job takes from an earlier one of its client, and what it makes anew; through the API, on real records."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db.models import Job
from pipeline.ports import CAPABILITIES
from pipeline.state import FINAL
from tests import factories, inline
from tests.api import Caller, payload
from tests.conftest import Servers
from tests.fleet import Fleet, fleet
from tests.processes import eventually
from tests.workshop import Workshop

SIX = ["One is said.", "Two is said.", "Three is said.", "Four is said.", "Five is said.", "Six is said."]
ALWAYS = {"load_identity", "script", "storyboard", "enhance", "publish"}
GIVEN = {"script", "storyboard"}


def stages(caller: Caller, job: Job) -> dict[str, dict[str, Any]]:
    return {each["key"]: each for each in caller.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]}


def ran(caller: Caller, job: Job) -> set[str]:
    return {key for key, step in stages(caller, job).items() if step["attempts"]}


def say(*lines: str) -> str:
    return "\n".join(lines)


def assets(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict) and "url" in data:
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from assets(value)


def plays(caller: Caller, job: Job) -> bool:
    """Whether everything that the job and its stages name can be fetched, and is what it is said to be."""
    named = [*assets(caller.get(f"/v1/jobs/{job.id}").get_json()["result"]), *assets([*stages(caller, job).values()])]
    for asset in named:
        content = caller.get(f"/v1/assets/{asset['id']}/content")
        assert content.status_code == 200
        assert len(content.data) == asset["bytes"]
    return bool(named)


def test_the_same_video_again_renders_nothing_again(workshop: Workshop, caller: Caller, avatar: str) -> None:
    first = workshop.video(caller, avatar, say(*SIX))
    second = workshop.video(caller, avatar, say(*SIX))
    assert ran(caller, second) == ALWAYS
    before, after = stages(caller, first), stages(caller, second)
    for key in after.keys() - ALWAYS:
        step = after[key]
        assert (step["status"], step["attempts"], step["tries"], step["started_at"]) == ("reused", 0, [], None)
        assert step["source"]["job_id"] == first.id
        assert step["source"]["step"].rpartition("/")[2] == step["name"]
        assert (step["provider"], step["cost"]["amount"]) == (before[key]["provider"], "0.0000")
    assert after["scene/2/lip_sync"]["source"]["step"] == "scene/2/lip_sync"
    assert {step["source"] for step in before.values()} == {None}
    videos = [caller.get(f"/v1/jobs/{job.id}").get_json()["result"]["video"] for job in (first, second)]
    assert videos[0]["sha256"] == videos[1]["sha256"]
    assert plays(caller, second)
    shown = caller.get(f"/v1/jobs/{second.id}").get_json()
    assert (shown["status"], shown["progress"]) == ("completed", 1.0)
    told = [event["data"] for event in caller.get(f"/v1/jobs/{second.id}/events").get_json()["events"]]
    assert [event["progress"] for event in told] == sorted(event["progress"] for event in told)
    assert {event["stage"] for event in told if event["status"] == "running"} <= ALWAYS | {None}


def test_what_was_taken_has_rows_and_a_history_of_the_jobs_own(workshop: Workshop, caller: Caller, avatar: str) -> None:
    first, second = (workshop.video(caller, avatar, say(*SIX)) for _ in range(2))
    theirs, own = ({row.id for row in workshop.made_by(job.id)} for job in (first, second))
    assert len(own) == len(theirs)
    clip = stages(caller, second)["scene/2/lip_sync"]["output"]["footage"]["video"]["id"]
    told = caller.get(f"/v1/assets/{clip}").get_json()
    assert (told["job_id"], told["step"]) == (second.id, "scene/2/lip_sync")
    whole = caller.get(f"/v1/assets/{clip}?lineage=full").get_json()["lineage"]
    assert not {node["id"] for node in whole["nodes"]} & theirs
    assert {node["kind"] for node in whole["nodes"]} >= {"photo", "cutout", "speech", "background", "cut", "video"}


def test_one_sentence_of_six_renders_one_scene(workshop: Workshop, caller: Caller, avatar: str) -> None:
    workshop.video(caller, avatar, say(*SIX))
    job = workshop.video(caller, avatar, say(*SIX[:3], "Something else is said.", *SIX[4:]))
    assert ran(caller, job) == ALWAYS | {"scene/4/speech", "scene/4/lip_sync", "stitch"}
    assert [scene["transcript"] for scene in (job.result or {})["scenes"]][3] == "Something else is said."
    assert plays(caller, job)


def test_a_job_may_ask_for_everything_to_be_made_anew(workshop: Workshop, caller: Caller, avatar: str) -> None:
    workshop.video(caller, avatar, say(*SIX))
    job = workshop.video(caller, avatar, say(*SIX), reuse=False)
    assert ran(caller, job) == stages(caller, job).keys()


def test_nothing_is_ever_taken_from_another_client(workshop: Workshop, caller: Caller, avatar: str) -> None:
    workshop.video(caller, avatar, say(*SIX))
    other = workshop.api.other
    job = workshop.video(other, workshop.avatar(other, workshop.upload(other)), say(*SIX))
    assert ran(other, job) == stages(other, job).keys()


def test_only_who_makes_the_same_each_time_is_spared(
    workshop: Workshop, caller: Caller, avatar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another family serves now; or the same, which may answer otherwise each time."""
    workshop.video(caller, avatar, say(*SIX))
    painted = {f"scene/{scene}/background" for scene in range(1, 7)}
    other = Workshop.of(workshop.api, background="local").video(caller, avatar, say(*SIX))
    assert ran(caller, other) >= painted
    monkeypatch.setattr("tests.filed.DETERMINISTIC", ("speech", "lip_sync", "editing"))
    unsteady = Workshop.of(workshop.api).video(caller, avatar, say(*SIX))
    assert ran(caller, unsteady) == ALWAYS | painted


def test_another_variation_is_made_and_not_taken(workshop: Workshop, caller: Caller, avatar: str) -> None:
    """Who has a step run again wants it to run: in the first job, and in one that took it."""
    first, second = (workshop.video(caller, avatar, say(*SIX)) for _ in range(2))
    for job in (first, second):
        asked = {"contract": "job.retry/1", "from_stage": "scene/2/background", "regenerate": True}
        assert caller.post(f"/v1/jobs/{job.id}/retries", asked).status_code == 202
        assert workshop.run(job.id).status == "completed"
        step = stages(caller, job)["scene/2/background"]
        assert (step["status"], step["variation"], step["source"]) == ("succeeded", 1, None)
        assert step["attempts"] > 0
    asked = {"contract": "job.retry/1", "from_stage": "scene/3/speech"}
    assert caller.post(f"/v1/jobs/{second.id}/retries", asked).status_code == 202
    workshop.run(second.id)
    step = stages(caller, second)["scene/3/speech"]
    assert (step["status"], step["attempts"], step["source"]) == ("succeeded", 1, None)
    third = workshop.video(caller, avatar, say(*SIX))
    assert third.status == "completed"
    own = stages(caller, third)["scene/2/background"]
    assert own["output"]["image"]["sha256"] != stages(caller, first)["scene/2/background"]["output"]["image"]["sha256"]


def test_what_a_person_put_in_its_place_is_not_taken_for_the_stages_own(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    first = workshop.video(caller, avatar, say(*SIX))
    asked = {"contract": "job.retry/1", "from_stage": "scene/3/speech", "overrides": {"text": "Mended."}}
    assert caller.post(f"/v1/jobs/{first.id}/retries", asked).status_code == 202
    workshop.run(first.id)
    second = workshop.video(caller, avatar, say(*SIX))
    assert {"scene/3/speech", "scene/3/lip_sync", "stitch"} <= ran(caller, second)
    assert [scene["transcript"] for scene in (second.result or {})["scenes"]] == SIX


def test_workers_go_on_past_what_was_taken(servers: Servers, tmp_path: Path) -> None:
    """Branches, joins and heavy steps: whatever comes after it is sent, and the job ends."""
    filed = json.dumps({capability: ["tests.filed"] for capability in CAPABILITIES})
    with fleet(servers, tmp_path, {"product": None}, LIKENESS_PROVIDERS=filed) as running:
        made = ended(running, running.submit("product", "/v1/avatars", running.avatar("product")))
        asked = running.output(made["result"]["avatar_id"], say(*SIX[:4]))
        first = ended(running, running.submit("product", "/v1/outputs", asked))
        second = ended(running, running.submit("product", "/v1/outputs", asked))
        rows = inline.rows(running.database, second["id"])
    assert {row.step for row in rows.values() if row.attempt} == ALWAYS
    assert {(row.source or {}).get("job_id") for row in rows.values() if not row.attempt} == {first["id"]}


def ended(running: Fleet, job_id: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        job: dict[str, Any] = running.call("product", "GET", f"/v1/jobs/{job_id}").json()
        return job if job["status"] in FINAL else None

    job = eventually(found, within=60, what=f"{job_id} ends")
    assert job is not None
    assert job["status"] == "completed", job["error"]
    return job


# --- deletion ---------------------------------------------------------------------------


def test_a_job_keeps_what_it_took_when_the_person_of_the_first_is_deleted(
    workshop: Workshop, caller: Caller, avatar: str
) -> None:
    first = workshop.video(caller, avatar, say(*SIX))
    second = workshop.video(caller, workshop.avatar(caller, workshop.upload(caller)), say(*SIX))
    taken = stages(caller, second)["scene/2/background"]
    assert (taken["status"], taken["source"]["job_id"]) == ("reused", first.id)
    assert caller._ask("DELETE", f"/v1/avatars/{avatar}").status_code == 200
    workshop.sweep()
    assert plays(caller, second)
    assert workshop.made_by(first.id) == []

    third = workshop.video(caller, (second.request or {})["avatar"]["avatar_id"], say(*SIX))
    assert stages(caller, third)["scene/2/lip_sync"]["source"]["job_id"] == second.id
    assert "scene/2/background" in ran(caller, third)
    assert plays(caller, third)


def test_what_was_taken_goes_with_its_own_person(workshop: Workshop, caller: Caller, avatar: str) -> None:
    first, second = (workshop.video(caller, avatar, say(*SIX)) for _ in range(2))
    assert stages(caller, second)["scene/2/lip_sync"]["source"]["job_id"] == first.id
    assert caller._ask("DELETE", f"/v1/avatars/{avatar}").status_code == 200
    workshop.sweep()
    assert workshop.made_by(first.id, second.id) == []
    assert workshop.files() == set()


def test_a_deletion_under_way_is_not_waited_for(workshop: Workshop, caller: Caller, avatar: str) -> None:
    """Nothing is taken that is about to go: the job makes its own."""
    workshop.video(caller, avatar, say(*SIX))
    other = workshop.avatar(caller, workshop.upload(caller))
    with workshop.api.database.transaction() as session:
        session.execute(text("SELECT id FROM assets WHERE kind = 'background' FOR UPDATE"))
        job = workshop.video(caller, other, say(*SIX))
    assert {f"scene/{scene}/background" for scene in range(1, 7)} <= ran(caller, job)


# --- what runs again when something changes: the table in docs/api.md --------------------


def scenes(*names: str, of: tuple[int, ...] = (1, 2, 3)) -> set[str]:
    return {f"scene/{scene}/{name}" for scene in of for name in names}


def in_scene(number: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda asked: asked["storyboard"]["scenes"][number - 1].update(changes)


def in_output(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda asked: asked["output"].update(changes)


def at_top(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda asked: asked.update(changes)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], set[str]]] = {
    "nothing": (at_top(metadata={"campaign": "c_2"}, lane="avatar"), set()),
    "words of scene 2": (
        in_scene(2, transcript="Other words."),
        {*scenes("speech", "b_roll", "lip_sync", of=(2,)), "stitch"},
    ),
    "background of scene 2": (
        in_scene(2, background="a garden"),
        {*scenes("background", "lip_sync", of=(2,)), "stitch"},
    ),
    "pose of scene 2": (in_scene(2, pose="think"), {*scenes("pose", "lip_sync", of=(2,)), "stitch"}),
    "cutaway of scene 2": (
        in_scene(2, cutaway={"start": 0.6, "end": 0.9}),
        {*scenes("b_roll", "lip_sync", of=(2,)), "stitch"},
    ),
    "shot of scene 2": (in_scene(2, shot="close"), {*scenes("lip_sync", of=(2,)), "stitch"}),
    "transition from scene 2 to scene 3": (
        in_scene(2, transition="fade"),
        {*scenes("lip_sync", of=(2, 3)), "stitch"},
    ),
    "a cutaway of scene 2 that moves by less than a word": (
        in_scene(2, cutaway={"start": 0.26, "end": 0.8}),
        {*scenes("b_roll", of=(2,))},
    ),
    "lower third": (in_output(lower_third={"line": "CEO"}), {*scenes("lip_sync", of=(1,)), "stitch"}),
    "label": (in_output(label="Synthetic"), {*scenes("background", "b_roll", "lip_sync"), "stitch"}),
    "language": (
        at_top(script={"text": " ".join(SIX[:3]), "language": "en-GB"}),
        {*scenes("speech", "b_roll", "lip_sync"), "stitch"},
    ),
    "captions": (in_output(captions="sidecar"), {*scenes("lip_sync"), "stitch"}),
    "resolution": (
        in_output(width=640, height=480),
        {*scenes("background", "b_roll", "lip_sync"), "stitch"},
    ),
    "seed": (at_top(seed=8), {*scenes("speech", "background", "b_roll", "lip_sync"), "stitch"}),
}


def asked_for(avatar: str, **changes: Any) -> dict[str, Any]:
    board = [
        {"transcript": line, "background": "a bright office", "pose": "explain", "cutaway": {"start": 0.25, "end": 0.8}}
        for line in SIX[:3]
    ]
    output = payload("output.generate/1")["output"] | {"width": 480, "height": 320}
    asked = payload("output.generate/1", avatar_id=avatar, output=output, storyboard={"scenes": board})
    del asked["script"]
    return asked | {"poses": {"enabled": True}, "b_roll": {"enabled": True}} | changes


def again(workshop: Workshop, asked: dict[str, Any]) -> Job:
    job = workshop.run(workshop.submit(workshop.api.product, "outputs", asked))
    assert job.status == "completed", job.error
    return job


@pytest.mark.parametrize("what", list(CHANGES))
def test_what_runs_again_when_something_changes(workshop: Workshop, caller: Caller, avatar: str, what: str) -> None:
    first = again(workshop, asked_for(avatar))
    assert ran(caller, first) == stages(caller, first).keys() - GIVEN
    change, expected = CHANGES[what]
    asked = copy.deepcopy(asked_for(avatar))
    change(asked)
    second = again(workshop, asked)
    assert ran(caller, second) == ALWAYS - GIVEN | expected
    assert plays(caller, second)


def test_another_voice_is_heard_and_seen_in_every_scene(workshop: Workshop, caller: Caller, avatar: str) -> None:
    again(workshop, asked_for(avatar))
    job = factories.JobFactory.build(kind="voice", route="voice_cloning", status="completed")
    voice = factories.VoiceFactory.build(job_id=job.id)
    voice.model = voice.model | {"provider": "tests.filed"}
    workshop.api.add(job, voice)
    second = again(workshop, asked_for(avatar, voice_id=voice.id))
    assert ran(caller, second) == ALWAYS - GIVEN | scenes("speech", "pose", "b_roll", "lip_sync") | {"stitch"}


def test_another_avatar_has_the_same_backgrounds(workshop: Workshop, caller: Caller, avatar: str) -> None:
    again(workshop, asked_for(avatar))
    second = again(workshop, asked_for(workshop.avatar(caller, workshop.upload(caller))))
    assert ran(caller, second) == ALWAYS - GIVEN | scenes("speech", "pose", "lip_sync") | {"stitch"}
