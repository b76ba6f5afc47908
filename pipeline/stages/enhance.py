"""The last touch: loudness, marks, thumbnail; and the last look, before anybody else's."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pipeline.disclosure import disclosure
from pipeline.errors import QualityFailed
from pipeline.frame import Frame
from pipeline.ports import Finished, Identity, Provenance, Utterance, VideoEnhancer, VideoInspector
from pipeline.quality import Defect, Expected, Inspection, Stretch, defects
from pipeline.snapshots import Language
from pipeline.stage import minutes, stage
from pipeline.stages.lip_sync import Clip
from pipeline.stages.stitch import Cut
from pipeline.timeline import cues, moment, shift, spans

THUMBNAIL_S = 0.5  # late enough for an open face, early enough for the shortest video
TOLD = 5  # defects that a message names; all of them are in its details


@dataclass(frozen=True, slots=True)
class Master:
    finished: Finished
    inspection: Inspection


@stage(label="Finishing video", limit=minutes(10), version=2, heavy=True)
def enhance(
    cut: Cut,
    clips: tuple[Clip, ...],
    speeches: tuple[Utterance, ...],
    frame: Frame,
    identity: Identity,
    language: Language,
    *,
    inspector: VideoInspector,  # before the enhancer: who served last is named in the record
    enhancer: VideoEnhancer,
    provenance: Provenance,
) -> Master:
    """Every finished file says in its metadata that it is synthetic, whatever is visible in the picture.

    Whoever finished it, it is measured as it will be published. Raises QualityFailed with all that is wrong.
    """
    said = disclosure(frame)
    marks = {
        "title": f"{identity.name}: synthetic video",
        "comment": said.statement,
        "digital_source_type": said.digital_source_type,
        "language": language.tag,
    }
    at = min(THUMBNAIL_S, cut.footage.seconds / 2)
    finished = enhancer.enhance(cut.footage, frame=frame, marks=marks, thumbnail_at=at)
    facts = {"seconds": finished.seconds, "width": frame.width, "height": frame.height, "fps": frame.fps}
    signed = provenance.sign(finished.video, said, title=marks["title"], facts=facts)
    finished = replace(finished, video=signed)
    expected = timeline(clips, speeches, frame)
    inspection = inspector.examine(finished.video, expected=expected)
    if wrong := defects(inspection, expected):
        raise QualityFailed(_told(wrong), defects=[asdict(defect) for defect in wrong])
    return Master(finished, inspection)


def _told(wrong: Sequence[Defect]) -> str:
    """For people: what is wrong, and what may help."""
    said = [f"{each.says} (scene {each.scene})" if each.scene else each.says for each in wrong[:TOLD]]
    scenes = sorted({each.scene for each in wrong if each.scene})
    remedy = (
        f"Retry from scene/{scenes[0]}/lip_sync, as a new variation."
        if scenes
        else "Retry from enhance; if that does not help, whoever finishes videos here has to be looked at."
    )
    more = [f"{len(wrong) - TOLD} more"] if len(wrong) > TOLD else []
    return f"The finished video is not fit to be published: {'; '.join(said + more)}. {remedy}"


def timeline(clips: Sequence[Clip], speeches: Sequence[Utterance], frame: Frame) -> Expected:
    """What the measured parts say of the whole: the scenes, the words in them, and the captions of these words."""
    frames = spans(clip.footage.frames for clip in clips)
    scenes = [(moment(start, frame.fps), moment(end, frame.fps)) for start, end in frames]
    words, captions = [], []
    hidden = [
        Stretch(start + clip.hidden.start, start + clip.hidden.end)
        for clip, (start, _) in zip(clips, scenes, strict=True)
        if clip.hidden
    ]
    for speech, (start, _) in zip(speeches, scenes, strict=True):
        words += [Stretch(start + word.start, start + word.end) for word in speech.words]
        shown = [shift(cue, start) for cue in cues(speech.words, until=speech.seconds)]
        captions += [Stretch(cue.start, cue.end) for cue in shown]
    return Expected(
        frame,
        frames[-1][1],
        tuple(Stretch(*scene) for scene in scenes),
        tuple(words),
        tuple(captions),
        tuple(hidden),
    )
