"""What a caption file must be, as pysubs2 reads it."""

from collections.abc import Iterator, Sequence
from html import unescape
from itertools import pairwise

import pysubs2

from pipeline.timeline import CUE_LINES, GAP_S, LONGEST_S, READ_CPS
from providers.local.captions import JOINER

ROUNDING_S = 0.002


def flaws(text: str, form: str, *, words: Sequence[str], scenes: Sequence[float]) -> list[str]:
    """What is wrong with the file; `scenes` are the moments at which the scenes' speech ends, the last one's last."""
    file = pysubs2.SSAFile.from_string(text, format_=form)
    return [*_order(file, scenes[-1]), *_lines(file), *_speed(file, scenes), *_words(file, words)]


def _order(file: pysubs2.SSAFile, end: float) -> Iterator[str]:
    for event in file:
        if not 0 <= event.start < event.end <= round(end * 1000, 3):
            yield f"lasts from {event.start} to {event.end} ms of {end} s"
    for before, after in pairwise(file):
        if before.end > after.start:
            yield f"overlap at {after.start} ms"


def _lines(file: pysubs2.SSAFile) -> Iterator[str]:
    for event in file:
        if not 1 <= len(_text(event).split("\n")) <= CUE_LINES:
            yield f"lines: {_text(event)!r}"


def _speed(file: pysubs2.SSAFile, scenes: Sequence[float]) -> Iterator[str]:
    """Who speaks faster than people read gets all the time that there is."""
    for event, after in zip(file, [*list(file)[1:], None], strict=True):
        start, end = event.start / 1000, event.end / 1000
        room = min(moment for moment in scenes if moment > start)
        if after:
            room = min(room, max(after.start / 1000 - GAP_S, start))
        if speed(event) > READ_CPS and end < min(room, start + LONGEST_S) - ROUNDING_S:
            yield f"{speed(event):.1f} characters a second, though there is time until {room}: {_text(event)!r}"


def _words(file: pysubs2.SSAFile, words: Sequence[str]) -> Iterator[str]:
    shown = " ".join(_text(event) for event in file).split()
    if shown != " ".join(words).split():
        yield f"other words: {shown}"


def speed(event: pysubs2.SSAEvent) -> float:
    """Characters a second, a line's end as one."""
    return len(_text(event)) / (event.duration / 1000 + ROUNDING_S)


def _text(event: pysubs2.SSAEvent) -> str:
    return unescape(event.text).replace(JOINER, "").replace("\\N", "\n")
