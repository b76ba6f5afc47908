"""From phonemes to mouth shapes: a table of targets, and curves in which neighbours colour each other.

The blending is Cohen and Massaro's: each phoneme pulls with its dominance, which decays around it. What the eye judges
strictly is enforced afterwards: lips that must touch do, and a silent mouth is closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray

CHANNELS = ("open", "wide", "protrude", "press", "tuck", "tongue")
RATE = 200  # Hz of the curves
LEAD_S = 0.03  # lips move before they are heard
DECAY_S = 0.045
CORE = 0.6  # share of a phoneme's half length in which it pulls fully
SMOOTH_S = 0.016
CLOSED = frozenset("mbp")
LIP_ON_TEETH = frozenset("fv")
LIP_ON_TEETH_OPEN = 0.08
RELEASE = 11.0  # 1/s: how fast lips may part after touching
PAUSE_S = 0.12  # a silence as long as this closes the mouth
CLOSE_S = 0.10  # and takes so long to
SILENT = ""
ARTICULATION, MOST_OPEN = 1.18, 0.72  # blending takes the peaks off short vowels; this gives them back


@dataclass(frozen=True, slots=True)
class Phoneme:
    """A sound in misaki's alphabet (`""` is silence) on the speech's clock; `stress` 0, 1 or 2."""

    symbol: str
    start: float
    end: float
    stress: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A mouth shape, and how strongly the sound insists on it."""

    open: float
    wide: float = 0.0
    protrude: float = 0.0
    press: float = 0.0
    tuck: float = 0.0
    tongue: float = 0.0
    pull: float = 1.0


REST = Target(0.0, pull=0.9)
SHAPES: dict[str, Target] = {
    "ɑ": Target(0.60, 0.02),
    "a": Target(0.60, 0.12),
    "æ": Target(0.56, 0.36),
    "ʌ": Target(0.42, 0.05),
    "ɒ": Target(0.52, -0.25, 0.2),
    "ɔ": Target(0.46, -0.45, 0.40),
    "o": Target(0.38, -0.55, 0.50),
    "ə": Target(0.26, 0.0, pull=0.6),
    "ɐ": Target(0.34, 0.0, pull=0.8),
    "ɪ": Target(0.25, 0.32),
    "i": Target(0.20, 0.62),
    "e": Target(0.34, 0.45),
    "ɛ": Target(0.42, 0.32),
    "ʊ": Target(0.22, -0.50, 0.45),
    "u": Target(0.16, -0.82, 0.80),
    "ɜ": Target(0.28, -0.28, 0.30),
    "ᵊ": Target(0.18, pull=0.5),
    "ᵻ": Target(0.20, 0.28, pull=0.7),
    "p": Target(0.0, press=0.6, pull=1.6),
    "b": Target(0.0, press=0.5, pull=1.6),
    "m": Target(0.0, press=0.4, pull=1.6),
    "f": Target(0.08, 0.10, tuck=1.0, pull=1.4),
    "v": Target(0.08, 0.08, tuck=0.9, pull=1.4),
    "w": Target(0.12, -0.88, 0.85, pull=1.3),
    "ɹ": Target(0.18, -0.45, 0.50, pull=0.9),
    "r": Target(0.18, -0.45, 0.50, pull=0.9),
    "l": Target(0.24, 0.08, tongue=0.9, pull=0.7),
    "t": Target(0.14, 0.15, tongue=0.6, pull=0.7),
    "d": Target(0.15, 0.12, tongue=0.6, pull=0.7),
    "n": Target(0.15, 0.10, tongue=0.6, pull=0.7),
    "ɾ": Target(0.18, 0.08, tongue=0.6, pull=0.5),
    "s": Target(0.07, 0.34, pull=1.0),
    "z": Target(0.08, 0.30, pull=1.0),
    "ʃ": Target(0.13, -0.45, 0.65, pull=1.2),
    "ʒ": Target(0.13, -0.42, 0.60, pull=1.2),
    "ʧ": Target(0.12, -0.42, 0.60, pull=1.1),
    "ʤ": Target(0.13, -0.40, 0.58, pull=1.1),
    "θ": Target(0.17, 0.08, tongue=1.0, pull=1.0),
    "ð": Target(0.17, 0.06, tongue=1.0, pull=0.8),
    "k": Target(0.20, 0.05, pull=0.5),
    "ɡ": Target(0.20, 0.05, pull=0.5),
    "g": Target(0.20, 0.05, pull=0.5),
    "ŋ": Target(0.18, 0.05, pull=0.5),
    "h": Target(0.24, pull=0.4),
    "j": Target(0.15, 0.50, pull=0.9),
    "ʔ": Target(0.20, pull=0.3),
    "ɫ": Target(0.24, 0.0, tongue=0.8, pull=0.7),
}
GLIDES = {"A": ("e", "ɪ"), "I": ("a", "ɪ"), "O": ("o", "u"), "Q": ("ə", "u"), "W": ("a", "u"), "Y": ("ɔ", "i")}
GLIDE_SPLIT = 0.55


