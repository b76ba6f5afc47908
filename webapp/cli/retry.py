"""`likeness retry`: a job goes on, or has something made anew."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from webapp.cli.api import Api, show, with_api
from webapp.cli.submit import job_options, send, text_of


@click.command(short_help="Have a job go on, or a stage of it made anew.")
@click.argument("job_id", metavar="JOB")
@click.argument("stage", metavar="[STAGE]", required=False)
@click.option("--single", is_flag=True, help="Only this stage; what depends on it is stale until a later retry.")
@click.option("--regenerate", is_flag=True, help="Another variation, instead of the same once more.")
@click.option(
    "--set", "changes", metavar="NAME=TEXT|@FILE", multiple=True, help="What is to be different: text, prompt, ..."
)
@click.option("--reason", metavar="TEXT", help="Kept with the retry.")
@click.option("--dry-run", is_flag=True, help="Show what would run; nothing changes.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@job_options
@with_api
def retry(
    api: Api, job_id: str, stage: str | None, single: bool, regenerate: bool, changes: tuple[str, ...],
    reason: str | None, dry_run: bool, yes: bool, key: str | None, watch: bool, as_json: bool,
) -> None:  # fmt: skip
    """Have a job go on, or a stage of it made anew.

    Without a STAGE: what failed, was never run or is stale. Shows what will run and asks; if the job has changed
    meanwhile, nothing happens.

    \b
    likeness retry job_...
    likeness retry job_... scene/2/background --regenerate --set prompt="a quiet library"
    likeness retry job_... scene/3/speech --set text=@mended.txt --dry-run
    """
    asked = {
        "contract": "job.retry/1",
        "from_stage": stage,
        "mode": "single" if single else "downstream",
        "regenerate": regenerate,
        "overrides": dict(map(_override, changes)),
        "reason": reason,
    }
    plan = api.plan(job_id, asked)
    if dry_run:
        click.echo(show(plan) if as_json else "\n".join(_lines(plan)))
        return
    for line in _lines(plan):
        click.echo(line, err=True)
    if not yes:
        click.confirm("Run it?", abort=True, err=True)
    send(api, lambda used: api.retry(job_id, asked | {"digest": plan["digest"]}, used), key, watch, as_json)


def _lines(plan: Mapping[str, Any]) -> Iterator[str]:
    for name, stages in (("runs", plan["run"]), ("stays", plan["reuse"]), ("gets stale", plan["stale"])):
        if stages:
            yield f"{name + ':':<11} {', '.join(stages)}"
    if plan["voids"]:
        yield f"{'asks again:':<11} {', '.join(plan['voids'])}"
    estimate = plan["estimate"]
    cost = estimate["cost"]
    yield f"{'estimate:':<11} {estimate['seconds']:g} s, {cost['amount']} {cost['currency']}"


def _override(change: str) -> tuple[str, Any]:
    name, equals, said = change.partition("=")
    if not equals:
        raise click.UsageError(f"{change} says nothing: write --set text=..., say.")
    text = text_of(said) or ""
    if name != "scenes":
        return name, text
    try:
        return name, json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"the scenes are not JSON: {error}") from error
