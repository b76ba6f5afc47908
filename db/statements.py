"""Prepared statements: the server parses and plans them once for each connection, not each time.

What every step costs is a few small statements; to plan them is more than half of the server's work.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

PARAMETER = re.compile(r"%\((\w+)\)s")
# Prepared twice since we were interrupted, not there any more, or for a table as it was before a migration.
OUTDATED = (errors.DuplicatePreparedStatement, errors.InvalidSqlStatementName, errors.FeatureNotSupported)


class Statement:
    """SQL with parameters `%(name)s`. Whoever runs it first on a connection prepares it there."""

    def __init__(self, name: str, sql: str) -> None:
        self.name = name
        self._parameters = list(dict.fromkeys(PARAMETER.findall(sql)))
        self._sql = PARAMETER.sub(lambda found: f"${self._parameters.index(found[1]) + 1}", sql)

    @property
    def preparation(self) -> str:
        return f"PREPARE {self.name} AS {self._sql}"

    def call(self, place: str) -> str:
        """Its parameters are named after the place as well, so that several calls can share one mapping."""
        values = ", ".join(f"%({place}{name})s" for name in self._parameters)
        return f"EXECUTE {self.name}({values})" if values else f"EXECUTE {self.name}"


def run(connection: Connection, calls: Iterable[tuple[Statement | str, Mapping[str, Any]]]) -> list[tuple[Any, ...]]:
    """Run them in one message to the server; the rows are those of the last. Plain SQL runs as it is.

    Raises what the connection's own methods would raise.
    """
    prepared: set[str] = connection.info.setdefault("prepared", set())
    said: list[str] = []
    values: dict[str, Any] = {}
    for number, (statement, given) in enumerate(calls):
        place = f"{number}."
        values |= {f"{place}{name}": value for name, value in given.items()}
        if isinstance(statement, str):
            said.append(statement.replace("%(", f"%({place}"))
            continue
        if statement.name not in prepared:
            execute(connection, statement.preparation, {})
            prepared.add(statement.name)
        said.append(statement.call(place))
    return execute(connection, ";".join(said), values)


def execute(connection: Connection, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """With the driver's own cursor: to describe the columns, which are known, would cost more than to read the rows."""
    try:
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []
    except psycopg2.Error as error:
        raise _translated(connection, error) from error


def roll_back(connection: Connection) -> None:
    """What was begun and has not ended. With a connection that is lost, all of that is."""
    if connection.invalidated:
        return
    driver: Any = connection.connection.dbapi_connection
    if driver.get_transaction_status() != TRANSACTION_STATUS_IDLE:
        execute(connection, "ROLLBACK", {})


def _translated(connection: Connection, error: psycopg2.Error) -> Exception:
    """As SQLAlchemy would raise it; a connection that is lost, or that prepared something else, is not used again."""
    gone = connection.dialect.is_disconnect(error, connection.connection, None)  # type: ignore[arg-type]
    useless = gone or isinstance(error, OUTDATED)
    if useless:
        connection.invalidate(error)
    if gone:
        connection.engine.dispose()  # the others are most likely lost as well
    return DBAPIError.instance(None, None, error, psycopg2.Error, hide_parameters=True, connection_invalidated=useless)
