"""The last touch: loudness, marks, thumbnail."""

from dataclasses import dataclass

from pipeline.frame import Frame
from pipeline.ports import Finished, Identity, VideoEnhancer
from pipeline.stage import minutes, stage
from pipeline.stages.stitch import Cut

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
THUMBNAIL_S = 0.5  # late enough for an open face, early enough for the shortest video


@dataclass(frozen=True, slots=True)
class Master:
    finished: Finished


@stage(label="Finishing video", limit=minutes(10), heavy=True)
def enhance(cut: Cut, frame: Frame, identity: Identity, *, enhancer: VideoEnhancer) -> Master:
    """Every finished file says in its metadata that it is synthetic, whatever is visible in the picture."""
    marks = {
        "title": f"{identity.name}: synthetic video",
        "comment": "AI-generated: a synthetic talking portrait made from a still photo and a generated voice.",
        "digital_source_type": SYNTHETIC,
    }
    at = min(THUMBNAIL_S, cut.footage.seconds / 2)
    return Master(enhancer.enhance(cut.footage, frame=frame, marks=marks, thumbnail_at=at))
