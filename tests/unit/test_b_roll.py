"""Where a cutaway lies, once the speech was measured."""

import pytest

from pipeline.assets import Asset
from pipeline.ports import Utterance
from pipeline.stages.b_roll import EDGE_S, LEAD_S, TAIL_S, room
from pipeline.stages.storyboard import Cutaway
from pipeline.timeline import Word

SOUND = Asset("ast_1", "speech", "audio/wav", 0, "0" * 64)


def speech(text: str, seconds: float) -> Utterance:
    """The words evenly, with a tenth of a second before and after each."""
    words = text.split()
    each = seconds / max(len(words), 1)
    spoken = (Word(word, index * each + 0.1, (index + 1) * each - 0.1) for index, word in enumerate(words))
    return Utterance(SOUND, SOUND, seconds, tuple(spoken))


def span(start: float, end: float, said: Utterance, fps: int = 25) -> tuple[float, float] | None:
    return room(Cutaway(None, start, end, False), said, fps)


def test_a_cutaway_comes_with_a_clause_and_goes_after_one() -> None:
    said = speech("One two three. Four five six, seven eight.", 8.0)
    start, end = span(0.30, 0.80, said) or (0.0, 0.0)
    assert start == pytest.approx(3.1 - LEAD_S, abs=0.021)
    assert end == pytest.approx(5.9 + TAIL_S, abs=0.021)


def test_without_a_clause_near_it_falls_between_words() -> None:
    said = speech(" ".join(["word"] * 40), 20.0)
    start, end = span(0.31, 0.72, said) or (0.0, 0.0)
    assert (start + LEAD_S) % 0.5 == pytest.approx(0.1, abs=0.021)
    assert (end - TAIL_S) % 0.5 == pytest.approx(0.4, abs=0.021)


@pytest.mark.parametrize("fps", [24, 25, 30])
def test_borders_are_whole_frames(fps: int) -> None:
    start, end = span(0.3, 0.8, speech("", 7.77), fps) or (0.0, 0.0)
    assert all(abs(moment * fps - round(moment * fps)) < 1e-9 for moment in (start, end))


@pytest.mark.parametrize(
    ("start", "end", "seconds", "found"),
    [
        (0.0, 1.0, 4.0, (EDGE_S, 4 - EDGE_S)),
        (0.25, 0.75, 2.0, (0.4, 1.6)),
        (0.45, 0.55, 4.0, None),
        (0.0, 1.0, 1.5, None),
    ],
)
def test_a_scene_opens_and_ends_on_the_speaker_or_stays_there(
    start: float, end: float, seconds: float, found: tuple[float, float] | None
) -> None:
    made = span(start, end, speech("", seconds))
    assert made is None if found is None else made == pytest.approx(found, abs=0.03)
