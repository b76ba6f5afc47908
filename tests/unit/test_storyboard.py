"""A planner's answer is not believed before it is checked, and may be mended once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import StoryboardInvalid
from pipeline.ports import PlannedCutaway, PlannedScene
from pipeline.snapshots import BRollWish, LowerThird, PoseWish, SceneLimit, Setting
from pipeline.stages.script import Script
from pipeline.stages.storyboard import LONG_CHARACTERS, Cutaway, Seam, Stance, Storyboard, storyboard

TEXT = "Good morning. This is a test.\nIt has a line of its own\nand ends here."
POSES = PoseWish(("explain", "think"))
B_ROLL = BRollWish(("ast_1",), picture_in_picture=True)
GOOD = (
    PlannedScene("Good morning. This is a test.", "an office", "medium", "explain", PlannedCutaway("ast_1", 0.3, 0.8)),
    PlannedScene("It has a line of its own", "an office", "close", "think", transition="fade"),
    PlannedScene("and ends here.", "an office", "wide", "explain", PlannedCutaway(None, 0.0, 1.0)),
)


class Planner:
    """Gives prepared answers, and remembers what it was asked."""

    def __init__(self, *answers: Sequence[PlannedScene]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def plan(self, script: str, **asked: Any) -> tuple[PlannedScene, ...]:
        self.asked.append(asked)
        return tuple(self.answers[len(self.asked) - 1])


def planned(
    planner: Planner,
    *,
    text: str = TEXT,
    most: int = 4,
    poses: PoseWish | None = POSES,
    b_roll: BRollWish | None = B_ROLL,
) -> Storyboard:
    made: Storyboard = storyboard.run(
        Script(text, "given"),
        SceneLimit(most),
        Setting("an office"),
        poses,
        b_roll,
        LowerThird("Host"),
        None,
        planner=planner,
    )
    return made


def changed(number: int, **changes: Any) -> tuple[PlannedScene, ...]:
    scenes = list(GOOD)
    scenes[number - 1] = replace(scenes[number - 1], **changes)
    return tuple(scenes)


def test_scenes_have_pose_cutaway_seams_and_one_lower_third() -> None:
    first, second, third = planned(Planner(GOOD)).scenes
    assert [scene.stance for scene in (first, second, third)] == [Stance("explain"), Stance("think"), Stance("explain")]
    assert first.cutaway == Cutaway("ast_1", 0.3, 0.8, True)
    assert second.cutaway is None
    assert [scene.seam for scene in (first, second, third)] == [
        Seam("cut", "cut"),
        Seam("cut", "fade"),
        Seam("fade", "cut"),
    ]
    assert [scene.lower_third for scene in (first, second, third)] == [LowerThird("Host"), None, None]


def test_what_nobody_asked_for_is_left_out() -> None:
    scenes = planned(Planner(GOOD), poses=None, b_roll=None).scenes
    assert {(scene.stance, scene.cutaway) for scene in scenes} == {(None, None)}


MIDWAY = (
    replace(GOOD[0], transcript="Good morning. This is"),
    replace(GOOD[1], transcript="a test. It has a line of its own"),
    GOOD[2],
)
BAD = [
    ((), "0 scenes"),
    (GOOD * 2, "6 scenes"),
    (changed(2, transcript=" … "), "scene 2 without words"),
    (changed(1, transcript="Good morning. This is a best."), "changed the words"),
    ((GOOD[1], GOOD[0], GOOD[2]), "changed the words"),
    (MIDWAY, "Scene 1 ends in the middle of a sentence"),
    (changed(1, shot="huge"), "unknown shot in scene 1; known here: close, medium, wide"),
    (changed(3, pose="dance"), "unknown pose in scene 3; known here: explain, think"),
    (changed(3, pose=None), "unknown pose in scene 3"),
    (changed(3, pose="neutral"), "unknown pose in scene 3"),
    (changed(2, transition="wipe"), "unknown transition in scene 2; known here: cut, dissolve, fade"),
    (changed(1, cutaway=PlannedCutaway("ast_1", 0.0, 0.5)), "first scene has to open on the speaker"),
    (changed(2, cutaway=PlannedCutaway("ast_9", 0.1, 0.5)), "an asset that was not given"),
    (changed(2, cutaway=PlannedCutaway(None, 0.5, 0.5)), "does not lie inside"),
    (changed(2, cutaway=PlannedCutaway(None, 0.5, 1.5)), "does not lie inside"),
    (changed(2, cutaway=PlannedCutaway(None, float("nan"), 0.5)), "does not lie inside"),
    (tuple(replace(scene, cutaway=None) for scene in GOOD), "cut away in no scene"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_wrong_answer_is_asked_for_once_more_and_then_fails(answer: Sequence[PlannedScene], reason: str) -> None:
    mended = Planner(answer, GOOD)
    assert len(planned(mended).scenes) == 3
    assert "flaw" not in mended.asked[0]
    assert reason in mended.asked[1]["flaw"]
    stubborn = Planner(answer, answer, GOOD)
    with pytest.raises(StoryboardInvalid, match=reason) as caught:
        planned(stubborn)
    assert (caught.value.code, caught.value.retryable, len(stubborn.asked)) == ("storyboard_invalid", False, 2)


def test_an_overlong_scene_is_refused_but_a_long_sentence_cannot_be_helped() -> None:
    long = "A word " * (LONG_CHARACTERS // 5) + "ends."
    short = "Short. " * (LONG_CHARACTERS // 3)
    one = PlannedScene(f"{long} Bye.", "x", "wide")
    assert planned(Planner([one]), text=f"{long} Bye.", most=8, poses=None, b_roll=None).scenes
    many = PlannedScene(short.strip(), "x", "wide")
    assert planned(Planner([many]), text=short, most=1, poses=None, b_roll=None).scenes
    with pytest.raises(StoryboardInvalid, match="belong into several scenes"):
        planned(Planner([many], [many]), text=short, most=8, poses=None, b_roll=None)
