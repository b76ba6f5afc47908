"""Inspecting a finished video: ffmpeg's own meters in one pass, and looks at the face while it runs."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.assets import Asset
from pipeline.errors import RenderFailed
from pipeline.ports import AssetStore
from pipeline.quality import BLACK_S, FROZEN_S, Expected, Inspection, Look, Picture, Sound, Stretch
from providers.local import faces, ffmpeg
from providers.local.enhancement import METER, loudness
from providers.local.faces import Array, Face

# A picture counts as black when all but its label is: 4 % of full luma, where a night scene has 10 %.
BLACK = f"blackdetect=d={BLACK_S / 2}:pic_th=0.96:pix_th=0.04"
# Breath and gentle head movement change the picture by more within a second; an encoder's noise does not.
FROZEN = f"freezedetect=n=0.0002:d={FROZEN_S / 2}"
SILENT = "silencedetect=noise=-50dB:d=0.2"  # speech at -16 LUFS has its quietest sounds at -45 dB
LOOK_SIDE = 360  # pixels of the shorter side of the picture that is measured
ONE_THREAD = ["-filter_complex_threads", "1", "-threads", "1"]  # a fifth less work in all, for a little more time
SAMPLE_S = 0.12  # a picture is handed over so often
LOOK_S = 0.24  # in speech one is looked at so often, vowels being that long
REST_LOOKS = 4  # in each pause
MOST_LOOKS = 500  # in speech, whatever its length
UPPER_LIP, LOWER_LIP = 13, 14  # the middle of the inner lips in MediaPipe's face mesh
FOUND = re.compile(r"(?:black|freeze|silence)_(start|end): ?(-?[\d.]+)")


class LocalInspector:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def examine(self, video: Asset, *, expected: Expected) -> Inspection:
        """Raises RenderFailed where the file cannot be decoded."""
        with self.assets.open(video) as file, self.assets.scratch() as folder:
            made = ffmpeg.probe(file)
            log = folder / "meters.txt"
            looks = _watch(file, made, expected, log)
            told = log.read_text(encoding="utf-8", errors="replace")
            level = loudness(told) if made.audio else None
            picture = sound = None
            if track := made.video:
                picture = Picture(
                    track.codec, track.profile, track.pixels, _colour(track.colour), track.width, track.height,
                    track.fps, track.frames, track.even, round(track.group_s, 3), track.closed,
                )  # fmt: skip
            if made.audio and level:
                sound = Sound(
                    made.audio.codec, made.audio.sample_rate, made.audio.channels, level.lufs, level.peak
                )  # fmt: skip
            return Inspection(
                index_first(file),
                round(made.audio.end - made.video.end, 3) if made.audio and made.video else 0.0,
                picture,
                sound,
                _stretches(told, "blackdetect", made.seconds),
                _stretches(told, "freezedetect", made.seconds),
                _stretches(told, "silencedetect", made.seconds),
                looks,
            )


def index_first(file: Path) -> bool:
    """Whether a player can begin before it has the whole file: `moov` before `mdat`."""
    size = file.stat().st_size
    with file.open("rb") as boxes:
        at = 0
        while at + 8 <= size:
            boxes.seek(at)
            head = boxes.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            length = int.from_bytes(head[8:16], "big") if length == 1 else length or size - at
            at += max(length, 8)
    return False


def _colour(told: str) -> str:
    """ffmpeg says one name where primaries, transfer and matrix are the same, and three with slashes where not."""
    return next((part for part in told.split(", ") if part not in ("tv", "pc", "progressive")), "")


def _stretches(log: str, meter: str, seconds: float) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    start: float | None = None
    for line in log.splitlines():
        if meter not in line:
            continue
        for edge, value in FOUND.findall(line):
            if edge == "start":
                start = max(0.0, float(value))
            elif start is not None:
                found.append(Stretch(round(start, 3), round(float(value), 3)))
                start = None
    if start is not None:  # it lasts to the end
        found.append(Stretch(round(start, 3), round(seconds, 3)))
    return tuple(found)


def _watch(file: Path, made: ffmpeg.Media, expected: Expected, log: Path) -> tuple[Look, ...]:
    """Run the meters over the file; what they say goes into the log, and meanwhile the face is looked at."""
    arguments: list[str | Path] = [*ONE_THREAD, "-i", file]
    if made.audio:
        arguments += ["-map", "0:a:0", "-af", f"{SILENT},{METER}", "-f", "null", "-"]
    if not made.video:
        ffmpeg_log = ffmpeg.run(arguments).log if made.audio else ""
        log.write_text(ffmpeg_log, encoding="utf-8")
        return ()
    every = max(1, round(SAMPLE_S * expected.frame.fps))
    width, height = _size(made.video.width, made.video.height)
    graph = (
        f"[0:v:0]scale={width}:{height}:flags=fast_bilinear,split[all][some];[all]{BLACK},{FROZEN}[meters];"
        f"[some]select='not(mod(n\\,{every}))',format=rgb24[looks]"
    )
    arguments += ["-filter_complex", graph, "-map", "[meters]", "-f", "null", "-"]
    arguments += ["-map", "[looks]", "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    wanted = _wanted(expected, every)
    looks: list[Look] = []
    face: Face | None = None
    with _pictures(arguments, (height, width), log) as pictures:
        for number, picture in enumerate(pictures):
            if number * every in wanted:
                face = _face(picture, face)
                at = round(number * every / expected.frame.fps, 3)
                looks.append(Look(at, round(_lips(face), 4) if face else None))
    return tuple(looks)


def _wanted(expected: Expected, every: int) -> frozenset[int]:
    """The frames to look at, of those that are handed over."""
    fps = expected.frame.fps
    speaking, resting = expected.speaking(), expected.resting()
    spacing = max(LOOK_S, sum(each.seconds for each in speaking) / MOST_LOOKS)
    found: set[int] = set()
    for stretches, seconds, most in ((speaking, spacing, None), (resting, every / fps, REST_LOOKS)):
        for each in stretches:
            first, last = -int(-each.start * fps // every), int(each.end * fps // every)
            step = max(1, round(seconds * fps / every), -(-(last - first + 1) // most) if most else 1)
            found.update(number * every for number in range(first, last + 1, step))
    return frozenset(found)


def _face(picture: Array, before: Face | None) -> Face | None:
    """Where it was a moment ago, else wherever it is."""
    if before is not None and (face := faces.follow(picture, before)).presence >= faces.DOUBTFUL:
        return face
    return next(iter(faces.find(picture)), None)


def _lips(face: Face) -> float:
    return float(np.linalg.norm(face.points[LOWER_LIP] - face.points[UPPER_LIP])) / face.eye_distance


def _size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LOOK_SIDE / min(width, height))
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


@contextmanager
def _pictures(arguments: Sequence[str | Path], shape: tuple[int, int], log: Path) -> Iterator[Iterator[Array]]:
    """RGB pictures one at a time, for a video of any length. Raises RenderFailed at the end, if it came too soon."""
    command = [ffmpeg.executable(), "-nostdin", "-hide_banner", "-nostats", *map(str, arguments)]
    size = shape[0] * shape[1] * 3
    with log.open("wb") as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as running:
        assert running.stdout
        try:
            pipe = running.stdout
            yield (np.frombuffer(raw, np.uint8).reshape(*shape, 3) for raw in iter(lambda: pipe.read(size), b""))
            if running.wait():
                told = log.read_text(encoding="utf-8", errors="replace")
                raise RenderFailed("The finished video could not be decoded: " + ffmpeg.last_words(told))
        finally:
            running.kill()
