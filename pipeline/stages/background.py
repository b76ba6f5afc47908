"""What is seen behind the avatar in a scene."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import BackgroundMaker
from pipeline.snapshots import Seed, Setting
from pipeline.stage import minutes, stage


@dataclass(frozen=True, slots=True)
class Background:
    image: Asset


@stage(label="Painting background", limit=minutes(5))
def background(setting: Setting, frame: Frame, seed: Seed, *, painter: BackgroundMaker) -> Background:
    return Background(painter.paint(setting.prompt, width=frame.width, height=frame.height, seed=seed.value))
