"""Taking in a file: streamed to disk, cut off at the limit, never held in memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from flask import Request, request
from werkzeug.datastructures import FileStorage

from webapp.errors import FileMissing, TooLarge, WrongMediaType

FORM_BYTES = 64 * 1024  # what the form may weigh beside its file
BUFFER_BYTES = 512 * 1024  # Werkzeug counts its read buffer, 64 KiB and what is left of the last, as the form's memory
PARTS = 4


class StreamingRequest(Request):
    """Uploads go to named files, which the asset store can take from there, and which are gone after the request."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        stream = tempfile.NamedTemporaryFile(prefix="likeness-upload-")  # noqa: SIM115  # closed with the request
        self.__dict__.setdefault("streams", []).append(stream)
        return stream

    def close(self) -> None:
        """Werkzeug closes the files of a form that it could read; these may be of one that broke off."""
        for stream in self.__dict__.pop("streams", ()):
            stream.close()
        super().close()


@contextmanager
def received(limit: int) -> Iterator[Path]:
    """The one file of the form, as a file that is gone afterwards.

    Raises RequestEntityTooLarge as soon as Content-Length, or the bytes that came, are above the limit.
    """
    request.max_content_length = limit + FORM_BYTES
    request.max_form_parts = PARTS
    request.max_form_memory_size = BUFFER_BYTES
    if request.mimetype != "multipart/form-data":
        raise WrongMediaType("Send a form of the type multipart/form-data with one part named `file`.")
    try:
        yield _only([each for _, every in request.files.lists() for each in every], limit)
    finally:
        request.close()


def _only(uploads: list[FileStorage], limit: int) -> Path:
    if len(uploads) != 1 or uploads[0].name != "file" or request.form:
        names = [each.name or "" for each in uploads] + list(request.form)
        raise FileMissing(f"Send exactly one part, a file named `file`; these came: {', '.join(names) or 'none'}.")
    stream = uploads[0].stream
    stream.flush()
    path = Path(str(stream.name))  # ours: a NamedTemporaryFile
    size = path.stat().st_size
    if size == 0:
        raise FileMissing("The file is empty.")
    if size > limit:
        raise TooLarge(f"The file has {size} bytes; at most {limit} are taken.", limit=limit)
    return path
