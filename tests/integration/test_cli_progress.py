"""How a job is shown: nothing out of the ordinary is hidden, and the order is the route's."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from webapp.cli.progress import MARKS, Clock, Lines, draw, shown

JOB = {"id": "job_1", "status": "running", "progress": 0.42, "finished_at": None}
TIMES = {"started_at": "2026-11-22T09:00:00+00:00", "finished_at": "2026-11-22T09:00:01.500000+00:00"}


def step(key: str, status: str, **facts: Any) -> dict[str, Any]:
    *scene, name = key.split("/")
    usual = {
        "key": key,
        "name": name,
        "label": name.title(),
        "scene": int(scene[1]) if scene else None,
        "status": status,
    }
    times = TIMES if status in ("succeeded", "failed") else {}
    return usual | {"attempts": 0 if status == "pending" else 1, "error": None} | times | facts


STEPS = [
    step("script", "succeeded"),
    step("scene/1/speech", "succeeded"),
    step("scene/2/speech", "failed", attempts=3, error={"code": "render_failed"}),
    step("scene/1/lip_sync", "running", attempts=2),
    step("scene/2/lip_sync", "pending"),
    step("stitch", "pending"),
]


def drawn(steps: list[dict[str, Any]], clock: Clock) -> list[str]:
    return drawn_job(JOB, steps, clock)


def drawn_job(job: dict[str, Any], steps: Sequence[dict[str, Any]] = (), clock: Clock | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(draw(job, steps, clock or Clock()))
    return [line.strip() for line in capture.get().splitlines()]


def test_the_stages_of_a_scene_share_a_line_in_the_routes_order() -> None:
    now = 100.0
    clock = Clock(lambda: now)
    drawn(STEPS, clock)
    now = 107.0
    script, first, second, stitch, bar = drawn(STEPS, clock)
    assert script.split() == ["✓", "Script", "1.5", "s"]
    assert first.startswith("Scene 1")
    assert "✓ speech 1.5 s" in first
    assert first.endswith("▸ lip sync 7.0 s attempt 2")
    assert "✗ speech 1.5 s failed, attempt 3, render_failed" in second
    assert stitch == "· Stitch"
    assert bar.endswith("42%  running")


def test_without_a_terminal_each_change_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=40)
    with shown(console) as screen:
        assert isinstance(screen, Lines)
        screen.update(JOB, [step("script", "running")])
        screen.update(JOB, [step("script", "running")])
        screen.update(JOB, [step("script", "running", attempts=2)])
        screen.note("the service does not answer")
        screen.note("the service does not answer")
        screen.update(JOB | {"status": "completed", "finished_at": "now"}, [step("script", "succeeded", attempts=2)])
    assert isinstance(console.file, io.StringIO)
    assert [line.split("s  ", 1)[1].strip() for line in console.file.getvalue().splitlines()] == [
        "42%  job running",
        "42%  script running",
        "42%  script running (attempt 2)",
        "the service does not answer",
        "42%  script succeeded 1.5 s (attempt 2)",
        "42%  job completed",
    ]


def test_a_stage_that_waits_says_for_what_and_who_was_passed_over() -> None:
    passed = [{"provider": "elevenlabs", "code": "insufficient_funds", "message": "No money is left."}]
    steps = [
        step("scene/1/speech", "waiting", awaits="call", why="fal is at work.", **TIMES),
        step("scene/2/speech", "waiting", awaits="slot:fal", why="All places at fal are taken."),
        step("scene/3/speech", "waiting", awaits="person", why="A person decides.", error={"code": "outcome_unknown"}),
        step("scene/4/speech", "succeeded", passed_over=passed),
    ]
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as capture:
        job = JOB | {"parked": [{"stage": "scene/3/speech", "why": "A person decides."}]}
        console.print(draw(job, steps, Clock()))
    first, second, third, fourth, *_, parked, _ = [line.strip() for line in capture.get().splitlines() if line.strip()]
    assert first.endswith("⧗ speech waiting, the provider is at work")
    assert second.endswith("waiting, for a place at fal")
    assert third.endswith("waiting, for a person, outcome_unknown")
    assert fourth.endswith("✓ speech 1.5 s not by elevenlabs: insufficient_funds")
    assert parked == "scene/3/speech: A person decides."


def test_looking_whether_a_wait_is_over_is_no_news() -> None:
    waiting = step("speech", "waiting", awaits="call", why="fal is at work.")
    console = Console(file=io.StringIO(), width=40)
    with shown(console) as screen:
        for seen in (waiting, step("speech", "pending", attempts=1), step("speech", "running"), waiting):
            screen.update(JOB, [seen])
        screen.update(JOB, [step("speech", "waiting", awaits="person", why="A person decides.")])
        screen.update(JOB, [step("speech", "succeeded")])
    assert isinstance(console.file, io.StringIO)
    assert [line.split("s  ", 1)[1].strip() for line in console.file.getvalue().splitlines()] == [
        "42%  job running",
        "42%  speech waiting (waiting, the provider is at work) fal is at work.",
        "42%  speech waiting (waiting, for a person) A person decides.",
        "42%  speech succeeded 1.5 s",
    ]


def test_what_a_person_gave_says_so_and_took_no_time() -> None:
    script, _ = drawn([step("script", "succeeded", origin="human")], Clock())
    assert script.split() == ["✓", "Script", "by", "a", "person"]


def test_an_open_gate_is_told_once_each_time_it_opens_with_the_command_that_decides() -> None:
    gate = {"name": "script", "round": 1, "items": [{"stage": "script"}], "opened_at": "1", "expires_at": None}
    job = JOB | {"status": "awaiting_approval", "gate": gate | {"expired": False}}
    assert drawn_job(job)[-2].startswith("likeness approve job_1 script [--decision revise")
    console = Console(file=io.StringIO(), width=200)
    with shown(console) as screen:
        for opened in ("1", "1", "2"):
            screen.update(job | {"gate": job["gate"] | {"opened_at": opened}}, [])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("likeness approve job_1 script") == 2


@pytest.mark.parametrize("status", [*MARKS, "unheard-of"])
def test_every_status_can_be_shown_also_one_of_a_newer_service(status: str) -> None:
    assert drawn([step("script", status)], Clock())
