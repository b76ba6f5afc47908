"""A turn whose commit took place, and whose answer was lost: it is taken again."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from db.overview import attempts
from tasks.hand import RECENT
from tests.conftest import Servers
from tests.failpoints import arm
from tests.processes import eventually
from tests.relay import Relay, relayed
from tests.running import Running, open_running

AGAIN_S = 20.0  # the sweeper alone would take longer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("running")


@pytest.fixture(scope="module")
def line(servers: Servers, broker_url: str, folder: Path) -> Iterator[tuple[Running, Relay]]:
    """A worker that knows its stages to be quick, and its line to the database."""
    with ExitStack() as stack:
        relays: list[Relay] = []

        def through(url: str) -> str:
            relays.append(stack.enter_context(relayed(url)))
            return relays[0].url

        running = stack.enter_context(open_running(servers, broker_url, folder, pool=1, line=through))
        known = running.submit([f"Line {number}." for number in range(2 * RECENT)])
        assert running.ended(known).status == "completed"
        yield running, relays[0]


@pytest.mark.parametrize("scenes", [4, 1])
def test_a_commit_whose_answer_is_lost_counts(line: tuple[Running, Relay], folder: Path, scenes: int) -> None:
    """A hand that is followed by another one, and one that is followed by steps which are sent."""
    running, relay = line
    failpoints = folder / "failpoints"
    arm(failpoints, "before_commit", "pause")
    job_id = running.submit([f"Line {number}." for number in range(scenes)])
    hit = failpoints / "before_commit.hit"
    eventually(hit.exists, within=60, what="a hand is to be committed")
    relay.hold_answers()
    hit.unlink()
    running.reached(job_id, "succeeded", "scene/1/speech", "scene/1/background")
    relay.cut()
    assert running.ended(job_id, within=AGAIN_S).status == "completed"
    with running.database.transaction() as session:
        outcomes = [[each.outcome for each in tries] for tries in attempts(session, job_id).values()]
    assert outcomes == [["done"]] * len(outcomes)
