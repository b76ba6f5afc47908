"""Sentences are found where a reader finds them, and no word is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sentences import sentences


@pytest.mark.parametrize(
    "text",
    [
        "Hello there.| How are you?| Fine!",
        "Dr. Smith met Mrs. Jones at 3.5 p.m. on Main St. near the U.S. embassy.| They talked.",
        "He moved to the U.S. in May.| It was cold.",
        "We sell apples, pears, etc.| They are cheap.",
        "Bring fruit, e.g. Gala apples.| Thanks.",
        'She asked: "Really?" and left.| "Yes!"| He stayed.',
        "Wait… what?| Well...| Nothing.",
        "It grew by 3.5 percent.| No. 5 is next.| No.| Never.",
        "J. R. Smith wrote it.| Read it!",
        "Great! 😀| Come again.",
        "Version 2.0 is out.| See example.org for more.",
        "no capitals here",
        "1. First we mix.| 2. Then we bake.",
        "A title without a mark|\n\nThe text begins here.| And goes on\nover the line.",
        "Points:|\n- one thing|\n- another thing",
    ],
)
def test_where_sentences_end(text: str) -> None:
    wanted = [" ".join(part.split()) for part in text.split("|")]
    assert list(sentences(text.replace("|", ""))) == wanted


@given(st.text(alphabet="abAB .,!?…\n\"'()-1é😀", max_size=80))
def test_words_are_kept_in_order(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()
