"""The measures of a voice, on sounds whose figures are known."""

import numpy as np
import pytest

from providers.local import pitch
from providers.local.match import Match, apply
from providers.local.sound import RATE, Sound
from providers.local.traits import BANDS, centres, measure
from providers.local.voice_sample import clipped

SECONDS = 4
CLOCK = np.arange(RATE * SECONDS) / RATE


def buzz(hertz: float | np.ndarray, partials: int = 20) -> np.ndarray:
    """A glottis: harmonics that fall by 6 dB an octave, whatever the pitch does meanwhile."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, CLOCK.shape)) / RATE
    sound = sum(np.sin(n * phase) / n for n in range(1, partials + 1))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def babble(per_s: float, hertz: float = 150) -> np.ndarray:
    """A vowel that opens and closes so often a second, with half a second of silence at both ends."""
    gate = 0.5 - 0.5 * np.cos(2 * np.pi * per_s * (CLOCK - 0.5))
    sound = buzz(hertz) * (0.03 + 0.97 * gate**2)
    sound[(CLOCK < 0.5) | (CLOCK >= SECONDS - 0.5)] = 0
    return sound.astype(np.float32)


@pytest.mark.parametrize("hertz", [75, 110, 150, 220, 330, 450])
def test_the_pitch_is_heard_to_half_a_percent(hertz: float) -> None:
    heard = pitch.track(buzz(hertz), RATE)
    assert (heard > 0).mean() > 0.95
    assert np.median(heard[heard > 0]) == pytest.approx(hertz, rel=0.005)


def test_no_octave_is_mistaken_in_noise_or_without_the_fundamental() -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, len(CLOCK)).astype(np.float32)
    assert np.median(_voiced(buzz(120) + noise)) == pytest.approx(120, rel=0.01)
    telephone = buzz(120) - 0.3 * np.sin(2 * np.pi * 120 * CLOCK).astype(np.float32) / 1.6
    assert np.median(_voiced(telephone)) == pytest.approx(120, rel=0.01)


def test_a_melody_is_followed() -> None:
    melody = 150 * 2 ** (3 * np.sin(2 * np.pi * 0.75 * CLOCK) / 12)
    measured = measure(buzz(melody), RATE)
    assert measured.pitch_hz == pytest.approx(150, rel=0.03)
    assert measured.pitch_spread_st == pytest.approx(3 / np.sqrt(2), rel=0.08)


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.random.default_rng(2).normal(0, 0.1, RATE)])
def test_noise_and_silence_have_no_pitch(sound: np.ndarray) -> None:
    heard = pitch.track(sound.astype(np.float32), RATE)
    assert (heard > 0).mean() < 0.05


@pytest.mark.parametrize("per_s", [3.0, 4.0, 5.0, 6.5])
def test_syllables_are_counted(per_s: float) -> None:
    measured = measure(babble(per_s), RATE)
    assert measured.speech_s == pytest.approx(3, abs=0.35)
    assert measured.syllables == pytest.approx(3 * per_s, abs=1)


def test_pauses_are_no_speech_and_tell_the_noise() -> None:
    noise = np.random.default_rng(3).normal(0, 0.001, len(CLOCK)).astype(np.float32)
    measured = measure(babble(5) + noise, RATE)
    assert not measured.speech[: round(0.35 / 0.01)].any()
    assert 25 < measured.snr_db < 45
    assert measure(babble(5) + 30 * noise, RATE).snr_db < 15


def test_the_envelope_tells_where_a_voice_is_loud() -> None:
    plain = measure(buzz(120, 80), RATE).envelope_db
    resonance = measure(_raised(buzz(120, 80), 1500, 12), RATE).envelope_db
    assert len(plain) == BANDS
    assert abs(centres()[int(np.argmax(resonance - plain))] - 1500) < 200
    assert np.mean(plain) == pytest.approx(0, abs=1e-4)


def test_a_wave_that_is_cut_off_is_told_from_a_loud_one() -> None:
    speech = babble(5, 137) * np.linspace(0.6, 1, len(CLOCK), dtype=np.float32)
    loud = speech / np.abs(speech).max()
    assert clipped(loud) < 0.0005
    assert clipped(np.clip(2.5 * loud, -1, 1)) > 0.005
    assert clipped(0.4 * np.clip(2.5 * loud, -1, 1)) > 0.005


def test_a_match_of_nothing_changes_nothing() -> None:
    given = parameters()
    same = apply(Match(1, 1, 1, 1, (0.0,) * BANDS), given)
    for before, after in zip(given, same, strict=True):
        np.testing.assert_allclose(after.reshape(before.shape), before, atol=2e-3)


def test_a_match_moves_pitch_pace_and_colour() -> None:
    given = parameters()
    harmonic, *_, pitches = apply(Match(0.5, 1, 0.8, 1, (3.0,) * BANDS), given)
    voiced = pitches[pitches > 0]
    assert len(pitches) == round(100 / 0.8) == harmonic.shape[1]
    assert np.median(voiced) == pytest.approx(0.5 * 200, rel=0.01)
    assert (pitches == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert set(np.unique(pitches > 0)) == {False, True}
    assert voiced.min() > 90  # nothing between voiced and unvoiced
    assert np.median(harmonic) == pytest.approx(3 / 8.686 + 0.5 * np.log(0.5), abs=0.01)


def test_a_shorter_tract_moves_formants_up() -> None:
    given = parameters()
    given[0][100:110] = 4.0
    harmonic, *_ = apply(Match(1, 1, 1, 1.2, (0.0,) * BANDS), given)
    assert np.argmax(harmonic[:, 50]) == pytest.approx(1.2 * 104.5, abs=7)


def test_seconds_are_those_of_the_recording() -> None:
    assert Sound(np.zeros(48_000), 16_000, np.zeros(72_000), 1).seconds == 3


def parameters() -> list[np.ndarray]:
    """Half a voiced, half an unvoiced second of the vocoder."""
    shape = (601, 100)
    random = np.random.default_rng(5)
    pitches = np.where(np.arange(100) < 50, 200.0, 0.0)[None].astype(np.float32)
    phase = random.uniform(-3, 3, shape)
    return [*(np.zeros(shape, np.float32) for _ in range(4)), phase.astype(np.float32), pitches]


def _voiced(sound: np.ndarray) -> np.ndarray:
    heard = pitch.track(sound.astype(np.float32), RATE)
    return heard[heard > 0]


def _raised(sound: np.ndarray, hertz: float, decibels: float) -> np.ndarray:
    spectrum = np.fft.rfft(sound)
    bins = np.fft.rfftfreq(len(sound), 1 / RATE)
    spectrum *= 10 ** (decibels * np.exp(-0.5 * ((bins - hertz) / 150) ** 2) / 20)
    return np.fft.irfft(spectrum, len(sound)).astype(np.float32)
