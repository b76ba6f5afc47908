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
from providers.local import ffmpeg, kinetic, reel
from providers.local.faces import Array
from providers.local.photo import decode

CLOSER = 1.16  # how much a photo is enlarged at the nearer end of the way over it
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
    """The camera moves evenly over the photo, nearer or away; cropped on fractions of a pixel, so that it glides."""
    chance = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    cover = max(frame.width / width, frame.height / height)
    if cover * CLOSER < 0.7:  # warpAffine does not average
        least = cover * CLOSER * 1.05
        picture = cv2.resize(picture, None, fx=least, fy=least, interpolation=cv2.INTER_AREA)
        height, width = picture.shape[:2]
        cover = max(frame.width / width, frame.height / height)
    far, near = (1.02, CLOSER) if chance.random() < 0.5 else (CLOSER, 1.02)
    drift = chance.uniform(-1, 1, 2)
    for number in range(frames):
        share = number / max(frames - 1, 1)
        scale = cover * (far + (near - far) * share)
        room = np.array([width * scale - frame.width, height * scale - frame.height]) / 2
        # at most a third of the room, so that what is in the middle of the photo stays in the picture
        centre = room * (1 + drift * (share - 0.5) * 2 / 3)
        matrix = np.array([[scale, 0, -centre[0]], [0, scale, -centre[1]]])
        interpolation = cv2.INTER_CUBIC if scale > 1.05 else cv2.INTER_LINEAR
        yield cv2.warpAffine(
            picture, matrix, (frame.width, frame.height), flags=interpolation, borderMode=cv2.BORDER_REPLICATE
        )


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
    encoder = ffmpeg.video(frame.fps, crf=reel.CRF)
    filters = f"fps={frame.fps},{reel.filling(frame)},{encoder[encoder.index('-vf') + 1]}"
    encoder[encoder.index("-vf") + 1] = filters
    ffmpeg.run([
        "-stream_loop", "-1", *given, "-map", "0:v:0", "-an", *encoder, *ffmpeg.BITEXACT, "-frames:v", str(frames), out,
    ])  # fmt: skip
