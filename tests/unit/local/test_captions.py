"""Caption files that any player reads back as they were meant."""

import pysubs2
import pytest

from pipeline.timeline import Cue, Word
from providers.local.captions import JOINER, written


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
