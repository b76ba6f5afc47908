"""The result: the video, its captions and its timeline on one measured clock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.assets import Asset
from pipeline.disclosure import Disclosure, disclosure
from pipeline.frame import Frame
from pipeline.ports import AssetStore, Captions, CaptionWriter, Utterance
from pipeline.snapshots import CaptionStyle
from pipeline.stage import minutes, stage
from pipeline.stages.background import Background
from pipeline.stages.enhance import Master
from pipeline.stages.lip_sync import Clip
from pipeline.stages.storyboard import Storyboard
from pipeline.timeline import Cue, cues, moment, shift, spans

VERSION = 2  # of the timeline file; files of version 1 count no frames and name assets by digest alone


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
    disclosure: Disclosure


@stage(label="Publishing", limit=minutes(2), version=2)
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
    """Times come from the clips' frames as counted, scene by scene without gaps."""
    frames = spans(clip.footage.frames for clip in clips)
    times = [(moment(start, frame.fps), moment(end, frame.fps)) for start, end in frames]
    scenes = tuple(
        PublishedScene(
            scene.index,
            start,
            end,
            scene.line.text,
            scene.stance.pose if scene.stance else None,
            backdrop.image,
            clip.footage.video,
        )
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
        captions=None if style.mode == "none" else captioner.write(lines, [speech.audio for speech in speeches]),
        timeline=_timeline(scenes, frames, lines, master.finished.video, frame, assets),
        duration_s=round(master.finished.seconds, 3),
        width=frame.width,
        height=frame.height,
        fps=frame.fps,
        scenes=scenes,
        disclosure=disclosure(frame),
    )


def _timeline(
    scenes: Sequence[PublishedScene],
    frames: Sequence[tuple[int, int]],
    lines: Sequence[Cue],
    video: Asset,
    frame: Frame,
    assets: AssetStore,
) -> Asset:
    """What schemas/timeline.py describes. Files are named by id and digest: a link would expire."""
    total = frames[-1][1]
    content = {
        "version": VERSION,
        "width": frame.width,
        "height": frame.height,
        "fps": frame.fps,
        "frames": total,
        "duration_s": moment(total, frame.fps),
        "video": _named(video),
        "scenes": [
            {
                "index": scene.index,
                "start_s": scene.start_s,
                "end_s": scene.end_s,
                "start_frame": start,
                "end_frame": end,
                "transcript": scene.transcript,
                "pose": scene.pose,
                "background": _named(scene.background),
                "video": _named(scene.video),
            }
            for scene, (start, end) in zip(scenes, frames, strict=True)
        ],
        "captions": [_caption(cue) for cue in lines],
    }
    with assets.scratch() as folder:
        file = folder / "timeline.json"
        file.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return assets.keep(
            file, kind="timeline", media_type="application/json", made_from=[scene.video for scene in scenes]
        )


def _named(asset: Asset) -> dict[str, Any]:
    return {"id": asset.id, "media_type": asset.media_type, "bytes": asset.bytes, "sha256": asset.sha256}


def _caption(cue: Cue) -> dict[str, Any]:
    words = [{"text": word.text, "start_s": round(word.start, 4), "end_s": round(word.end, 4)} for word in cue.words]
    return {"start_s": round(cue.start, 4), "end_s": round(cue.end, 4), "text": cue.text, "words": words}
