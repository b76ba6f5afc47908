"""`likeness watch` and `likeness cancel`: following a job to its end, and stopping it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from webapp.cli.api import Api, Away, Refused, show, with_api
from webapp.cli.download import save
from webapp.cli.progress import Shown, shown

FINAL = {"completed", "failed", "cancelled"}
PAUSE_S = 0.5
PATIENCE_S = 60.0  # a restart of the service, or of its database, takes less


@click.command(short_help="Follow a job, stage by stage, to its end.")
@click.argument("job_id", metavar="JOB")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="When it is done, download its files into this folder.",
)
@with_api
def watch(api: Api, job_id: str, into: Path | None) -> None:
    """Follow a job, stage by stage, to its end.

    Exits 0 when it is completed, 1 when it failed or was cancelled. Where a person has to decide it says how, and
    waits.
    """
    raise SystemExit(report(api, job_id, Console(), into))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print the whole job.")
@with_api
def cancel(api: Api, job_id: str, as_json: bool) -> None:
    """Stop a job: no further stage starts."""
    job = api.cancel(job_id)
    click.echo(show(job) if as_json else f"{job['id']} {job['status']}")


def report(api: Api, job_id: str, console: Console, into: Path | None = None) -> int:
    """Follow the job and say how it ended; answers the exit code."""
    job = follow(api, job_id, console)
    for text in told(job):
        console.print(text, soft_wrap=True, highlight=False)
    if job["status"] != "completed":
        return 1
    if into is not None:
        for file in save(api, job, into):
            console.print(f"  {escape(str(file))}", soft_wrap=True, highlight=False)
    return 0


def follow(api: Api, job_id: str, console: Console, *, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """Show the job until it ends; answers it as it ended. Raises what Api raises."""
    with shown(console) as screen:
        while True:
            job = _look(api, job_id, screen, patience_s)
            if job["status"] in FINAL:
                return job
            time.sleep(PAUSE_S)


def _look(api: Api, job_id: str, screen: Shown, patience_s: float) -> dict[str, Any]:
    """The job now, shown. A service that is away for a moment is waited for: the job goes on without us."""
    end = time.monotonic() + patience_s
    while True:
        try:
            job = api.job(job_id)
            screen.update(job, api.stages(job_id))
            return job
        except (Away, Refused) as error:
            passing = isinstance(error, Away) or error.status >= 500 or error.status == 429
            if not passing or time.monotonic() > end:
                raise
            screen.note("the service does not answer; trying again")
            time.sleep(2 * PAUSE_S)


def told(job: Mapping[str, Any]) -> list[str]:
    """How the job ended, in rich's markup: the result's files, or the error and what can be done."""
    name = escape(str(job["id"]))
    if job["status"] == "completed":
        made = (f"  {key}: {escape(value)}" for key, value in _results(job.get("result") or {}))
        stale = (job.get("stages") or {}).get("stale") or []
        old = [f"  [yellow]out of date: {escape(', '.join(stale))}: `likeness retry {name}`[/]"] if stale else []
        return [f"{name} [green]completed[/]", *made, *old]
    lines = [f"{name} [red]{escape(str(job['status']))}[/]"]
    error = job.get("error")
    if isinstance(error, dict):
        stage, message, code = (escape(str(error.get(name))) for name in ("stage", "message", "code"))
        lines += [f"  {stage}: {message} [dim]({code})[/]", f"  [yellow]{escape(remedy(str(job['id']), error))}[/]"]
    return lines


def remedy(job_id: str, error: Mapping[str, Any]) -> str:
    """What the caller can do; the message itself says what is wrong."""
    code = error.get("code")
    if code == "provider_missing":
        return "The operator has to set a provider up: `likeness doctor` says which is missing."
    if code in ("internal_error", "asset_damaged", "out_of_memory"):
        return "This is for the operator: the service's log has more under the job's id."
    if error.get("retryable"):
        return f"Tried {error.get('attempts', 'several')} times. It may succeed later: `likeness retry {job_id}`."
    return (
        f"The same will fail again: change what was sent, and submit it with a new key; or see `likeness explain"
        f" {job_id}`, which says what can be said anew."
    )


def _results(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and addresses of what was made; scenes have their own stages to be looked at."""
    found: list[tuple[str, str]] = []
    for name, value in result.items():
        if isinstance(value, dict) and "url" in value:
            found.append((name, str(value["url"])))
        elif isinstance(value, dict):
            found += [(f"{name}.{inner}", text) for inner, text in _results(value)]
        elif value is not None and not isinstance(value, list):
            found.append((name, str(value)))
    return found
