"""Is there a sound that can become a voice?"""

from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.errors import StageError
from pipeline.ports import MediaSource, SampleInspector, SampleReport
from pipeline.snapshots import VoiceSample
from pipeline.stage import minutes, stage


@dataclass(frozen=True, slots=True)
class CheckedSample:
    sound: Asset
    report: SampleReport


@stage(label="Checking the voice sample", limit=minutes(3))
def validate_voice(sample: VoiceSample, *, source: MediaSource, inspector: SampleInspector) -> CheckedSample:
    try:
        sound = source.take(sample)
        return CheckedSample(sound, inspector.listen(sound))
    except StageError as error:
        error.details["pointer"] = "/inputs/voice_sample"
        raise
