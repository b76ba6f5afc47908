"""The scenes become one video."""

from dataclasses import dataclass

from pipeline.frame import Frame
from pipeline.ports import Footage, Utterance, VideoEditor
from pipeline.stage import minutes, stage
from pipeline.stages.lip_sync import Clip


@dataclass(frozen=True, slots=True)
class Cut:
    footage: Footage


@stage(label="Stitching video", limit=minutes(10), version=2, heavy=True, reusable=True)
def stitch(clips: tuple[Clip, ...], speeches: tuple[Utterance, ...], frame: Frame, *, editor: VideoEditor) -> Cut:
    dissolves = {number for number, clip in enumerate(clips, start=1) if clip.dissolves}
    return Cut(editor.stitch([clip.footage for clip in clips], speeches, frame=frame, dissolves=dissolves))
