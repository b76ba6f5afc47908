"""What a worker process holds for all its steps: settings, database, storage, providers."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from celery import signals

from db.database import Database
from pipeline import failpoints
from pipeline.ports import CAPABILITIES
from pipeline.routes import STAGES
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

    @cached_property
    def makers(self) -> Mapping[str, str]:
        """By stage whose output other jobs may have: the family that serves it, where that makes the same each time."""
        found: dict[str, str] = {}
        for stage in STAGES.values():
            asked = [name for name, protocol in CAPABILITIES.items() if protocol in stage.needs.values()]
            if stage.reusable and len(asked) == 1 and (family := self.catalogue.deterministic(asked[0])):
                found[stage.name] = family
        return found


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
