"""A script from a brief says what the brief says, and no more."""

import re

import pytest

from pipeline.errors import TextNotSpeakable
from providers.local.script import FRAMES, LocalScript
from tests.shelf import FolderStore


@pytest.fixture
def writer(tmp_path):
    return LocalScript(FolderStore(tmp_path))


@pytest.mark.parametrize(
    ("brief", "said"),
    [
        ("It opens on Monday. Guests get coffee.", "It opens on Monday. Guests get coffee."),
        ("Explain how photosynthesis works", "This is about how photosynthesis works."),
        ("Write a short video script about the benefits of cycling.", "This is about the benefits of cycling."),
        ("Tell customers that our office moves to 12 Main St. on May 3", "Our office moves to 12 Main St. on May 3."),
        ("A welcome video for new employees of ACME", "This is for new employees of ACME."),
        ("coffee", "This is about coffee."),
        ("- we open at 9\n- we close at 5", "We open at 9. We close at 5."),
        ("We sell bikes. Keep it friendly. Don't mention prices. Tone: warm", "We sell bikes."),
    ],
)  # fmt: skip
def test_what_is_said(writer, brief: str, said: str) -> None:
    assert writer.write(brief, seconds=60, tone="neutral") == f"Hello. {said} Thank you for watching."


@pytest.mark.parametrize("tone", [*FRAMES, "unheard of", ""])
def test_no_number_or_name_is_invented(writer, tone: str) -> None:
    brief = "Announce the launch of Zephyr 3! It weighs 9 kg. Riders in Oslo liked it."
    text = writer.write(brief, seconds=30, tone=tone)
    assert set(re.findall(r"\d+", text)) <= set(re.findall(r"\d+", brief))
    assert set(re.findall(r"(?<=[a-z] )[A-Z]\w+", text)) <= {"Zephyr", "Oslo"}


def test_it_fits_the_time_without_cutting_a_sentence(writer) -> None:
    brief = " ".join(f"This is statement number {n} of the list." for n in range(40))
    text = writer.write(brief, seconds=12, tone="calm")
    assert 20 <= len(text.split()) <= 12 * 2.5 * 1.1
    assert text.endswith(("list.", "listening."))


def test_a_short_brief_is_not_padded(writer) -> None:
    assert len(writer.write("We sell bikes.", seconds=300, tone="friendly").split()) < 12


def test_directions_alone_are_no_script(writer) -> None:
    with pytest.raises(TextNotSpeakable, match="Describe"):
        writer.write("Make it short.", seconds=10, tone="calm")
