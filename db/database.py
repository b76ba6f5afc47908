"""The connection to PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import structlog
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from db.dialect import spoken

S = TypeVar("S")
T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
SESSION = {
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "timezone": "utc",
    "plan_cache_mode": "force_generic_plan",
}
PATIENCE_S = 60.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

log = structlog.get_logger()


class DatabaseAway(Exception):
    """The database did not answer for as long as we were willing to wait."""


class Database:
    """One engine per process; opened by the first use after a fork."""

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        self.engine = create_engine(
            spoken(make_url(url)),
            pool_size=pool_size,
            max_overflow=0,  # what is beyond the pool would be opened anew for each use
            pool_timeout=10,
            pool_recycle=1800,
            hide_parameters=True,  # an error's text goes to the log; scripts and consents must not
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "likeness",
                "options": " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commits at the end, rolls back on any error."""
        # no autoflush: a verb's changes to a row go out as one statement
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session, session.begin():
            yield session

    def patiently(self, work: Callable[[Session], T], *, patience_s: float = PATIENCE_S) -> T:
        """Do the work in a transaction of its own; again when the database went away.

        `work` must bear being run twice: a lost answer does not tell whether the commit took place.
        Raises DatabaseAway.
        """
        return self._patiently(self.transaction, work, patience_s)

    def in_turn(self, work: Callable[[Connection], T], *, patience_s: float = PATIENCE_S) -> T:
        """The same for work that takes a turn at a job (db/turns.py), which begins and commits by itself."""
        return self._patiently(self.engine.connect, work, patience_s)

    def _patiently(
        self, enter: Callable[[], AbstractContextManager[S]], work: Callable[[S], T], patience_s: float
    ) -> T:
        end = time.monotonic() + patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                with enter() as entered:
                    return work(entered)
            except (DBAPIError, PoolTimeout) as error:
                if not _passing(error):
                    raise
                if time.monotonic() + pause > end:
                    raise DatabaseAway(f"the database was away for {patience_s:.0f} s") from error
                log.warning("database away", error=type(error).__name__, pause_s=pause)
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def ping(self) -> None:
        """Raises sqlalchemy.exc.OperationalError."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def dispose(self) -> None:
        self.engine.dispose()


def _passing(error: DBAPIError | PoolTimeout) -> bool:
    """Lost connections, restarts, lock timeouts and deadlocks pass; a broken constraint does not."""
    return isinstance(error, PoolTimeout | OperationalError) or bool(error.connection_invalidated)
