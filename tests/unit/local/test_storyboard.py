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


def test_poses_come_in_turn_and_a_longer_scene_cuts_away_after_its_first_sentence(planner) -> None:
    text = "One two three. Four five six seven eight. Nine ten. " * 3
    scenes = planner.plan(text, scenes=3, background="x", poses=("think", "neutral"), media=("ast_1", "ast_2"))
    assert [scene.pose for scene in scenes] == ["think", "neutral", "think"]
    assert [scene.cutaway.medium for scene in scenes] == ["ast_1", "ast_2", "ast_1"]
    assert all(0.2 < scene.cutaway.start < 0.4 < scene.cutaway.end < 1 for scene in scenes)
    assert [scene.transition for scene in scenes] == ["cut", "fade", "cut"]


def test_a_short_script_cuts_away_once_to_a_made_picture(planner) -> None:
    scenes = planner.plan("One two three. Four five six.", scenes=2, background="x", media=())
    assert [scene.cutaway is not None for scene in scenes].count(True) == 1
    assert {scene.cutaway.medium for scene in scenes if scene.cutaway} == {None}


def test_without_wishes_scenes_are_plain(planner) -> None:
    scenes = planner.plan(SCRIPT, scenes=6, background="x")
    assert {(scene.pose, scene.cutaway, scene.transition) for scene in scenes} == {(None, None, "cut")}


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
