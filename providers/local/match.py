"""An approximate voice match: the stock voice, moved in pitch, pace and colour towards figures that were measured.

It changes the parameters from which the vocoder makes sound, so nothing has to be analysed and no artefacts of that
are heard. Listeners will not take it for the person: it is never called a clone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hibari import dsp

from pipeline.ports import VoiceTraits
from providers.local import traits

METHOD = "approximate voice match"
STOCK_HZ = 194.0  # the stock voice's geometric mean
VOICED_HZ = 40.0  # the vocoder's own border
F0_HZ = (55.0, 480.0)
PITCH = (0.4, 2.2)
SPREAD = (0.4, 2.0)
TEMPO = (0.7, 1.4)  # beyond, frames stand still or are passed over, and that is heard
TEMPO_OF_COUNT = 1.3  # of quick speech fewer syllables are counted than are spoken, of slow speech more
TRACT_OF_PITCH = 0.28  # tall people speak low: how the length of the vocal tract goes with pitch, from child to man
COLOUR_DB = 9.0
FAR_ST = 2.0  # beyond, harmonics no longer fall where the spectrum was drawn for them
BLUR_BINS = 3.0
FREE_DB_PER_ST, FREE_DB = 4.0, 24.0  # the free branch still sings at the old pitch, some 20 dB under the voice
DB = float(np.log(10) / 20)  # of an amplitude, in nepers


@dataclass(frozen=True, slots=True)
class Match:
    """Ratios to the stock voice, and what is added to its spectrum in dB, band by band."""

    pitch: float
    spread: float
    tempo: float
    tract: float
    colour_db: tuple[float, ...]


def towards(wanted: VoiceTraits, stock: VoiceTraits) -> Match:
    """The first guess."""
    pitch = _within(wanted.pitch_hz / stock.pitch_hz, PITCH)
    return Match(
        pitch,
        _within(wanted.pitch_spread_st / max(stock.pitch_spread_st, 0.1), SPREAD),
        _within((wanted.syllables_per_s / max(stock.syllables_per_s, 0.1)) ** TEMPO_OF_COUNT, TEMPO),
        pitch**TRACT_OF_PITCH,
        (0.0,) * len(wanted.envelope_db),
    )


def nearer(match: Match, wanted: VoiceTraits, heard: VoiceTraits) -> Match:
    """What to try next, when `heard` came of this match. Not the pace: syllables are counted to a few percent only, and
    less well where the voice was changed."""
    before, envelope = np.array(match.colour_db), np.array(heard.envelope_db)
    missing = np.array(wanted.envelope_db) - envelope
    colour = before + np.convolve(np.pad(missing, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    colour = np.clip(colour - colour.mean(), -COLOUR_DB, COLOUR_DB)
    colour -= _louder(envelope, colour - before)
    return replace(
        match,
        pitch=_within(match.pitch * wanted.pitch_hz / max(heard.pitch_hz, 1.0), PITCH),
        spread=_within(match.spread * wanted.pitch_spread_st / max(heard.pitch_spread_st, 0.1), SPREAD),
        colour_db=tuple(round(float(level), 2) for level in colour),
    )


def _louder(envelope: np.ndarray, change: np.ndarray) -> float:
    """dB by which a voice with this envelope becomes louder: another colour must not make it another loudness."""
    power = 10 ** (envelope / 10) * np.gradient(traits.centres())
    return float(10 * np.log10((power * 10 ** (change / 10)).sum() / power.sum()))


def apply(match: Match, parameters: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The vocoder's parameters: log levels and phases as bins × frames (harmonic level, its phase, noise level, free
    level, its phase), and the pitch of each frame."""
    *spectra, phase, f0 = parameters
    place = _places(f0.size, match.tempo)
    pitch = _pitch(match, _between(f0.reshape(1, -1), place)[0], f0.ravel()[np.rint(place).astype(int)])
    harmonic, turn, noise, free = (_warped(_between(each, place), match.tract) for each in spectra)
    colour = np.interp(_hertz(len(harmonic)), traits.centres(), match.colour_db) * DB
    far_st = abs(12 * np.log2(match.pitch))
    if far_st > FAR_ST:
        harmonic, noise, free = (_blurred(each) for each in (harmonic, noise, free))
    free = free - np.where(pitch > VOICED_HZ, min(FREE_DB_PER_ST * far_st, FREE_DB) * DB, 0)
    # a lower voice has more harmonics in the same band: each is that much softer
    harmonic = harmonic + 0.5 * np.log(match.pitch) + colour[:, None]
    made = harmonic, turn, noise + colour[:, None], free + colour[:, None], _run_on(phase, place), pitch
    return [np.ascontiguousarray(each, np.float32) for each in made]


def _pitch(match: Match, smooth: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Around the stock voice's middle; never drawn across the border of voiced and unvoiced."""
    moved = STOCK_HZ * match.pitch * (np.maximum(smooth, VOICED_HZ) / STOCK_HZ) ** match.spread
    nearby = np.abs(smooth - nearest) < 0.2 * nearest
    plain = STOCK_HZ * match.pitch * (np.maximum(nearest, VOICED_HZ) / STOCK_HZ) ** match.spread
    return np.where(nearest > VOICED_HZ, np.clip(np.where(nearby, moved, plain), *F0_HZ), nearest)


def _places(frames: int, tempo: float) -> np.ndarray:
    """Where each new frame stands among the old ones."""
    count = max(round(frames / tempo), 1)
    return np.clip((np.arange(count) + 0.5) * frames / count - 0.5, 0, frames - 1)


def _between(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    left = np.minimum(place.astype(int), values.shape[1] - 1)
    right = np.minimum(left + 1, values.shape[1] - 1)
    share = (place - left).astype(np.float32)
    return values[:, left] * (1 - share) + values[:, right] * share


def _run_on(phase: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Phases go on from frame to frame as fast as they did, however the frames are paced."""
    steps = np.diff(phase, axis=1, append=phase[:, -1:])[:, place.astype(int)]
    moved = np.cumsum(steps, axis=1, dtype=np.float64)
    return phase[:, :1] + np.pad(moved[:, :-1], ((0, 0), (1, 0)))


def _warped(spectra: np.ndarray, tract: float) -> np.ndarray:
    """Formants move up with a shorter vocal tract."""
    bins = np.minimum(np.arange(len(spectra)) / tract, len(spectra) - 1)
    return _between(spectra.T, bins).T


def _blurred(spectra: np.ndarray) -> np.ndarray:
    reach = round(3 * BLUR_BINS)
    shape = np.exp(-0.5 * (np.arange(-reach, reach + 1) / BLUR_BINS) ** 2)
    padded = np.pad(spectra, ((reach, reach), (0, 0)), mode="edge")
    return sum(
        weight * padded[at : at + len(spectra)] for at, weight in enumerate((shape / shape.sum()).astype(np.float32))
    )


def _hertz(bins: int) -> np.ndarray:
    return np.arange(bins) * dsp.SR / dsp.N_FFT


def _within(value: float, limits: tuple[float, float]) -> float:
    return round(min(max(value, limits[0]), limits[1]), 4)
