"""From a script to scenes."""

from dataclasses import dataclass

from pipeline.errors import StoryboardInvalid
from pipeline.ports import PlannedScene, StoryboardPlanner
from pipeline.snapshots import SceneLimit, Setting
from pipeline.stage import minutes, stage
from pipeline.stages.script import Script

SHOTS = frozenset({"wide", "medium", "close"})


@dataclass(frozen=True, slots=True)
class Line:
    text: str


@dataclass(frozen=True, slots=True)
class Shot:
    size: str


@dataclass(frozen=True, slots=True)
class Scene:
    index: int
    line: Line
    setting: Setting
    shot: Shot


@dataclass(frozen=True, slots=True)
class Storyboard:
    scenes: tuple[Scene, ...]


@stage(label="Building storyboard", limit=minutes(2))
def storyboard(script: Script, limit: SceneLimit, setting: Setting, *, planner: StoryboardPlanner) -> Storyboard:
    """The transcripts together are the script, word for word; a planner that answers otherwise is not believed."""
    planned = planner.plan(script.text, scenes=limit.most, background=setting.prompt)
    _check(planned, script.text, limit.most)
    return Storyboard(
        tuple(
            Scene(index, Line(each.transcript), Setting(each.background), Shot(each.shot))
            for index, each in enumerate(planned, start=1)
        )
    )


def _check(planned: tuple[PlannedScene, ...], text: str, most: int) -> None:
    if not 1 <= len(planned) <= most:
        raise StoryboardInvalid(f"The planner made {len(planned)} scenes where 1 to {most} were asked for.")
    for number, each in enumerate(planned, start=1):
        if not each.transcript.strip():
            raise StoryboardInvalid(f"The planner left scene {number} without words.", scene=number)
        if each.shot not in SHOTS:
            raise StoryboardInvalid(
                f"The planner named an unknown shot in scene {number}.", scene=number, shot=each.shot
            )
    if " ".join(each.transcript for each in planned).split() != text.split():
        raise StoryboardInvalid("The planner changed the words of the script.")
