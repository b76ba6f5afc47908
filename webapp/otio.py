"""The timeline as OpenTimelineIO, for editing programs; made from a job's result whenever it is asked for.

Addresses in it have no signature: they stay true, and open with a token. Each file's digest stands beside its address.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentimelineio.core import _core_utils
from opentimelineio.opentime import RationalTime, TimeRange
from opentimelineio.schema import Clip, ExternalReference, Marker, MarkerColor, Timeline, Track, TrackKind

MEDIA_TYPE = "application/vnd.pixar.opentimelineio+json"  # not registered, but what its documents propose
NAME = "likeness"  # of our own metadata
TRACKS = {"Picture": TrackKind.Video, "Sound": TrackKind.Audio}

# The library lets go of this function after Python has ended, which aborts the process: one reference more, and it
# never is the last to hold it. (Upstream: "Segmentation fault on pytest exit when creating a clip with metadata".)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_core_utils._value_to_any))


def otio(
    job_id: str, result: Mapping[str, Any], captions: Sequence[Mapping[str, Any]], *, address: Callable[[str], str]
) -> str:
    """A clip for each scene, whole, on a track for the picture and one for the sound; a marker for each caption.

    `result` is the job's, as stored; `captions` those of its timeline file; `address` tells where an asset's bytes are.
    Times are whole frames, so that clips meet; the measured seconds stand in the metadata.
    """
    fps = result["fps"]
    facts = {name: result[name] for name in ("width", "height", "fps", "duration_s", "video")}
    timeline = Timeline(job_id, global_start_time=RationalTime(0, fps), metadata={NAME: {"job_id": job_id} | facts})
    for name, kind in TRACKS.items():
        clips = [_clip(scene, fps, address) for scene in result["scenes"]]
        timeline.tracks.append(Track(name, clips, kind=kind))
    timeline.tracks.markers.extend(_marker(caption, fps) for caption in captions)
    return timeline.to_json_string(indent=1)


def _clip(scene: Mapping[str, Any], fps: int, address: Callable[[str], str]) -> Clip:
    whole = _frames(0.0, scene["end_s"] - scene["start_s"], fps)
    video = scene["video"]
    media = ExternalReference(address(video["id"]), available_range=whole, metadata={NAME: dict(video)})
    media.name = video["id"]
    return Clip(f"Scene {scene['index']}", media, source_range=whole, metadata={NAME: dict(scene)})


def _marker(caption: Mapping[str, Any], fps: int) -> Marker:
    shown = _frames(caption["start_s"], caption["end_s"], fps)
    text = caption["text"]
    return Marker(text.replace("\n", " "), shown, MarkerColor.YELLOW, comment=text, metadata={NAME: dict(caption)})


def _frames(start: float, end: float, fps: int) -> TimeRange:
    first = round(start * fps)
    return TimeRange(RationalTime(first, fps), RationalTime(max(round(end * fps) - first, 1), fps))
