"""Whatever is killed, every accepted job ends, nothing is paid twice, no event is lost: the most telling faults.

All of them, and at random, with `make chaos`. What takes a lease's time is begun first and looked at last.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from db.claims import LEASE
from tests import paid
from tests.chaos import faults, matrix, oracle
from tests.chaos.matrix import Cell
from tests.chaos.stand import SMALL, Stand, open_stand
from tests.processes import eventually

IDEMPOTENT, FINDABLE, NEITHER = 2, 3, 5
LEASE_S = 120.0  # a lease, a sweep, and what a loaded machine adds


@dataclass
class Slow:
    """Jobs whose faults only the sweeper can notice."""

    frozen: str
    wiped: str
    poison: str


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder: Path = tmp_path_factory.mktemp("chaos")
    folder.chmod(0o755)
    with open_stand(folder, workers=SMALL) as made:
        yield made


@pytest.fixture(scope="module")
def slow(stand: Stand) -> Slow:
    frozen = _frozen_before_it_sends(stand)
    wiped = _struck(stand, "before_record", "avatar")
    faults.wipe_broker(stand)
    stand.release()
    return Slow(frozen, wiped, stand.output_job(text=paid.POISON))


def _struck(stand: Stand, point: str, lane: str, seed: int = 0) -> str:
    stand.arm(point, "pause")
    job_id = stand.output_job(lane=lane, seed=seed)
    eventually(lambda: stand.struck(point), within=60, what=f"{point} is reached")
    return job_id


def _frozen_before_it_sends(stand: Stand) -> str:
    """A worker is cut off when its call is written down and not sent yet."""
    job_id = _struck(stand, "after_intent", "marketing", paid.seed(background=FINDABLE))
    stand.supervisor.signal(_at_work(stand), signal.SIGSTOP)
    stand.release()
    return job_id


def _at_work(stand: Stand) -> str:
    """The worker whose child entered a paid body last."""
    pid = json.loads(stand.journal.read_text().splitlines()[-1])["pid"]
    return next(
        name for name in stand.supervisor.names if pid in {child.pid for child in stand.supervisor.children(name)}
    )


def _passes(stand: Stand, *cells: Cell) -> list[matrix.Result]:
    results = matrix.run(stand, cells, told=lambda result: None)
    assert [flaw for result in results for flaw in result.flaws] == []
    return results


def _sound(stand: Stand, *jobs: str) -> None:
    """What the oracle asks of every job."""
    assert oracle.settle(stand, jobs, within=LEASE_S) == []
    assert {name: question(stand, jobs) for name, question in oracle.JOBS.items()} == {name: [] for name in oracle.JOBS}


def test_a_child_killed_before_it_sends_is_followed_by_one_that_sends_once(stand: Stand, slow: Slow) -> None:
    results = _passes(
        stand, Cell("after_intent", "kill_child", IDEMPOTENT), Cell("after_intent", "kill_child", FINDABLE)
    )
    assert [result.status for result in results] == ["completed", "completed"]


def test_a_child_killed_before_the_answer_of_a_vendor_that_cannot_be_asked_leaves_it_to_a_person(
    stand: Stand, slow: Slow
) -> None:
    (result,) = _passes(stand, Cell(matrix.UNANSWERED, "kill_child", NEITHER))
    assert (result.status, result.charges) == ("parked", 1)
    (parked,) = stand.parked(result.job)
    assert "person" in parked["why"]
    assert [call["status"] for call in stand.calls(result.job)] == ["uncertain"]


def test_a_worker_killed_after_it_recorded_a_step_delays_its_job_for_seconds(stand: Stand, slow: Slow) -> None:
    (result,) = _passes(stand, Cell("after_record", "kill_worker", IDEMPOTENT))
    assert result.recovered_s is not None
    assert result.recovered_s < LEASE.total_seconds() / 2


def test_a_worker_killed_before_it_sent_what_it_had_launched_delays_its_job_for_seconds(
    stand: Stand, slow: Slow
) -> None:
    (result,) = _passes(stand, Cell("after_launch", "kill_worker", IDEMPOTENT))
    assert result.recovered_s is not None
    assert result.recovered_s < LEASE.total_seconds() / 2


def test_the_database_restarts_before_a_step_is_recorded(stand: Stand, slow: Slow) -> None:
    (result,) = _passes(stand, Cell("before_record", "restart_database", FINDABLE))
    assert result.runs == 1


def test_messages_that_come_twice_or_too_late_change_nothing(stand: Stand, slow: Slow) -> None:
    faults.listen(stand)
    job_id = stand.output_job(scenes=3, seed=paid.seed(speech=IDEMPOTENT, lip_sync=NEITHER))
    eventually(lambda: len(stand.calls(job_id)) >= 3, within=60, what="the job is at work")
    early = faults.heard(stand)
    faults.listen(stand)
    faults.replay(stand, early)
    _sound(stand, job_id)
    done = stand.ask("SELECT step, attempt, status FROM records WHERE job_id = %s ORDER BY step", job_id)
    faults.replay(stand, early + faults.heard(stand))
    after = stand.output_job()
    _sound(stand, after, job_id)
    assert stand.ask("SELECT step, attempt, status FROM records WHERE job_id = %s ORDER BY step", job_id) == done


def test_a_step_that_kills_its_worker_each_time_fails_and_hinders_nobody(stand: Stand, slow: Slow) -> None:
    _sound(stand, stand.output_job(scenes=2))
    job = eventually(lambda: stand.ended(slow.poison), within=120, what="the poisonous job ends")
    assert job is not None
    assert (job["status"], job["error"]["code"]) == ("failed", "worker_lost")


def test_with_the_broker_wiped_the_sweeper_sends_what_was_in_it(stand: Stand, slow: Slow) -> None:
    _sound(stand, slow.wiped)
    assert stand.job(slow.wiped)["status"] == "completed"


def test_a_worker_that_was_cut_off_past_its_lease_does_not_send_what_another_has_sent(stand: Stand, slow: Slow) -> None:
    eventually(lambda: stand.ended(slow.frozen), within=LEASE_S, what="another worker ends the job")
    frozen = next(name for name in stand.supervisor.names if stand.supervisor.frozen(name))
    stand.supervisor.signal(frozen, signal.SIGCONT)
    eventually(lambda: not _in_a_body(stand), within=60, what="the worker that was cut off goes on")
    _sound(stand, slow.frozen)


def _in_a_body(stand: Stand) -> bool:
    """Whether any process that lives is still in a paid body."""
    begun: set[tuple[str, int]] = set()
    for line in stand.journal.read_text().splitlines():
        entry = json.loads(line)
        key = entry["body"], entry["pid"]
        begun = begun | {key} if entry["what"] == "begins" else begun - {key}
    return any(psutil.pid_exists(pid) for _, pid in begun)


def test_at_the_end_nothing_is_left(stand: Stand, slow: Slow) -> None:
    _sound(stand, *stand.accepted)
    assert oracle.leaked_slots(stand) == []
    assert oracle.leaked_sessions(stand) == []
    assert oracle.full_queues(stand, dead=1) == []
