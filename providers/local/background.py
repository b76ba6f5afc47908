"""Backgrounds that are painted, not photographed: a soft-focus set behind the speaker, read from a few words.

Everything is drawn at a quarter of the size, blurred as a lens with a wide aperture would, and enlarged.
"""

import hashlib
import re
from collections.abc import Callable

import cv2
import numpy as np

from pipeline.assets import Asset
from pipeline.errors import RenderFailed
from pipeline.ports import AssetStore
from providers.local import brush, sets
from providers.local.brush import Array, Palette

SHRINK = 4
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
GRAIN = 1.6  # hides the steps of 8 bits in wide gradients
COLOUR = re.compile(r"#([0-9a-fA-F]{6})\b")


PALETTES = (
    Palette("#e3ded5", "#b9b2a8", "#8a6a4c", "#fff3da", "#4d7a86"),
    Palette("#d7dde2", "#a3adb7", "#77685c", "#fdf6e8", "#b8734b"),
    Palette("#dfe2da", "#aab0a3", "#7d6750", "#fff4dc", "#6d7f52"),
    Palette("#e6dbd2", "#bda899", "#84604a", "#ffeed2", "#5d6f8f"),
    Palette("#cfd8d8", "#96a5a8", "#6f6258", "#fbf1dc", "#a7604f"),
)
PLAIN_NAMES = {
    "white": "#f2f2f0", "black": "#16171a", "grey": "#a9adb2", "gray": "#a9adb2", "blue": "#3d6ea5", "green": "#4f8a63",
    "red": "#a8433f", "beige": "#d9cbb6", "teal": "#3f7f85", "purple": "#6c5690", "orange": "#cf8346",
    "pink": "#d9a3ac", "yellow": "#d8bb5a", "navy": "#24375a", "cream": "#efe6d3", "brown": "#7a5a43",
}  # fmt: skip


SETS: dict[str, Callable[[tuple[int, int], Palette, np.random.Generator], Array]] = {
    "office": sets.office,
    "studio": sets.studio,
    "city": sets.city,
    "nature": sets.nature,
    "room": sets.room,
}
NAMES = (
    ("city", r"city|street|skyline|evening|night|downtown|urban|rooftop|bokeh"),
    ("nature", r"nature|garden|forest|park|outdoor|tree|meadow|mountain|beach|field|lawn|jungle|green(?:ery|house)"),
    ("studio", r"studio|stage|podcast|dark|spotlight|news|television|tv|cinema"),
    (
        "office",
        r"offices?|desk|work|meeting|conference|business|corporate|class|school|library|lobby|clinic|lab|startup|bookshel",
    ),
    ("room", r"room|home|kitchen|house|sofa|living|bedroom|cafe|café|coffee|shop|restaurant|apartment|interior"),
)


class LocalBackground:
    """Knows offices, studios, evenings in a city, nature, rooms and plain colours. Other words choose a palette."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Asset:
        """A JPEG of the given size. The same prompt, size and seed give the same picture."""
        kind, picture = compose(prompt, width, height, seed)
        done, data = cv2.imencode(".jpg", picture[..., ::-1], JPEG)
        if not done:
            raise RenderFailed("The background could not be written as a JPEG. Try another size.")
        with self.assets.scratch() as folder:
            file = folder / "background.jpg"
            file.write_bytes(data.tobytes())
            facts = {
                "width": picture.shape[1],
                "height": picture.shape[0],
                "set": kind,
                "luma": round(float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean()), 1),
            }
            return self.assets.keep(file, kind="background", media_type="image/jpeg", facts=facts)


def compose(prompt: str, width: int, height: int, seed: int) -> tuple[str, Array]:
    """The name of the set, and the picture as RGB uint8 (height, width, 3)."""
    kind = set_of(prompt)
    digest = hashlib.sha256(f"{' '.join(prompt.lower().split())}|{seed}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    small = (max(height // SHRINK, 8), max(width // SHRINK, 8))
    palette = PALETTES[digest[8] % len(PALETTES)]
    canvas = _plain(small, _plain_colour(prompt)) if kind == "plain" else SETS[kind](small, palette, random)
    picture = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_CUBIC)
    picture *= _vignette(height, width, 0.05 if kind == "plain" else 0.16)[..., None]
    picture *= 255
    picture += random.normal(0, GRAIN, (height, width, 1)).astype(np.float32)
    return kind, np.clip(picture, 0, 255).astype(np.uint8)


def set_of(prompt: str) -> str:
    """The first set that the words name, or `plain`, or `room`."""
    words = prompt.lower()
    if COLOUR.search(words):
        return "plain"
    for kind, names in NAMES:
        if re.search(rf"\b(?:{names})", words):
            return kind
    return "plain" if _named(words) else "room"


def _named(words: str) -> str | None:
    return next((PLAIN_NAMES[word] for word in re.findall(r"[a-z]+", words) if word in PLAIN_NAMES), None)


def _plain_colour(prompt: str) -> str:
    exact = COLOUR.search(prompt)
    return f"#{exact[1]}" if exact else _named(prompt.lower()) or "#a9adb2"


def _plain(size: tuple[int, int], colour: str) -> Array:
    """The colour itself in the middle, a shade darker outward, as on a paper backdrop."""
    canvas = np.empty((*size, 3), np.float32)
    canvas[:] = brush.rgb(colour)
    return canvas


def _vignette(height: int, width: int, depth: float) -> Array:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2
    return 1 - depth * np.clip((x + y) / 2, 0, 1) ** 1.5
