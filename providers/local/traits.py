"""What makes a voice, in figures: where it speaks, how high, how fast, and with which colour."""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from pipeline.ports import VoiceTraits
from providers.local import pitch

HOP_S = pitch.HOP_S
SILENT_DB = -90.0
BELOW_DB = 30.0  # under its loud parts, a voice is not heard any more
ABOVE_NOISE = 0.35  # of the way from the noise to the voice
STEADY_DB = 8.0  # so much louder and softer a voice becomes without a pause
PAUSE_S = 0.2  # shorter ones belong to fluent speech
BLIP_S = 0.05
VOWELS_HZ = (400.0, 2500.0)
FINE_S = 0.005
# Of a syllable: at one width for all, fast speech would lose more of them than slow speech. Of several widths and dips
# the mean is taken, since one alone jumps by a tenth when the same words are only recorded anew.
SMOOTH = (0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15)
DIPS_DB = (0.5, 0.7, 1.0, 1.4)
USUAL_PER_S = 5.0  # syllables: where the search for their rate begins
FFT = 1024
BANDS_HZ = (100.0, 10_000.0)
BANDS = 24
MOST_FRAMES = 6000  # for the envelope: a minute of voice says it all


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one sound: frames are 10 ms apart; `speech` marks those in which somebody speaks, short pauses included."""

    level_db: np.ndarray
    speech: np.ndarray
    f0: np.ndarray
    syllables: float
    envelope_db: np.ndarray

    @property
    def speech_s(self) -> float:
        return float(self.speech.sum()) * HOP_S

    @property
    def voiced(self) -> np.ndarray:
        return self.speech & (self.f0 > 0)

    @property
    def voiced_share(self) -> float:
        return float(self.voiced.sum() / max(self.speech.sum(), 1))

    @property
    def pitch_hz(self) -> float:
        return float(np.median(self.f0[self.voiced])) if self.voiced.any() else 0.0

    @property
    def pitch_spread_st(self) -> float:
        return float(np.std(12 * np.log2(self.f0[self.voiced]))) if self.voiced.any() else 0.0

    @property
    def syllables_per_s(self) -> float:
        return self.syllables / self.speech_s if self.speech_s else 0.0

    @property
    def snr_db(self) -> float:
        """Speech over what is heard in the pauses; without pauses, over the quietest moments."""
        pauses = self.level_db[~self.speech]
        noise = np.median(pauses) if len(pauses) >= 20 else np.percentile(self.level_db, 2)
        loud = self.level_db[self.speech] if self.speech.any() else self.level_db
        return float(10 * np.log10(np.mean(10 ** (loud / 10))) - noise)

    def traits(self) -> VoiceTraits:
        return VoiceTraits(
            round(self.pitch_hz, 2),
            round(self.pitch_spread_st, 3),
            round(self.syllables_per_s, 3),
            tuple(round(float(level), 2) for level in self.envelope_db),
        )


def measure(sound: np.ndarray, rate: int) -> Measured:
    """`sound` is mono, full scale 1."""
    f0 = pitch.track(sound, rate)
    spectra = _power(sound, rate)[: len(f0)]
    f0 = f0[: len(spectra)]
    level = 10 * np.log10(np.maximum(spectra.sum(axis=1), 10 ** (SILENT_DB / 10)))
    speech = _speaking(level)
    syllables = _syllables(_vowel_power(sound, rate), speech & (f0 > 0), float(speech.sum()) * HOP_S)
    return Measured(level, speech, f0, syllables, envelope(spectra[speech & (f0 > 0)], rate))


def envelope(spectra: np.ndarray, rate: int) -> np.ndarray:
    """The mean level of each band in dB, about their mean."""
    if not len(spectra):
        return np.zeros(BANDS)
    chosen = spectra[:: len(spectra) // MOST_FRAMES + 1]
    hertz = np.arange(spectra.shape[1]) * rate / FFT
    edges = _hertz(np.linspace(_mel(BANDS_HZ[0]), _mel(BANDS_HZ[1]), BANDS + 1))
    levels = [
        np.log10(np.maximum(chosen[:, (hertz >= low) & (hertz < high)].mean(axis=1), 1e-12)).mean()
        for low, high in pairwise(edges)
    ]
    return 10 * (np.array(levels) - np.mean(levels))


def centres() -> np.ndarray:
    """Of the bands, in Hz."""
    edges = np.linspace(_mel(BANDS_HZ[0]), _mel(BANDS_HZ[1]), BANDS + 1)
    return _hertz((edges[1:] + edges[:-1]) / 2)


def _power(sound: np.ndarray, rate: int) -> np.ndarray:
    """Power spectra of 43 ms around every 10 ms, one-sided, so that each sums to the mean square."""
    hop = round(HOP_S * rate)
    window = np.hanning(FFT).astype(np.float32)
    padded = np.pad(sound, (FFT // 2, FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[: max(len(sound), 1) : hop]
    parts = [
        np.abs(np.fft.rfft(frames[at : at + pitch.BATCH] * window)).astype(np.float32) ** 2
        for at in range(0, len(frames), pitch.BATCH)
    ]
    return np.concatenate(parts) * 2 / (FFT * float((window**2).sum()))


def _speaking(level: np.ndarray) -> np.ndarray:
    loud, quiet = float(np.percentile(level, 95)), float(np.percentile(level, 5))
    heard = level > max(loud - BELOW_DB, min(quiet + ABOVE_NOISE * (loud - quiet), loud - STEADY_DB))
    return _without_runs(_without_runs(heard, round(BLIP_S / HOP_S), of=True), round(PAUSE_S / HOP_S), of=False)


def _without_runs(marks: np.ndarray, shorter: int, *, of: bool) -> np.ndarray:
    """Runs of this value that are shorter are turned over, but not at the ends of a sound."""
    marks = marks.copy()
    edges = np.flatnonzero(np.diff(marks)) + 1
    for start, end in pairwise(edges.tolist()):
        if marks[start] == of and end - start < shorter:
            marks[start:end] = not of
    return marks


def _vowel_power(sound: np.ndarray, rate: int) -> np.ndarray:
    """Every 5 ms, in the band in which vowels are loud."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / rate)
    spectrum[(hertz < VOWELS_HZ[0]) | (hertz > VOWELS_HZ[1])] = 0
    power = np.fft.irfft(spectrum, len(sound)) ** 2
    hop = round(FINE_S * rate)
    return power[: len(power) // hop * hop].reshape(-1, hop).mean(axis=1)


def _syllables(power: np.ndarray, voiced: np.ndarray, speech_s: float) -> float:
    """Voiced peaks of loudness with a dip on both sides: each is a vowel (after de Jong and Wempe, 2009)."""
    fine = np.repeat(voiced, round(HOP_S / FINE_S))[: len(power)]
    fine = np.pad(fine, (0, len(power) - len(fine)))
    return float(np.mean([_settled(power, fine, speech_s, *by) for by in product(SMOOTH, DIPS_DB)]))


def _settled(power: np.ndarray, voiced: np.ndarray, speech_s: float, smooth: float, dip_db: float) -> float:
    """The count at a width that goes with the rate that is counted."""
    per_s = USUAL_PER_S
    for _ in range(4):
        count = _peaks(_smoothed_db(power, smooth / per_s), voiced, dip_db)
        per_s = 0.5 * per_s + 0.5 * max(count / max(speech_s, 1.0), 1.0)
    return per_s * speech_s


def _smoothed_db(power: np.ndarray, sigma_s: float) -> np.ndarray:
    reach = int(4 * sigma_s / FINE_S) + 1
    shape = np.exp(-0.5 * (np.arange(-reach, reach + 1) * FINE_S / sigma_s) ** 2)
    return 10 * np.log10(np.maximum(np.convolve(power, shape / shape.sum(), "same"), 10 ** (SILENT_DB / 10)))


def _peaks(loudness: np.ndarray, voiced: np.ndarray, dip_db: float) -> int:
    count = 0
    top = bottom = float(loudness[0]) if len(loudness) else 0.0
    rising = False
    for level, sounds in zip(loudness.tolist(), voiced.tolist(), strict=True):
        if not rising:
            bottom = min(bottom, level)
            if level > bottom + dip_db and sounds:
                top, rising = level, True
        else:
            top = max(top, level)
            if level < top - dip_db:
                count, bottom, rising = count + 1, level, False
    return count + rising


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
