"""psycopg2's dialect, but for one thing: that a transaction begins and ends is said here, not by the driver.

The driver sends BEGIN and COMMIT as messages of their own. Where we say them, they can travel with what they enclose.
"""

from typing import Any

from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

NAME = "postgresql+spoken"


class Dialect(PGDialect_psycopg2):
    supports_statement_cache = True

    def connect(self, *args: Any, **options: Any) -> Any:
        connection = super().connect(*args, **options)
        connection.autocommit = True
        return connection

    def do_begin(self, dbapi_connection: Any) -> None:
        _say(dbapi_connection, "BEGIN")

    def do_commit(self, dbapi_connection: Any) -> None:
        _say(dbapi_connection, "COMMIT")

    def do_rollback(self, dbapi_connection: Any) -> None:
        if dbapi_connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            _say(dbapi_connection, "ROLLBACK")


def spoken(url: URL) -> URL:
    """The same database by this dialect."""
    return url.set(drivername=NAME)


def _say(connection: Any, word: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(word)


registry.register(NAME.replace("+", "."), __name__, Dialect.__name__)
