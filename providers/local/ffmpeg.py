"""The pinned ffmpeg: how it is run, what it says of a file, and the one way this house encodes pictures.

imageio-ffmpeg's binary is always the one used, so that every machine gives equal results. It brings no
ffprobe: `probe` reads the packets themselves (`-c copy -f framecrc`), which is exact where headers estimate.
"""

import functools
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg

from pipeline.errors import RenderFailed

# No creation time, no version string: equal inputs give equal files.
BITEXACT = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"]
AUDIO = ["-c:a", "aac", "-b:a", "192k", "-ar", "48000", "-ac", "2"]

# Frames carry their own colour tags into the encoder, and raw ones carry none: options there are overruled.
TAGGED = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"

_STREAM = re.compile(r"^\s*Stream #0:\d+.*?: (Video|Audio): (\w+)(?: \(([^)]*)\))?(.*)$", re.MULTILINE)
_PIXELS = re.compile(r", (\w+)\(([^)]*)\)|, (yuvj?\d{3}p\w*|rgb\w+|gray\w*)")
_FPS = re.compile(r", ([\d.]+) fps")
_PATH = re.compile(r"(?:[A-Za-z]:)?[/\\][^\s'\":]*[/\\]([^\s'\":/\\]+)")


@dataclass(frozen=True, slots=True)
class Output:
    """What a run left on its two streams."""

    out: bytes
    log: str


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """Measured by packets; `start` and `end` are shown seconds, `setup` is a digest of the decoder's configuration.

    `keys` are the numbers of the key frames, and `group_s` is the longest stretch from one to the next; groups are
    `closed` where no frame is shown before the key frame that it was sent after: such a one leans on the group before.
    """

    codec: str
    profile: str
    pixels: str
    colour: str
    width: int
    height: int
    fps: float
    frames: int
    start: float
    end: float
    even: bool
    setup: str
    keys: tuple[int, ...]
    group_s: float
    closed: bool


@dataclass(frozen=True, slots=True)
class AudioTrack:
    codec: str
    profile: str
    sample_rate: int
    channels: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Media:
    video: VideoTrack | None
    audio: AudioTrack | None

    @property
    def seconds(self) -> float:
        return max((track.end for track in (self.video, self.audio) if track), default=0.0)


@functools.cache
def executable() -> str:
    """The binary inside imageio-ffmpeg, whatever is on PATH."""
    return imageio_ffmpeg.get_ffmpeg_exe()


def video(fps: int, *, preset: str = "veryfast", crf: int = 20, threads: int = 1) -> list[str]:
    """Filter and encoder arguments, where no other filter is wanted."""
    return ["-vf", TAGGED, *encoder(fps, preset=preset, crf=crf, threads=threads)]


def encoder(fps: int, *, preset: str = "veryfast", crf: int = 20, threads: int = 1) -> list[str]:
    """Encoder arguments, to which TAGGED belongs as the last filter. Clips made with equal arguments join without being
    encoded again.

    Groups of pictures are closed and at most 2 s long, so that a clip may be cut and joined at their starts.
    """
    return [
        "-c:v", "libx264", "-preset", preset, "-crf", str(crf), "-threads", str(threads), "-profile:v", "high",
        "-pix_fmt", "yuv420p", "-bf", "2", "-g", str(2 * fps), "-keyint_min", str(2 * fps), "-sc_threshold", "0",
        "-flags:v", "+cgop+bitexact", "-r", str(fps), *clock(fps),
    ]  # fmt: skip


def clock(fps: int) -> list[str]:
    """Every frame begins on a tick, and so does what joins on to the last one: in MP4's own thousandths of a second a
    scene at 24 or 30 frames a second ends a little too early, and the next one's first frame comes too soon."""
    ticks = str(512 * fps)
    return ["-video_track_timescale", ticks, "-movie_timescale", ticks]


def run(args: Sequence[str | Path], *, stdin: bytes | None = None, timeout: float = 600) -> Output:
    """Run ffmpeg quietly. Raises RenderFailed with its last words, without folders."""
    command = [executable(), "-hide_banner", "-nostats", "-y", *map(str, args)]
    if stdin is None:
        command.insert(1, "-nostdin")
    try:
        done = subprocess.run(
            command, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        problem = f"ffmpeg did not finish within {timeout:g} s. Try again when the machine is less busy."
        raise RenderFailed(problem) from late
    log = done.stderr.decode("utf-8", "replace")
    if done.returncode:
        raise RenderFailed("ffmpeg could not do this: " + last_words(log), exit_status=done.returncode)
    return Output(done.stdout, log)


def last_words(log: str, lines: int = 3) -> str:
    """The end of a log, with file names but without the folders they lie in."""
    said = [line.strip() for line in log.splitlines() if line.strip()]
    return _PATH.sub(r"\1", " / ".join(said[-lines:]))[:600] or "it said nothing."


def probe(path: Path) -> Media:
    """Measure a file by reading every packet (no decoding). Raises RenderFailed where ffmpeg cannot read it."""
    told = run(["-i", path, "-map", "0:v?", "-map", "0:a?", "-c", "copy", "-f", "framecrc", "-"], timeout=120)
    heads: dict[tuple[str, int], str] = {}
    packets: dict[int, list[tuple[int, int]]] = {}
    keys: dict[int, list[int]] = {}
    closed = True
    for line in told.out.decode().splitlines():
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            name, _, index = key.partition(" ")
            if index.isdigit():
                heads[name, int(index)] = value.strip()
        else:
            stream, _dts, pts, duration = (int(field) for field in line.split(",")[:4])
            if "F=0x" not in line:  # framecrc is silent of the flags of key frames
                keys.setdefault(stream, []).append(pts)
            closed = closed and (stream not in keys or pts >= keys[stream][-1])
            packets.setdefault(stream, []).append((pts, duration))
    seen = {found[1]: found for found in reversed(list(_STREAM.finditer(told.log.split("Output #0")[0])))}
    tracks: dict[str, VideoTrack | AudioTrack] = {}
    for stream, times in packets.items():
        kind = heads["media_type", stream]
        top, bottom = (int(part) for part in heads["tb", stream].split("/"))
        tick = top / bottom
        start, end = min(pts for pts, _ in times) * tick, max(pts + duration for pts, duration in times) * tick
        found = seen[kind.capitalize()]
        codec, profile, rest = found[2], found[3] or "", found[4]
        if kind == "audio":
            tracks[kind] = AudioTrack(
                codec, profile, int(heads["sample_rate", stream]), heads["channel_layout_name", stream],
                max(start, 0.0), end,
            )  # fmt: skip
            continue
        pixels, rate = _PIXELS.search(rest), _FPS.search(rest)
        width, height = (int(part) for part in heads["dimensions", stream].split("x"))
        shown = sorted(pts for pts, _ in times)
        tracks[kind] = VideoTrack(
            codec, profile, (pixels[1] or pixels[3]) if pixels else "", (pixels[2] or "") if pixels else "",
            width, height, float(rate[1]) if rate else 0.0, len(times), start, end,
            len({after - before for before, after in pairwise(shown)}) <= 1, heads.get(("extradata", stream), ""),
            tuple(shown.index(pts) for pts in keys.get(stream, [])),
            _longest([*keys.get(stream, shown[:1]), end / tick]) * tick, closed,
        )  # fmt: skip
    video_track, audio_track = tracks.get("video"), tracks.get("audio")
    return Media(
        video_track if isinstance(video_track, VideoTrack) else None,
        audio_track if isinstance(audio_track, AudioTrack) else None,
    )


def _longest(edges: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(edges)), default=0.0)
