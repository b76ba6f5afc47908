"""The tools of one attempt: house ports bound to the step, and adapters that use them."""

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

from db import assets, avatars, ids
from db.assets import NewAsset
from db.claims import Claim
from pipeline.assets import Asset
from pipeline.errors import AssetDamaged, IdentityMissing
from pipeline.ports import CAPABILITIES, AssetStore, Identities, Identity, MediaSource, Neutral
from pipeline.snapshots import Person, PhotoSource
from providers.storage import Storage
from schemas import records as codec
from tasks.house import House

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


class ClientIdentities:
    """The avatars of the job's client."""

    def __init__(self, house: House, held: Claim, store: StepAssets) -> None:
        self._house = house
        self._held = held

    def save(self, person: Person, neutral: Neutral, sheet: Asset) -> str:
        return self._house.database.patiently(
            lambda session: avatars.save(
                session,
                client=self._held.client,
                job_id=self._held.job_id,
                name=person.name,
                consent=codec.dump(person.consent),
                neutral=codec.dump(neutral),
                sheet=codec.dump(sheet),
            )
        )

    def load(self, avatar_id: str) -> Identity:
        row = self._house.database.patiently(lambda session: avatars.find(session, avatar_id, client=self._held.client))
        if row is None:
            raise IdentityMissing(f"There is no avatar {avatar_id} any more. Create one, or name another.")
        return Identity(row.id, row.version, row.name, codec.load(row.neutral, Neutral))


class ClientMedia:
    """Uploads of the job's client, and files from the web."""

    def __init__(self, house: House, held: Claim, store: StepAssets) -> None:
        self._house = house
        self._held = held
        self._store = store

    def take(self, source: PhotoSource) -> Asset:
        if source.url is not None:
            return self._fetch(source.url)
        asset_id = source.asset_id or ""
        row = self._house.database.patiently(lambda session: assets.find(session, asset_id, client=self._held.client))
        if row is None:
            raise AssetDamaged(f"There is no asset {asset_id} any more. Upload the file again.", asset=asset_id)
        return assets.asset(row)

    def _fetch(self, url: str) -> Asset:
        with self._store.scratch() as folder:
            file = folder / "fetched"
            media_type = self._house.fetcher.fetch(url, file)
            return self._store.keep(file, kind="photo", media_type=media_type, facts={"url": url.partition("?")[0]})


PORTS: dict[type, Any] = {Identities: ClientIdentities, MediaSource: ClientMedia}


class Toolbox:
    """Gives a stage what it needs, and remembers which family of adapters served."""

    def __init__(self, house: House, held: Claim) -> None:
        self._house = house
        self._held = held
        self.assets = StepAssets(house.storage)
        self.provider: str | None = None

    def tools(self) -> dict[str, Any]:
        return {name: self._tool(kind) for name, kind in self._held.step.stage.needs.items()}

    def _tool(self, kind: type) -> Any:
        if kind is AssetStore:
            return self.assets
        if kind in PORTS:
            return PORTS[kind](self._house, self._held, self.assets)
        capability = next(name for name, protocol in CAPABILITIES.items() if protocol is kind)
        adapter = self._house.catalogue.adapter(capability, self.assets)
        self.provider = adapter.name
        return adapter
