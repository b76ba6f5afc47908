"""The media timeline: words, cues and scenes on one clock of measured seconds."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TypeVar

from pipeline.sentences import closes

T = TypeVar("T")

LINE_CHARACTERS = 34  # a line that a phone shows without wrapping at caption size
CUE_LINES = 2
CUE_CHARACTERS = CUE_LINES * LINE_CHARACTERS
LONGEST_S = 7.0
SHORTEST_S = 0.84
BRIEF_S = 1.2  # a sentence said faster shares its cue with the next one, where both fit
PAUSE_S = 0.6  # a silence as long as this ends a cue
GAP_S = 0.08  # two frames at 25 a second: eyes notice that the text changed
LINGER_S = 0.5  # a cue stays this long after its last word, where nothing follows
READ_CPS = 20.0  # characters a second, spaces too, that grown-ups read along with a picture
LEAD_S = 0.3  # what is said faster may be shown this long before it is said
HURRY = 3.0  # a cue read in half its time costs more than two cues that can be read
MARK_END = re.compile(r"[.!?…,;:–—]['\")\]”’]*$")
MARKS_ONLY = re.compile(r"^\W+$")


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word as written, with when it is heard."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Cue:
    """What a caption shows at once: one or two lines of words."""

    lines: tuple[tuple[Word, ...], ...]
    start: float
    end: float

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for line in self.lines for word in line)

    @property
    def text(self) -> str:
        return "\n".join(" ".join(word.text for word in line) for line in self.lines)


def cues(words: Sequence[Word], *, until: float) -> tuple[Cue, ...]:
    """The words as captions: all of them, in order, each once; no two cues at the same moment, none after `until`.

    A cue ends with its sentence and at pauses, but what is said in a moment shares its neighbour's; a longer sentence
    is cut into like parts, after its clauses where it can be. At most two lines of 34 characters (one word alone may
    be longer) and 7 seconds.

    No word is left out or put otherwise for those who read slowly. Where more than 20 characters are said in a second,
    a cue is joined or cut so that it is slower, if that can be; then it lasts into the silence after it, and begins
    in that before it. If that is not enough, it takes all the time there is: it stays until the next one.
    """
    phrases = _phrases(words, until)
    parts = [part for phrase, after in _followed(phrases, until) for part in _parts(phrase, after)]
    made: list[Cue] = []
    for part, after in _followed(parts, None):
        cue = Cue(_lines(part), part[0].start, min(_until(part, after), until))
        made[-1:] = [*_led(made[-1] if made else None, cue)]
    return tuple(made)


def shift(cue: Cue, seconds: float) -> Cue:
    """The cue on another clock, words and all."""
    lines = tuple(
        tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in line) for line in cue.lines
    )
    return Cue(lines, cue.start + seconds, cue.end + seconds)


def spans(frames: Iterable[int]) -> list[tuple[int, int]]:
    """First frame of each scene, and the one after its last, when they follow one another without a gap."""
    return list(pairwise(accumulate(frames, initial=0)))


def moment(frame: int, fps: int) -> float:
    """When a frame is first shown."""
    return round(frame / fps, 6)


def _followed(parts: Sequence[list[Word]], last: T) -> list[tuple[list[Word], float | T]]:
    """Each with the moment at which what follows it begins; the last one with `last`."""
    return [*((part, after[0].start) for part, after in pairwise(parts)), *((part, last) for part in parts[-1:])]


def _phrases(words: Sequence[Word], until: float) -> list[list[Word]]:
    """Cut after sentences and at pauses; then phrases that are brief or said fast join the one before them."""
    phrases: list[list[Word]] = []
    for word in words:
        last = phrases[-1] if phrases else []
        sentence = bool(last) and closes(last[-1].text, word.text) and not MARKS_ONLY.match(word.text)
        if last and not sentence and word.start - last[-1].end <= PAUSE_S:
            last.append(word)
        else:
            phrases.append([word])
    joined: list[list[Word]] = []
    for phrase, after in _followed(phrases, until):
        before = joined[-1] if joined else []
        alone = before and min(_seconds(before), _seconds(phrase)) >= BRIEF_S
        alone = alone and max(_speed(before, phrase[0].start), _speed(phrase, after)) <= READ_CPS
        if before and not alone and phrase[0].start - before[-1].end <= PAUSE_S and _holds([*before, *phrase]):
            before.extend(phrase)
        else:
            joined.append(list(phrase))
    return joined


def _parts(phrase: Sequence[Word], after: float) -> list[list[Word]]:
    """The fewest cues that hold the phrase, of like length: the cheapest of all ways to cut it."""
    count = len(phrase)
    ends = [*(word.start for word in phrase[1:]), after]
    best: list[tuple[float, int]] = [(0.0, 0)]
    for stop in range(1, count + 1):
        options: list[tuple[float, int]] = []
        for start in range(stop - 1, -1, -1):
            part = phrase[start:stop]
            if start < stop - 1 and not _holds(part):
                break
            options.append((best[start][0] + _cost(part, ends[stop - 1], last=stop == count), start))
        best.append(min(options))
    parts: list[list[Word]] = []
    stop = count
    while stop:
        start = best[stop][1]
        parts.insert(0, list(phrase[start:stop]))
        stop = start
    return parts


def _holds(part: Sequence[Word]) -> bool:
    return _seconds(part) <= LONGEST_S and len(_wrap(part)) <= CUE_LINES


def _cost(part: Sequence[Word], after: float, *, last: bool) -> float:
    """Every cue costs; so do an end inside a clause, a cue too short or too fast to read, and unequal lengths (by
    squares)."""
    room = max(0.0, 1 - _width(part) / CUE_CHARACTERS)
    cost = 1.0 + 0.5 * room**2
    if not last and not MARK_END.search(part[-1].text):
        cost += 0.6
    if _seconds(part) < SHORTEST_S:
        cost += 0.8
    return cost + HURRY * max(0.0, min(_speed(part, after) / READ_CPS, 4.0) - 1)


def _lines(part: Sequence[Word]) -> tuple[tuple[Word, ...], ...]:
    """One line where it fits; else two as equal as can be, rather cut after a mark."""
    if len(_wrap(part)) == 1:
        return (tuple(part),)
    choices = [(tuple(part[:at]), tuple(part[at:])) for at in range(1, len(part))]
    fitting = [pair for pair in choices if all(_fits(line) for line in pair)]

    def unevenness(pair: tuple[tuple[Word, ...], tuple[Word, ...]]) -> float:
        mark = bool(MARK_END.search(pair[0][-1].text))
        return abs(_width(pair[0]) - _width(pair[1])) - 8 * mark

    return min(fitting, key=unevenness)


def _wrap(part: Sequence[Word]) -> list[list[Word]]:
    lines: list[list[Word]] = []
    for word in part:
        if lines and _fits([*lines[-1], word]):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _seconds(part: Sequence[Word]) -> float:
    return part[-1].end - part[0].start


def _fits(line: Sequence[Word]) -> bool:
    return len(line) == 1 or _width(line) <= LINE_CHARACTERS


def _width(line: Sequence[Word]) -> int:
    return sum(len(word.text) for word in line) + len(line) - 1


def _speed(part: Sequence[Word], after: float) -> float:
    """Characters a second, if the cue stays as long as it can."""
    room = min(max(after - GAP_S, part[-1].end), part[0].start + LONGEST_S) - part[0].start
    return _width(part) / max(room, 0.001)


def _reading(part: Sequence[Word]) -> float:
    """The seconds that it takes to read."""
    return min(max(SHORTEST_S, _width(part) / READ_CPS), LONGEST_S)


def _until(part: Sequence[Word], following: float | None) -> float:
    """Long enough to be read, gone before the next one, never more than the limit past the last word."""
    start, end = part[0].start, part[-1].end
    wanted = min(max(end + LINGER_S, start + _reading(part)), max(start + LONGEST_S, end))
    if following is None:
        return _down(wanted)
    return _down(max(min(wanted, following - GAP_S), min(end, following)))


def _down(seconds: float) -> float:
    """To four places, and never past what follows."""
    return math.floor(seconds * 10_000) / 10_000


def _led(before: Cue | None, cue: Cue) -> tuple[Cue, ...]:
    """Both, the second begun earlier where it is too fast: in silence alone, and as the first can still be read."""
    begin = cue.end - _reading(cue.words)
    earliest = 0.0
    if before:
        earliest = max(before.words[-1].end, min(before.end, before.start + _reading(before.words))) + GAP_S
    start = round(max(begin, earliest, cue.start - LEAD_S), 4)
    if start > cue.start - 0.001:
        return (before, cue) if before else (cue,)
    led = replace(cue, start=start)
    return (replace(before, end=min(before.end, _down(start - GAP_S))), led) if before else (led,)
