"""The voice becomes one that later jobs name."""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.ports import Voices
from pipeline.snapshots import Person
from pipeline.stage import stage
from pipeline.stages.clone_voice import VoiceModel
from pipeline.stages.validate_voice import CheckedSample


@dataclass(frozen=True, slots=True)
class Voice:
    """The result of a voice job. `method` is what the voice may be called."""

    voice_id: str
    method: str
    preview: Asset


@stage(label="Saving the voice")
def persist_voice(person: Person, checked: CheckedSample, model: VoiceModel, *, voices: Voices) -> Voice:
    voice_id = voices.save(
        person, model.voice, sample=checked.sound, traits=checked.report.traits, preview=model.preview
    )
    return Voice(voice_id, model.voice.method, model.preview)
