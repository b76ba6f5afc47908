"""What is seen behind the avatar in a scene."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import BackgroundMaker
from pipeline.snapshots import Notes, Seed, Setting
from pipeline.stage import minutes, stage


@dataclass(frozen=True, slots=True)
class Background:
    image: Asset


@stage(label="Painting background", limit=minutes(5), reusable=True)
def background(
    setting: Setting, frame: Frame, seed: Seed, notes: Notes | None, *, painter: BackgroundMaker
) -> Background:
    """A reviewer's notes belong to the prompt: there is no painter that could not read them there."""
    prompt = setting.prompt if notes is None else f"{setting.prompt.rstrip('. ')}. {notes.text}"
    return Background(painter.paint(prompt, width=frame.width, height=frame.height, seed=seed.value))
