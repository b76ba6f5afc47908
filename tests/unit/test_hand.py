"""What a worker takes at once, and what it knows of its stages' paces."""

import threading
from typing import Any, cast

import pytest

from db.claims import Claim
from pipeline.graph import EMPTY
from pipeline.routes import STAGES
from tasks import hand
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


def test_what_has_not_begun_when_a_body_is_slow_goes_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    relieved: list[Any] = []
    told = threading.Event()

    def relief(rest: Any) -> None:
        relieved.extend(rest)
        told.set()

    first, *rest = held = claims(3)
    taken = Hand(EMPTY, held, relief)
    playing = iter(taken)
    assert next(playing) == first
    assert not taken.slow
    monkeypatch.setattr(hand, "SLOW_S", -1.0)
    assert taken.slow
    assert list(taken.relieve()) == rest
    assert told.wait(10)
    assert relieved == rest
    assert list(playing) == []
    assert list(taken.relieve()) == []
