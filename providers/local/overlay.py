"""Everything written on the picture: captions that follow the voice word by word, and the label.

The renderer blends `Overlay.at(seconds)` into each frame. Text is drawn once per word and then returned from memory.
"""

import functools
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.frame import Frame
from pipeline.ports import Title
from pipeline.timeline import Cue, Word

Piece = tuple[int, int, np.ndarray]
Place = tuple[int, int]

WHITE, YELLOW, INK = (255, 255, 255), (255, 214, 51), (12, 14, 20)
PILL_ALPHA, LABEL_ALPHA, TITLE_ALPHA = 158, 140, 186
LINES = 2
TITLE_FROM_S, TITLE_UNTIL_S, TITLE_FADE_S = 0.4, 5.0, 0.24
TITLE_LEVELS = 6
LINE_HEIGHT = 1.24  # in sizes
HIGHLIGHT_AFTER_S = 0.35  # a word stays lit through short gaps, not through a pause
# The embedded font has few glyphs: what it lacks is written with what it has.
SPELLED = {"—": "-", "–": "-", "‐": "-", "‑": "-", "−": "-", "€": "EUR ", "£": "GBP ", "ß": "ss", "æ": "ae", "Æ": "AE",
           "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "œ": "oe", "Œ": "OE", "đ": "d", "ð": "d", "þ": "th", "½": "1/2",
           "×": "x", "•": "*", "\u00a0": " ", "\u202f": " "}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Where text may stand, in pixels of the frame."""

    size: int
    width: int
    bottom: int
    label_size: int
    label_at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown at once: a cue, or as many of its words as fit a narrow frame."""

    lines: tuple[tuple[Word, ...], ...]
    start: float
    end: float

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for line in self.lines for word in line)


def layout(frame: Frame) -> Layout:
    """Safe areas: on upright frames the apps' own buttons and texts cover the top 12 %, the lower quarter and the right
    15 %; on wide ones captions end above the lowest 6.5 % and the label keeps 4.5 % from the edges."""
    width, height = frame.width, frame.height
    if height > 1.3 * width:
        return Layout(_even(width * 0.056), _even(width * 0.70), _even(height * 0.75), _even(max(width * 0.027, 12)),
                      (_even(width * 0.057), _even(height * 0.118)))  # fmt: skip
    size = min(height * 0.054, width * 0.043)
    return Layout(_even(size), _even(width * 0.84), _even(height * 0.935), _even(max(size * 0.52, 12)),
                  (_even(width * 0.032), _even(height * 0.045)))  # fmt: skip


def captions_top(frame: Frame) -> int:
    """The highest row of a caption: the face stays above it."""
    place = layout(frame)
    return place.bottom - _tall(place.size, LINES)


def title_places(title: Title, frame: Frame) -> list[Place]:
    """Where the title may stand, the best first: above the captions at the left and at the right, below the label, and
    in the label's row where that has room."""
    place = layout(frame)
    height, width = _lower_third(title, place).shape[:2]
    left, upper = place.label_at
    upright = frame.height > 1.3 * frame.width
    right = _even_down(frame.width * 0.85 if upright else frame.width - left) - width
    lower = _even_down(captions_top(frame) - _even(place.size * 0.5) - height)
    if not frame.label:
        return [(left, lower), (right, lower), (left, upper), (right, upper)]
    _, _, label = _label(frame.label, place)
    below = upper + label.shape[0] + _even(place.size * 0.25)
    beside = [(right, upper)] if right > left + label.shape[1] + place.size // 2 else []
    return [(left, lower), (right, lower), (left, below), *beside]


def title_size(title: Title, frame: Frame) -> tuple[int, int]:
    """Width and height."""
    height, width = _lower_third(title, layout(frame)).shape[:2]
    return width, height


