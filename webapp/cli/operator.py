"""What an operator's command works on: the settings of the service in its own environment, and its database."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.database import Database, DatabaseAway
from db.schema import current
from pipeline.settings import Settings
from schemas import environment

PIPE_WIDTH = 240  # a pipe has no width: no ids are broken for it


@dataclass(frozen=True, slots=True)
class Desk:
    """`transaction` raises ClickException, in one line, where the database cannot be used."""

    settings: Settings
    database: Database

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with told(), self.database.transaction() as session:
            yield session


@contextmanager
def told() -> Iterator[None]:
    """A database that does not answer becomes a line for people."""
    try:
        yield
    except DatabaseAway as error:
        raise click.ClickException(f"{error}: `likeness doctor` says more.") from None
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
        raise click.ClickException(f"the database could not be used: {said[:300]}") from None


def with_desk(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the Desk as its first argument. No service token: who has these settings may do anything."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            settings = environment.read()
        except environment.SettingsInvalid as error:
            lines = "\n  ".join(str(error).splitlines())
            raise click.ClickException(
                f"this command needs the service's own settings (`honcho run likeness …` reads .env):\n  {lines}"
            ) from None
        database = Database(settings.database_url)
        try:
            with told():
                newest = current(database.engine)
            if not newest:
                raise click.ClickException("the database's schema is not the newest: python -m db upgrade")
            return command(Desk(settings, database), *arguments, **options)
        finally:
            database.dispose()

    return wrapped


def show(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def age(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h`, `5 d`: the largest unit that there is at least two of."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
