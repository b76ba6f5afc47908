import numpy as np
import pytest

from providers.local.visemes import CHANNELS, GLIDES, SHAPES, Phoneme, curves, pauses

OPEN, TUCK, PROTRUDE = (CHANNELS.index(name) for name in ("open", "tuck", "protrude"))


def said(*symbols: str, each: float = 0.1, start: float = 0.3) -> list[Phoneme]:
    return [Phoneme(symbol, start + i * each, start + (i + 1) * each) for i, symbol in enumerate(symbols)]


@pytest.mark.parametrize("lips", ["m", "b", "p"])
def test_lips_touch_while_m_b_and_p_are_said(lips):
    times = np.arange(0, 1.2, 0.005)
    mouth = curves(said("ɑ", lips, "ɑ", "ɪ"), times)[:, OPEN]
    during = (times + 0.03 >= 0.4) & (times + 0.03 <= 0.5)
    assert mouth[during].max() < 0.01
    assert mouth.max() > 0.35


@pytest.mark.parametrize("fps", [24, 25, 30])
def test_even_the_shortest_closure_is_seen_in_a_frame(fps):
    for offset in np.linspace(0, 1 / fps, 7):
        spoken = [
            Phoneme("ɑ", 0.2, 0.5 + offset),
            Phoneme("b", 0.5 + offset, 0.525 + offset),
            Phoneme("ɑ", 0.525 + offset, 0.9),
        ]
        mouth = curves(spoken, np.arange(fps) / fps, frame_s=1 / fps)[:, OPEN]
        assert mouth[int(0.45 * fps) : int(0.62 * fps)].min() < 0.01


def test_f_and_v_hold_the_lip_at_the_teeth():
    times = np.arange(0, 1, 0.005)
    mouth = curves(said("ɑ", "f", "ɑ"), times)
    during = (times + 0.03 >= 0.41) & (times + 0.03 <= 0.49)
    assert mouth[during, OPEN].max() <= 0.081
    assert mouth[during, TUCK].max() > 0.6


def test_the_mouth_rests_in_silence_and_before_and_after_the_speech():
    spoken = [*said("h", "ɛ", "l", "O"), Phoneme("", 0.7, 1.3), *said("w", "ɜ", "l", "d", start=1.3)]
    times = np.arange(0, 2.6, 0.01)
    mouth = np.abs(curves(spoken, times)).max(axis=1)
    heard = times + 0.03
    assert mouth[heard < 0.2].max() < 0.02
    assert mouth[(heard > 0.85) & (heard < 1.15)].max() < 0.02
    assert mouth[heard > 1.9].max() < 0.02


def test_gaps_between_phonemes_are_pauses_too():
    assert pauses(said("ɑ", start=0.5), 1.0) == [(0.0, 0.5), (pytest.approx(0.6), 1.0)]


def test_vowels_differ_as_they_should():
    at = np.array([0.57])
    opened = {vowel: curves(said("h", vowel, "t", each=0.2), at)[0] for vowel in ("ɑ", "i", "u")}
    assert opened["ɑ"][OPEN] > 2 * opened["i"][OPEN]
    assert opened["u"][PROTRUDE] > 0.5 > opened["ɑ"][PROTRUDE]


def test_louder_speech_opens_the_mouth_more():
    spoken, at = said("ɑ", "t", "ɑ"), np.array([0.32])
    quiet, loud = (curves(spoken, at, loudness=np.full(400, level))[0, OPEN] for level in (0.1, 0.9))
    assert loud > 1.3 * quiet


def test_all_values_stay_in_their_range():
    spoken = said(*SHAPES, *GLIDES, "?", each=0.07)
    mouth = curves(spoken, np.arange(0, 6, 0.01), loudness=np.ones(1400))
    assert mouth[:, OPEN].max() <= 1.0
    assert mouth[:, [i for i in range(len(CHANNELS)) if CHANNELS[i] != "wide"]].min() >= 0
    assert np.abs(mouth).max() <= 1.0


def test_nothing_said_is_a_closed_mouth():
    assert not curves([], np.arange(10) / 25).any()
