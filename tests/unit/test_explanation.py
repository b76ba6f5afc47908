"""From what is known of a job to words and data: each state says what it waits for and what can be done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.review import Review
from pipeline.routes import plan
from schemas import records
from schemas.changes import Change, changes
from schemas.contracts import fit
from schemas.explanation import Explanation, Facts, StepFacts, explain

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=20)
PLANNED = {"load_identity": "succeeded", "script": "succeeded", "storyboard": "succeeded"}
BOARD = {
    "scenes": [
        {"line": {"text": text}, "setting": {"prompt": "an office"}, "shot": {"size": "wide"}, "stance": None}
        for text in ("One.", "Two.")
    ]
}


def facts(status: str = "running", *, route: str = "multi_scene", gates: tuple[str, ...] = (), **more: Any) -> Facts:
    """A job with two scenes; `steps` by key is a status, or what is known of the step; the others are pending."""
    made = plan(route, 2)
    known = PLANNED | more.pop("steps", {})
    steps = []
    for key in made.steps:
        said = known.get(key, "pending")
        fact = StepFacts(key, said) if isinstance(said, str) else StepFacts(key, **said)
        steps.append(replace(fact, output=BOARD) if key == "storyboard" else fact)
    return Facts("job_1", status, "marketing", made, Review(gates), NOW, NOW - timedelta(seconds=5), steps, **more)


def sent(found: Explanation) -> list[tuple[str, dict[str, Any]]]:
    """The calls that are possible; each body is what its contract takes."""
    for each in found.possible:
        if each.body is not None:
            fit(each.body, each.call.rpartition("/")[2])
    return [(each.call.rpartition("/")[2], dict(each.body or {})) for each in found.possible]


def test_what_is_ready_waits_for_a_worker_and_what_reads_it_for_nothing_of_its_own() -> None:
    found = explain(facts())
    assert {(each.kind, each.stage) for each in found.waits_for} == {
        ("worker", f"scene/{scene}/{stage}") for stage in ("speech", "background") for scene in (1, 2)
    }
    assert "The job is running." in found.summary
    assert "2 more things are waited for." in found.summary
    assert sent(found) == [("cancel", {})]


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (
            {"status": "running", "attempts": 1, "since": NOW, "lease_until": SOON},
            "stage",
            "is being worked on since 2026-11-23T09:00:00Z, attempt 1",
        ),
        (
            {"status": "running", "attempts": 1, "since": NOW, "lease_until": NOW - timedelta(seconds=1)},
            "stage",
            "no sign of life",
        ),
        (
            {"status": "waiting", "awaits": "call", "why": "fal is at work", "wake_at": SOON},
            "provider",
            "fal is at work. It is looked after again at 2026-11-23T09:00:20Z",
        ),
        (
            {"status": "waiting", "awaits": "slot:fal", "why": "All places at fal are taken.", "wake_at": SOON},
            "slot",
            "All places at fal are taken. It is looked after again",
        ),
        (
            {"status": "waiting", "error": {"message": "It was away."}, "wake_at": SOON},
            "time",
            "is tried again at 2026-11-23T09:00:20Z, after: It was away.",
        ),
        (
            {"status": "waiting", "awaits": "person", "why": "Nobody knows whether it was paid."},
            "operator",
            "Nobody knows whether it was paid. The service's operator has to decide",
        ),
    ],
)
def test_what_a_step_waits_for_is_told_apart(step: dict[str, Any], kind: str, says: str) -> None:
    found = explain(facts(steps={"scene/1/speech": step}))
    item = next(each for each in found.waits_for if each.stage == "scene/1/speech")
    assert item.kind == kind
    assert says in item.says
    assert item.says in found.summary
    assert item.until == (step.get("lease_until") or step.get("wake_at"))


def test_an_open_gate_names_what_it_is_about_its_digest_and_its_end() -> None:
    gate = {
        "name": "background",
        "stage": "background",
        "round": 2,
        "digest": "d" * 64,
        "items": [{"stage": "scene/1/background"}, {"stage": "scene/2/background"}],
        "opened_at": "2026-11-23T08:00:00.000Z",
        "expires_at": "2026-11-23T08:30:00.000Z",
    }
    found = explain(facts("awaiting_approval", route="approval_gated", gates=("background",), gate=gate))
    (item,) = found.waits_for
    assert (item.kind, item.gate, item.digest, item.until) == (
        "decision",
        "background",
        "d" * 64,
        NOW - timedelta(minutes=30),
    )
    assert "for the second time, about scene/1/background and scene/2/background" in found.summary
    assert "ended at 2026-11-23T08:30:00Z; the job waits all the same" in found.summary
    assert [(call, body.get("decision"), body.get("digest")) for call, body in sent(found)] == [
        ("approvals", decision, "d" * 64) for decision in ("approve", "revise", "reject")
    ] + [("cancel", None, None)]


def test_a_step_that_will_fail_again_comes_with_what_to_say_anew() -> None:
    error = {"code": "text_not_speakable", "message": "There are no words.", "retryable": False}
    told = error | {"stage": "scene/2/speech"}
    found = explain(facts("failed", steps={"scene/2/speech": {"status": "failed", "error": error}}, error=told))
    assert found.summary == "The job failed at scene/2/speech: There are no words."
    assert [(each.stage, each.code, each.retryable) for each in found.failed] == [
        ("scene/2/speech", "text_not_speakable", False)
    ]
    assert found.waits_for == []
    first, second = sent(found)
    assert first == (
        "retries",
        {"contract": "job.retry/1", "from_stage": "scene/2/speech", "overrides": {"text": "Two."}},
    )
    assert second == ("retries", {"contract": "job.retry/1"})
    assert "will most likely fail again" in found.possible[1].says


def test_a_video_that_is_not_fit_says_which_scene_to_make_anew() -> None:
    error = {
        "code": "quality_failed",
        "message": "Not fit.",
        "retryable": False,
        "details": {"defects": [{"scene": 2}, {"scene": None}]},
    }
    found = explain(facts("failed", steps={"enhance": {"status": "failed", "error": error}}, error=None))
    assert ("retries", {"contract": "job.retry/1", "from_stage": "scene/2/lip_sync", "regenerate": True}) in sent(found)


def test_a_job_that_rests_after_a_single_stage_says_so() -> None:
    error = {"stage": "stitch", "code": "incomplete", "message": "Only one stage was asked for.", "retryable": True}
    found = explain(facts("failed", error=error))
    assert [(each.stage, each.code) for each in found.failed] == [("stitch", "incomplete")]
    assert sent(found) == [("retries", {"contract": "job.retry/1"})]


def test_whoever_rejected_is_named() -> None:
    found = explain(facts("cancelled", rejected=("script", "r_7")))
    assert found.summary == "The job was cancelled: r_7 rejected script."


def test_a_finished_job_waits_for_nothing_and_says_since_when_what_is_stale() -> None:
    done = dict.fromkeys(plan("multi_scene", 2).steps, "succeeded")
    found = explain(facts("completed", steps=done))
    assert (found.summary, found.waits_for, found.possible) == ("The job is completed.", [], [])
    change = Change("backdrop", "scene/2/background/image", "a" * 64, "b" * 64, "replaced")
    stale = done | {"scene/2/lip_sync": {"status": "stale", "because": (change,)}}
    found = explain(facts("completed", steps=stale))
    assert found.summary == (
        "The job is completed. scene/2/lip_sync is out of date, since scene/2/background/image changed."
    )
    assert sent(found) == [("retries", {"contract": "job.retry/1"})]
    gone = explain(facts("completed", steps=stale, deleted_at=NOW))
    assert gone.possible == []
    assert "was deleted at 2026-11-23T09:00:00Z" in gone.summary


# --- which input changed -------------------------------------------------------------------

MADE = plan("multi_scene", 2)
IMAGE = {"id": "ast_1", "kind": "background", "media_type": "image/png", "bytes": 1, "sha256": "a" * 64}
OUTPUTS: dict[str, Any] = {
    "load_identity": {"name": "Ana"},
    "storyboard": BOARD,
    "scene/2/speech": {"seconds": 2.0},
    "scene/2/background": {"image": IMAGE},
}
STATUSES = dict.fromkeys(MADE.steps, "succeeded")


def changed(now: dict[str, Any], statuses: dict[str, str] | None = None) -> list[tuple[Any, ...]]:
    found = changes(MADE, "scene/2/lip_sync", then=OUTPUTS, now=OUTPUTS | now, statuses=STATUSES | (statuses or {}))
    return [(each.input, each.source, each.was, each.now, each.reason) for each in found]


def test_a_replaced_asset_is_named_by_its_place_and_the_digests_of_its_files() -> None:
    image = IMAGE | {"id": "ast_2", "sha256": "b" * 64}
    assert changed({"scene/2/background": {"image": image}}) == [
        ("backdrop", "scene/2/background/image", "a" * 64, "b" * 64, "replaced")
    ]


def test_the_same_file_under_another_id_is_no_change_so_that_the_stage_itself_must_be_another() -> None:
    assert changed({"scene/2/background": {"image": IMAGE | {"id": "ast_2"}}}) == [
        (None, "lip_sync", None, None, "version")
    ]


def test_of_the_storyboard_only_what_the_step_reads_of_its_scene_counts() -> None:
    scenes = [BOARD["scenes"][0] | {"shot": {"size": "close"}}, BOARD["scenes"][1] | {"shot": {"size": "medium"}}]
    ((parameter, source, was, now, reason),) = changed({"storyboard": {"scenes": scenes}})
    assert (parameter, source, reason) == ("shot", "storyboard/scenes/1/shot/size", "replaced")
    assert was != now


def test_of_all_scenes_the_one_place_that_differs_is_named() -> None:
    scenes = [BOARD["scenes"][0], BOARD["scenes"][1] | {"setting": {"prompt": "a library"}}]
    now = OUTPUTS | {"storyboard": {"scenes": scenes}}
    found = changes(MADE, "publish", then=OUTPUTS, now=now, statuses=STATUSES)
    assert [(each.input, each.source, each.reason) for each in found] == [
        ("board", "storyboard/scenes/1/setting/prompt", "replaced")
    ]


def test_a_stale_or_missing_predecessor_is_the_reason_and_what_it_will_make_is_not_known() -> None:
    assert changed({}, {"scene/2/background": "stale", "scene/2/speech": "pending"}) == [
        ("speech", "scene/2/speech", records.digest(OUTPUTS["scene/2/speech"]), None, "missing"),
        ("backdrop", "scene/2/background", records.digest(OUTPUTS["scene/2/background"]), None, "stale"),
    ]
