"""Moving pictures in and out of ffmpeg, frame by frame."""

import os
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
AHEAD = 3  # frames: the encoder never waits for one, and ffmpeg, whose queues hold 20 (60 MB at 1080p), keeps few
PICTURE_BYTES = 1024 * 1024  # what is as large, a frame of 720p is, glibc gives back to the machine when it is freed


class Encoder:
    """Frames, given as I420 bytes, become H.264 in MP4, without sound. Its end raises RenderFailed."""

    def __init__(self, out: Path, frame: Frame, *, crf: int = 20) -> None:
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{frame.width}x{frame.height}", "-r", str(frame.fps)]
        command = [
            ffmpeg.executable(), "-hide_banner", "-nostats", "-loglevel", "error", "-y", *raw,
            "-color_range", "tv", "-colorspace", "bt709", "-i", "pipe:0", *ffmpeg.video(frame.fps, crf=crf),
            "-stats_enc_pre", "pipe:1", "-stats_enc_pre_fmt", "{n}", *ffmpeg.BITEXACT, str(out),
        ]  # fmt: skip
        self._ahead = 0
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(PICTURE_BYTES)},
        )  # fmt: skip

    def __enter__(self) -> "Encoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        told = error is None or isinstance(error, BrokenPipeError)  # of a broken pipe ffmpeg says why
        if not told:
            self._process.kill()
        _, said = self._process.communicate()
        if told and self._process.returncode:
            why = ffmpeg.last_words(said.decode("utf-8", "replace"))
            raise RenderFailed(f"The frames could not be encoded: {why}")
        return told

    def write(self, picture: bytes) -> None:
        assert self._process.stdin
        assert self._process.stdout
        if self._ahead == AHEAD:
            self._process.stdout.readline()  # one line for each frame that leaves ffmpeg's queues
        else:
            self._ahead += 1
        self._process.stdin.write(picture)
        self._process.stdin.flush()


def write(pictures: Iterable[Array], out: Path, frame: Frame) -> None:
    """Encode RGB pictures of the frame's size, H.264 in MP4, without sound. Raises RenderFailed."""
    with Encoder(out, frame, crf=CRF) as encoder:
        for picture in pictures:
            y, uv = planes.split(picture)
            parts = planes.byte(y), *cv2.split(planes.byte(uv))
            encoder.write(b"".join(part.tobytes() for part in parts))


class Reel:
    """Reads a video forward, as planes of the frame's size; after its last picture, that one stays.

    Its decoder, 70 MB at 1080p, is there from the first picture that is asked for to the last of `pictures`.
    """

    def __init__(self, file: Path, frame: Frame, pictures: int) -> None:
        self._shape = frame.height, frame.width
        self._size = frame.width * frame.height * 3 // 2
        self._count = 0
        self._last: list[Array] | None = None
        self._command = [
            ffmpeg.executable(), "-hide_banner", "-nostats", "-loglevel", "error", "-nostdin", "-threads", "1",
            "-i", str(file), "-map", "0:v:0", "-vf", f"fps={frame.fps},{filling(frame)}", "-frames:v", str(pictures),
            "-thread_queue_size", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-",
        ]  # fmt: skip
        self._decoder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Reel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._decoder:
            self._decoder.kill()
            self._decoder.communicate()

    def at(self, number: int) -> list[Array]:
        """Y, U and V of a picture that does not lie before one that was asked for. Raises RenderFailed."""
        if self._decoder is None:
            self._decoder = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
