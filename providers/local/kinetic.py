"""Words as pictures: each rises into place when it is said, a page of them at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pipeline.frame import Frame
from pipeline.timeline import MARK_END, Word
from providers.local.faces import Array
from providers.local.overlay import font_of, legible
from providers.local.window import corner

PAPERS = (("#17203a", "#34518f"), ("#10302f", "#2c7a6d"), ("#33183a", "#7d3f86"), ("#3a2113", "#a2612f"))
INK, LIT = (255, 255, 255), (255, 214, 51)
PAGE_WORDS, CLAUSE_WORDS = 11, 3
COARSE = 8  # the paper has nothing fine: it is drawn small and enlarged
LOWEST = 0.94  # of the frame's height, for the end of the last line
RISE_S = 0.22  # how long a word takes to arrive
EARLY_S = 0.06  # a word is seen a little before it is heard
LIT_CHARACTERS = 6  # the longest word of a page is lit, where it is one worth it


@dataclass(frozen=True, slots=True)
class Letters:
    """One word's picture (RGB and alpha, float32), its place, and when it comes."""

    ink: Array
    alpha: Array
    x: int
    y: int
    at: float


def pictures(words: Sequence[Word], frames: int, frame: Frame, *, seed: int) -> Iterator[Array]:
    """RGB pictures; without words, the moving paper alone."""
    chance = np.random.default_rng(seed)
    dark, light = (_rgb(colour) for colour in PAPERS[int(chance.integers(len(PAPERS)))])
    turn = float(chance.uniform(0, 2 * np.pi))
    pages = _pages(words)
    drawn = [_page(page, frame) for page in pages]
    starts = [page[0].start - EARLY_S for page in pages]
    rows, columns = max(frame.height // COARSE, 4), max(frame.width // COARSE, 4)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    for number in range(frames):
        seconds = number / frame.fps
        paper = _paper(x / columns, y / rows, dark, light, turn + 0.25 * seconds)
        picture = cv2.resize(paper, (frame.width, frame.height), interpolation=cv2.INTER_CUBIC)
        index = max(0, sum(start <= seconds for start in starts) - 1)
        for letters in drawn[index] if drawn else ():
            # what stands at the beginning is there from the first picture on
            came = 1.0 if number and letters.at <= 0 else np.clip((seconds - letters.at) / RISE_S, 0, 1)
            if came > 0:
                _put(picture, letters, float(came))
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _pages(words: Sequence[Word]) -> list[list[Word]]:
    """A page ends after a clause, or when it is full."""
    pages: list[list[Word]] = []
    for word in words:
        last = pages[-1] if pages else []
        if last and len(last) < PAGE_WORDS and not (len(last) >= CLAUSE_WORDS and MARK_END.search(last[-1].text)):
            last.append(word)
        else:
            pages.append([word])
    return pages


def _page(words: Sequence[Word], frame: Frame) -> list[Letters]:
    """The words in lines that fill the frame well, left-aligned and centred as a block; lower where they would lie
    under the speaker's window."""
    texts = [legible(word.text) for word in words]
    room = 0.80 * frame.width
    size = round(min(frame.height * 0.17, frame.width * 0.13))
    while size > 12:
        lines = _wrapped(texts, size, room)
        left, top = _corner(lines, size, frame)
        tall = len(lines) * size * 1.25
        fits = tall <= 0.62 * frame.height and top + tall <= LOWEST * frame.height
        if fits and all(_width(line, size) <= room for line in lines):
            break
        size -= 2
    lines = _wrapped(texts, size, room)
    left, top = _corner(lines, size, frame)
    longest = max(texts, key=len)
    made: list[Letters] = []
    for row, line in enumerate(lines):
        across = left
        for text in line:
            word = words[len(made)]
            colour = LIT if text == longest and len(text) >= LIT_CHARACTERS else INK
            made.append(
                _letters(text, size, colour, round(across), round(top + row * size * 1.25), word.start - EARLY_S)
            )
            across += font_of(size).getlength(text + " ")
    return made


def _corner(lines: Sequence[Sequence[str]], size: int, frame: Frame) -> tuple[float, float]:
    """Where the block begins."""
    rows, columns = corner(frame)
    wide, tall = max(_width(line, size) for line in lines), len(lines) * size * 1.25
    left, top = (frame.width - wide) / 2, (frame.height - tall) / 2
    under = left + wide > columns.start - size / 3 and top < rows.stop
    return left, max(top, rows.stop + size / 4) if under else top


def _letters(text: str, size: int, colour: tuple[int, int, int], x: int, y: int, at: float) -> Letters:
    box = round(font_of(size).getlength(text)) + size // 3, round(size * 1.3)
    mask = Image.new("L", box, 0)
    ImageDraw.Draw(mask).text((0, size), text, font=font_of(size), fill=255, anchor="ls", stroke_width=size / 40)
    alpha = np.asarray(mask, np.float32)[..., None] / 255
    return Letters(np.array(colour, np.float32), alpha, x, y, at)


def _put(picture: Array, letters: Letters, came: float) -> None:
    eased = 1 - (1 - came) ** 3
    height, width = picture.shape[:2]
    top = letters.y + round((1 - eased) * letters.alpha.shape[0] * 0.35)
    left, bottom = max(letters.x, 0), min(top + letters.alpha.shape[0], height)
    right = min(letters.x + letters.alpha.shape[1], width)
    part = letters.alpha[: bottom - top, left - letters.x : right - letters.x] * eased
    behind = picture[top:bottom, left:right]
    behind += (letters.ink - behind) * part


def _paper(x: Array, y: Array, dark: Array, light: Array, turn: float) -> Array:
    """A slope of two colours with a soft light that wanders over it."""
    slope = (x * np.cos(turn) + y * np.sin(turn)) * 0.35 + 0.3
    glow = np.exp(-3.5 * ((x - 0.5 - 0.3 * np.cos(turn)) ** 2 + (y - 0.5 - 0.3 * np.sin(turn)) ** 2))
    share = np.clip(slope * 0.5 + glow * 0.6, 0, 1)
    return np.asarray(cv2.merge([dark[i] + (light[i] - dark[i]) * share for i in range(3)]))


def _wrapped(texts: Sequence[str], size: int, room: float) -> list[list[str]]:
    lines: list[list[str]] = []
    for text in texts:
        if lines and _width([*lines[-1], text], size) <= room:
            lines[-1].append(text)
        else:
            lines.append([text])
    return lines


def _width(line: Sequence[str], size: int) -> float:
    return float(font_of(size).getlength(" ".join(line)))


def _rgb(colour: str) -> Array:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], np.float32)
