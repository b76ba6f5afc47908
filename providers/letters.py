"""When each letter of a text is heard, and what the mouth does meanwhile.

For voices that tell the moments of characters, not of sounds: the sounds are guessed from the spelling, as English has
it. Lips see little of what ears hear, so that a wrong vowel costs less than one at the wrong moment.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.timeline import Word

HUSH_S = 0.1  # a rest between two words as short as this is how one becomes the other
SYLLABLE_S = 0.2  # of what has no letters: the mouth opens and closes so often
OPENING = 0.6  # of a syllable
COLUMNS = ("characters", "character_start_times_seconds", "character_end_times_seconds")
VOWELS = "aeiouy"
SILENT = ""

# Spellings, the longest first; each with the sounds that share its time.
SPELLINGS: dict[str, str] = {
    "eigh": "A", "augh": "ɔ", "ough": "O", "tion": "ʃən", "sion": "ʒən", "cial": "ʃəl", "tial": "ʃəl",
    "igh": "I", "tch": "ʧ", "dge": "ʤ", "sch": "ʃ", "eau": "O", "eer": "iɹ", "ear": "iɹ", "our": "Wɹ", "air": "ɛɹ",
    "sh": "ʃ", "ch": "ʧ", "th": "θ", "ph": "f", "wh": "w", "ck": "k", "ng": "ŋ", "qu": "kw", "gh": "",
    "ee": "i", "ea": "i", "ie": "i", "ei": "A", "oo": "u", "ou": "W", "ow": "O", "oa": "O", "oe": "O", "ai": "A",
    "ay": "A", "ey": "A", "oi": "Y", "oy": "Y", "au": "ɔ", "aw": "ɔ", "ew": "u", "ue": "u", "ui": "u", "eu": "u",
    "er": "ɜɹ", "ir": "ɜɹ", "ur": "ɜɹ", "ar": "ɑɹ", "or": "ɔɹ",
    "a": "æ", "e": "ɛ", "i": "ɪ", "o": "ɑ", "u": "ʌ", "y": "ɪ", "b": "b", "c": "k", "d": "d", "f": "f", "g": "ɡ",
    "h": "h", "j": "ʤ", "k": "k", "l": "l", "m": "m", "n": "n", "p": "p", "q": "k", "r": "ɹ", "s": "s", "t": "t",
    "v": "v", "w": "w", "x": "ks", "z": "z", "æ": "æ", "œ": "ɜ", "ø": "ɜ", "ß": "s", "ð": "ð", "þ": "θ", "đ": "d",
    "ł": "w", "ı": "ɪ", "ŋ": "ŋ", "ə": "ə",
}  # fmt: skip
AT_THE_START = {"kn": "n", "wr": "ɹ", "rh": "ɹ", "gn": "n", "ps": "s", "gh": "ɡ", "y": "j"}
AT_THE_END = {"mb": "m", "mn": "m", "gn": "n", "le": "əl", "es": "z", "a": "ə", "o": "O", "y": "i"}
ALONE_AT_THE_END = {"a": "ə", "e": "i", "i": "I", "o": "O", "u": "u", "y": "I"}  # as the only vowel: "be", "go", "my"
SOFT = {"c": "s", "g": "ʤ"}  # before e, i and y
LONG = {"a": "A", "e": "i", "i": "I", "o": "O", "u": "u", "y": "I"}  # before a consonant and a silent e
MAGIC = re.compile(r"[aeiouy][bcdfgklmnprstvz]e$")
LONGEST = max(map(len, SPELLINGS))


@dataclass(frozen=True, slots=True)
class Letter:
    """A character of the text as written, and when it is heard."""

    character: str
    start: float
    end: float


Spelled = Sequence[Sequence[Letter]]


def spell(text: str, alignments: Sequence[object], seconds: float) -> tuple[Spelled, bool]:
    """The letters of each word of the text, within `seconds`, never backwards; and whether their times are known.

    `alignments` are what a vendor says of its characters (`characters`, `character_start_times_seconds`,
    `character_end_times_seconds`); the first that has as many words as the text is taken. Without one, the words share
    the time by their lengths.
    """
    written = text.split()
    for alignment in alignments:
        heard = _words(_heard(alignment))
        if heard and len(heard) == len(written):
            placed = [_placed(word, letters) for word, letters in zip(written, heard, strict=True)]
            return _forwards(placed, seconds), True
    clock, step = 0.0, seconds / max(sum(len(word) + 1 for word in written) - 1, 1)
    shared = []
    for word in written:
        shared.append(_even(word, clock, clock + step * len(word)))
        clock += step * (len(word) + 1)
    return _forwards(shared, seconds), False


def words(spelled: Spelled) -> tuple[Word, ...]:
    """The written words; marks after a word are its pause, and not of its time."""
    found = []
    for letters in spelled:
        sounding = [letter for letter in letters if letter.character.isalnum()] or letters
        text = "".join(letter.character for letter in letters)
        found.append(Word(text, round(sounding[0].start, 4), round(sounding[-1].end, 4)))
    return tuple(found)


def mouth(spelled: Spelled, seconds: float) -> list[dict[str, Any]]:
    """The phonemes of an Utterance: gapless from 0 to `seconds`, stress on each word's first vowel."""
    entries: list[dict[str, Any]] = []
    clock = 0.0

    def add(symbol: str, start: float, end: float, stress: int = 0) -> None:
        if round(end, 4) > round(start, 4):
            entries.append({"symbol": symbol, "start": round(start, 4), "end": round(end, 4), "stress": stress})

    for letters in spelled:
        for symbol, start, end, stress in _spoken(letters):
            begin = start
            if start - clock >= HUSH_S or not entries:
                add(SILENT, clock, start)
            elif start > clock:
                begin = (clock + start) / 2
                entries[-1]["end"] = round(begin, 4)
            add(symbol, begin, end, stress)
            clock = max(clock, end)
    add(SILENT, clock, seconds)
    return entries


