"""`likeness calls`: what was bought at vendors, and what only a person can decide about it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from db import calls as ledger
from db.calls import NotUncertain
from db.models import Job, ProviderCall, Record
from pipeline.calls import CallStatus, Ticket
from pipeline.errors import StageError
from pipeline.state import ACTIVE, JobStatus, StepStatus
from webapp.cli.operator import Desk, age, show, with_desk

STATUSES = [status.value for status in CallStatus]
ID_WIDTH = 31
MONEY = ("reserved", "settled", "wasted")
UNKNOWN = {CallStatus.UNCERTAIN.value: "outcome_unknown: nobody knows whether it was taken"}

charged = click.option(
    "--charged/--not-charged", default=False, show_default=True, help="Whether the vendor was paid for what is lost."
)


@click.group(short_help="Paid calls: look at them, and decide on uncertain ones.")
def calls() -> None:
    """Look at paid calls of vendors, and decide on those whose outcome nobody knows.

    Works on the service's own settings and database, as `likeness doctor` does.
    """


@calls.command("list", short_help="Show calls, newest first: the uncertain ones, unless asked otherwise.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="May be given several times.")
@click.option("--job", "job_id", metavar="JOB", help="Only this job's calls; in every state, unless --status is given.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a list for programs, newest first.")
@with_desk
def list_(desk: Desk, statuses: Sequence[str], job_id: str | None, limit: int, as_json: bool) -> None:
    """Show calls, newest first: those that wait for a person, unless asked otherwise."""
    wanted = statuses or (() if job_id else (CallStatus.UNCERTAIN.value,))
    with desk.transaction() as session:
        rows = ledger.page(session, statuses=wanted, job_id=job_id, limit=limit)
    if as_json:
        click.echo(json.dumps([_told(row) for row in rows], ensure_ascii=False, indent=2))
    elif rows:
        show(_table(rows))
        if any(row.status == CallStatus.UNCERTAIN for row in rows):
            click.echo(
                "Uncertain ones: look at the vendor's; then `likeness calls adopt`, `retry` or `drop`.", err=True
            )
    else:
        click.echo(f"No call{f' of {job_id}' if job_id else ''} is {' or '.join(wanted)}." if wanted else "No calls.")


@calls.command(short_help="The vendor has it, under this id: follow it.")
@click.argument("call_id", metavar="CALL")
@click.option("--external-id", required=True, metavar="ID", help="The vendor's own id of the work, as it shows it.")
@with_desk
def adopt(desk: Desk, call_id: str, external_id: str) -> None:
    """Say that the vendor did take it: its work is followed to its end, and paid once."""
    with desk.transaction() as session:
        row = _found(session, call_id)
        ticket = _ticket(desk, row, external_id) if row.status == CallStatus.UNCERTAIN else Ticket(external_id)
        _decide(lambda: ledger.adopt(session, call_id, ticket))
        goes_on = _goes_on(session, row)
    follows = "its step asks for the answer" if goes_on else "no step waits for it: the sweeper books what it cost"
    click.echo(f"{call_id} is {row.provider}'s {external_id} now; {follows}.")


@calls.command(short_help="It was not taken, or is lost: call again.")
@click.argument("call_id", metavar="CALL")
@charged
@with_desk
def retry(desk: Desk, call_id: str, charged: bool) -> None:
    """Say that the vendor did not take it, or that its answer is lost: the step may call again, and pay.

    With --charged, what the lost one cost is booked as waste.
    """
    with desk.transaction() as session:
        row = _found(session, call_id)
        if charged and row.status == CallStatus.FAILED:
            raise click.UsageError("The call has ended, and what it cost is booked: --charged is for uncertain ones.")
        _decide(lambda: ledger.retry(session, call_id, charged=charged))
        goes_on = _goes_on(session, row)
    follows = "its step calls again" if goes_on else "no step waits for it, so nothing is called"
    click.echo(f"{call_id} is over{_booked(row)}; {follows}.")


@calls.command(short_help="Give it up; its job fails.")
@click.argument("call_id", metavar="CALL")
@charged
@with_desk
def drop(desk: Desk, call_id: str, charged: bool) -> None:
    """Give it up: the step that waits for it fails, and with it the job."""
    with desk.transaction() as session:
        row = _found(session, call_id)
        _decide(lambda: ledger.drop(session, call_id, charged=charged))
        session.flush()
        failed = session.get_one(Job, row.job_id).status == JobStatus.FAILED
    follows = f"its job {row.job_id} has failed" if failed else f"its job {row.job_id} had ended already"
    click.echo(f"{call_id} is over{_booked(row)}; {follows}.")


def _found(session: Session, call_id: str) -> ProviderCall:
    row = ledger.find(session, call_id)
    if row is None:
        raise click.ClickException(f"there is no call {call_id}: `likeness calls list --job JOB` shows a job's.")
    return row


def _ticket(desk: Desk, row: ProviderCall, external_id: str) -> Ticket:
    from providers.catalogue import Catalogue
    from providers.storage import Storage
    from tasks.store import StepAssets

    assets = StepAssets(Storage(desk.settings.storage_url))
    try:
        ticket = Catalogue(desk.settings).operation(row.provider, row.operation, assets).adopt(external_id)
    except StageError as error:
        raise click.ClickException(f"{row.provider} cannot be asked for it: {error.message}") from None
    if ticket is None:
        raise click.ClickException(
            f"no answer of {row.provider}'s {row.operation} can be fetched by such an id. If it is right, none is kept:"
            f" `likeness calls retry {row.id}` (with --charged if it was paid), or `likeness calls drop {row.id}`."
        )
    return ticket


def _decide(verb: Any) -> None:
    try:
        verb()
    except NotUncertain as error:
        raise click.ClickException(str(error)) from None


def _goes_on(session: Session, row: ProviderCall) -> bool:
    """Whether the sweeper now wakes a step for it: within about a second where the service runs."""
    session.flush()
    record = session.get(Record, (row.job_id, row.step), populate_existing=True)
    job = session.get_one(Job, row.job_id)
    return job.status in ACTIVE and record is not None and record.status == StepStatus.WAITING


def _booked(row: ProviderCall) -> str:
    return f", {_usd(row.wasted)} of it booked as waste" if row.wasted else ""


def _told(row: ProviderCall) -> dict[str, Any]:
    """For programs. Never the request: it has the script."""
    error = row.error or {}
    return {
        "id": row.id,
        "job_id": row.job_id,
        "step": row.step,
        "provider": row.provider,
        "operation": row.operation,
        "status": row.status,
        "external_id": row.external_id,
        "tries": row.tries,
        "round": row.round,
        "price": {name: f"{getattr(row, name):.4f}" for name in MONEY} | {"currency": "USD"},
        "error": {name: error.get(name) for name in ("code", "message")} if error else None,
        **{name: _iso(getattr(row, name)) for name in ("intended_at", "submitted_at", "ended_at")},
    }


def _table(rows: Sequence[ProviderCall]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("call", "job and step"):
        table.add_column(column, overflow="fold", min_width=ID_WIDTH)  # an id that is broken cannot be copied
    for column in ("provider", "status", "price", "intended", "what went wrong"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for row in rows:
        error = row.error or {}
        money = [f"{name} {_usd(getattr(row, name))}" for name in MONEY if getattr(row, name)]
        wrong = f"{error['code']}: {error['message']}" if error else UNKNOWN.get(row.status, "")
        since = f"{row.intended_at:%Y-%m-%d %H:%M:%S}Z\n{age((now - row.intended_at).total_seconds())} ago"
        cells = (
            row.id,
            f"{row.job_id}\n{row.step}",
            f"{row.provider}\n{row.operation}",
            f"{row.status}\n{row.external_id or ''}".strip(),
            "\n".join(money),
            since,
            wrong,
        )
        table.add_row(*map(escape, cells))
    return table


def _usd(amount: Decimal) -> str:
    return f"{amount:.4f} USD"


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
