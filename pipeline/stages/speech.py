"""A scene's voice."""

from pipeline.ports import Identity, SpeechSynthesizer, Utterance
from pipeline.snapshots import Language, Seed
from pipeline.stage import minutes, stage
from pipeline.stages.storyboard import Line


@stage(label="Generating audio", limit=minutes(5), reusable=True)
def speech(
    line: Line, language: Language, identity: Identity, seed: Seed, *, synthesizer: SpeechSynthesizer
) -> Utterance:
    return synthesizer.speak(line.text, identity.voice, seed=seed.value, language=language.tag)
