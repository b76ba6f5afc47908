"""The avatar says the scene's speech."""

from dataclasses import dataclass

from pipeline.frame import Frame
from pipeline.ports import Footage, Identity, TalkingPortrait, Utterance
from pipeline.snapshots import CaptionStyle, Seed
from pipeline.stage import minutes, stage
from pipeline.stages.background import Background
from pipeline.stages.storyboard import Shot
from pipeline.timeline import cues


@dataclass(frozen=True, slots=True)
class Clip:
    footage: Footage


@stage(label="Syncing lips", limit=minutes(20), heavy=True)
def lip_sync(
    identity: Identity,
    speech: Utterance,
    backdrop: Background,
    shot: Shot,
    frame: Frame,
    captions: CaptionStyle,
    seed: Seed,
    *,
    portrait: TalkingPortrait,
) -> Clip:
    """The clip lasts exactly as long as the speech: what comes later measures it and trusts no planned duration."""
    burned = cues(speech.words, until=speech.seconds) if captions.mode == "burned" else ()
    return Clip(
        portrait.speak(
            identity.neutral, speech, backdrop=backdrop.image, shot=shot.size, frame=frame, cues=burned, seed=seed.value
        )
    )
