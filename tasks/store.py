"""The asset store of one attempt, and the scratch folders of this machine."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from celery import signals

from db import ids
from db.assets import NewAsset
from pipeline.assets import Asset
from providers.storage import Storage

SCRATCH = "likeness-step-"
UNLOCKED_S = 10.0  # between a folder's making and its lock no time passes, but a machine may sleep


class StepAssets:
    """The asset store of one attempt: rows for what it keeps are written when the attempt is recorded."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
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
        sha256, size = self._storage.put(file)
        asset = Asset(ids.new("ast"), kind, media_type, size, sha256)
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