def sounds(word: str) -> Iterator[tuple[str, int, int]]:
    """(symbols, first letter, letter after the last) for the whole word, in order; no symbols: it is not heard.

    A character that is no Latin letter has the symbol `?`.
    """
    plain = "".join(map(_plain, word))
    first = next((at for at, character in enumerate(plain) if character.isalpha()), 0)
    last = len(plain) - next((at for at, character in enumerate(reversed(plain)) if character.isalpha()), 0)
    body = plain[first:last]
    magic = MAGIC.search(body) if len(re.findall(f"[{VOWELS}]", body)) > 1 else None
    long_vowel = first + magic.start() if magic else -1
    at = 0
    while at < len(plain):
        if not plain[at].isalnum():
            yield "", at, at + 1
            at += 1
        elif plain[at] not in SPELLINGS:
            yield "?", at, at + 1
            at += 1
        elif at == long_vowel:
            yield LONG[plain[at]], at, at + 1
            at += 1
        elif magic and at == last - 1:
            yield "", at, at + 1
            at += 1
        else:
            symbols, size = _sound(plain, at, first, last)
            yield symbols, at, at + size
            at += size


def _sound(plain: str, at: int, first: int, last: int) -> tuple[str, int]:
    """The symbols of the spelling that begins here, and how many letters it has."""
    if at == last - 1 and plain[at] in ALONE_AT_THE_END and not any(each in VOWELS for each in plain[first:at]):
        return ALONE_AT_THE_END[plain[at]], 1
    for size in range(min(LONGEST, last - at), 0, -1):
        part = plain[at : at + size]
        if at == first and part in AT_THE_START and at + size < last:
            return AT_THE_START[part], size
        if at + size == last and part in AT_THE_END and at - first > 1:
            return AT_THE_END[part], size
        if size == 2 and part[0] == part[1] and part not in SPELLINGS and part[0] not in VOWELS:
            return _single(plain, at + 1), size
        if size > 1 and part in SPELLINGS and not _opens(plain, at, size):
            return SPELLINGS[part], size
    return _single(plain, at), 1


