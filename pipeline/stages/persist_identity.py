"""The avatar becomes an identity that later jobs name."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.ports import Identities
from pipeline.snapshots import Person
from pipeline.stage import stage
from pipeline.stages.character_sheet import CharacterSheet
from pipeline.stages.neutral_image import NeutralImage


@dataclass(frozen=True, slots=True)
class Avatar:
    """The result of an avatar job."""

    avatar_id: str
    neutral_image: Asset
    character_sheet: Asset
    voice_id: str | None


@stage(label="Saving the avatar")
def persist_identity(person: Person, image: NeutralImage, sheet: CharacterSheet, *, identities: Identities) -> Avatar:
    avatar_id = identities.save(person, image.neutral, sheet.sheet)
    return Avatar(avatar_id, image.neutral.image, sheet.sheet, voice_id=None)
