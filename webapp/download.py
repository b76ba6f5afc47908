"""Bytes out: whole, in a range, or not at all where the caller has them already (RFC 9110)."""

import hashlib

from flask import Response, request
from werkzeug.http import parse_range_header, unquote_etag

from webapp.door import door
from webapp.errors import RangeUnsatisfiable

ENDINGS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "video/mp4": ".mp4",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/webm": ".webm",
    "application/json": ".json",
    "text/vtt": ".vtt",
    "application/x-subrip": ".srt",
}
MEDIA_POLICY = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def stream(asset_id: str, *, sha256: str, size: int, media_type: str) -> Response:
    """The file with this digest. Raises RangeUnsatisfiable, AssetDamaged."""
    answer = Response(mimetype=media_type)
    answer.set_etag(sha256)
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Cache-Control"] = "private, max-age=3600, immutable"
    answer.headers["Content-Disposition"] = f'inline; filename="{asset_id}{ENDINGS.get(media_type, "")}"'
    answer.headers["Content-Security-Policy"] = MEDIA_POLICY  # a browser that opens a video makes a page around it
    if request.if_none_match.contains_weak(sha256):
        answer.status_code = 304
        return answer
    part = _range(sha256, size)
    start, end = part or (0, size)
    if part:  # also where it is the whole: a player that asked for a range takes nothing else
        answer.status_code = 206
        answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    answer.content_length = end - start
    pieces = door().storage.read(sha256, start, end)
    if request.method != "HEAD":
        answer.response = pieces
    return answer


def whole(content: bytes, *, name: str, media_type: str) -> Response:
    """A file that is made as it is asked for."""
    answer = Response(content, mimetype=media_type)
    answer.set_etag(hashlib.sha256(content).hexdigest())
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["Content-Disposition"] = f'inline; filename="{name}"'
    answer.make_conditional(request)
    return answer


def _range(sha256: str, size: int) -> tuple[int, int] | None:
    """From where up to, and without, where; None: all of it. Several ranges at once we may ignore, and do."""
    header = request.headers.get("Range") if request.method == "GET" else None
    asked = parse_range_header(header) if header else None
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or not _same(sha256):
        return None
    found = asked.range_for_length(size)
    if found is None:
        raise RangeUnsatisfiable(f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    return found


def _same(sha256: str) -> bool:
    """Whether the part that the caller has is of this very file."""
    condition = request.headers.get("If-Range")
    return condition is None or unquote_etag(condition) == (sha256, False)
