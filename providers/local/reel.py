"""Moving pictures in and out of ffmpeg, frame by frame."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from pipeline.errors import RenderFailed
from pipeline.frame import Frame
from providers.local import ffmpeg, planes
from providers.local.faces import Array

CRF = 14  # drawn once more into the scene's clip: what is lost here is lost twice


def write(pictures: Iterable[Array], out: Path, frame: Frame) -> None:
    """Encode RGB pictures of the frame's size, H.264 in MP4, without sound. Raises RenderFailed."""
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{frame.width}x{frame.height}", "-r", str(frame.fps)]
    command = [
        ffmpeg.executable(), "-hide_banner", "-nostats", "-loglevel", "error", "-y", *raw,
        "-color_range", "tv", "-colorspace", "bt709", "-i", "pipe:0",
        *ffmpeg.video(frame.fps, crf=CRF), *ffmpeg.BITEXACT, str(out),
    ]  # fmt: skip
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert encoder.stdin
    try:
        for picture in pictures:
            y, uv = planes.split(picture)
            parts = planes.byte(y), *cv2.split(planes.byte(uv))
            encoder.stdin.write(b"".join(part.tobytes() for part in parts))
    except BrokenPipeError:
        pass  # ffmpeg says why below
    except BaseException:
        encoder.kill()
        encoder.communicate()
        raise
    _, said = encoder.communicate()
    if encoder.returncode:
        raise RenderFailed("The pictures could not be encoded: " + ffmpeg.last_words(said.decode("utf-8", "replace")))


class Reel:
    """Reads a video forward, as planes of the frame's size; after its last picture, that one stays."""

    def __init__(self, file: Path, frame: Frame) -> None:
        self._shape = frame.height, frame.width
        self._size = frame.width * frame.height * 3 // 2
        self._count = 0
        self._last: list[Array] | None = None
        command = [
            ffmpeg.executable(), "-hide_banner", "-nostats", "-loglevel", "error", "-nostdin", "-i", str(file),
            "-map", "0:v:0", "-vf", f"fps={frame.fps},{filling(frame)}", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-",
        ]  # fmt: skip
        self._decoder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self) -> "Reel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoder.kill()
        self._decoder.communicate()

    def at(self, number: int) -> list[Array]:
        """Y, U and V of a picture that does not lie before one that was asked for. Raises RenderFailed."""
        assert self._decoder.stdout
        while self._count <= number:
            data = self._decoder.stdout.read(self._size)
            if len(data) < self._size:
                break
            self._last = self._planes(data)
            self._count += 1
        if self._last is None:
            raise RenderFailed("The cutaway has no pictures. Try again.")
        return self._last

    def _planes(self, data: bytes) -> list[Array]:
        height, width = self._shape
        flat = np.frombuffer(data, np.uint8)
        luma, half = width * height, width * height // 4
        return [
            flat[:luma].reshape(height, width),
            flat[luma : luma + half].reshape(height // 2, width // 2),
            flat[luma + half :].reshape(height // 2, width // 2),
        ]


def filling(frame: Frame, aside: tuple[float, float] = (0.5, 0.5)) -> str:
    """The ffmpeg filter that makes pictures fill the frame: enlarged or reduced, the rest cut off, square pixels.

    `aside`: which shares of what is cut off are cut off at the left and at the top.
    """
    across, down = aside
    return (
        f"scale={frame.width}:{frame.height}:force_original_aspect_ratio=increase:force_divisible_by=2:flags=bicubic"
        f":out_color_matrix=bt709:out_range=tv,"
        f"crop={frame.width}:{frame.height}:(iw-ow)*{across:.4f}:(ih-oh)*{down:.4f},setsar=1"
    )
