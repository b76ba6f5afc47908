"""The picture that every later shot starts from."""

from dataclasses import dataclass

from pipeline.ports import Neutral, NeutralMaker
from pipeline.snapshots import Style
from pipeline.stage import minutes, stage
from pipeline.stages.validate_images import ChosenPhoto


@dataclass(frozen=True, slots=True)
class NeutralImage:
    neutral: Neutral


@stage(label="Preparing the portrait", limit=minutes(5), heavy=True)
def neutral_image(chosen: ChosenPhoto, style: Style, *, maker: NeutralMaker) -> NeutralImage:
    return NeutralImage(maker.neutral(chosen.photo, background=style.background))
