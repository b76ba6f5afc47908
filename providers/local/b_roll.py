"""Cutaways: a photo that the camera wanders over, a video cropped to the frame, or the words themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.assets import Asset
from pipeline.errors import RenderFailed, UnreadableVideo
from pipeline.frame import Frame
from pipeline.ports import AssetStore, Footage
from pipeline.timeline import Word
from providers.local import crop, ffmpeg, kinetic, reel
from providers.local.faces import Array
from providers.local.photo import decode

FARTHER, CLOSER = 1.02, 1.16  # how much a photo is enlarged at the ends of the way over it
DRIFT = 1 / 3  # of the room beside the view, which the way over a photo uses at most
LOOKS = 4  # at a video, for faces that its crop has to hold
LOOK_SIDE = 640
LARGEST_SIDE = 4096
DEMUXERS = {"video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska"}
DAMAGED = "The video is damaged or ends before it should. Upload it again, or leave it out."


class LocalCutaways:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def cut(self, medium: Asset | None, words: Sequence[Word], *, seconds: float, frame: Frame, seed: int) -> Footage:
        """H.264 in MP4, without sound."""
        frames = round(seconds * frame.fps)
        with self.assets.scratch() as folder:
            out = folder / "cutaway.mp4"
            if medium is None:
                reel.write(kinetic.pictures(words, frames, frame, seed=seed), out, frame)
            elif medium.media_type.startswith("image/"):
                with self.assets.open(medium) as file:
                    picture = decode(file)
                reel.write(wander(picture, frames, frame, seed=seed), out, frame)
            else:
                with self.assets.open(medium) as file:
                    _fill(file, medium.media_type, out, frames, frame)
            made = ffmpeg.probe(out).video
            if made is None or made.frames != frames:
                raise RenderFailed(f"The cutaway has {made.frames if made else 0} frames instead of {frames}.")
            facts = {
                "width": made.width, "height": made.height, "fps": frame.fps, "frames": frames,
                "seconds": frames / frame.fps, "made_of": medium.kind if medium else "words",
            }  # fmt: skip
            video = self.assets.keep(
                out, kind="cutaway", media_type="video/mp4", facts=facts, made_from=[medium] if medium else []
            )
        return Footage(video, frames, frames / frame.fps)


def wander(picture: Array, frames: int, frame: Frame, *, seed: int) -> Iterator[Array]:
    """The camera moves evenly over the photo, nearer or away; cropped on fractions of a pixel, so that it glides.

    Heads stay in the picture from the first frame to the last.
    """
    chance = np.random.default_rng(seed)
    least = _cover(picture, frame) * CLOSER * 1.05
    if least < 0.7 * 1.05:  # warpAffine does not average
        picture = cv2.resize(picture, None, fx=least, fy=least, interpolation=cv2.INTER_AREA)
    view = _view(picture, frame)
    keep = crop.kept(crop.heads(picture), (view[0] / FARTHER, view[1] / FARTHER))
    nearest = CLOSER
    if keep:
        picture, (x, y) = crop.widened(picture, frame, (keep.size[0] * FARTHER, keep.size[1] * FARTHER))
        keep = keep.moved(x, y)
        view = _view(picture, frame)
        nearest = max(FARTHER, min(CLOSER, *(room / side for room, side in zip(view, keep.size, strict=True))))
    first, last = (FARTHER, nearest) if chance.random() < 0.5 else (nearest, FARTHER)
    across, down = chance.uniform(-DRIFT, DRIFT, 2)
    size, cover = (picture.shape[1], picture.shape[0]), _cover(picture, frame)
    # what lies in the frame at both ends of an even way lies in it all the way
    ends = []
    for enlarged, way in ((first, -1), (last, 1)):
        corner = crop.place(size, (view[0] / enlarged, view[1] / enlarged), keep, (way * across, way * down))
        ends.append(np.array([1.0, -corner[0], -corner[1]]) * cover * enlarged)
    for number in range(frames):
        scale, x, y = ends[0] + (ends[1] - ends[0]) * (number / max(frames - 1, 1))
        interpolation = cv2.INTER_CUBIC if scale > 1.05 else cv2.INTER_LINEAR
        yield cv2.warpAffine(
            picture, np.array([[scale, 0, x], [0, scale, y]]), (frame.width, frame.height), flags=interpolation,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip


def _cover(picture: Array, frame: Frame) -> float:
    """The least scale at which the picture fills the frame."""
    height, width = picture.shape[:2]
    return max(frame.width / width, frame.height / height)


def _view(picture: Array, frame: Frame) -> tuple[float, float]:
    """What the frame shows then, in pixels of the picture."""
    cover = _cover(picture, frame)
    return frame.width / cover, frame.height / cover


def _fill(file: Path, media_type: str, out: Path, frames: int, frame: Frame) -> None:
    """As much of the video as is asked for, from its beginning, again and again where it is shorter."""
    seconds = frames / frame.fps
    # the demuxer is named and nothing but this file is opened: a playlist in disguise leads nowhere
    given = ["-protocol_whitelist", "file", "-f", DEMUXERS.get(media_type, "mov"), "-i", str(file)]
    try:
        ffmpeg.run(["-xerror", *given, "-map", "0:v:0", "-t", f"{seconds:.3f}", "-f", "null", "-"])
        told = ffmpeg.run([*given, "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"])
    except RenderFailed:
        raise UnreadableVideo(DAMAGED) from None
    if "partial file" in told.log or not any(line[:1] == b"0" for line in told.out.splitlines()):
        raise UnreadableVideo(DAMAGED)
    for line in told.out.splitlines():
        if line.startswith(b"#dimensions 0:"):
            width, height = (int(side) for side in line.split(b":")[1].split(b"x"))
            if max(width, height) > LARGEST_SIDE:
                raise UnreadableVideo(
                    f"The video has {width}x{height} pixels; at most {LARGEST_SIDE} a side are taken.",
                    width=width,
                    height=height,
                    limit=LARGEST_SIDE,
                )
    filling = reel.filling(frame, _aside(given, seconds, frame, out.parent))
    ffmpeg.run([
        "-stream_loop", "-1", *given, "-map", "0:v:0", "-an", "-vf", f"fps={frame.fps},{filling},{ffmpeg.TAGGED}",
        *ffmpeg.encoder(frame.fps, crf=reel.CRF), *ffmpeg.BITEXACT, "-frames:v", str(frames), out,
    ])  # fmt: skip


def _aside(given: Sequence[str], seconds: float, frame: Frame, folder: Path) -> tuple[float, float]:
    """Where to crop the video, as shares of its room: one place for all of it, in which the faces are that it shows."""
    fit = f"fps={LOOKS / seconds:.4f}:round=up,scale={LOOK_SIDE}:{LOOK_SIDE}:force_original_aspect_ratio=decrease"
    ffmpeg.run([
        *given, "-map", "0:v:0", "-t", f"{seconds:.3f}", "-vf", fit, "-frames:v", str(LOOKS), folder / "look-%d.png",
    ])  # fmt: skip
    looks = [decode(file) for file in sorted(folder.glob("look-*.png"))]
    if not looks:
        return 0.5, 0.5
    view = _view(looks[0], frame)
    size = looks[0].shape[1], looks[0].shape[0]
    found = sorted((each for look in looks for each in crop.heads(look)), key=lambda each: -each[1].size[1])
    corner = crop.place(size, view, crop.kept(found, view))
    across, down = (
        at / (whole - seen) if whole - seen > 1 else 0.5 for at, whole, seen in zip(corner, size, view, strict=True)
    )
    return across, down
