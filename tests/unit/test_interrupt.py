"""Stopping a stage's body from another thread."""

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from db.claims import Claim
from pipeline.graph import Step
from pipeline.routes import STAGES, plan
from tasks.interrupt import SIGNAL, Body, held_off, interruptible
from tasks.watch import Watched


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(SIGNAL)
    yield
    signal.signal(SIGNAL, before)


def soon(body: Body | None) -> None:
    assert body is not None
    threading.Timer(0.05, body.interrupt).start()


def napping() -> None:
    with interruptible() as body:
        soon(body)
        time.sleep(10)


def test_a_body_is_stopped_in_the_middle_of_what_it_does() -> None:
    start = time.monotonic()
    with pytest.raises(SoftTimeLimitExceeded):
        napping()
    assert time.monotonic() - start < 5


def test_a_section_that_must_not_be_interrupted_is_ended_first() -> None:
    done = []

    def run() -> None:
        with interruptible() as body:
            with held_off():
                soon(body)
                time.sleep(0.2)
                done.append("section")
            done.append("never")

    with pytest.raises(SoftTimeLimitExceeded):
        run()
    assert done == ["section"]


def test_what_a_section_raises_goes_first() -> None:
    def run() -> None:
        with interruptible() as body, held_off():
            soon(body)
            time.sleep(0.2)
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        run()


def test_who_comes_too_late_stops_nobody() -> None:
    with interruptible() as body:
        pass
    assert body is not None
    body.interrupt()
    with interruptible():
        time.sleep(0.05)


def test_celerys_own_limit_still_works() -> None:
    with interruptible():
        pass
    with pytest.raises(SoftTimeLimitExceeded):
        signal.raise_signal(SIGNAL)


def test_a_body_in_another_thread_is_left_alone() -> None:
    found: list[Body | None] = []

    def run() -> None:
        with interruptible() as body, held_off():
            found.append(body)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [None]


def watched(limit: timedelta) -> Watched:
    stage = replace(STAGES["speech"], limit=limit)
    return Watched(Claim("job_1", "shop", Step(stage, 1), plan("multi_scene", 1), 1, 0, {}))


def test_a_body_that_takes_longer_than_its_stage_may_is_stopped() -> None:
    step = watched(timedelta())

    def run() -> None:
        with interruptible() as step.body:
            step.keep_to_limit()
            time.sleep(10)

    start = time.monotonic()
    with pytest.raises(SoftTimeLimitExceeded):
        run()
    assert time.monotonic() - start < 5
    step.keep_to_limit()  # it has ended: nobody is stopped in its place
    time.sleep(0.2)


def test_a_body_within_its_limit_is_left_alone() -> None:
    step = watched(timedelta(minutes=1))
    with interruptible() as step.body:
        step.keep_to_limit()
        time.sleep(0.2)
