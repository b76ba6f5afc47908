"""From the moments of characters to words and to what the mouth does."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from providers.letters import Letter, mouth, sounds, spell, words

TEXT = "Hello, new world — 2026!"


def alignment(text: str, step: float = 0.1, start: float = 0.0) -> dict[str, Any]:
    times = [round(start + step * at, 4) for at in range(len(text) + 1)]
    return {
        "characters": list(text),
        "character_start_times_seconds": times[:-1],
        "character_end_times_seconds": times[1:],
    }


def symbols(word: str) -> list[str]:
    return [symbol for symbol, _, _ in sounds(word) if symbol]


# --- words ----------------------------------------------------------------------------------


def test_words_are_those_written_at_the_moments_of_their_letters() -> None:
    spelled, exact = spell(TEXT, [alignment(TEXT)], 2.4)
    found = words(spelled)
    assert exact
    assert [word.text for word in found] == TEXT.split()
    assert [(word.start, word.end) for word in found] == [(0, 0.5), (0.7, 1.0), (1.1, 1.6), (1.7, 1.8), (1.9, 2.3)]


def test_line_breaks_and_other_spaces_of_the_vendor_do_not_matter() -> None:
    spelled, exact = spell("Hello,\n\nnew  world", [alignment("Hello, new world ")], 2.0)
    assert exact
    assert [(word.start, word.end) for word in words(spelled)] == [(0, 0.5), (0.7, 1.0), (1.1, 1.6)]


def test_a_word_that_the_vendor_wrote_otherwise_keeps_its_time() -> None:
    spelled, exact = spell("It’s 5 o’clock", [None, alignment("It's five o'clock")], 2.0)
    assert exact
    assert [(word.start, word.end) for word in words(spelled)] == [(0, 0.4), (0.5, 0.9), (1.0, 1.7)]


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        "Hello",
        alignment("Hello"),
        alignment("Hello, new world — 2026! And more"),
        alignment(TEXT) | {"characters": list(TEXT)[1:]},
        alignment(TEXT) | {"character_end_times_seconds": None},
        alignment(TEXT) | {"character_start_times_seconds": ["0"] * len(TEXT)},
        alignment(TEXT) | {"character_start_times_seconds": [float("nan")] * len(TEXT)},
    ],
)
def test_without_moments_that_fit_the_words_share_the_time(told: object) -> None:
    spelled, exact = spell(TEXT, [told], 4.8)
    found = words(spelled)
    assert not exact
    assert [word.text for word in found] == TEXT.split()
    assert (found[0].start, found[-1].end) == (0, pytest.approx(4.6))
    assert found[2].end - found[2].start == pytest.approx(1.0)  # five letters of twenty-four


@given(
    text=some.text(some.sampled_from("aeb ch.\n2д"), max_size=30),
    times=some.lists(some.tuples(some.floats(-1, 9), some.floats(-1, 9)), min_size=30, max_size=30),
    seconds=some.floats(0.1, 6),
)
def test_whatever_the_vendor_says_time_goes_forwards_and_is_whole(
    text: str, times: list[tuple[float, float]], seconds: float
) -> None:
    used = times[: len(text)]
    told = {
        "characters": list(text),
        "character_start_times_seconds": [start for start, _ in used],
        "character_end_times_seconds": [end for _, end in used],
    }
    spelled, _ = spell(text, [told], seconds)
    found = words(spelled)
    assert [word.text for word in found] == text.split()
    assert all(0 <= word.start <= word.end <= seconds + 1e-4 for word in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    entries = mouth(spelled, seconds)
    assert entries[0]["start"] == 0
    assert entries[-1]["end"] == pytest.approx(seconds, abs=1e-4)
    assert all(before["end"] == after["start"] for before, after in pairwise(entries))
    assert all(entry["end"] > entry["start"] for entry in entries)


# --- the mouth ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "heard"),
    [
        ("ship", "ʃɪp"), ("Church", "ʧɜɹʧ"), ("this", "θɪs"), ("phone", "fOn"), ("sing", "sɪŋ"), ("see", "si"),
        ("food", "fud"), ("found", "fWnd"), ("make", "mAk"), ("the", "θi"), ("night", "nIt"), ("knee", "ni"),
        ("write", "ɹIt"), ("thumb", "θʌm"), ("happy", "hæpi"), ("city", "sɪti"), ("page", "pAʤ"), ("yes", "jɛs"),
        ("queen", "kwin"), ("box", "bɑks"), ("nation", "næʃən"), ("little", "lɪtəl"), ("I", "I"), ("go", "ɡO"),
        ("my", "mI"), ("very", "vɛɹi"), ("“Élan!”", "ɛlæn"), ("don’t", "dɑnt"), ("...", ""),
    ],
)  # fmt: skip
def test_english_spelling_as_lips_have_it(word: str, heard: str) -> None:
    assert "".join(symbols(word)) == heard


@given(some.text(max_size=20))
def test_every_letter_of_any_word_is_accounted_for(word: str) -> None:
    assert "".join(word[low:high] for _, low, high in sounds(word)) == word


def test_lips_meet_while_their_letter_is_heard() -> None:
    spelled, _ = spell("My umbrella", [alignment("My umbrella")], 1.1)
    entries = mouth(spelled, 1.1)
    closed = [(entry["symbol"], entry["start"]) for entry in entries if entry["symbol"] in "mb" and entry["symbol"]]
    assert closed == [("m", 0.0), ("m", 0.4), ("b", 0.5)]


def test_what_is_not_heard_belongs_to_the_sound_before() -> None:
    spelled, _ = spell("make", [alignment("make")], 0.4)
    assert [(entry["symbol"], entry["start"], entry["end"]) for entry in mouth(spelled, 0.4)] == [
        ("m", 0.0, 0.1),
        ("A", 0.1, 0.2),
        ("k", 0.2, 0.4),
    ]


def test_a_pause_is_silence_and_a_gap_is_not() -> None:
    told = alignment("go. on", 0.3)
    entries = mouth(spell("go. on", [told], 2.5)[0], 2.5)
    assert [entry["symbol"] for entry in entries] == ["ɡ", "O", "", "ɑ", "n", ""]
    assert (entries[2]["start"], entries[2]["end"]) == (0.6, 1.2)
    quick = mouth(spell("go on", [alignment("go on", 0.08)], 0.4)[0], 0.4)
    assert [entry["symbol"] for entry in quick] == ["ɡ", "O", "ɑ", "n"]
    assert quick[1]["end"] == quick[2]["start"] == pytest.approx(0.2)


def test_numbers_and_other_scripts_open_and_close_the_mouth() -> None:
    for text in ("7", "д", "語"):
        spelled = [[Letter(text, 0.0, 0.8)]]
        assert [entry["symbol"] for entry in mouth(spelled, 0.8)] == ["ə", "d"] * 4


def test_the_first_vowel_of_a_word_is_stressed() -> None:
    spelled, _ = spell("banana bread", [alignment("banana bread")], 1.2)
    stressed = [entry["symbol"] for entry in mouth(spelled, 1.2) if entry["stress"]]
    assert stressed == ["æ", "i"]


def test_nothing_to_say_is_a_closed_mouth() -> None:
    assert mouth([], 1.5) == [{"symbol": "", "start": 0.0, "end": 1.5, "stress": 0}]
