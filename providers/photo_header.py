"""Is a file a photo that we take? Told without decoding a pixel: so no file can make the door work hard."""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipeline.errors import AnimatedImage, ImageTooLarge, UnreadableImage

MOST_PARTS = 1000  # before the pixels; a camera writes a dozen, and a file of nothing else would be read for seconds
MOST_PIXELS = 40_000_000  # as many as the phones of today take; decoded they fill 120 MB
ANEW = "Open it in a photo program and save it again as JPEG."
SMALLER = "Send it smaller: a face is good with 1000 pixels."
TAKEN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
SIGNATURES: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda head: head.startswith(b"\xff\xd8\xff"),
    "PNG": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
}


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """What the file says of itself; the size is as stored, before any turning by its orientation."""

    media_type: str
    width: int
    height: int


def recognise(head: bytes) -> str | None:
    """The format that the first bytes promise."""
    return next((name for name, matches in SIGNATURES.items() if matches(head)), None)


def read(file: Path) -> PhotoHeader:
    """Raises UnreadableImage, ImageTooLarge, AnimatedImage."""
    with file.open("rb") as stream:
        promised = recognise(stream.read(16))
    if promised is None:
        raise UnreadableImage("The file is no JPEG, PNG or WebP picture. Send one of these.")
    if not _whole(file, promised):
        raise UnreadableImage("The picture is damaged, or its file ends before it does. Upload it again.")
    try:
        with Image.open(file, formats=[promised]) as picture:
            width, height = picture.size
            # In a JPEG others than the first are no frames: what cameras keep with it, such as its depth.
            moves = promised != "JPEG" and getattr(picture, "is_animated", False)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # the latter where warnings are errors
        raise ImageTooLarge(f"The picture has more than {MOST_PIXELS} pixels. {SMALLER}", limit=MOST_PIXELS) from None
    except (OSError, SyntaxError, ValueError) as error:  # all three are Pillow's words for a broken file
        raise UnreadableImage(f"The picture's header cannot be read. {ANEW}", reason=type(error).__name__) from None
    if width * height > MOST_PIXELS:
        raise ImageTooLarge(
            f"The picture has {width}×{height} = {width * height} pixels; at most {MOST_PIXELS} are taken. {SMALLER}",
            width=width,
            height=height,
            limit=MOST_PIXELS,
        )
    if moves:
        raise AnimatedImage("The picture is an animation. Send one still picture: a JPEG, PNG or WebP of one frame.")
    return PhotoHeader(TAKEN[promised], width, height)


def _whole(file: Path, kind: str) -> bool:
    """Whether the end that the format asks for is there, and the way to the pixels is short."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if kind == "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 <= len(data)
        if kind == "PNG":
            return _png_ends(data)
        scan = _jpeg_scan(data)
        return scan is not None and data.find(b"\xff\xd9", scan) >= 0


def _png_ends(data: mmap.mmap) -> bool:
    place, before = 8, 0
    while place + 12 <= len(data):
        name = data[place + 4 : place + 8]
        if name == b"IEND":
            return True
        before += name != b"IDAT"
        if before > MOST_PARTS:
            return False
        place += int.from_bytes(data[place : place + 4], "big") + 12
    return False


def _jpeg_scan(data: mmap.mmap) -> int | None:
    """Where the pixels begin: segments before them may hold a whole thumbnail, with an end of its own."""
    place = 2
    for _ in range(MOST_PARTS):
        if place + 4 > len(data) or data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xDA:
            return place
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
