"""Sound files as samples: whatever a caller sent, decoded with care, and told apart from what is broken."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import RenderFailed, SampleTooLong, StageError, TruncatedSound, UnreadableSound
from providers.local import ffmpeg

RATE = 24_000  # what voices are measured at: as the stock voice speaks
HIGHEST_RATE = 48_000
LATE_S = 0.5  # players and encoders disagree by less about where a sound ends
LATE_SHARE = 0.03
# A stranger's file must not make ffmpeg open others, as playlists do.
GUARDED = ["-protocol_whitelist", "file", "-format_whitelist", "wav,mp3,mov,ogg,matroska,webm,flac,aac"]
BROKEN_OFF = re.compile(r"ended prematurely|partial file")
GUESSED = "Estimating duration from bitrate"
_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_STREAM = re.compile(r"Stream #0:\d+.*?: Audio: .*?, (\d+) Hz, ([^,]+)")

REMEDY = "Send a whole WAV, MP3, M4A, Ogg or WebM recording."


@dataclass(frozen=True, slots=True)
class Sound:
    """The louder channel, as recorded (`raw`, at `rate`) and at `RATE` (`voice`); both float32, full scale is 1."""

    raw: np.ndarray
    rate: int
    voice: np.ndarray
    channels: int

    @property
    def seconds(self) -> float:
        return len(self.raw) / self.rate


def decode(path: Path, *, most_s: float) -> Sound:
    """Raises UnreadableSound, TruncatedSound, SampleTooLong."""
    if _wav_ends_early(path) or _ogg_ends_early(path) or _mp4_ends_early(path):
        raise _truncated()
    try:
        told = ffmpeg.run([*GUARDED, "-i", path, "-map", "0:a:0", "-c", "copy", "-t", "0", "-f", "null", "-"])
    except RenderFailed as error:
        raise _broken(error) from error
    found = _STREAM.search(told.log)
    if found is None:
        raise _unreadable()
    rate, channels = min(int(found[1]), HIGHEST_RATE), 1 if found[2].startswith(("mono", "1 channels")) else 2
    if (announced := _announced(told.log)) is not None and announced > most_s + LATE_S:
        raise _too_long(most_s, announced)
    layout = "mono" if channels == 1 else "stereo"
    raw, log = _samples(path, most_s + 2 * LATE_S, rate, f"aformat=channel_layouts={layout}")
    shaped = raw[: len(raw) // channels * channels].reshape(-1, channels)
    seconds = len(shaped) / rate
    if seconds > most_s + LATE_S:
        raise _too_long(most_s, seconds)
    late = max(LATE_S, LATE_SHARE * (announced or 0.0))
    if BROKEN_OFF.search(log) or (announced is not None and seconds < announced - late):
        raise _truncated(seconds=round(seconds, 2), announced_s=announced)
    if not len(shaped):
        raise _unreadable()
    louder = int(np.argmax((shaped**2).mean(axis=0)))
    voice, _ = _samples(path, most_s + 2 * LATE_S, RATE, f"pan=mono|c0=c{louder}" if channels == 2 else "anull")
    return Sound(np.ascontiguousarray(shaped[:, louder]), rate, voice, channels)


def _samples(path: Path, most_s: float, rate: int, through: str) -> tuple[np.ndarray, str]:
    shaped = ["-t", str(most_s), "-af", through, "-ar", str(rate)]
    try:
        told = ffmpeg.run([*GUARDED, "-i", path, "-map", "0:a:0", *shaped, "-f", "s16le", "-"], timeout=120)
    except RenderFailed as error:
        raise _broken(error) from error
    whole = told.out[: len(told.out) // 2 * 2]
    return np.frombuffer(whole, "<i2").astype(np.float32) / 32768, told.log


def _announced(log: str) -> float | None:
    """The length that the container tells; None where it tells none, or ffmpeg guesses."""
    found = _DURATION.search(log)
    if found is None or GUESSED in log:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _wav_ends_early(path: Path) -> bool:
    """ffmpeg takes such a file for a shorter one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return False
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                streamed = length in (0, 0xFFFFFFFF) or length > 0x7FFFFF00  # its writer could not go back to the head
                return not streamed and length > size - file.tell()
            file.seek(length + length % 2, 1)
    return False


def _ogg_ends_early(path: Path) -> bool:
    """Ogg tells no length, but each of its pages does."""
    data = path.read_bytes()
    if not data.startswith(b"OggS"):
        return False
    page = data[data.rfind(b"OggS") :]
    if len(page) < 27:
        return True
    table = page[27 : 27 + page[26]]
    return len(table) < page[26] or len(page) < 27 + len(table) + sum(table)


def _mp4_ends_early(path: Path) -> bool:
    """The index often stands last: a file that broke off before it tells nothing at all."""
    size, indexed = path.stat().st_size, False
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if file.tell() == 8 and name != b"ftyp":
                return False
            start = file.tell() - 8
            if length == 1:
                (length,) = struct.unpack(">Q", file.read(8).rjust(8, b"\xff"))
            end = size if length == 0 else start + max(length, 8)
            if end > size:
                return True
            indexed |= name == b"moov"
            file.seek(end)
    return size > 0 and not indexed


def _broken(error: RenderFailed) -> StageError:
    if "exit_status" not in error.details:
        return error  # the machine was too busy: no fault of the file
    return _truncated() if BROKEN_OFF.search(error.message) else _unreadable()


def _truncated(**facts: float | None) -> TruncatedSound:
    return TruncatedSound(f"The file ends before its sound does. Upload it again. {REMEDY}", **facts)


def _unreadable() -> UnreadableSound:
    return UnreadableSound(f"The file has no sound that can be decoded. {REMEDY}")


def _too_long(most_s: float, seconds: float) -> SampleTooLong:
    return SampleTooLong(
        f"The sample lasts {seconds:.0f} s; at most {most_s:.0f} s are taken. A minute of clear speech is plenty.",
        seconds=round(seconds, 2), limit=most_s,
    )  # fmt: skip
