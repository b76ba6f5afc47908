"""Proof of life: while a worker process lives, it holds an advisory lock on a number of its own.

The server lets go of the lock at once when the process is gone, however it went. So whoever finds the lock free knows
that nobody works under this number; but for the moment after the server itself was started anew.
"""

import secrets
import select
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from db import statements

LIVES = 0x6C696665  # the class of these locks

HOLD = f"SELECT pg_try_advisory_lock({LIVES}, %(number)s)"
GONE = f"""
    SELECT CASE
        WHEN pg_postmaster_start_time() < %(since)s THEN pg_try_advisory_xact_lock({LIVES}, %(number)s) ELSE false
    END
"""


class Life:
    """This process's lock, on a connection that serves nothing else. To be used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self.number = secrets.randbelow(2**31)
        self._engine = engine
        self._connection: Connection | None = None

    def hold(self) -> bool:
        """Take the lock, if it is not held already. False: not yet, ask again soon."""
        if self._connection is None:
            with suppress(SQLAlchemyError):
                connection = self._engine.connect()
                connection.detach()
                if statements.execute(connection, HOLD, {"number": self.number}) == [(True,)]:
                    self._connection = connection
                else:
                    connection.close()
        return self._connection is not None

    def wait(self, seconds: float) -> None:
        """Returns early when the server hangs up."""
        if self._connection is None:
            return
        connection: Any = self._connection.connection.dbapi_connection
        if select.select([connection.fileno()], [], [], seconds)[0]:
            try:
                statements.execute(self._connection, "SELECT 1", {})
            except SQLAlchemyError:
                self.release()

    def release(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
        self._connection = None


def gone(connection: Connection, holder: str | None, since: datetime | None) -> bool | None:
    """Whether the process that has a step since then is known not to live any more; None: it left no proof of life.

    To be asked in a transaction, at whose end the lock is let go. `holder` is what the record calls its owner:
    `task/delivery/life`.
    """
    life = (holder or "").split("/")[2:]
    if not life or not since:
        return None
    return statements.execute(connection, GONE, {"number": int(life[0]), "since": since}) == [(True,)]
