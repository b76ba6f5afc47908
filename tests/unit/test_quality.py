"""A finished video is judged by what was measured on it; each defect has a name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.frame import Frame
from pipeline.quality import Expected, Inspection, Look, Stretch, common, defects, joined, minus
from tests.instant import faultless

FRAME = Frame(640, 360, 25)
# Two scenes of five seconds: two phrases in each, with a pause of a second between them.
PHRASES = (Stretch(0.2, 2.0), Stretch(3.0, 4.8), Stretch(5.2, 7.0), Stretch(8.0, 9.8))
WORDS = tuple(
    Stretch(round(phrase.start + k * 0.3, 3), round(phrase.start + (k + 1) * 0.3 - 0.02, 3))
    for phrase in PHRASES
    for k in range(6)
)
EXPECTED = Expected(FRAME, 250, (Stretch(0, 5), Stretch(5, 10)), WORDS, PHRASES)
GOOD = faultless(EXPECTED)


def named(found: Inspection, expected: Expected = EXPECTED) -> list[str]:
    return [defect.measure for defect in defects(found, expected)]


def with_lips(lips) -> Inspection:
    """The looks of a good video, with other lips where the function gives some (it takes the look)."""
    return replace(GOOD, looks=tuple(replace(look, lips=lips(look)) for look in GOOD.looks))


def test_a_video_that_is_as_expected_has_no_defect() -> None:
    assert defects(GOOD, EXPECTED) == ()


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("video_codec", {"codec": "hevc"}),
        ("profile", {"profile": "High 4:4:4 Predictive"}),
        ("pixels", {"pixels": "yuv444p"}),
        ("colour", {"colour": "unknown/bt709/bt709"}),
        ("size", {"width": 642}),
        ("fps", {"fps": 24.0}),
        ("frames", {"frames": 249}),
        ("frame_rate", {"even": False}),
        ("group_s", {"group_s": 2.04}),
        ("groups", {"closed": False}),
    ],
)
def test_each_fact_of_the_picture_is_asked_for(measure: str, change: dict[str, object]) -> None:
    assert GOOD.picture
    assert named(replace(GOOD, picture=replace(GOOD.picture, **change))) == [measure]


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("audio_codec", {"codec": "mp3"}),
        ("sample_rate", {"sample_rate": 44_100}),
        ("channels", {"channels": "mono"}),
        ("loudness_lufs", {"loudness_lufs": -14.9}),
        ("loudness_lufs", {"loudness_lufs": -17.1}),
        ("true_peak_dbtp", {"true_peak_dbtp": -0.9}),
    ],
)
def test_each_fact_of_the_sound_is_asked_for(measure: str, change: dict[str, object]) -> None:
    assert GOOD.sound
    assert named(replace(GOOD, sound=replace(GOOD.sound, **change))) == [measure]


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("index_first", {"index_first": False}),
        ("drift_s", {"drift_s": -0.2}),
        ("picture", {"picture": None}),
        ("sound", {"sound": None}),
        ("black", {"black": (Stretch(6.0, 6.2),)}),
        ("frozen", {"frozen": (Stretch(6.0, 7.2),)}),
        ("silent", {"silent": (Stretch(6.0, 6.5),)}),
    ],
)
def test_each_defect_of_the_whole_has_its_name(measure: str, change: dict[str, object]) -> None:
    assert measure in named(replace(GOOD, **change))


def test_a_defect_says_in_which_scene_it_is_and_when() -> None:
    (defect,) = defects(replace(GOOD, black=(Stretch(6.0, 6.2),)), EXPECTED)
    assert (defect.scene, defect.found, defect.wanted) == (2, "6.00-6.20 s", 0.1)
    assert "black at 6.00-6.20 s" in defect.says


def test_silence_between_words_is_explained_and_silence_in_them_is_not() -> None:
    assert named(replace(GOOD, silent=(*EXPECTED.silences(), Stretch(1.9, 3.1)))) == []
    assert named(replace(GOOD, silent=(Stretch(0.0, 10.0),))) == ["silent"] * 4


def test_a_picture_may_stand_still_where_a_card_is_shown_and_no_face_is_expected_there() -> None:
    card = replace(EXPECTED, hidden=(Stretch(2.0, 5.0),))
    found = replace(GOOD, frozen=(Stretch(2.2, 4.9),), looks=tuple(look for look in GOOD.looks if not 2 < look.at < 5))
    assert named(found, card) == []
    assert "frozen" in named(found)


def test_words_without_a_caption_and_sound_without_words_are_found() -> None:
    assert named(GOOD, replace(EXPECTED, captions=PHRASES[:-1])) == ["caption"] * 6
    assert named(replace(GOOD, silent=())) == []  # a pause of a second, less the inexact edges of its words
    late = replace(EXPECTED, words=WORDS[:-6], captions=PHRASES[:-1])
    assert "unwritten" in named(replace(GOOD, silent=()), late)


def test_a_face_that_is_lost_is_found_and_one_missed_look_is_not() -> None:
    assert named(with_lips(lambda look: None if 3.4 < look.at < 3.6 else look.lips)) == []
    assert named(with_lips(lambda look: None if 3.2 < look.at < 4.6 else look.lips)) == ["face"]
    assert "face" in named(with_lips(lambda look: None))
    assert named(replace(GOOD, looks=())) == ["face"]


def test_lips_that_do_not_move_in_speech_are_found() -> None:
    still = with_lips(lambda look: 0.02 if look.at < 5 else look.lips)
    found = defects(still, EXPECTED)
    assert {(defect.measure, defect.scene) for defect in found} == {("mouth_still", 1)}
    assert "mouth_still" in named(with_lips(lambda look: 0.15))
    assert named(with_lips(lambda look: look.lips if look.at > 1.2 else 0.02)) == [], "a second may be an m"


def test_a_short_speech_is_judged_as_a_whole() -> None:
    brief = Expected(FRAME, 45, (Stretch(0, 1.8),), (Stretch(0.1, 1.7),), (Stretch(0.1, 1.8),))
    good = faultless(brief)
    assert named(good, brief) == []
    still = replace(good, looks=tuple(replace(look, lips=0.1) for look in good.looks))
    assert named(still, brief) == ["mouth_still"]
    mm = replace(brief, words=(Stretch(0.1, 0.9),))
    assert named(replace(still, looks=still.looks[:4]), mm) == []


def test_lips_that_do_not_rest_in_pauses_are_found() -> None:
    looks = tuple(Look(round(0.12 * n, 2), 0.2 if n % 2 else 0.02) for n in range(83))
    assert set(named(replace(GOOD, looks=looks))) == {"mouth_restless"}
    assert set(named(with_lips(lambda look: 0.2 if look.lips == 0.01 else look.lips))) == {"mouth_open"}


def test_a_smile_that_shows_teeth_at_rest_is_no_open_mouth() -> None:
    assert named(with_lips(lambda look: (look.lips or 0) + 0.12)) == []


def test_without_words_only_the_file_is_judged() -> None:
    assert named(GOOD, replace(EXPECTED, words=(), captions=())) == []


# --- stretches -----------------------------------------------------------------------------------

edges = st.lists(st.integers(0, 40), min_size=2, max_size=10, unique=True).map(sorted)
stretches = edges.map(lambda found: tuple(Stretch(a, b) for a, b in zip(found[::2], found[1::2], strict=False)))


def ticks(some: tuple[Stretch, ...]) -> set[int]:
    return {tick for each in some for tick in range(int(each.start), int(each.end))}


@given(stretches, stretches)
def test_stretches_are_sets_of_moments(some: tuple[Stretch, ...], others: tuple[Stretch, ...]) -> None:
    assert ticks(minus(some, others)) == ticks(some) - ticks(others)
    assert ticks(common(some, others)) == ticks(some) & ticks(others)
    assert ticks(joined((*some, *others), gap=0)) == ticks(some) | ticks(others)
    assert all(each.seconds > 0 for each in (*minus(some, others), *common(some, others)))
