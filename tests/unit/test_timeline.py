"""Captions and scenes keep every word, never overlap and can be read."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.timeline import LEAD_S, LINE_CHARACTERS, LONGEST_S, READ_CPS, Cue, Word, cues, moment, shift, spans


def spoken(text: str, *, pace: float = 0.3, pause_after: dict[int, float] | None = None) -> list[Word]:
    words: list[Word] = []
    clock = 0.12
    for index, word in enumerate(text.split()):
        words.append(Word(word, clock, clock + pace * 0.9))
        clock += pace + (pause_after or {}).get(index, 0.0)
    return words


@st.composite
def speeches(draw: st.DrawFn) -> list[Word]:
    texts = draw(st.lists(st.from_regex(r"[A-Za-z0-9$]{1,14}[.,!?…]?", fullmatch=True), max_size=60))
    clock = 0.0
    words = []
    for text in texts:
        clock += draw(st.floats(0, 1.2))
        end = clock + draw(st.floats(0, 0.9))
        words.append(Word(text, clock, end))
        clock = end
    return words


@given(speeches())
@settings(max_examples=150, deadline=None)
def test_any_speech_becomes_readable_cues(words: list[Word]) -> None:
    made = cues(words, until=words[-1].end + 0.1 if words else 0.0)
    assert all(cue.end <= words[-1].end + 0.1 for cue in made)
    assert [word for cue in made for word in cue.words] == words
    for cue in made:
        assert 1 <= len(cue.lines) <= 2
        assert all(len(line) == 1 or len(" ".join(w.text for w in line)) <= LINE_CHARACTERS for line in cue.lines)
        assert cue.words[0].start - LEAD_S - 0.0001 <= cue.start <= cue.words[0].start
        assert cue.end <= max(cue.words[0].start + LONGEST_S, cue.words[-1].end) + 0.001
    for before, after in pairwise(made):
        assert before.end <= after.start + 0.0001
        silence = after.start - before.words[-1].end
        assert after.start - before.end >= min(0.0799, silence - 0.001)


def test_cues_end_with_sentences_and_at_pauses() -> None:
    made = cues(
        spoken("Today we open the library. Everyone is most welcome here to come and read", pause_after={9: 0.8}),
        until=60,
    )
    assert [cue.text for cue in made] == [
        "Today we open the library.",
        "Everyone is most welcome here",
        "to come and read",
    ]


def test_an_abbreviation_does_not_end_a_cue() -> None:
    [cue] = cues(spoken("Ask Dr. Smith or e.g. Mr. Jones first."), until=60)
    assert cue.text.replace("\n", " ") == "Ask Dr. Smith or e.g. Mr. Jones first."


def test_brief_sentences_share_a_cue() -> None:
    first, *_ = cues(spoken("Yes. No. Maybe. I really do not know that."), until=60)
    assert first.text.startswith("Yes. No. Maybe.")


def test_a_long_sentence_is_cut_after_its_clause() -> None:
    made = cues(
        spoken("When the rain had stopped at last, the whole village walked down to the river to look."), until=60
    )
    assert made[0].text.replace("\n", " ") == "When the rain had stopped at last,"


def test_lines_are_of_like_length() -> None:
    [cue] = cues(spoken("Every word you hear has its own time."), until=60)
    assert [len(" ".join(word.text for word in line)) for line in cue.lines] in ([19, 17], [17, 19])


def test_a_word_longer_than_a_line_stands_alone() -> None:
    long = "https://example.org/" + "a" * 40
    made = cues(spoken(f"Visit {long} soon."), until=60)
    assert any(len(line) == 1 and line[0].text == long for cue in made for line in cue.lines)


def test_no_words_no_cues() -> None:
    assert cues([], until=1) == ()


def test_a_shifted_cue_is_the_same_later() -> None:
    cue = Cue(((Word("Hi", 0.1, 0.4),),), 0.1, 0.9)
    assert shift(cue, 10.0) == Cue(((Word("Hi", 10.1, 10.4),),), 10.1, 10.9)


def speed(cue: Cue) -> float:
    return len(cue.text) / (cue.end - cue.start)


@given(
    st.lists(st.from_regex(r"[a-z]{1,12}[.,?]?", fullmatch=True), min_size=1, max_size=80),
    st.floats(8, 16),
)
@settings(max_examples=150, deadline=None)
def test_speech_at_an_ordinary_pace_can_be_read(texts: list[str], pace: float) -> None:
    """Without a pause from the first word to the last."""
    words, clock = [], 0.0
    for text in texts:
        end = clock + (len(text) + 1) / pace
        words.append(Word(text, clock, end))
        clock = end
    assert max(speed(cue) for cue in cues(words, until=clock + 0.5)) <= READ_CPS + 0.01


def test_what_is_said_fast_lasts_into_the_silence_after_and_begins_in_that_before() -> None:
    fast = spoken("Extraordinarily interesting demonstrations", pace=0.3)
    [alone] = cues(fast, until=3.0)
    assert (alone.start, speed(alone)) == (fast[0].start, 20.0)
    [first, led, last] = cues(
        spoken("Then. Extraordinarily interesting demonstrations. So", pace=0.35, pause_after={0: 1.0, 3: 0.9}),
        until=4.0,
    )
    assert first.end <= led.start - 0.0799
    assert led.start < led.words[0].start
    assert speed(led) <= READ_CPS + 0.01
    assert last.start == last.words[0].start


def test_what_is_too_fast_in_any_case_takes_all_the_time_there_is() -> None:
    words = spoken("Extraordinarily interesting demonstrations everywhere " * 4, pace=0.25)
    made = cues(words, until=words[-1].end)
    assert all(speed(cue) > READ_CPS for cue in made)
    assert made[0].start == 0.0
    assert all(after.start - before.end <= 0.0801 for before, after in pairwise(made))
    assert made[-1].end == words[-1].end


def test_scenes_follow_without_gaps() -> None:
    assert spans([203, 1, 75]) == [(0, 203), (203, 204), (204, 279)]
    assert spans([]) == []
    assert [moment(frame, 24) for frame in (0, 1, 24 * 3600 + 1)] == [0.0, 0.041667, 3600.041667]