def phonemes(spoken: Mapping[str, Any]) -> tuple[Phoneme, ...]:
    """The `phonemes` of a speech's JSON."""
    return tuple(
        Phoneme(p["symbol"], float(p["start"]), float(p["end"]), int(p.get("stress", 0))) for p in spoken["phonemes"]
    )


def curves(spoken: Sequence[Phoneme], times: Array, *, loudness: Array | None = None, frame_s: float = 0.04) -> Array:
    """The mouth at each of `times` (seconds): (n, 6) in the order of CHANNELS.

    `loudness` is the speech's level at RATE, 0..1 where 0.5 is usual. Closures last at least `frame_s`, so that a
    frame shows each of them.
    """
    end = max([float(times[-1]) if len(times) else 0.0, *(p.end for p in spoken)]) + 0.5
    clock = np.arange(int(end * RATE) + 1) / RATE
    parts = _parts(spoken)
    values = _blend(parts, clock)
    if loudness is not None and len(loudness):
        level = np.interp(clock, np.arange(len(loudness)) / RATE, loudness)
        values[:, 0] *= 0.72 + 0.56 * np.clip(level, 0, 1)
    values[:, 0] = np.minimum(values[:, 0] * ARTICULATION, MOST_OPEN)
    values = _smoothed(values)
    quiet = _quiet(spoken, clock)
    values *= (1 - quiet)[:, None]
    least = 1.15 * frame_s
    for phoneme in spoken:
        if phoneme.symbol in CLOSED or phoneme.symbol in LIP_ON_TEETH:
            floor = 0.0 if phoneme.symbol in CLOSED else LIP_ON_TEETH_OPEN
            away = _away(clock, phoneme, least)
            values[:, 0] = np.minimum(values[:, 0], floor + RELEASE * away)
    lead = np.asarray(times) + LEAD_S
    return np.stack([np.interp(lead, clock, values[:, i]) for i in range(len(CHANNELS))], axis=1)


def _parts(spoken: Sequence[Phoneme]) -> list[tuple[float, float, Target]]:
    """(start, end, target) of each sound; diphthongs are two."""
    parts = []
    for phoneme in spoken:
        if phoneme.symbol in GLIDES:
            turn = phoneme.start + GLIDE_SPLIT * (phoneme.end - phoneme.start)
            first, second = (SHAPES[symbol] for symbol in GLIDES[phoneme.symbol])
            parts += [(phoneme.start, turn, first), (turn, phoneme.end, second)]
        else:
            parts.append((phoneme.start, phoneme.end, SHAPES.get(phoneme.symbol, REST)))
    return parts


def _blend(parts: Sequence[tuple[float, float, Target]], clock: Array) -> Array:
    total = np.full(len(clock), 1e-6)
    values = np.zeros((len(clock), len(CHANNELS)))
    for start, end, target in parts:
        middle, half = (start + end) / 2, (end - start) / 2
        reach = half + 6 * DECAY_S
        low, high = np.searchsorted(clock, (middle - reach, middle + reach))
        pull = target.pull * np.exp(-np.maximum(0, np.abs(clock[low:high] - middle) - CORE * half) / DECAY_S)
        total[low:high] += pull
        values[low:high] += pull[:, None] * [getattr(target, name) for name in CHANNELS]
    return values / total[:, None]


def _smoothed(values: Array) -> Array:
    sigma = SMOOTH_S * RATE
    reach = int(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, i], kernel, mode="valid") for i in range(values.shape[1])], axis=1)


def _quiet(spoken: Sequence[Phoneme], clock: Array) -> Array:
    """1 where the mouth rests, with soft edges inside each pause."""
    quiet = np.zeros(len(clock))
    for start, end in pauses(spoken, float(clock[-1])):
        if end - start >= PAUSE_S:
            edge = min(CLOSE_S, (end - start) / 2.5)
            into = 1.0 if start <= 0 else np.clip((clock - start) / edge, 0, 1)
            out = 1.0 if end >= clock[-1] else np.clip((end - clock) / edge, 0, 1)
            inside = np.minimum(into, out) * ((clock >= start) & (clock <= end))
            quiet = np.maximum(quiet, inside * inside * (3 - 2 * inside))
    return quiet


def pauses(spoken: Sequence[Phoneme], end: float) -> list[tuple[float, float]]:
    """Where nothing is said from 0 to `end`, silent phonemes and gaps joined."""
    found, at = [], 0.0
    for phoneme in spoken:
        if phoneme.symbol.strip(" .,;:!?") == SILENT:
            continue
        if phoneme.start > at + 1e-6:
            found.append((at, phoneme.start))
        at = max(at, phoneme.end)
    return [*found, (at, end)] if end > at else found


def _away(clock: Array, phoneme: Phoneme, least: float) -> Array:
    """Seconds from the sound's interval, which is widened to `least`."""
    middle, half = (phoneme.start + phoneme.end) / 2, max(phoneme.end - phoneme.start, least) / 2
    return np.asarray(np.maximum(0, np.abs(clock - middle) - half))
