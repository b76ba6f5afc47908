"""`likeness approve`, `retry` and `explain` against the real API behind a real server, on real records."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from db.models import Job
from tests.api import Caller, listening, payload
from tests.command import LIKENESS, run
from tests.workshop import Workshop

LINES = "One.\nTwo."


@pytest.fixture
def url(workshop: Workshop) -> Iterator[str]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # else the app's log is in the command's output
    with listening(workshop.api.app) as found:
        yield found
    structlog.reset_defaults()


@pytest.fixture
def likeness(url: str) -> Any:
    """Runs a command as the client `product`."""
    return lambda *words, **options: run(
        *words, env={"LIKENESS_URL": url, "LIKENESS_TOKEN": "product token"}, **options
    )


def gated(workshop: Workshop, avatar_id: str, *gates: str) -> Job:
    asked = payload("output.generate/1", avatar_id=avatar_id, script={"text": LINES}, review={"gates": list(gates)})
    return workshop.run(workshop.submit(workshop.api.product, "outputs", asked))


def stage(caller: Caller, job_id: str, key: str) -> dict[str, Any]:
    found = caller.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]
    return next(each for each in found if each["key"] == key)


# --- approve ------------------------------------------------------------------------------


def test_a_gate_is_shown_and_decided_after_a_yes(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any
) -> None:
    job = gated(workshop, avatar, "background")
    kept = likeness("approve", job.id, "background", input="n\n")
    assert (kept.exit_code, kept.stdout) == (1, "")
    image = stage(caller, job.id, "scene/2/background")["output"]["image"]
    assert f"/v1/assets/{image['id']}/content?" in kept.stderr
    assert workshop.run(job.id).status == "awaiting_approval"
    said = likeness("approve", job.id, "background", "--reviewer", "Ana", input="y\n")
    assert (said.exit_code, said.stdout) == (0, f"{job.id} output approval_gated running\n"), said.output
    assert workshop.run(job.id).status == "completed"
    (decision,) = caller.get(f"/v1/jobs/{job.id}/approvals").get_json()["approvals"]
    assert (decision["decision"], decision["reviewer"]) == ("approve", "Ana")


def test_a_scene_is_sent_back_with_notes(workshop: Workshop, caller: Caller, avatar: str, likeness: Any) -> None:
    job = gated(workshop, avatar, "background")
    words = ("--decision", "revise", "--scene", "2", "--notes", "brighter", "--yes", "--json")
    said = likeness("approve", job.id, "background", *words)
    assert json.loads(said.stdout)["status"] == "running"
    workshop.run(job.id)
    assert [stage(caller, job.id, f"scene/{scene}/background")["notes"] for scene in (1, 2)] == [None, "brighter"]


def test_an_edit_comes_from_a_file(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any, tmp_path: Path
) -> None:
    job = gated(workshop, avatar, "script")
    (tmp_path / "words.json").write_text(json.dumps({"text": "Other words."}))
    assert likeness("approve", job.id, "script", "--edits", str(tmp_path / "words.json"), "--yes").exit_code == 0
    done = workshop.run(job.id)
    assert [scene["transcript"] for scene in (done.result or {})["scenes"]] == ["Other words."]


def test_a_gate_that_is_not_open_says_who_decided_it(workshop: Workshop, avatar: str, likeness: Any) -> None:
    job = gated(workshop, avatar, "script", "storyboard")
    assert (
        "is not open: the job is awaiting_approval at the gate script."
        in likeness("approve", job.id, "storyboard", "--yes").stderr
    )
    likeness("approve", job.id, "script", "--reviewer", "Ana", "--yes")
    workshop.run(job.id)
    late = likeness("approve", job.id, "script", "--decision", "reject", "--yes")
    assert late.exit_code == 1
    assert "at the gate storyboard. It was last decided by Ana: approve." in late.stderr


def test_what_the_gate_does_not_take_is_told_at_its_place(
    workshop: Workshop, avatar: str, likeness: Any, tmp_path: Path
) -> None:
    job = gated(workshop, avatar, "script")
    (tmp_path / "edits.json").write_text('{"assets": {"scene/1/background": "ast_1"}}')
    refused = likeness("approve", job.id, "script", "--edits", str(tmp_path / "edits.json"), "--yes")
    assert "/edits/assets: is not what the gate script is about; that takes text" in refused.stderr
    (tmp_path / "edits.json").write_text("no json")
    assert "is not JSON" in likeness("approve", job.id, "script", "--edits", str(tmp_path / "edits.json")).stderr


# --- retry --------------------------------------------------------------------------------


def test_a_retry_shows_its_plan_and_runs_it_after_a_yes(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any
) -> None:
    job = workshop.video(caller, avatar, LINES)
    words = ("retry", job.id, "scene/2/background", "--regenerate")
    shown = likeness(*words, "--dry-run")
    assert shown.exit_code == 0, shown.output
    runs, stays, estimate = shown.stdout.splitlines()
    assert runs == "runs:       scene/2/background, scene/2/lip_sync, stitch, enhance, publish"
    assert stays.startswith("stays:      load_identity, script, storyboard")
    assert estimate.endswith("0.0000 USD")
    assert likeness(*words, input="n\n").exit_code == 1
    assert stage(caller, job.id, "scene/2/background")["attempts"] == 1
    assert likeness(*words, input="y\n").exit_code == 0
    assert workshop.run(job.id).status == "completed"
    assert stage(caller, job.id, "scene/2/background")["variation"] == 1


def test_words_and_prompts_are_said_anew(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any, tmp_path: Path
) -> None:
    job = workshop.video(caller, avatar, LINES)
    (tmp_path / "mended.txt").write_text("Two, mended.")
    said = likeness("retry", job.id, "scene/2/speech", "--set", f"text=@{tmp_path / 'mended.txt'}", "--yes")
    assert said.exit_code == 0, said.output
    done = workshop.run(job.id)
    assert [scene["transcript"] for scene in (done.result or {})["scenes"]] == ["One.", "Two, mended."]
    (tmp_path / "board.json").write_text(json.dumps([{"transcript": "One scene."}]))
    board = likeness("retry", job.id, "storyboard", "--set", f"scenes=@{tmp_path / 'board.json'}", "--yes")
    assert board.exit_code == 0, board.output
    done = workshop.run(job.id)
    assert [scene["transcript"] for scene in (done.result or {})["scenes"]] == ["One scene."]


def test_a_single_stage_leaves_stale_what_a_plain_retry_brings_up_to_date(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any
) -> None:
    job = workshop.video(caller, avatar, LINES)
    single = likeness("retry", job.id, "scene/2/background", "--single", "--regenerate", "--yes")
    assert "gets stale: scene/2/lip_sync, stitch, enhance, publish" in single.stderr
    workshop.run(job.id)
    watched = likeness("watch", job.id)
    assert f"out of date: scene/2/lip_sync, stitch, enhance, publish: `likeness retry {job.id}`" in watched.stdout
    why = likeness("explain", job.id).stdout
    assert "stale: scene/2/lip_sync, since scene/2/background/image was " in why
    assert "stale: stitch, since scene/2/lip_sync is stale" in why
    assert f'  POST /v1/jobs/{job.id}/retries {{"contract": "job.retry/1"}}' in why
    assert likeness("retry", job.id, "--yes").exit_code == 0
    workshop.run(job.id)
    assert json.loads(likeness("explain", job.id, "--json").stdout)["stale"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scene/9/speech",), "/from_stage: scene/9/speech is no stage of this job"),
        (("stitch", "--set", "text=x"), "/overrides/text: is nothing that stitch takes"),
        (("stitch", "--set", "text"), "--set text=..."),
        (("storyboard", "--set", "scenes=x"), "the scenes are not JSON"),
        ((), "There is nothing to run"),
    ],
)
def test_a_retry_that_makes_no_sense_changes_nothing(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any, words: tuple[str, ...], said: str
) -> None:
    job = workshop.video(caller, avatar, LINES)
    refused = likeness("retry", job.id, *words, "--yes")
    assert refused.exit_code in (1, 2)
    assert said in refused.stderr


# --- explain, watch -----------------------------------------------------------------------


def test_a_failed_job_leads_from_watch_to_explain_to_what_mends_it(
    workshop: Workshop, caller: Caller, avatar: str, likeness: Any
) -> None:
    asked = payload("output.generate/1", avatar_id=avatar, script={"text": "One.\nraise TextNotSpeakable"})
    job = workshop.run(workshop.submit(caller, "outputs", asked))
    assert f"`likeness explain {job.id}`" in likeness("watch", job.id).stdout
    why = likeness("explain", job.id).stdout
    assert "The job failed at scene/2/speech: " in why
    assert "text_not_speakable; will fail again as it is" in why
    assert '"overrides": {"text": "raise TextNotSpeakable"}' in why
    assert likeness("retry", job.id, "scene/2/speech", "--set", "text=Two.", "--yes").exit_code == 0
    assert workshop.run(job.id).status == "completed"


def test_watch_says_how_to_decide_and_goes_on_watching(
    workshop: Workshop, caller: Caller, avatar: str, url: str
) -> None:
    job = gated(workshop, avatar, "script")
    environment = {**os.environ, "LIKENESS_URL": url, "LIKENESS_TOKEN": "product token"}
    with subprocess.Popen([*LIKENESS, "watch", job.id], env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        line = next(line for line in watching.stdout if f"likeness approve {job.id} script" in line)
        assert "--decision reject" in line
        asked = {"contract": "job.approve/1", "gate": "script", "decision": "reject"}
        assert caller.post(f"/v1/jobs/{job.id}/approvals", asked).status_code == 202
        assert watching.wait(30) == 1
        assert f"{job.id} cancelled" in watching.stdout.read()
