"""The media timeline: words, cues and scenes on one clock of measured seconds."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.sentences import closes

LINE_CHARACTERS = 34  # a line that a phone shows without wrapping at caption size
CUE_LINES = 2
CUE_CHARACTERS = CUE_LINES * LINE_CHARACTERS
LONGEST_S = 7.0
SHORTEST_S = 0.84
BRIEF_S = 1.2  # a sentence said faster shares its cue with the next one, where both fit
PAUSE_S = 0.6  # a silence as long as this ends a cue
GAP_S = 0.08  # two frames at 25 a second: eyes notice that the text changed
LINGER_S = 0.5  # a cue stays this long after its last word, where nothing follows
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
    """
    made: list[Cue] = []
    for phrase in _phrases(words):
        for part in _parts(phrase):
            made.append(Cue(_lines(part), part[0].start, part[-1].end))
    return tuple(
        replace(cue, end=min(_until(cue, after.start if after else None), until))
        for cue, after in zip(made, [*made, None][1:], strict=True)
    )


def shift(cue: Cue, seconds: float) -> Cue:
    """The cue on another clock, words and all."""
    lines = tuple(
        tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in line) for line in cue.lines
    )
    return Cue(lines, cue.start + seconds, cue.end + seconds)


def spans(seconds: Iterable[float]) -> list[tuple[float, float]]:
    """Start and end of each scene when they follow one another without a gap; each start is the end before it."""
    found: list[tuple[float, float]] = []
    for length in seconds:
        start = found[-1][1] if found else 0.0
        found.append((start, round(start + length, 6)))
    return found


def _phrases(words: Sequence[Word]) -> list[list[Word]]:
    """Cut after sentences and at pauses; then brief phrases join the one before them."""
    phrases: list[list[Word]] = []
    for word in words:
        last = phrases[-1] if phrases else []
        sentence = bool(last) and closes(last[-1].text, word.text) and not MARKS_ONLY.match(word.text)
        if last and not sentence and word.start - last[-1].end <= PAUSE_S:
            last.append(word)
        else:
            phrases.append([word])
    joined: list[list[Word]] = []
    for phrase in phrases:
        before = joined[-1] if joined else []
        brief = before and min(_seconds(before), _seconds(phrase)) < BRIEF_S
        if brief and phrase[0].start - before[-1].end <= PAUSE_S and _holds([*before, *phrase]):
            before.extend(phrase)
        else:
            joined.append(list(phrase))
    return joined


def _parts(phrase: Sequence[Word]) -> list[list[Word]]:
    """The fewest cues that hold the phrase, of like length: the cheapest of all ways to cut it."""
    count = len(phrase)
    best: list[tuple[float, int]] = [(0.0, 0)]
    for stop in range(1, count + 1):
        options: list[tuple[float, int]] = []
        for start in range(stop - 1, -1, -1):
            part = phrase[start:stop]
            if start < stop - 1 and not _holds(part):
                break
            options.append((best[start][0] + _cost(part, last=stop == count), start))
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


def _cost(part: Sequence[Word], *, last: bool) -> float:
    """Every cue costs; so do an end inside a clause, a cue too short to read, and unequal lengths (by squares)."""
    room = max(0.0, 1 - _width(part) / CUE_CHARACTERS)
    cost = 1.0 + 0.5 * room**2
    if not last and not MARK_END.search(part[-1].text):
        cost += 0.6
    if _seconds(part) < SHORTEST_S:
        cost += 0.8
    return cost


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


def _until(cue: Cue, following: float | None) -> float:
    """Long enough to be read, gone before the next one, never more than the limit past the last word."""
    wanted = min(max(cue.end + LINGER_S, cue.start + SHORTEST_S), max(cue.start + LONGEST_S, cue.end))
    if following is None:
        return round(wanted, 4)
    return round(max(min(wanted, following - GAP_S), min(cue.end, following)), 4)