class Overlay:
    """The writing of one scene. `cues` are on the scene's clock, in order, not overlapping.

    The title stands at one of `title_places`, and is gone by `title_until`; no caption is shown in the span `silent`.
    """

    def __init__(
        self,
        frame: Frame,
        cues: Sequence[Cue],
        *,
        title: Title | None = None,
        title_at: Place | None = None,
        title_until: float = TITLE_UNTIL_S,
        silent: tuple[float, float] | None = None,
    ) -> None:
        self.frame = frame
        self.layout = layout(frame)
        self.pages = tuple(page for cue in cues for page in _pages(cue, self.layout))
        self._starts = [page.start for page in self.pages]
        self._label = [_label(frame.label, self.layout)] if frame.label else []
        self._drawn: dict[tuple[int, int, int], list[Piece]] = {}
        self._captions: dict[tuple[int, int], Piece] = {}
        self._silent = silent or (0.0, 0.0)
        self._title_until = min(title_until - 0.2, TITLE_UNTIL_S)
        self._title: list[Piece] = []
        if title:
            self._title = _coming(_lower_third(title, self.layout), title_at or title_places(title, frame)[0])

    def at(self, seconds: float) -> list[Piece]:
        """What to blend at this moment: (x, y, RGBA uint8 of h x w x 4, alpha not premultiplied); x, y, w, h are even.

        The same words give the same list and arrays: read them, never write into them.
        """
        index = bisect_right(self._starts, seconds) - 1
        silent = self._silent[0] <= seconds < self._silent[1]
        level = self._level(seconds)
        if index < 0 or seconds >= self.pages[index].end or silent:
            if not level:
                return self._label
            index = lit = -1
        else:
            lit = _lit(self.pages[index].words, seconds)
        known = index, lit, level
        if known not in self._drawn:
            pieces = [*self._label, *self._title[level - 1 : level]] if level else [*self._label]
            if index >= 0:
                if (index, lit) not in self._captions:
                    self._captions[index, lit] = _caption(self.pages[index], lit, self.layout, self.frame)
                pieces.append(self._captions[index, lit])
            self._drawn[known] = pieces
        return self._drawn[known]

    def _level(self, seconds: float) -> int:
        """How far the title is faded in: 0 is not there, TITLE_LEVELS whole."""
        if not self._title or not TITLE_FROM_S < seconds < self._title_until:
            return 0
        near = min(seconds - TITLE_FROM_S, self._title_until - seconds)
        return min(TITLE_LEVELS, 1 + int(TITLE_LEVELS * near / TITLE_FADE_S))


def _lit(words: Sequence[Word], seconds: float) -> int:
    """Index of the word being said, or -1 in a pause."""
    index = bisect_right([word.start for word in words], seconds) - 1
    return index if index >= 0 and seconds < words[index].end + HIGHLIGHT_AFTER_S else -1


def _pages(cue: Cue, place: Layout) -> list[Page]:
    """The cue as it is where its lines fit the frame; else its words on as few pages as they need, evenly full."""
    font = font_of(place.size)
    room = float(place.width - 2 * _padding(place.size)[0])
    if all(font.getlength(_written(line)) <= room for line in cue.lines):
        return [Page(cue.lines, cue.start, cue.end)]
    groups, width = _wrapped(cue.words, font, room), room
    while (
        (narrower := _wrapped(cue.words, font, room * 0.95)) and len(narrower) == len(groups) and room > place.size * 4
    ):
        groups, room = narrower, room * 0.95
    groups = [_unbroken(group, font, width) for group in groups]
    starts = [cue.start, *(group[0][0].start for group in groups[1:]), cue.end]
    return [Page(group, start, end) for group, start, end in zip(groups, starts[:-1], starts[1:], strict=True)]


def _wrapped(words: Sequence[Word], font: Any, room: float) -> list[tuple[tuple[Word, ...], ...]]:
    lines: list[list[Word]] = []
    for word in words:
        if lines and font.getlength(_written([*lines[-1], word])) <= room:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [tuple(map(tuple, lines[first : first + LINES])) for first in range(0, len(lines), LINES)]


def _unbroken(group: tuple[tuple[Word, ...], ...], font: Any, room: float) -> tuple[tuple[Word, ...], ...]:
    """On one line, where all of it fits on one."""
    words = tuple(word for line in group for word in line)
    return (words,) if font.getlength(_written(words)) <= room else group


def _caption(page: Page, lit: int, place: Layout, frame: Frame) -> Piece:
    """One rounded pill with all lines, the word `lit` in yellow."""
    lines = [[legible(word.text) for word in line] for line in page.lines]
    across, above = _padding(place.size)
    size = place.size
    while size > place.size * 0.55 and _widest(lines, size) > place.width - 2 * across:
        size -= 2
    lines = [[_clipped(text, size, place.width - 2 * across) for text in line] for line in lines]
    font, stroke = font_of(size), _stroke(size)
    height = _even(size * LINE_HEIGHT)
    box = _even(_widest(lines, size) + 2 * across), _tall(size, len(lines))
    picture = _pill(*box, radius=round(size * 0.42), alpha=PILL_ALPHA).copy()
    draw = ImageDraw.Draw(picture)
    number = 0
    for row, line in enumerate(lines):
        x = (box[0] - font.getlength(" ".join(line))) / 2
        baseline = above + row * height + round(size * 0.93)
        for text in line:
            colour = YELLOW if number == lit else WHITE
            draw.text((x, baseline), text, font=font, fill=(*colour, 255), anchor="ls", stroke_width=stroke,
                      stroke_fill=(*colour, 255))  # fmt: skip
            x += font.getlength(text + " ")
            number += 1
    return _even_down((frame.width - box[0]) / 2), place.bottom - box[1], _array(picture)


