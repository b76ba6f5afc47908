"""The person's expressions on one sheet."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.ports import SheetMaker
from pipeline.snapshots import Person
from pipeline.stage import minutes, stage
from pipeline.stages.neutral_image import NeutralImage


@dataclass(frozen=True, slots=True)
class CharacterSheet:
    sheet: Asset


@stage(label="Drawing the character sheet", limit=minutes(5), heavy=True)
def character_sheet(image: NeutralImage, person: Person, *, maker: SheetMaker) -> CharacterSheet:
    return CharacterSheet(maker.sheet(image.neutral, name=person.name))
