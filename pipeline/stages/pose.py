"""How the avatar holds itself in a scene."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.ports import Identity, PoseMaker
from pipeline.poses import NEUTRAL
from pipeline.stage import minutes, stage
from pipeline.stages.storyboard import Stance


@dataclass(frozen=True, slots=True)
class Pose:
    name: str
    still: Asset


@stage(label="Posing the avatar", limit=minutes(3), reusable=True)
def pose(identity: Identity, stance: Stance | None, *, maker: PoseMaker) -> Pose:
    """The still shows a reviewer what the scene will look like; where no pose was asked for, the neutral image."""
    if stance is None:
        return Pose(NEUTRAL, identity.neutral.image)
    return Pose(stance.pose, maker.pose(identity.neutral, name=stance.pose))
