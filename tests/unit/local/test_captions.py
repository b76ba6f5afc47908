"""Caption files that any player reads back as they were meant."""

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.timeline import Cue, Word, cues, shift
from providers.local.captions import JOINER, written
from tests.subtitles import flaws


def cue(start: float, end: float, *lines: str) -> Cue:
    return Cue(tuple(tuple(Word(text, start, end) for text in line.split()) for line in lines), start, end)


CUES = [
    cue(0.12, 1.5004, "Tom & Ann", "a <b> c"),
    cue(1.5004, 3.2, r"in {braces} C:\new"),
    cue(3700.0, 3701.5, "1 --> 2"),
]


@pytest.mark.parametrize("form", ["vtt", "srt"])
def test_files_read_back_without_overlap(form: str) -> None:
    read = pysubs2.SSAFile.from_string(written(CUES, form), format_=form)
    assert [(event.start, event.end) for event in read] == [(120, 1500), (1500, 3200), (3_700_000, 3_701_500)]
    assert all(before.end <= after.start for before, after in zip(read, list(read)[1:], strict=False))


def test_markup_in_words_is_not_markup() -> None:
    vtt = written(CUES, "vtt")
    assert vtt.startswith("WEBVTT\n\n")
    assert "Tom &amp; Ann\na &lt;b&gt; c" in vtt
    assert "1 --&gt; 2" in vtt
    for form in ("vtt", "srt"):
        assert "in {braces} C:\\" + JOINER + "new" in written(CUES, form)
    assert "a <b>" not in written(CUES, "srt")


def test_no_cues_is_still_a_file() -> None:
    assert written([], "vtt").startswith("WEBVTT")
    assert written([], "srt") == ""


@st.composite
def speeches(draw: st.DrawFn) -> tuple[list[Word], float]:
    """Words in order, each of at least a frame, at any pace; and how long the speech is."""
    words, clock = [], 0.0
    for text in draw(st.lists(st.from_regex(r"[A-Za-z0-9$<>]{1,16}[.,!?…]?", fullmatch=True), min_size=1, max_size=16)):
        clock += draw(st.floats(0, 1.2) | st.just(0.0))
        end = clock + draw(st.floats(0.04, 0.9))
        words.append(Word(text, clock, end))
        clock = end
    return words, clock + draw(st.floats(0, 1))


@pytest.mark.parametrize("form", ["vtt", "srt"])
@given(scenes=st.lists(speeches(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_any_speech_makes_files_that_players_and_people_can_read(
    form: str, scenes: list[tuple[list[Word], float]]
) -> None:
    lines: list[Cue] = []
    ends: list[float] = []
    for words, seconds in scenes:
        start = ends[-1] if ends else 0.0
        lines += [shift(cue, start) for cue in cues(words, until=seconds)]
        ends.append(start + seconds)
    said = [word.text for words, _ in scenes for word in words]
    assert flaws(written(lines, form), form, words=said, scenes=ends) == []


@pytest.mark.parametrize(
    ("made", "flaw"),
    [
        ([cue(0.1, 1.0, "one"), cue(0.9, 2.0, "two")], "overlap at 900 ms"),
        ([cue(0.1, 1.0, "one"), cue(1.0, 5.1, "two")], "lasts from 1000 to 5100 ms of 5.0 s"),
        ([cue(0.1, 1.0, "one"), cue(1.0, 1.0, "two")], "lasts from 1000 to 1000 ms"),
        ([cue(0.1, 2.0, "one", "two", "three")], "lines: "),
        ([cue(0.1, 0.2, "one"), cue(1.0, 2.0, "two")], "29.4 characters a second"),
        ([cue(0.1, 1.0, "one")], "other words: ['one']"),
    ],
)
def test_the_check_itself_finds_what_is_wrong(made: list[Cue], flaw: str) -> None:
    found = flaws(written(made, "vtt"), "vtt", words=["one", "two"], scenes=[5.0])
    assert any(each.startswith(flaw) for each in found), found