def _tall(size: int, lines: int) -> int:
    return _even(_even(size * LINE_HEIGHT) * lines + 2 * _padding(size)[1])


def _label(text: str, place: Layout) -> Piece:
    font = font_of(place.label_size)
    text = _clipped(legible(text), place.label_size, place.width * 0.6)
    across, above = round(place.label_size * 0.62), round(place.label_size * 0.36)
    box = _even(font.getlength(text) + 2 * across), _even(place.label_size * 1.1 + 2 * above)
    picture = _pill(*box, radius=box[1] // 2, alpha=LABEL_ALPHA).copy()
    draw = ImageDraw.Draw(picture)
    draw.text((box[0] / 2, box[1] / 2 + place.label_size * 0.35), text, font=font, fill=(*WHITE, 236), anchor="ms")
    return (*place.label_at, _array(picture))


@functools.lru_cache(maxsize=4)
def _lower_third(title: Title, place: Layout) -> np.ndarray:
    """Name and line."""
    large, small = _even(place.size * 1.06), _even(place.size * 0.74)
    bar, across, above = max(2, round(place.size * 0.16)), round(place.size * 0.6), round(place.size * 0.34)
    room = place.width * 0.62
    rows = [(_clipped(legible(title.name), large, room), large)]
    if title.line:
        rows.append((_clipped(legible(title.line), small, room), small))
    width = max(font_of(size).getlength(text) for text, size in rows)
    box = _even(width + 2 * across + bar), _even(sum(size * 1.22 for _, size in rows) + 2 * above)
    picture = _pill(*box, radius=round(place.size * 0.22), alpha=TITLE_ALPHA).copy()
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, bar - 1, box[1] - 1), fill=(*YELLOW, 255))
    y = float(above)
    for text, size in rows:
        draw.text((bar + across, y + size * 0.98), text, font=font_of(size), fill=(*WHITE, 255), anchor="ls",
                  stroke_width=_stroke(size) * (2 if size == large else 1), stroke_fill=(*WHITE, 255))  # fmt: skip
        y += size * 1.22
    return _array(picture)


def _coming(picture: np.ndarray, at: Place) -> list[Piece]:
    """One piece for each step of its coming."""
    steps = []
    for step in range(1, TITLE_LEVELS + 1):
        faded = picture.copy()
        faded[..., 3] = np.round(faded[..., 3] * (step / TITLE_LEVELS))
        faded.setflags(write=False)
        steps.append((*at, faded))
    return steps


@functools.lru_cache(maxsize=64)
def _pill(width: int, height: int, *, radius: int, alpha: int) -> Image.Image:
    """Drawn four times as large: Pillow's own corners are not smooth."""
    mask = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), radius * 4, fill=alpha)
    picture = Image.new("RGBA", (width, height), (*INK, 0))
    picture.putalpha(mask.resize((width, height), Image.Resampling.BOX))
    return picture


def legible(text: str) -> str:
    """The text in glyphs that the font has: without what has no likeness; an ellipsis where nothing is left."""
    return "".join(_glyph(character) for character in text) or "…"


@functools.lru_cache(maxsize=4096)
def _glyph(character: str) -> str:
    if character in SPELLED:
        return SPELLED[character]
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    return "".join(part for part in ([character] if _known(character) else plain) if _known(part))


def _known(character: str) -> bool:
    font = font_of(40)
    return character.isprintable() and bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _clipped(text: str, size: int, room: float) -> str:
    """Cut with an ellipsis: only a word wider than the frame is."""
    font = font_of(size)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _widest(lines: Sequence[Sequence[str]], size: int) -> float:
    return max(font_of(size).getlength(" ".join(line)) for line in lines)


def _written(words: Sequence[Word]) -> str:
    return " ".join(legible(word.text) for word in words)


@functools.lru_cache(maxsize=64)
def font_of(size: int) -> Any:
    return ImageFont.load_default(size)


def _stroke(size: int) -> float:
    """The embedded font has one weight; a hairline around it reads better in motion."""
    return size / 64


def _padding(size: int) -> tuple[int, int]:
    return round(size * 0.55), round(size * 0.28)


def _array(picture: Image.Image) -> np.ndarray:
    array = np.array(picture)
    array.setflags(write=False)
    return array


def _even(value: float) -> int:
    return 2 * -int(-value // 2)


def _even_down(value: float) -> int:
    return 2 * int(value // 2)
