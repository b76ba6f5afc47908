"""Prepared statements: the server parses and plans them once for each connection, not each time.

What every step costs is a few small statements; to plan them is more than half of the server's work.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult

PARAMETER = re.compile(r"%\((\w+)\)s")


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


def run(connection: Connection, calls: Iterable[tuple[Statement | str, Mapping[str, Any]]]) -> CursorResult[Any]:
    """Run them in one message to the server; the answer is that of the last. Plain SQL runs as it is."""
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
            connection.exec_driver_sql(statement.preparation)
            prepared.add(statement.name)
        said.append(statement.call(place))
    return connection.exec_driver_sql(";".join(said), values)
