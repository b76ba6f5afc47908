"""Painted backgrounds: what the words ask for, the same each time."""

import numpy as np
import pytest

from providers.local.background import compose, set_of


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a bright office", "office"), ("Modern STUDIO", "studio"), ("city lights in the evening", "city"),
        ("a sunny garden", "nature"), ("my kitchen", "room"), ("#0a7f3c", "plain"), ("plain white", "plain"),
        ("", "room"), ("世界", "room"),
    ],
)  # fmt: skip
def test_words_choose_the_set(prompt: str, kind: str) -> None:
    assert set_of(prompt) == kind


@pytest.mark.parametrize("prompt", ["an office", "a studio", "a city", "a garden", "a room", "blue"])
@pytest.mark.parametrize(("width", "height"), [(320, 180), (180, 320), (202, 202)])
def test_any_shape_is_filled_and_seeded(prompt: str, width: int, height: int) -> None:
    _, first = compose(prompt, width, height, 1)
    assert first.shape == (height, width, 3)
    assert (first == compose(prompt, width, height, 1)[1]).all()
    assert (first != compose(prompt, width, height, 2)[1]).any()
    assert 8 < first.mean() < 247


def test_it_is_out_of_focus() -> None:
    """A sharp background would draw the eye: steps between neighbours are hardly more than the grain."""
    grey = compose("a bright office", 640, 360, 3)[1].astype(np.float32).mean(axis=2)
    assert np.abs(np.diff(grey, axis=1)).mean() < 4


def test_a_colour_is_that_colour() -> None:
    middle = compose("#336699", 320, 180, 1)[1][80:100, 150:170].reshape(-1, 3).mean(axis=0)
    assert np.abs(middle - (0x33, 0x66, 0x99)).max() < 3
