"""The avatar says the scene's speech."""

from dataclasses import dataclass

from pipeline.frame import Frame
from pipeline.ports import Footage, Identity, Staging, TalkingPortrait, Title, Utterance
from pipeline.quality import Stretch
from pipeline.snapshots import CaptionStyle, LowerThird, Notes, Seed
from pipeline.stage import minutes, stage
from pipeline.stages.b_roll import BRoll
from pipeline.stages.background import Background
from pipeline.stages.pose import Pose
from pipeline.stages.storyboard import Seam, Shot
from pipeline.timeline import cues


@dataclass(frozen=True, slots=True)
class Clip:
    """`hidden` is when the speaker is not to be seen in full; `dissolves`: its end is to go over into what follows."""

    footage: Footage
    hidden: Stretch | None = None
    dissolves: bool = False


@stage(label="Syncing lips", limit=minutes(20), version=2, heavy=True, reusable=True)
def lip_sync(
    identity: Identity,
    speech: Utterance,
    backdrop: Background,
    shot: Shot,
    pose: Pose | None,
    b_roll: BRoll | None,
    seam: Seam | None,
    lower_third: LowerThird | None,
    frame: Frame,
    captions: CaptionStyle,
    seed: Seed,
    notes: Notes | None,
    *,
    portrait: TalkingPortrait,
) -> Clip:
    """The clip lasts exactly as long as the speech: what comes later measures it and trusts no planned duration."""
    burned = cues(speech.words, until=speech.seconds) if captions.mode == "burned" else ()
    staging = Staging(
        pose=pose.name if pose else None,
        insert=b_roll.insert if b_roll else None,
        opens=seam.opens if seam else "cut",
        closes=seam.closes if seam else "cut",
        title=Title(identity.name, lower_third.line) if lower_third else None,
        notes=notes.text if notes else None,
    )
    footage = portrait.speak(
        identity.neutral,
        speech,
        backdrop=backdrop.image,
        shot=shot.size,
        frame=frame,
        cues=burned,
        seed=seed.value,
        staging=staging,
    )
    hidden = Stretch(staging.insert.start, staging.insert.end) if staging.insert else None
    return Clip(footage, hidden, dissolves=staging.closes == "dissolve")
