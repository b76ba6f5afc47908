"""Scenes hold whole sentences, and together the script."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StoryboardInvalid
from providers.local.storyboard import LocalStoryboard, balanced
from tests.shelf import FolderStore

SCRIPT = (
    "Good morning, everyone. Dr. Ada Demo speaks, e.g. about apples. They grew by 3.5 percent. "
    "That is a lot for one year. Come and see us soon. Thank you for listening."
)


@pytest.fixture
def planner(tmp_path):
    return LocalStoryboard(FolderStore(tmp_path))


@pytest.mark.parametrize("count", [1, 2, 3, 6, 20])
def test_scenes_together_are_the_script(planner, count: int) -> None:
    scenes = planner.plan(SCRIPT, scenes=count, background="a quiet office")
    assert len(scenes) == min(count, 6)
    assert " ".join(scene.transcript for scene in scenes) == SCRIPT
    assert {scene.background for scene in scenes} == {"a quiet office"}
    assert scenes[0].shot in ("wide", "medium")
    assert all(before.shot != after.shot for before, after in pairwise(scenes))


def test_scenes_are_of_like_length(planner) -> None:
    lengths = [len(scene.transcript) for scene in planner.plan(SCRIPT, scenes=2, background="x")]
    assert max(lengths) < 1.5 * min(lengths)


def test_one_long_sentence_is_one_scene(planner) -> None:
    assert len(planner.plan("word " * 500, scenes=4, background="x")) == 1


def test_a_greeting_is_no_scene_of_its_own(planner) -> None:
    assert [s.transcript for s in planner.plan("Hi! Welcome to the show.", scenes=2, background="x")] == [
        "Hi! Welcome to the show."
    ]


def test_a_script_without_words_is_refused(planner) -> None:
    with pytest.raises(StoryboardInvalid):
        planner.plan(" \n ", scenes=3, background="x")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=14).flatmap(
    lambda sizes: st.tuples(st.just(sizes), st.integers(1, len(sizes)))
))  # fmt: skip
def test_runs_are_never_empty(case: tuple[list[int], int]) -> None:
    sizes, count = case
    lines = [f"{index}" + "x" * size for index, size in enumerate(sizes)]
    parts = balanced(lines, count)
    assert len(parts) == count
    assert all(parts)
    assert " ".join(parts).split() == lines
