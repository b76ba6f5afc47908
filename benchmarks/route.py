"""The reference job as a route of Likeness, known in the benchmark's own processes alone."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import reference
from pipeline import routes
from pipeline.graph import each_scene, par, seq, steps
from pipeline.stage import stage
from pipeline.wiring import check

NAME = "reference"
HEAVY = "REFERENCE_HEAVY"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the trace calls the job."""

    job: str


@dataclass(frozen=True, slots=True)
class SceneCount:
    scenes: int


@dataclass(frozen=True, slots=True)
class ReferenceSnapshot:
    ticket: Ticket
    count: SceneCount


@dataclass(frozen=True, slots=True)
class Line:
    scene: int


@dataclass(frozen=True, slots=True)
class Scene:
    line: Line


@dataclass(frozen=True, slots=True)
class Validated:
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    text: str


@dataclass(frozen=True, slots=True)
class Storyboard:
    text: str
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, slots=True)
class Voice:
    text: str


@dataclass(frozen=True, slots=True)
class Background:
    text: str


@dataclass(frozen=True, slots=True)
class Pose:
    text: str


@dataclass(frozen=True, slots=True)
class Clip:
    text: str


@dataclass(frozen=True, slots=True)
class Cut:
    text: str


@dataclass(frozen=True, slots=True)
class Master:
    text: str


@dataclass(frozen=True, slots=True)
class Publication:
    text: str


def _light_or_heavy(run: Callable[..., Any]) -> Any:
    return stage(label=run.__name__, heavy=run.__name__ in os.environ.get(HEAVY, "").split(","))(run)


@_light_or_heavy
def validate(ticket: Ticket) -> Validated:
    return Validated(reference.body(ticket.job, "validate"))


@_light_or_heavy
def script(ticket: Ticket, validated: Validated) -> Script:
    return Script(reference.body(ticket.job, "script"))


@_light_or_heavy
def storyboard(ticket: Ticket, script: Script, count: SceneCount) -> Storyboard:
    scenes = tuple(Scene(Line(scene)) for scene in range(1, count.scenes + 1))
    return Storyboard(reference.body(ticket.job, "storyboard"), scenes)


@_light_or_heavy
def voice(ticket: Ticket, line: Line) -> Voice:
    return Voice(reference.body(ticket.job, reference.key("voice", line.scene)))


@_light_or_heavy
def background(ticket: Ticket, line: Line, voice: Voice) -> Background:
    return Background(reference.body(ticket.job, reference.key("background", line.scene)))


@_light_or_heavy
def pose(ticket: Ticket, line: Line, voice: Voice) -> Pose:
    return Pose(reference.body(ticket.job, reference.key("pose", line.scene)))


@_light_or_heavy
def lip_sync(ticket: Ticket, line: Line, voice: Voice, background: Background, pose: Pose) -> Clip:
    return Clip(reference.body(ticket.job, reference.key("lip_sync", line.scene)))


@_light_or_heavy
def stitch(ticket: Ticket, clips: tuple[Clip, ...]) -> Cut:
    return Cut(reference.body(ticket.job, "stitch"))


@_light_or_heavy
def enhance(ticket: Ticket, cut: Cut) -> Master:
    return Master(reference.body(ticket.job, "enhance"))


@_light_or_heavy
def publish(ticket: Ticket, master: Master) -> Publication:
    return Publication(reference.body(ticket.job, "publish"))


def register() -> None:
    """Must come before tasks.stages is imported, which makes a Celery task of each stage.

    Some stages bear names of the product's: in these processes they take their place.
    """
    scene = seq(voice, par(background, pose), lip_sync)
    tree = seq(validate, script, storyboard, each_scene(scene), stitch, enhance, publish)
    check(tree, given=ReferenceSnapshot)
    routes.ROUTES[NAME] = tree
    routes.GIVEN[NAME] = ReferenceSnapshot
    routes.STAGES.update({step.stage.name: step.stage for step in steps(tree)})
