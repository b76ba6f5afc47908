"""What a worker takes at once, and what it knows of its stages' paces."""

import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from db.claims import Claim
from pipeline.graph import EMPTY
from pipeline.outcome import Cancelled
from pipeline.routes import STAGES
from tasks import hand
from tasks.attempted import Attempted
from tasks.hand import QUICK_S, RECENT, Hand, Paces


def claims(count: int) -> list[Claim]:
    return [cast(Any, f"claim {number}") for number in range(count)]


def test_a_stage_is_quick_when_all_its_last_bodies_were() -> None:
    paces = Paces()
    speech = STAGES["speech"]
    for _ in range(RECENT - 1):
        paces.note(speech, QUICK_S / 2)
    assert not paces.quick(speech)
    paces.note(speech, QUICK_S / 2)
    assert paces.quick(speech)
    assert not paces.quick(STAGES["background"])


def test_one_slow_body_is_remembered_for_as_many() -> None:
    paces = Paces()
    speech = STAGES["speech"]
    paces.note(speech, QUICK_S * 2)
    for _ in range(RECENT - 1):
        paces.note(speech, 0.0)
        assert not paces.quick(speech)
    paces.note(speech, 0.0)
    assert paces.quick(speech)


@dataclass
class Relief:
    """What it was called with."""

    done: list[Any] = field(default_factory=list)
    rest: list[Any] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def __call__(self, done: Any, rest: Any) -> None:
        self.done, self.rest = list(done), list(rest)
        self.told.set()


def test_when_a_body_is_slow_others_get_what_is_done_and_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    relief = Relief()
    one, two, *rest = claims(4)
    tried = Attempted(Cancelled())
    taken = Hand(EMPTY, [one, two, *rest], relief)
    playing = iter(taken)
    assert next(playing) == one
    taken.note(one, tried)
    assert next(playing) == two
    assert not taken.slow
    monkeypatch.setattr(hand, "SLOW_S", -1.0)
    assert taken.slow
    assert taken.relieve() == [one, *rest]
    assert relief.told.wait(10)
    assert (relief.done, relief.rest) == ([(one, tried)], rest)
    assert list(playing) == []
    taken.note(two, tried)
    assert not taken.slow
    assert list(taken.relieve()) == []
    assert list(taken.done()) == [(two, tried)]


def test_a_slow_body_that_is_alone_in_a_hand_is_no_reason_for_all_else_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    relief = Relief()
    taken = Hand(EMPTY, claims(1), relief)
    next(iter(taken))
    monkeypatch.setattr(hand, "SLOW_S", -1.0)
    taken.relieve()
    assert relief.told.wait(10)
    assert (relief.done, relief.rest) == ([], [])


def test_what_is_being_recorded_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    relief = Relief()
    (one,) = held = claims(1)
    taken = Hand(EMPTY, held, relief)
    next(iter(taken))
    taken.note(one, Attempted(Cancelled()))
    assert len(taken.done()) == 1
    monkeypatch.setattr(hand, "SLOW_S", -1.0)
    assert not taken.slow
    assert list(taken.relieve()) == []
