"""`likeness dead`: the messages that the broker gave up, and what becomes of them."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from kombu.exceptions import KombuError
from rich.markup import escape
from rich.table import Table

from webapp.cli.operator import Desk, age, show, told, with_desk

if TYPE_CHECKING:
    from tasks.dead import Dead, Held


ID_WIDTH = 36


@click.group(short_help="Messages that the broker gave up: look, send again, drop.")
def dead() -> None:
    """Look at messages that the broker gave up, send them again, or drop them.

    Works on the service's own settings, broker and database, as `likeness doctor` does.
    """


@dead.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a list for programs, oldest first.")
@with_desk
def list_(desk: Desk, limit: int, as_json: bool) -> None:
    """Show the dead messages, oldest first. None of them moves."""
    with _opened(desk) as held:
        found = list(islice(held, limit))
        if as_json:
            click.echo(json.dumps([_told(each) for each in found], ensure_ascii=False, indent=2))
            return
        if not found:
            click.echo("No dead messages.")
            return
        show(_table(found))
        if held.waiting > len(found):
            click.echo(f"{held.waiting - len(found)} more: --limit shows them.", err=True)


ids = click.argument("ids", metavar="ID…", nargs=-1)
every = click.option("--all", "every", is_flag=True, help="All that are there now.")


@dead.command()
@ids
@every
@with_desk
def requeue(desk: Desk, ids: tuple[str, ...], every: bool) -> None:
    """Have the work done that dead messages asked for.

    A job that failed with the message's step goes on from there; an active one is launched again; any other message is
    sent again to where it died. Exits 1 if there was nothing to do for one of them: drop it.
    """
    _chosen(ids, every)
    from tasks.dead import NothingToDo

    with _opened(desk) as held:

        def again(each: "Dead") -> str | None:
            try:
                click.echo(f"{each.id}  {held.requeue(each)}")
            except NothingToDo as error:
                return f"{each.id}  nothing to do: {error}; `likeness dead drop {each.id}`"
            return None

        refused = _each(held, ids, again)
    _end(refused)


@dead.command()
@ids
@every
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_desk
def drop(desk: Desk, ids: tuple[str, ...], every: bool, yes: bool) -> None:
    """Remove dead messages for ever. Jobs are not touched: what is left of one is in the database."""
    _chosen(ids, every)
    if not yes:  # asked before anything is held: the answer may take its time
        click.confirm(f"Drop {'all dead messages' if every else ', '.join(ids)} for ever?", abort=True, err=True)
    with _opened(desk) as held:

        def away(each: "Dead") -> None:
            each.drop()
            click.echo(f"{each.id}  dropped")

        refused = _each(held, ids, away)
    _end(refused)


def _chosen(ids: tuple[str, ...], every: bool) -> None:
    if bool(ids) == every:
        raise click.UsageError("Name dead messages (`likeness dead list` shows their ids), or give --all.")


def _each(held: "Held", ids: tuple[str, ...], verb: Callable[["Dead"], str | None]) -> list[str]:
    """Do it to each of these, or to all; what could not be done, as `verb` answers it."""
    found: set[str] = set()
    refused = []
    for each in held:
        if ids and each.id not in ids:
            continue
        found.add(each.id)
        refused += [reason] if (reason := verb(each)) else []
    if not (ids or found):
        click.echo("No dead messages.")
    return refused + [f"{missing}  is not among the dead messages" for missing in ids if missing not in found]


def _end(refused: list[str]) -> None:
    for reason in refused:
        click.echo(reason, err=True)
    raise SystemExit(bool(refused))


@contextmanager
def _opened(desk: Desk) -> "Iterator[Held]":
    if desk.settings.broker_url.startswith("memory://"):
        raise click.ClickException("LIKENESS_BROKER_URL is memory://, which keeps no dead messages.")
    from tasks.app import app  # Celery reads the environment when it is imported
    from tasks.dead import hold

    line = app.connection_for_write()
    try:
        with told(), hold() as held:
            yield held
    except (*line.connection_errors, *line.channel_errors, KombuError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise click.ClickException(
            f"the broker could not be used: {said[0][:300]}. What was not said to be done is still there."
        ) from None


def _told(each: "Dead") -> dict[str, Any]:
    return {
        "id": each.id,
        "task": each.task,
        "job_id": each.job_id,
        "step": each.step,
        "queue": each.queue,
        "reason": each.reason,
        "count": each.count,
        "at": each.at.isoformat().replace("+00:00", "Z") if each.at else None,
    }


def _table(found: "Iterable[Dead]") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("message", overflow="fold", min_width=ID_WIDTH)  # an id that is broken cannot be copied
    for column in ("task", "job and step", "from", "why", "when"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for each in found:
        why = f"{each.reason} ×{each.count}" if each.reason else ""
        when = f"{age((now - each.at).total_seconds())} ago" if each.at else ""
        about = "\n".join(part for part in (each.job_id, each.step) if part)
        table.add_row(*map(escape, (each.id, each.task or "?", about, each.queue or "?", why, when)))
    return table
