"""Where assets lie: files named by the sha256 of their content, in a folder or a bucket, behind fsspec.

`sha256/ab/cd/<digest>` is whole from the moment it has its name: a folder gets
it by a rename, a bucket by a put. What is not finished lies under `partial/`,
where `sweep` finds it.
"""

import hashlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import AssetDamaged

CHUNK = 1 << 20
BLOCK = 8 << 20  # what one request to a bucket brings
DIGEST = re.compile(r"[0-9a-f]{64}")
SCHEMES = {"file", "local", "s3", "s3a"}
READ_ONLY = 0o444


class StorageUnusable(Exception):
    """The storage cannot be written or read; the message is one line for an operator."""


class Storage:
    """Content-addressed storage at an fsspec URL: a path, `file://…` or `s3://bucket/prefix`.

    `options` go to the file system; S3 takes its keys, region and address from
    the environment as every S3 client does (`AWS_ENDPOINT_URL` …). One instance
    may be shared by threads and used after a fork. Raises ValueError for a URL
    of another kind, ImportError where the `s3` extra is not installed.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        scheme = url.partition("://")[0] if "://" in url else "file"
        if scheme not in SCHEMES:
            raise ValueError(f"storage of the kind {scheme}:// is not known: use file:// or s3://")
        self.url = url
        self._options = dict(options or {})
        if scheme.startswith("s3"):
            self._options.setdefault("use_listings_cache", False)  # other processes write too
        _, self._root = url_to_fs(url, **self._options)
        self._root = self._root.rstrip("/")

    @property
    def _files(self) -> AbstractFileSystem:
        # Asked anew each time: fsspec keeps one per process, and one made before a fork must not be used after it.
        files, _ = url_to_fs(self.url, **self._options)
        return files

    def _key(self, sha256: str) -> str:
        if not DIGEST.fullmatch(sha256):
            raise ValueError("a storage key is a sha256 in 64 small hexadecimal digits")
        return f"{self._root}/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def put(self, file: Path, *, before: Callable[[str], None] | None = None) -> tuple[str, int]:
        """Keep the file's content; answers (sha256, bytes). An equal stored file stays, a damaged one is replaced.

        `before` is told the digest before it is looked whether there is such a file.
        """
        sha256, size = _digest(file)
        if before is not None:
            before(sha256)
        key = self._key(sha256)
        files = self._files
        if self._intact(files, key, sha256, size):
            return sha256, size
        if isinstance(files, LocalFileSystem):
            self._place(file, Path(key), sha256)
        else:
            files.put_file(str(file), key)
            if files.size(key) != size:
                raise StorageUnusable(f"{self.url} kept fewer bytes than it was given")
        return sha256, size

    def _intact(self, files: AbstractFileSystem, key: str, sha256: str, size: int) -> bool:
        try:
            if files.size(key) != size:
                return False
            with files.open(key, "rb", block_size=BLOCK) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False

    def _place(self, file: Path, target: Path, sha256: str) -> None:
        partial = self._partial()
        written = hashlib.sha256()
        try:
            with file.open("rb") as source, partial.open("xb") as sink:
                while chunk := source.read(CHUNK):
                    written.update(chunk)
                    sink.write(chunk)
                sink.flush()
                os.fsync(
                    sink.fileno()
                )  # a row will say that this file exists: it must outlive a power cut as the row does
            if written.hexdigest() != sha256:
                raise StorageUnusable(f"{file.name} changed while it was being stored")
            partial.chmod(READ_ONLY)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
            _sync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)

    def _partial(self) -> Path:
        folder = Path(self._root) / "partial"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    @contextmanager
    def fetch(self, sha256: str) -> Iterator[Path]:
        """A local file with the content, checked against its digest each time. Read only; gone afterwards where it
        was copied from a bucket. Raises AssetDamaged."""
        key = self._key(sha256)
        files = self._files
        if isinstance(files, LocalFileSystem):
            _verify(Path(key), sha256)
            yield Path(key)
            return
        with tempfile.TemporaryDirectory(prefix="likeness-asset-") as folder:
            copy = Path(folder) / sha256
            try:
                files.get_file(key, str(copy))
            except FileNotFoundError:
                raise _gone(sha256) from None
            _verify(copy, sha256)
            yield copy

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to and without `end`, in pieces of at most 1 MiB; the digest, which covers the
        whole, is not checked. Raises AssetDamaged at once, not in the middle of an answer, if there is no such file."""
        stop = self.size(sha256)
        return self._pieces(self._key(sha256), start, stop if end is None else min(end, stop))

    def _pieces(self, key: str, start: int, end: int) -> Iterator[bytes]:
        with self._files.open(key, "rb", block_size=BLOCK) as stream:
            stream.seek(start)
            while start < end and (piece := stream.read(min(CHUNK, end - start))):
                start += len(piece)
                yield piece

    def size(self, sha256: str) -> int:
        """Bytes stored. Raises AssetDamaged."""
        try:
            return int(self._files.size(self._key(sha256)))
        except FileNotFoundError:
            raise _gone(sha256) from None

    def exists(self, sha256: str) -> bool:
        return bool(self._files.isfile(self._key(sha256)))

    def delete(self, sha256: str) -> None:
        """Forget the content, if it is there. Whether a row still needs it is the caller's to know."""
        try:
            self._files.rm_file(self._key(sha256))
        except FileNotFoundError:
            return

    def check(self) -> None:
        """Write, read and remove a few bytes. Raises StorageUnusable."""
        probe = f"{self._root}/partial/probe-{uuid.uuid4().hex}"
        files = self._files
        try:
            if isinstance(files, LocalFileSystem):
                files.makedirs(f"{self._root}/partial", exist_ok=True)
            files.pipe_file(probe, b"likeness")
            try:
                read = files.cat_file(probe)
            finally:
                files.rm_file(probe)
        except Exception as error:  # an object store's client has errors of its own kinds
            reason = str(error).splitlines() or [type(error).__name__]
            raise StorageUnusable(f"storage at {self.url}: {reason[0]}") from None
        if read != b"likeness":
            raise StorageUnusable(f"storage at {self.url} gives back other bytes than it was given")

    def sweep(self, older_than: timedelta) -> int:
        """Remove what was begun longer ago than this and never finished; answers how many."""
        files = self._files
        limit = time.time() - older_than.total_seconds()
        count = 0
        try:
            begun = files.ls(f"{self._root}/partial", detail=True)
        except FileNotFoundError:
            begun = []
        for entry in begun:
            if entry["type"] == "file" and _written_at(entry) < limit:
                files.rm_file(entry["name"])
                count += 1
        if not isinstance(files, LocalFileSystem):
            count += self._abort_uploads(files, limit)
        return count

    def _abort_uploads(self, files: Any, limit: float) -> int:
        """Uploads in parts that were never finished: a bucket lists no object for them, and bills them."""
        bucket, _, prefix = self._root.partition("/")
        old = [
            upload
            for upload in files.list_multipart_uploads(bucket)
            if upload["Key"].startswith(f"{prefix}/sha256/".lstrip("/")) and upload["Initiated"].timestamp() < limit
        ]
        for upload in old:
            files.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(old)


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return sha256, stream.tell()


def _verify(file: Path, sha256: str) -> None:
    try:
        found, size = _digest(file)
    except FileNotFoundError:
        raise _gone(sha256) from None
    if found != sha256:
        raise AssetDamaged("a stored file is not what its digest says", sha256=sha256, found=found, bytes=size)


def _gone(sha256: str) -> AssetDamaged:
    return AssetDamaged("a stored file is gone", sha256=sha256)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _written_at(entry: dict[str, Any]) -> float:
    if "mtime" in entry:
        return float(entry["mtime"])
    modified = entry.get("LastModified") or datetime.now(UTC)
    return float(modified.timestamp())
