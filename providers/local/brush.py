"""Strokes for painted backgrounds: shapes, plants and light on a canvas of RGB float32, 0..1.

Lengths are pixels of the canvas; colours are #rrggbb.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours as #rrggbb: wall lit, wall in shade, wood or floor, lamp light, and a small accent."""

    wall: str
    shade: str
    wood: str
    lamp: str
    accent: str


def rgb(colour: str) -> Array:
    return np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)], np.float32)


def mix(one: str, other: str, share: float) -> str:
    mixed = rgb(one) * (1 - share) + rgb(other) * share
    return "#" + "".join(f"{round(float(np.clip(value, 0, 1)) * 255):02x}" for value in mixed)


def wall(size: tuple[int, int], palette: Palette, lit: tuple[float, float]) -> Array:
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot((x / width - lit[0]) * 1.1, (y / height - lit[1]) * 0.9)
    share = np.clip(far / 0.95, 0, 1)[..., None]
    return (rgb(palette.wall) * (1 - share) + rgb(palette.shade) * share).astype(np.float32)


def box(canvas: Array, left: int, top: int, right: int, bottom: int, colour: str) -> None:
    canvas[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = rgb(colour)


def disc(canvas: Array, x: float, y: float, radius: float, colour: str, strength: float) -> None:
    _stamp(canvas, x, y, radius, rgb(colour), lambda far: np.clip(radius + 0.5 - far, 0, 1) * strength, add=False)


def bokeh(canvas: Array, x: float, y: float, radius: float, colour: str, strength: float) -> None:
    """A lamp out of focus: an even disc with a slightly brighter rim, added as light."""

    def shape(far: Array) -> Array:
        rim = np.exp(-(((far - radius * 0.92) / (radius * 0.10 + 0.4)) ** 2))
        return np.clip(radius + 0.5 - far, 0, 1) * (0.74 + 0.26 * rim) * strength

    _stamp(canvas, x, y, radius, rgb(colour), shape, add=True)


def _stamp(
    canvas: Array, x: float, y: float, radius: float, colour: Array, shape: Callable[[Array], Array], *, add: bool
) -> None:
    reach = int(radius) + 2
    top, bottom = max(int(y) - reach, 0), min(int(y) + reach + 1, canvas.shape[0])
    left, right = max(int(x) - reach, 0), min(int(x) + reach + 1, canvas.shape[1])
    if top >= bottom or left >= right:
        return
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    weight = shape(np.hypot(rows - y, columns - x))[..., None]
    under = canvas[top:bottom, left:right]
    # Light is screened, not summed: overlaps glow instead of clipping.
    canvas[top:bottom, left:right] = (
        1 - (1 - under) * (1 - colour * weight) if add else under * (1 - weight) + colour * weight
    )


def light(canvas: Array, at: tuple[float, float], reach: float, colour: str, strength: float) -> Array:
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    fall = np.exp(-(((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * (reach * 0.6) ** 2)))[..., None]
    return (1 - (1 - canvas) * (1 - rgb(colour) * fall * strength)).astype(np.float32)


def plant(canvas: Array, x: int, foot: int, tall: float, random: np.random.Generator) -> None:
    """Leaves as ellipses that fan out from a pot."""
    pot = tall * 0.20
    box(canvas, int(x - pot), int(foot - tall * 0.28), int(x + pot), foot, mix("#c8beb0", "#9c8f80", random.uniform()))
    for _ in range(34):
        lean = float(np.clip(random.normal(0, 0.55), -1.05, 1.05))
        long = tall * random.uniform(0.5, 1.05)
        tip = (x + np.sin(lean) * long, foot - tall * 0.25 - np.cos(lean) * long)
        middle = (round((x + tip[0]) / 2), round((foot - tall * 0.25 + tip[1]) / 2))
        tone = rgb(mix("#3f6b46", "#86a866", random.uniform())).tolist()
        axes = (max(int(long * 0.5), 1), max(int(tall * 0.055), 1))
        cv2.ellipse(canvas, middle, axes, float(np.degrees(lean)) - 90, 0, 360, tone, -1, cv2.LINE_AA)


def shelf(canvas: Array, left: int, top: int, right: int, bottom: int, unit: int, palette: Palette,
           random: np.random.Generator) -> None:  # fmt: skip
    """Boards with books, boxes and gaps: quiet colours, one accent in six."""
    box(canvas, left, top, right, bottom, mix(palette.wood, palette.shade, 0.55))
    board = max(int(unit * 0.014), 1)
    rows = 4
    step = (bottom - top) / rows
    tones = ("#e9e2d6", "#c9b9a2", "#8d8375", "#6f7f87", "#b7a08a", palette.accent)
    for row in range(rows):
        floor = int(top + (row + 1) * step) - board
        x = left + board * 2
        while x < right:
            if random.uniform() < 0.22:
                x += int(unit * random.uniform(0.03, 0.08))
                continue
            broad = max(int(unit * random.uniform(0.012, 0.032)), 1)
            tall = step * random.uniform(0.45, 0.78)
            tone = mix(tones[random.integers(len(tones))], palette.shade, 0.25)
            box(canvas, x, int(floor - tall), x + broad, floor, tone)
            x += broad + 1
        box(canvas, left, floor, right, floor + board, mix(palette.wood, "#ffffff", 0.12))
    box(canvas, left, top, left + board, bottom, mix(palette.wood, "#ffffff", 0.10))


def blur(canvas: Array, sigma: float) -> Array:
    return cv2.GaussianBlur(canvas, (0, 0), max(float(sigma), 0.6), borderType=cv2.BORDER_REPLICATE)
