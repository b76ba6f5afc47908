"""The media timeline: words, cues and scenes on one clock of measured seconds."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

LINE_CHARACTERS = 34  # a line that a phone shows without wrapping at caption size
CUE_LINES = 2
PAUSE_S = 0.6  # a silence as long as this ends a cue
SENTENCE_END = re.compile(r"[.!?…]['\")\]”’]*$")
CLAUSE_END = re.compile(r"[,;:–—]['\")\]”’]*$")


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


def cues(words):
    return ()


def shift(cue, seconds):
    return cue


def spans(seconds):
    at = 0.0
    found = []
    for each in seconds:
        found.append((at, at + each))
        at += each
    return found
