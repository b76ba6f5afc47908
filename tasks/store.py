"""The asset store of one attempt, and the scratch folders of this machine."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from celery import signals

from db import files, ids
from db.assets import NewAsset
from db.database import Database
from db.files import JobDeleted
from pipeline.assets import Asset
from pipeline.errors import AssetDamaged
from providers.storage import Storage

SCRATCH = "likeness-step-"
UNLOCKED_S = 10.0  # between a folder's making and its lock no time passes, but a machine may sleep


class StepAssets:
    """The asset store of one attempt: rows for what it keeps are written when the attempt is recorded.

    Until then `hold` keeps each file from being removed: it is told the asset's id and the file's digest beforehand.
    """

    def __init__(self, storage: Storage, hold: Callable[[str, str], None] | None = None) -> None:
        self._storage = storage
        self._hold = hold
        self.made: list[NewAsset] = []

    def open(self, asset: Asset) -> AbstractContextManager[Path]:
        return self._storage.fetch(asset.sha256)

    def keep(
        self,
        file: Path,
        *,
        kind: str,
        media_type: str,
        facts: Mapping[str, Any] | None = None,
        made_from: Sequence[Asset] = (),
    ) -> Asset:
        asset_id = ids.new("ast")
        sha256, size = self._storage.put(file, before=partial(self._hold, asset_id) if self._hold else None)
        asset = Asset(asset_id, kind, media_type, size, sha256)
        self.made.append(NewAsset(asset, facts or {}, tuple(source.id for source in made_from)))
        return asset

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        sweep_scratch()
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
            held = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX)  # ends with this process, however it ends
                yield Path(folder)
            finally:
                os.close(held)


def holder(database: Database, job_id: str) -> Callable[[str, str], None]:
    """Holds files for a job. What it gives raises AssetDamaged where the job's content was deleted."""

    def hold(asset_id: str, sha256: str) -> None:
        with undeleted(job_id):
            database.patiently(lambda session: files.hold(session, asset_id, sha256, job_id=job_id))

    return hold


@contextmanager
def undeleted(job_id: str) -> Iterator[None]:
    """Raises AssetDamaged for JobDeleted."""
    try:
        yield
    except JobDeleted:
        raise AssetDamaged("What the job is about was deleted: nothing more is made for it.", job=job_id) from None


@signals.worker_ready.connect
def sweep_scratch(**_: object) -> None:
    """Remove what steps left on this machine whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with suppress(OSError):  # it is in use, or gone
            if time.time() - folder.stat().st_mtime > UNLOCKED_S:
                _remove(folder)


def _remove(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(handle)
