"""A voice like that of the sample."""

from dataclasses import dataclass, replace

from pipeline.assets import Asset
from pipeline.ports import ClonedVoice, SpeechSynthesizer, VoiceCloner
from pipeline.snapshots import Person
from pipeline.stage import minutes, stage
from pipeline.stages.validate_voice import CheckedSample

PREVIEW = "Hello. This is a synthetic voice, and this is how it sounds when it speaks."
PREVIEW_SEED = 0


@dataclass(frozen=True, slots=True)
class VoiceModel:
    voice: ClonedVoice
    preview: Asset


@stage(label="Cloning the voice", limit=minutes(5), heavy=True)
def clone_voice(
    checked: CheckedSample, person: Person, *, cloner: VoiceCloner, synthesizer: SpeechSynthesizer
) -> VoiceModel:
    """The preview is spoken with it: so a voice that nobody here can speak with shows now, not in its first video."""
    voice = replace(cloner.clone([checked.sound], name=person.name), samples=(checked.sound,))
    return VoiceModel(voice, synthesizer.speak(PREVIEW, voice, seed=PREVIEW_SEED).audio)
