"""What a worker process holds for all its steps: settings, database, storage, providers."""

import threading
from dataclasses import dataclass
from functools import cache

from celery import signals

from db.database import Database
from pipeline import failpoints
from pipeline.settings import Settings
from providers.catalogue import Catalogue
from providers.fetch import MediaFetcher
from providers.storage import Storage
from schemas import environment
from schemas.links import Links


@dataclass(frozen=True)
class House:
    settings: Settings
    database: Database
    storage: Storage
    catalogue: Catalogue
    fetcher: MediaFetcher
    links: Links

    def wanted(self, client: str) -> bool:
        """Whether the client is told of events."""
        known = self.settings.client(client)
        return known is not None and known.callback_url is not None


_building = threading.Lock()


def house() -> House:
    """One per process; made by the first who asks, while other threads wait."""
    with _building:
        return _build()


@cache
def _build() -> House:
    settings = environment.read()
    failpoints.arm(settings.failpoints)
    return House(
        settings,
        Database(settings.database_url),
        Storage(settings.storage_url),
        Catalogue(settings),
        MediaFetcher(settings.media_hosts, max_bytes=settings.max_upload_bytes),
        Links(settings),
    )


@signals.worker_process_init.connect
def forget_parent(**_: object) -> None:
    """A connection must not be shared across a fork."""
    if _build.cache_info().currsize:
        _build().database.engine.dispose(close=False)
        _build.cache_clear()
