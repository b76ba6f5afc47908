"""What is written on the picture stays inside its safe area and follows the voice."""

import numpy as np
import pytest

from pipeline.frame import Frame
from pipeline.ports import Title
from pipeline.timeline import Word, cues
from providers.local.overlay import YELLOW, Overlay, legible

SHAPES = [(1280, 720), (1080, 1920), (1080, 1080), (1080, 1350), (640, 360), (1920, 1080)]
TEXT = "Hello, I am a synthetic presenter made from a public-domain portrait. Café — 世界 😀 " + "long" * 40


def spoken() -> list[Word]:
    return [Word(text, 0.4 * index, 0.4 * index + 0.35) for index, text in enumerate(TEXT.split())]


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_all_writing_is_inside_the_safe_area(width: int, height: int) -> None:
    overlay = Overlay(Frame(width, height, 25), cues(spoken(), until=60))
    for moment in np.arange(0, 6, 0.2):
        for x, y, picture in overlay.at(float(moment)):
            assert picture.dtype == np.uint8
            assert picture.shape[2] == 4
            assert [side % 2 for side in (x, y, *picture.shape[:2])] == [0, 0, 0, 0]
            assert x >= 0.03 * width
            assert y >= 0.04 * height
            assert x + picture.shape[1] <= 0.97 * width
            assert y + picture.shape[0] <= (0.76 if height > 1.3 * width else 0.95) * height


def test_a_narrow_frame_has_more_pages_and_no_word_alone_on_a_line_without_need() -> None:
    text = "Documentation accompanies everything, and more"
    words = [Word(word, 0.5 * index, 0.5 * index + 0.4) for index, word in enumerate(text.split())]
    pages = Overlay(Frame(360, 640, 25), cues(words, until=60)).pages
    assert [word for page in pages for word in page.words] == words
    assert [[" ".join(word.text for word in line) for line in page.lines] for page in pages] == [
        ["Documentation", "accompanies"],
        ["everything, and more"],
    ]


def test_the_word_being_said_is_lit() -> None:
    frame = Frame(1280, 720, 25, label=None)
    words = [Word("one", 0.0, 0.4), Word("two", 0.4, 0.8)]
    overlay = Overlay(frame, cues(words, until=60))

    def lit_centre(moment: float) -> float:
        [(_, _, picture)] = overlay.at(moment)
        return float(np.argwhere((picture[..., :3] == YELLOW).all(axis=-1))[:, 1].mean() / picture.shape[1])

    assert lit_centre(0.2) < 0.5 < lit_centre(0.6)


def test_the_label_is_always_there_unless_it_is_none() -> None:
    labelled = Overlay(Frame(1280, 720, 25, "AI-generated"), ())
    assert len(labelled.at(0.0)) == len(labelled.at(99.0)) == 1
    assert Overlay(Frame(1280, 720, 25, None), ()).at(1.0) == []


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_the_name_stands_above_the_captions_and_fades(width: int, height: int) -> None:
    title = Title("Ada Example", "Synthetic presenter of a rather long programme, as it happens")
    overlay = Overlay(Frame(width, height, 25, None), cues(spoken(), until=60), title=title, title_until=3.0)
    assert [len(overlay.at(moment)) for moment in (0.2, 0.45, 2.7, 2.9)] == [1, 2, 2, 1]
    (x, y, name), (_, below, _) = overlay.at(1.5)
    assert [side % 2 for side in (x, y, *name.shape[:2])] == [0, 0, 0, 0]
    assert x >= 0.03 * width
    assert x + name.shape[1] <= 0.8 * width
    assert y + name.shape[0] <= below
    assert overlay.at(0.42)[0][2][..., 3].max() < 0.5 * name[..., 3].max()


def test_captions_are_silent_while_a_cutaway_writes_the_words() -> None:
    overlay = Overlay(Frame(1280, 720, 25, None), cues(spoken(), until=60), silent=(0.5, 1.5))
    assert [len(overlay.at(moment)) for moment in (0.45, 0.5, 1.45, 1.5)] == [1, 0, 0, 1]


def test_pictures_are_drawn_once() -> None:
    overlay = Overlay(Frame(1280, 720, 25), cues(spoken(), until=60))
    assert overlay.at(0.10) is overlay.at(0.14)
    assert not overlay.at(0.10)[-1][2].flags.writeable


def test_letters_without_a_glyph_are_spelled_or_left_out() -> None:
    assert legible("Café costs €5 – £3") == "Cafe costs EUR 5 - GBP 3"
    assert legible("世界") == "…"
