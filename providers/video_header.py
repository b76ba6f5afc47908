"""Is a file a video that we take? Told from its index and the first of its bytes, without decoding a picture."""

import mmap
from pathlib import Path

from pipeline.errors import UnreadableVideo

SOUND_BRANDS = frozenset({b"M4A ", b"M4B "})
PICTURE_BRANDS = frozenset({b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"})
QUICKTIME = b"qt  "
MOST_BOXES = 10_000  # a fragmented file has two for every few seconds
EBML = b"\x1a\x45\xdf\xa3"
WEBM_CODECS = (b"V_VP8", b"V_VP9", b"V_AV1")
WEBM_HEAD = 256 * 1024  # the tracks stand before the first picture


def read(file: Path) -> str | None:
    """Its media type; None where it is no video. Raises UnreadableVideo for one that is damaged or ends early."""
    with file.open("rb") as stream:
        head = stream.read(64)
        if head[4:8] == b"ftyp" and head[8:12] not in SOUND_BRANDS | PICTURE_BRANDS:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                pictures = _shows_pictures(data)
            media_type = "video/quicktime" if head[8:12] == QUICKTIME else "video/mp4"
            return media_type if pictures else None
        if head.startswith(EBML) and b"webm" in head:
            stream.seek(0)
            start = stream.read(WEBM_HEAD)
            return "video/webm" if any(codec in start for codec in WEBM_CODECS) else None
    return None


def _shows_pictures(data: mmap.mmap) -> bool:
    """Whether one of the tracks is of pictures (ISO/IEC 14496-12: boxes of a length, a name and what is in them)."""
    place, index = 0, None
    for _ in range(MOST_BOXES):
        if place == len(data):
            break
        if place + 8 > len(data):
            raise UnreadableVideo("The video is damaged, or its file ends before it does. Upload it again.")
        length, header = int.from_bytes(data[place : place + 4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        elif length == 0:
            length = len(data) - place
        if length < header or place + length > len(data):
            raise UnreadableVideo("The video is damaged, or its file ends before it does. Upload it again.")
        if data[place + 4 : place + 8] == b"moov":
            index = place, place + length
        place += length
    if index is None:
        raise UnreadableVideo("The video has no index: its file ends before it does. Upload it again.")
    handler = data.find(b"hdlr", *index)
    while handler >= 0:
        if data[handler + 12 : handler + 16] == b"vide":
            return True
        handler = data.find(b"hdlr", handler + 4, index[1])
    return False
