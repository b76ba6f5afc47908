"""The result: the video, its captions and its timeline on one measured clock."""

import json
from dataclasses import dataclass

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import AssetStore, Captions, CaptionWriter, Utterance
from pipeline.snapshots import CaptionStyle
from pipeline.stage import minutes, stage
from pipeline.stages.background import Background
from pipeline.stages.enhance import Master
from pipeline.stages.lip_sync import Clip
from pipeline.stages.storyboard import Storyboard
from pipeline.timeline import Cue, cues, shift, spans


@dataclass(frozen=True, slots=True)
class PublishedScene:
    index: int
    start_s: float
    end_s: float
    transcript: str
    pose: str | None
    background: Asset
    video: Asset


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of an output job."""

    video: Asset
    thumbnail: Asset
    captions: Captions | None
    timeline: Asset
    duration_s: float
    width: int
    height: int
    fps: int
    scenes: tuple[PublishedScene, ...]


@stage(label="Publishing", limit=minutes(2))
def publish(
    master: Master,
    board: Storyboard,
    clips: tuple[Clip, ...],
    speeches: tuple[Utterance, ...],
    backgrounds: tuple[Background, ...],
    frame: Frame,
    style: CaptionStyle,
    *,
    captioner: CaptionWriter,
    assets: AssetStore,
) -> Publication:
    """Times come from the clips as measured, scene by scene without gaps."""
    times = spans([clip.footage.seconds for clip in clips])
    scenes = tuple(
        PublishedScene(scene.index, start, end, scene.line.text, None, backdrop.image, clip.footage.video)
        for scene, (start, end), backdrop, clip in zip(board.scenes, times, backgrounds, clips, strict=True)
    )
    lines = tuple(
        shift(cue, start)
        for speech, (start, _) in zip(speeches, times, strict=True)
        for cue in cues(speech.words, until=speech.seconds)
    )
    return Publication(
        video=master.finished.video,
        thumbnail=master.finished.thumbnail,
        captions=None if style.mode == "none" else captioner.write(lines),
        timeline=_timeline(scenes, lines, frame, assets),
        duration_s=round(master.finished.seconds, 3),
        width=frame.width,
        height=frame.height,
        fps=frame.fps,
        scenes=scenes,
    )


def _timeline(scenes: tuple[PublishedScene, ...], lines: tuple[Cue, ...], frame: Frame, assets: AssetStore) -> Asset:
    content = {
        "version": 1,
        "fps": frame.fps,
        "scenes": [
            {
                "index": scene.index,
                "start_s": scene.start_s,
                "end_s": scene.end_s,
                "transcript": scene.transcript,
                "background": scene.background.sha256,
                "video": scene.video.sha256,
            }
            for scene in scenes
        ],
        "captions": [{"start_s": cue.start, "end_s": cue.end, "text": cue.text} for cue in lines],
    }
    with assets.scratch() as folder:
        file = folder / "timeline.json"
        file.write_text(json.dumps(content, ensure_ascii=False, indent=1))
        return assets.keep(
            file, kind="timeline", media_type="application/json", made_from=[scene.video for scene in scenes]
        )
