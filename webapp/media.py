"""What an uploaded file is: told from its bytes, whatever its name and the client say."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from providers import photo_header, video_header
from webapp.errors import UnsupportedMedia

MIB = 2**20
AUDIO_BYTES = 25 * MIB
TAKEN = "JPEG, PNG and WebP pictures; MP4, QuickTime and WebM videos; WAV, MP3, M4A, Ogg and WebM sound"


@dataclass(frozen=True, slots=True)
class Media:
    """`kind` is `photo`, `video` or `voice_sample`."""

    kind: str
    media_type: str
    facts: dict[str, int] = field(default_factory=dict)


def _mp3(head: bytes) -> bool:
    frame = len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return head.startswith(b"ID3") or (frame and head[1] & 0x06 == 0x02 and head[2] & 0xF0 != 0xF0)


SOUNDS: dict[str, Callable[[bytes], bool]] = {
    "audio/wav": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE",
    "audio/ogg": lambda head: head.startswith(b"OggS"),
    "audio/mp4": lambda head: (
        head[4:8] == b"ftyp" and head[8:12] in (b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"dash")
    ),
    "audio/webm": lambda head: head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head,
    "audio/mpeg": _mp3,
}


def identify(file: Path) -> Media:
    """Raises UnsupportedMedia, pipeline.errors.UnreadableImage, ImageTooLarge, AnimatedImage, UnreadableVideo."""
    with file.open("rb") as stream:
        head = stream.read(64)
    if photo_header.recognise(head):
        header = photo_header.read(file)
        return Media("photo", header.media_type, {"width": header.width, "height": header.height})
    if media_type := video_header.read(file):
        return Media("video", media_type)
    sound = next((media_type for media_type, matches in SOUNDS.items() if matches(head)), None)
    if sound is None:
        raise UnsupportedMedia(f"The bytes of this file are none of what is taken: {TAKEN}.")
    if file.stat().st_size > AUDIO_BYTES:
        raise UnsupportedMedia(f"A voice sample may have at most {AUDIO_BYTES} bytes.", limit=AUDIO_BYTES)
    return Media("voice_sample", sound)