def _opens(plain: str, at: int, size: int) -> bool:
    """Whether an r after a vowel begins the next syllable, as in "very": then the two are no spelling."""
    return size == 2 and plain[at + 1] == "r" and plain[at + 2 : at + 3] in tuple(VOWELS)


def _single(plain: str, at: int) -> str:
    letter = plain[at]
    if letter in SOFT and plain[at + 1 : at + 2] in ("e", "i", "y"):
        return SOFT[letter]
    return SPELLINGS[letter]


def _plain(character: str) -> str:
    """One character, small and without its accents."""
    small = character.lower()[:1]
    if small in SPELLINGS:
        return small
    return unicodedata.normalize("NFKD", small)[:1] or small


def _spoken(letters: Sequence[Letter]) -> Iterator[tuple[str, float, float, int]]:
    """Each sound of a word with its time; what is not heard in it belongs to the sound before."""
    found: list[list[Any]] = []
    word = "".join(letter.character for letter in letters)
    stressed = False
    for symbols, low, high in sounds(word):
        start, end = letters[low].start, letters[high - 1].end
        if symbols == "?":
            found += [[symbol, begin, stop, 0] for symbol, begin, stop in _syllables(start, end)]
        elif symbols:
            step = (end - start) / len(symbols)
            for index, symbol in enumerate(symbols):
                vowel = not stressed and symbol in "æɑʌɛɪiuəɜɔAIOWY" and len(word) > 1
                stressed = stressed or vowel
                found.append([symbol, start + step * index, start + step * (index + 1), int(vowel)])
        elif found and word[low].isalnum():
            found[-1][2] = end
    for symbol, start, end, stress in found:
        yield symbol, start, end, stress


def _syllables(start: float, end: float) -> Iterator[tuple[str, float, float]]:
    count = max(round((end - start) / SYLLABLE_S), 1)
    step = (end - start) / count
    for index in range(count):
        begin = start + step * index
        yield "ə", begin, begin + step * OPENING
        yield "d", begin + step * OPENING, begin + step


def _heard(alignment: object) -> list[Letter]:
    """A vendor's characters with their times; none where they cannot be trusted."""
    told: Mapping[str, Any] = alignment if isinstance(alignment, Mapping) else {}
    columns = [
        told.get(name) for name in ("characters", "character_start_times_seconds", "character_end_times_seconds")
    ]
    if not all(isinstance(column, list) for column in columns):
        return []
    characters, starts, ends = (column or [] for column in columns)
    if not len(characters) == len(starts) == len(ends):
        return []
    found: list[Letter] = []
    for text, start, end in zip(characters, starts, ends, strict=True):
        if not isinstance(text, str) or not (_number(start) and _number(end)):
            return []
        found += _even(text, float(start), max(float(start), float(end)))
    return found


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(heard: Sequence[Letter]) -> list[list[Letter]]:
    found: list[list[Letter]] = []
    inside = False
    for letter in heard:
        if letter.character.isspace():
            inside = False
        elif inside:
            found[-1].append(letter)
        else:
            found.append([letter])
            inside = True
    return found


def _placed(word: str, heard: Sequence[Letter]) -> list[Letter]:
    if len(word) == len(heard):
        return [Letter(character, at.start, at.end) for character, at in zip(word, heard, strict=True)]
    return _even(word, heard[0].start, heard[-1].end)


def _even(text: str, start: float, end: float) -> list[Letter]:
    step = (end - start) / max(len(text), 1)
    return [Letter(character, start + step * at, start + step * (at + 1)) for at, character in enumerate(text)]


def _forwards(spelled: Spelled, seconds: float) -> Spelled:
    """Within 0 and `seconds`; a letter that would begin before the one before it ended begins there."""
    clock = 0.0
    found = []
    for letters in spelled:
        kept = []
        for letter in letters:
            start = min(max(letter.start, clock), seconds)
            clock = min(max(letter.end, start), seconds)
            kept.append(Letter(letter.character, start, clock))
        found.append(kept)
    return found
