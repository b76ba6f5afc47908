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
SEGMENT = b"\x18\x53\x80\x67"
MOST_ELEMENTS = 200_000  # where nobody knew the length while it was written there is one for each picture and sound
CUT_OFF = "The video is damaged, or its file ends before it does. Upload it again."


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
            if not any(codec in start for codec in WEBM_CODECS):
                return None
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if _webm_ends_early(data):
                    raise UnreadableVideo(CUT_OFF)
            return "video/webm"
    return None


def _shows_pictures(data: mmap.mmap) -> bool:
    """Whether one of the tracks is of pictures (ISO/IEC 14496-12: boxes of a length, a name and what is in them)."""
    place, index = 0, None
    for _ in range(MOST_BOXES):
        if place == len(data):
            break
        if place + 8 > len(data):
            raise UnreadableVideo(CUT_OFF)
        length, header = int.from_bytes(data[place : place + 4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        elif length == 0:
            length = len(data) - place
        if length < header or place + length > len(data):
            raise UnreadableVideo(CUT_OFF)
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


def _webm_ends_early(data: mmap.mmap) -> bool:
    """Whether one of its elements goes on beyond the end (RFC 8794: each has an id, a length and what is in it).

    Browsers record without knowing a length: such elements are entered, and their parts looked at one by one.
    """
    place = 0
    for _ in range(MOST_ELEMENTS):
        if place == len(data) or data[place] < 0x10:  # the end, or no id: for the decoder to judge
            return False
        width = 9 - data[place].bit_length()
        name, start = data[place : place + width], place + width
        if start >= len(data) or data[start] == 0:
            return start >= len(data)
        width = 9 - data[start].bit_length()
        told = int.from_bytes(data[start : start + width], "big") & ((1 << 7 * width) - 1)
        start += width
        if start > len(data):
            return True
        unknown = told == (1 << 7 * width) - 1
        if not unknown and start + told > len(data):
            return True
        if name == SEGMENT and not unknown:
            return False
        place = start if unknown else start + told
    return False
