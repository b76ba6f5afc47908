"""From the voice's symbols and durations to the written words and the moments they are heard.

Three texts meet here: what is *written* ("Visit https://a.org!"), what is *said* of it, word by word ("Visit", "a dot
org!"), and the *groups* the voice reads: the said words after its own normalisation, each with its phonemes.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from pipeline.timeline import Word

Span = tuple[float, float]

STRESS = {"ˈ": 1, "ˌ": 2}
PAUSES = frozenset(';:,.!?—…"()“”')
LENGTHENING = frozenset("ː̃ʰʲ↓→↗↘")
SHORTEST_S = 0.03
HUSH_S = 0.075
EARLY_S = 0.1
ADDRESSES = (
    re.compile(r"^([\"'(\[]*)(?:(?:https?|ftp)://(?:www\.)?|www\.)(\S+?)([\"')\],.;:!?]*)$", re.IGNORECASE),
    re.compile(
        r"^([\"'(\[]*)((?:[\w-]+\.)+(?:com|org|net|edu|gov|io|ai|dev|app|info|co|uk|eu|de)(?:/\S*?)?)([\"')\],.;:!?]*)$"
    ),
)
ADDRESS_MARKS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals",
                 "&": "and", "#": "hash", "%": "percent", ":": "colon", "@": "at", "+": "plus",
                 "~": "tilde"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """A word as the voice reads it; `phonemes` may hold spaces ("2026" is three words) or nothing (an emoji)."""

    text: str
    phonemes: str


@dataclass(frozen=True, slots=True)
class Phone:
    """A heard phoneme: one symbol of misaki's alphabet, seconds, stress 0, 1 (primary) or 2, and its group's index."""

    symbol: str
    start: float
    end: float
    stress: int
    group: int


def said(word: str) -> str:
    """How a written word is given to the voice: addresses in words, a lone dash as a pause, no invisible characters."""
    word = "".join(character for character in word if unicodedata.category(character) != "Cf")
    if word in ("-", "–", "--", "—"):
        return "—"
    address = next(filter(None, (form.match(word) for form in ADDRESSES)), None)
    if address:
        parts = re.findall(r"[A-Za-z]+|\d+|.", address[2].rstrip("/"))
        return address[1] + " ".join(ADDRESS_MARKS.get(part, part) for part in parts) + address[3]
    return re.sub(r"^([$€£]?)[-−](?=[$€£]?\d)", r"minus \1", re.sub(r"\.{3,}", "…", word))


def foreign(word: str) -> bool:
    """Whether the word has letters or digits that an English voice cannot read."""
    return any(character.isalnum() and not _latin(character) for character in word)


def _latin(character: str) -> bool:
    plain = unicodedata.normalize("NFKD", character)[0]
    return plain.isascii() or unicodedata.name(character, "").startswith(("LATIN ", "MICRO "))


def phones(symbols: Sequence[tuple[str, int]], starts: Sequence[float], ends: Sequence[float]) -> list[Phone]:
    """Phones of a chunk from its (symbol, group) pairs and their times.

    A stress mark's time belongs to the vowel after it. A space between two sounds is their transition: half each.
    """
    heard: list[Phone] = []
    stress, since, gap = 0, None, False
    for (symbol, group), start, end in zip(symbols, starts, ends, strict=True):
        if symbol in STRESS:
            stress, since = STRESS[symbol], start if since is None else since
        elif symbol in LENGTHENING and heard:
            heard[-1] = replace(heard[-1], end=end)
        elif symbol == " ":
            gap = gap or not heard
        elif symbol in PAUSES:
            gap = True
        else:
            begin = start if since is None else since
            if heard and not gap and begin > heard[-1].end:
                begin = (heard[-1].end + begin) / 2
                heard[-1] = replace(heard[-1], end=begin)
            heard.append(Phone(symbol, begin, end, stress, group))
            stress, since, gap = 0, None, False
    return heard


def settle(heard: Sequence[Phone], loud: Sequence[bool], hop: float) -> list[Phone]:
    """Phones beside a pause begin and end where their sound does: the net gives them some of the silence, or takes it.

    `loud` says for each `hop` seconds from 0 whether anything is heard. A silence shorter than `HUSH_S` is a stop's
    closure and ends nothing; an onset is looked for at most `EARLY_S` before its time.
    """
    hush, settled = round(HUSH_S / hop), list(heard)
    for index, phone in enumerate(heard):
        after = heard[index + 1].start if index + 1 < len(heard) else len(loud) * hop
        if after > phone.end + 1e-6 or index + 1 == len(heard):
            begin, stop = round((phone.start + SHORTEST_S) / hop), round(after / hop)
            quiet = (step for step in range(begin, stop - hush + 1) if not any(loud[step : step + hush]))
            end = min(max(next(quiet, stop) * hop, phone.start + SHORTEST_S), after)
            settled[index] = replace(settled[index], end=end)
        before = settled[index - 1].end if index else 0.0
        if phone.start > before + 1e-6:
            first = round(phone.start / hop)
            earliest = max(round((phone.start - EARLY_S) / hop), round(before / hop))
            while first > earliest and loud[first - 1]:
                first -= 1
            settled[index] = replace(settled[index], start=max(min(first * hop, phone.start), before))
    return settled


def place(written: Sequence[str], pieces: Sequence[tuple[str, int]], groups: Sequence[Group],
          spans: Sequence[Span | None], since: float) -> list[Word]:  # fmt: skip
    """When each written word is heard. `pieces` are the said words with the index of their written word.

    Where the voice kept a said word, its time is exact; where it rewrote some ("$5 million" is "5 million dollars"),
    they share the rewritten words' time by length. What is not heard has no duration.
    """
    times: list[list[Span]] = [[] for _ in written]
    for kind, left, right, low, high in _matched([piece for piece, _ in pieces], [group.text for group in groups]):
        heard = [spans[index] for index in range(low, high)]
        owners = [owner for _, owner in pieces[left:right]]
        if len(owners) == len(heard):
            parts: list[Span | None] = heard
        else:
            if kind == "insert":
                owners = [pieces[max(left - 1, 0)][1]]
            weights = [_letters(piece) for piece, _ in pieces[left:right]] or [1]
            parts = _shared([span for span in heard if span], weights if sum(weights) else [1] * len(weights))
        for owner, part in zip(owners, parts, strict=True):
            if part:
                times[owner].append(part)
    words: list[Word] = []
    for text, found in zip(written, times, strict=True):
        start = max(min((span[0] for span in found), default=since), since)
        since = max(max((span[1] for span in found), default=since), start)
        words.append(Word(text, round(start, 4), round(since, 4)))
    return words


def score(heard: Sequence[Phone], words: Sequence[Word], seconds: float) -> dict[str, Any]:
    """The phonemes asset: gapless from 0 to `seconds`; the symbol "" is silence; stress 1 is primary, 2 secondary."""
    entries: list[dict[str, Any]] = []
    clock = 0.0

    def add(symbol: str, start: float, end: float, stress: int) -> None:
        if round(end, 4) > round(start, 4):
            entries.append({"symbol": symbol, "start": round(start, 4), "end": round(end, 4), "stress": stress})

    for phone in heard:
        add("", clock, phone.start, 0)
        add(phone.symbol, phone.start, phone.end, phone.stress)
        clock = phone.end
    add("", clock, seconds, 0)
    listed = [{"text": word.text, "start": word.start, "end": word.end} for word in words]
    return {"seconds": round(seconds, 4), "phonemes": entries, "words": listed}


def _matched(said_words: Sequence[str], read: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    keys = [[re.sub(r"\W", "", word).casefold() or word for word in words] for words in (said_words, read)]
    return list(SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes())


def _shared(heard: Sequence[Span], weights: Sequence[int]) -> list[Span | None]:
    """The time from the first to the last span, cut by weights; a weight of nothing gets nothing."""
    if not heard:
        return [None] * len(weights)
    start, length = heard[0][0], heard[-1][1] - heard[0][0]
    parts: list[Span | None] = []
    before = 0
    for weight in weights:
        begin, before = start + length * before / sum(weights), before + weight
        parts.append((begin, start + length * before / sum(weights)) if weight else None)
    return parts


def _letters(word: str) -> int:
    return sum(character.isalnum() for character in word)
