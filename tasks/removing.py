"""Removing the files that no asset names any more."""

from collections.abc import Callable

import structlog

from db import files
from db.database import Database, DatabaseAway
from pipeline.failpoints import failpoint
from providers.storage import Storage
from tasks.house import house

log = structlog.get_logger()


def remove() -> int:
    """A part of the sweep: how many files are gone."""
    return clear(house().database, house().storage)


def clear(database: Database, storage: Storage) -> int:
    """Each file in a transaction of its own; one that cannot be removed now is tried again later."""
    return sum(_removed(database, sha256, storage.delete) for sha256 in database.patiently(files.removals))


def _removed(database: Database, sha256: str, delete: Callable[[str], None]) -> bool:
    def gone(digest: str) -> None:
        failpoint("before_removal")
        delete(digest)
        failpoint("after_removal")

    try:
        return database.patiently(lambda session: files.remove(session, sha256, gone))
    except DatabaseAway:
        raise
    except Exception as error:  # the disk is read-only, the bucket is away: whatever it is, the others must not wait
        log.warning("file not removed", sha256=sha256, error=type(error).__name__)
        database.patiently(lambda session: files.postpone(session, sha256))
        return False
