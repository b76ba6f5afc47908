"""The avatar becomes an identity that later jobs name."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.ports import Identities, Voices
from pipeline.snapshots import Person
from pipeline.stage import stage
from pipeline.stages.character_sheet import CharacterSheet
from pipeline.stages.clone_voice import VoiceModel
from pipeline.stages.neutral_image import NeutralImage
from pipeline.stages.validate_voice import CheckedSample


@dataclass(frozen=True, slots=True)
class Avatar:
    """The result of an avatar job."""

    avatar_id: str
    neutral_image: Asset
    character_sheet: Asset
    voice_id: str | None


@stage(label="Saving the avatar")
def persist_identity(
    person: Person,
    image: NeutralImage,
    sheet: CharacterSheet,
    checked: CheckedSample | None,
    model: VoiceModel | None,
    *,
    identities: Identities,
    voices: Voices,
) -> Avatar:
    voice_id = None
    if checked is not None and model is not None:
        voice_id = voices.save(
            person, model.voice, sample=checked.sound, traits=checked.report.traits, preview=model.preview
        )
    avatar_id = identities.save(person, image.neutral, sheet.sheet, voice_id)
    return Avatar(avatar_id, image.neutral.image, sheet.sheet, voice_id)
