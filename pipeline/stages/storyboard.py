"""From a script to scenes."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.errors import StoryboardInvalid
from pipeline.ports import PlannedScene, StoryboardPlanner
from pipeline.sentences import sentences
from pipeline.snapshots import BRollWish, LowerThird, Notes, PoseWish, SceneLimit, Setting
from pipeline.stage import minutes, stage
from pipeline.stages.script import Script

SHOTS = ("wide", "medium", "close")
TRANSITIONS = ("cut", "fade", "dissolve")
LONG_CHARACTERS = 1500  # about 100 s of speech


@dataclass(frozen=True, slots=True)
class Line:
    text: str


@dataclass(frozen=True, slots=True)
class Shot:
    size: str


@dataclass(frozen=True, slots=True)
class Stance:
    """The pose that the scene is played in, by its name."""

    pose: str


@dataclass(frozen=True, slots=True)
class Cutaway:
    """From and to are shares of the scene's speech; without a `medium` the picture is made from the words."""

    medium: str | None
    start: float
    end: float
    picture_in_picture: bool


@dataclass(frozen=True, slots=True)
class Seam:
    """How the scene comes in and how it goes: `cut`, `fade` (through black) or `dissolve` (into the next one)."""

    opens: str
    closes: str


@dataclass(frozen=True, slots=True)
class Scene:
    index: int
    line: Line
    setting: Setting
    shot: Shot
    stance: Stance | None = None
    cutaway: Cutaway | None = None
    seam: Seam | None = None
    lower_third: LowerThird | None = None


@dataclass(frozen=True, slots=True)
class Storyboard:
    scenes: tuple[Scene, ...]


@stage(label="Building storyboard", limit=minutes(2), version=2)
def storyboard(
    script: Script,
    limit: SceneLimit,
    setting: Setting,
    poses: PoseWish | None,
    b_roll: BRollWish | None,
    lower_third: LowerThird | None,
    notes: Notes | None,
    *,
    planner: StoryboardPlanner,
) -> Storyboard:
    """The transcripts together are the script, word for word; a planner that answers otherwise is not believed.

    It is told once what was wrong and may answer again. Raises StoryboardInvalid.
    """
    ask = partial(
        planner.plan,
        script.text,
        scenes=limit.most,
        background=setting.prompt,
        poses=poses.sequence if poses else (),
        media=b_roll.media if b_roll else None,
        notes=notes.text if notes else None,
    )
    planned = ask()
    try:
        check(planned, script.text, limit, poses, b_roll)
    except StoryboardInvalid as flaw:
        planned = ask(flaw=flaw.message)
        check(planned, script.text, limit, poses, b_roll)
    return compose(planned, poses, b_roll, lower_third)


def compose(
    planned: Sequence[PlannedScene], poses: PoseWish | None, b_roll: BRollWish | None, lower_third: LowerThird | None
) -> Storyboard:
    return Storyboard(
        tuple(
            Scene(
                index,
                Line(each.transcript),
                Setting(each.background),
                Shot(each.shot),
                stance=Stance(each.pose) if poses and each.pose else None,
                cutaway=_cutaway(each, b_roll),
                seam=Seam(before.transition if before else "cut", each.transition if index < len(planned) else "cut"),
                lower_third=lower_third if index == 1 else None,
            )
            for index, (before, each) in enumerate(zip((None, *planned), planned, strict=False), start=1)
        )
    )


def _cutaway(each: PlannedScene, wish: BRollWish | None) -> Cutaway | None:
    if wish is None or each.cutaway is None:
        return None
    return Cutaway(each.cutaway.medium, each.cutaway.start, each.cutaway.end, wish.picture_in_picture)


def check(
    planned: tuple[PlannedScene, ...],
    text: str,
    limit: SceneLimit,
    poses: PoseWish | None = None,
    b_roll: BRollWish | None = None,
) -> None:
    """Raises StoryboardInvalid, which says what is wrong and in which scene."""
    if not 1 <= len(planned) <= limit.most:
        raise StoryboardInvalid(f"The planner made {len(planned)} scenes where 1 to {limit.most} were asked for.")
    longest = max(LONG_CHARACTERS, 2 * len(text) // limit.most)
    for number, each in enumerate(planned, start=1):
        if not any(map(str.isalnum, each.transcript)):
            raise StoryboardInvalid(f"The planner left scene {number} without words.", scene=number)
        lengths = [len(sentence) for sentence in sentences(each.transcript)]
        if limit.most > 1 and sum(lengths) - max(lengths) > longest:  # one long sentence cannot be helped
            raise StoryboardInvalid(
                f"Scene {number} has {sum(lengths)} characters in {len(lengths)} sentences: more than {longest} belong"
                " into several scenes.",
                scene=number,
            )
        _among(each.shot, SHOTS, "shot", number)
        _among(each.transition, TRANSITIONS, "transition", number)
        if poses is not None:
            _among(each.pose, set(poses.sequence), "pose", number)
        if b_roll is not None:
            _check_cutaway(each, number, b_roll)
    if b_roll is not None and all(each.cutaway is None for each in planned):
        raise StoryboardInvalid("The planner cut away in no scene, but b-roll was asked for.")
    if " ".join(each.transcript for each in planned).split() != text.split():
        raise StoryboardInvalid("The planner changed the words of the script.")
    _check_ends(planned, text)


def _among(name: str | None, known: Collection[str], what: str, number: int) -> None:
    if name not in known:
        raise StoryboardInvalid(
            f"The planner named an unknown {what} in scene {number}; known here: {', '.join(sorted(known))}.",
            **{"scene": number, what: name},
        )


def _check_cutaway(each: PlannedScene, number: int, wish: BRollWish) -> None:
    cutaway = each.cutaway
    if cutaway is None:
        return
    if not (math.isfinite(cutaway.start) and math.isfinite(cutaway.end) and 0 <= cutaway.start < cutaway.end <= 1):
        raise StoryboardInvalid(
            f"The cutaway of scene {number} does not lie inside the scene: it starts and ends at shares between 0"
            " and 1.",
            scene=number,
        )
    if number == 1 and cutaway.start == 0:
        raise StoryboardInvalid("The first scene has to open on the speaker, not on a cutaway.", scene=number)
    if cutaway.medium is not None and cutaway.medium not in wish.media:
        raise StoryboardInvalid(f"Scene {number} cuts away to an asset that was not given.", scene=number)


def _check_ends(planned: tuple[PlannedScene, ...], text: str) -> None:
    """A scene ends where a sentence does, or where whoever wrote the script broke the line."""
    ends: set[int] = set()
    for parts in (sentences(text), text.splitlines()):
        count = 0
        for part in parts:
            count += len(part.split())
            ends.add(count)
    count = 0
    for number, each in enumerate(planned, start=1):
        count += len(each.transcript.split())
        if count not in ends:
            raise StoryboardInvalid(f"Scene {number} ends in the middle of a sentence.", scene=number)
