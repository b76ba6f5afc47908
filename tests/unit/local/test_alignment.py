"""Written words get the time in which they are heard, however the voice reads them."""

from itertools import pairwise

from providers.local.alignment import Group, foreign, phones, place, said, score, settle


def test_addresses_dashes_and_signs_are_said_in_words() -> None:
    assert said("https://www.example.org/a-b,") == "example dot org slash a dash b,"
    assert said("(example.com)") == "(example dot com)"
    assert said("–") == "—"
    assert said("-5") == "minus 5"
    assert said("Well...") == "Well…"
    assert [said(word) for word in ("3.5", "e.g.", "Node.js", "U.S.")] == ["3.5", "e.g.", "Node.js", "U.S."]


def test_only_foreign_letters_are_foreign() -> None:
    assert [word for word in ("naïve", "5µm", "½", "世界", "мир", "😀", "Ωmega") if foreign(word)] == [
        "世界",
        "мир",
        "Ωmega",
    ]


def test_rewritten_words_share_their_time() -> None:
    written = ["Pay", "$5", "million", "😀", "now."]
    groups = [
        Group("Pay", "p"),
        Group("5", "f"),
        Group("million", "m"),
        Group("dollars", "d"),
        Group("😀", ""),
        Group("now.", "n."),
    ]
    spans = [(0.1, 0.3), (0.3, 0.5), (0.5, 0.9), (0.9, 1.3), None, (1.4, 1.7)]
    words = place(written, [(word, index) for index, word in enumerate(written)], groups, spans, 0.0)
    assert [(word.text, word.start, word.end) for word in words] == [
        ("Pay", 0.1, 0.3), ("$5", 0.3, 0.5), ("million", 0.5, 1.3), ("😀", 1.3, 1.3), ("now.", 1.4, 1.7),
    ]  # fmt: skip


def test_stress_belongs_to_its_vowel_and_a_pause_to_silence() -> None:
    symbols = [(symbol, 0) for symbol in "hˈO"] + [(",", 0), (" ", 1), ("j", 1), ("u", 1)]
    ends = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    heard = phones(symbols, ends[:-1], ends[1:])
    assert [(phone.symbol, phone.stress) for phone in heard] == [("h", 0), ("O", 1), ("j", 0), ("u", 0)]
    assert (heard[1].start, heard[1].end) == (0.2, 0.4)
    settled = settle(heard, [10 <= step < 35 or step >= 69 for step in range(90)], 0.01)
    assert abs(settled[1].end - 0.35) < 1e-9
    assert abs(settled[2].start - 0.69) < 1e-9
    entries = score(settled, [], 0.9)["phonemes"]
    assert [entry["symbol"] for entry in entries] == ["", "h", "O", "", "j", "u"]
    assert all(before["end"] == after["start"] for before, after in pairwise(entries))
