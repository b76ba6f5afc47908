"""Quick steps taken together: one process that knows its stages, so that every fan-out of theirs is taken in hand."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from db.overview import attempts
from tasks.hand import MOST, RECENT
from tests import inline, processes
from tests.conftest import Servers
from tests.failpoints import arm
from tests.instant import BEYOND_JSON
from tests.processes import eventually
from tests.running import Running, open_running

FINE = ["Fine.", "Well.", "Good."]
KILLED_S = 20.0  # the sweeper alone would take longer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("running")


@pytest.fixture(scope="module")
def single(servers: Servers, broker_url: str, folder: Path) -> Iterator[Running]:
    with open_running(servers, broker_url, folder, pool=1) as found:
        yield found


@pytest.fixture
def running(single: Running) -> Running:
    """Its process has done enough of each stage to know that they are quick; the very first may not have been."""
    known = single.submit([f"Line {number}." for number in range(2 * RECENT)])
    assert single.ended(known).status == "completed"
    return single


def together(running: Running, job_id: str) -> dict[str, datetime | None]:
    """By step of a scene when it was claimed: in one transaction it is the same moment."""
    rows = inline.rows(running.database, job_id)
    return {key: row.started_at for key, row in rows.items() if key.startswith("scene/")}


def test_quick_steps_of_all_scenes_are_claimed_together(running: Running) -> None:
    job_id = running.submit([f"Line {number}." for number in range(4)])
    assert running.ended(job_id).status == "completed"
    assert max(Counter(together(running, job_id).values()).values()) == MOST
    with running.database.transaction() as session:
        told = session.execute(
            text("SELECT sequence, data ->> 'stage' FROM events WHERE job_id = :job ORDER BY sequence"), {"job": job_id}
        ).all()
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert Counter(stage for _, stage in told if stage and stage.startswith("scene/")).most_common(1)[0][1] == 1


@pytest.mark.parametrize("point", ["in_hand", "before_record", "after_record"])
def test_a_killed_process_leaves_nothing_undone_and_does_no_more_than_its_hand_again(
    running: Running, folder: Path, point: str
) -> None:
    arm(folder / "failpoints", point, "kill_child")
    job_id = running.submit([f"Line {number}." for number in range(6)])
    assert running.ended(job_id, within=KILLED_S).status == "completed"
    assert (folder / "failpoints" / f"{point}.hit").exists()
    rows = inline.rows(running.database, job_id)
    assert {row.status for row in rows.values()} == {"succeeded"}
    assert sum(row.attempt - 1 for row in rows.values()) <= MOST
    with running.database.transaction() as session:
        outcomes = [[each.outcome for each in tries] for tries in attempts(session, job_id).values()]
    assert all(tried in (["done"], ["lost", "done"]) for tried in outcomes)


def test_one_that_waits_for_its_next_try_holds_up_nobody_else_and_goes_on_when_it_is_due(
    running: Running, tmp_path: Path
) -> None:
    cured = tmp_path / "cured"
    job_id = running.submit([f"fail until {cured}", *FINE])
    running.reached(job_id, "waiting", "scene/1/speech")
    assert together(running, job_id)["scene/1/speech"] == together(running, job_id)["scene/1/background"]
    running.reached(job_id, "succeeded", "scene/1/background", *(f"scene/{scene}/lip_sync" for scene in (2, 3, 4)))
    cured.touch()
    assert running.ended(job_id, within=KILLED_S).status == "completed"


def test_one_that_fails_fails_the_job_and_the_others_are_kept(running: Running) -> None:
    job_id = running.submit(["raise TextNotSpeakable", *FINE])
    failed = running.ended(job_id)
    assert failed.error is not None
    assert (failed.error["stage"], failed.error["code"]) == ("scene/1/speech", "text_not_speakable")
    rows = inline.rows(running.database, job_id)
    assert rows["scene/1/background"].status == "succeeded"
    assert "running" not in {row.status for row in rows.values()}


def test_what_cannot_be_written_spoils_nothing_beside_it(running: Running) -> None:
    job_id = running.submit([BEYOND_JSON, *FINE])
    failed = running.ended(job_id)
    assert failed.error is not None
    assert (failed.error["stage"], failed.error["attempts"]) == ("scene/1/speech", 3)
    rows = inline.rows(running.database, job_id)
    assert {row.attempt for key, row in rows.items() if row.status == "succeeded"} == {1}
    assert rows["scene/1/background"].status == "succeeded"


def test_a_step_that_kills_its_process_is_alone_the_next_time(running: Running, tmp_path: Path) -> None:
    """So what stood beside it is done, whatever becomes of it."""
    cured = tmp_path / "cured"
    job_id = running.submit([f"die until {cured}", *FINE])
    eventually(
        lambda: (
            "scene/1/speech" in (rows := inline.rows(running.database, job_id)) and rows["scene/1/speech"].attempt >= 3
        ),
        within=60,
        what="it has killed its process three times",
    )
    cured.touch()
    assert running.ended(job_id).status == "completed"
    rows = inline.rows(running.database, job_id)
    assert max(row.attempt for key, row in rows.items() if key != "scene/1/speech") <= 2


def test_a_step_that_is_slow_for_once_holds_up_nobody_else(running: Running, tmp_path: Path) -> None:
    """What was done before it goes on, and what was to be done after it is done by another worker."""
    job_id = running.submit(["Fine.", "sleep 60", *FINE])
    running.under_way(job_id, "scene/2/speech")
    claimed = together(running, job_id)
    assert len({claimed[f"scene/{step}"] for step in ("1/speech", "2/speech", "3/speech")}) == 1
    helper = processes.worker("callback,avatar", running.environment, tmp_path)
    try:
        others = [f"scene/{scene}/lip_sync" for scene in (1, 3, 4, 5)]
        running.reached(job_id, "succeeded", "scene/2/background", *others)
        rows = inline.rows(running.database, job_id)
        assert (rows["scene/2/speech"].status, rows["scene/2/speech"].attempt) == ("running", 1)
        with running.database.transaction() as session:
            tries = attempts(session, job_id)
        assert {key: len(tries[key]) for key in others} == dict.fromkeys(others, 1)
        assert [each.outcome for each in tries["scene/3/speech"]] == ["done"]
        running.cancel(job_id, "scene/2/speech")
    finally:
        helper.kill()


def test_a_process_that_is_told_to_stop_gives_back_what_it_holds(running: Running) -> None:
    job_id = running.submit(["sleep 5", *FINE])
    running.under_way(job_id, "scene/1/speech")
    for child in psutil.Process(running.steps.pid).children():
        os.kill(child.pid, signal.SIGTERM)
    assert running.ended(job_id, within=KILLED_S + 5).status == "completed"
    assert {row.status for row in inline.rows(running.database, job_id).values()} == {"succeeded"}
