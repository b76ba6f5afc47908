"""`likeness approve`: a person decides at an open gate."""

import json
from typing import Any

import click

from webapp.cli.api import Api, with_api
from webapp.cli.gate import items
from webapp.cli.submit import job_options, send

GATES = ("script", "storyboard", "background", "video_asset")
DECISIONS = ("approve", "revise", "reject")


@click.command(short_help="Decide at an open gate: approve, revise or reject.")
@click.argument("job_id", metavar="JOB")
@click.argument("name", metavar="GATE", type=click.Choice(GATES))
@click.option("--decision", type=click.Choice(DECISIONS), default="approve", show_default=True)
@click.option(
    "--scene", "scenes", type=int, multiple=True, help="With revise: only this one; may be given several times."
)
@click.option("--notes", metavar="TEXT", help="With revise: what is to be different.")
@click.option("--edits", type=click.File("rb"), metavar="FILE.json", help="With approve: what takes its place.")
@click.option("--reviewer", metavar="NAME", help="Who decides.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@job_options
@with_api
def approve(
    api: Api, job_id: str, name: str, decision: str, scenes: tuple[int, ...], notes: str | None, edits: Any,
    reviewer: str | None, yes: bool, key: str | None, watch: bool, as_json: bool,
) -> None:  # fmt: skip
    """Decide at an open gate of a job.

    Shows what is to be judged and asks. What has changed since it was shown is not decided.

    \b
    likeness approve job_... background
    likeness approve job_... background --decision revise --scene 2 --notes "brighter"
    likeness approve job_... script --edits words.json
    """
    given = None if edits is None else _edits(edits)
    gate = _opened(api, job_id, name)
    click.echo(f"{name}, round {gate['round']}, {gate['digest']}", err=True)
    for line in items(gate):
        click.echo(line, err=True)
    if not yes:
        click.confirm(f"{decision.capitalize()}?", abort=True, err=True)
    said = {"scenes": list(scenes) or None, "notes": notes, "edits": given, "reviewer": reviewer}
    asked = {"contract": "job.approve/1", "gate": name, "decision": decision, "digest": gate["digest"]}
    payload = asked | {member: value for member, value in said.items() if value is not None}
    send(api, lambda used: api.decide(job_id, payload, used), key, watch, as_json)


def _opened(api: Api, job_id: str, name: str) -> dict[str, Any]:
    job = api.job(job_id)
    gate: dict[str, Any] | None = job.get("gate")
    if gate is not None and gate["name"] == name:
        return gate
    place = f" at the gate {gate['name']}" if gate else ""
    said = f"the gate {name} is not open: the job is {job['status']}{place}."
    last = next((each for each in reversed(api.approvals(job_id)) if each["gate"] == name), None)
    if last is not None:
        who = f" by {last['reviewer']}" if last["reviewer"] else ""
        said += f" It was last decided{who}: {last['decision']}."
    raise click.ClickException(said)


def _edits(source: Any) -> dict[str, Any]:
    try:
        found = json.load(source)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{source.name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.ClickException(f"{source.name} must be an object with `text`, `scenes` or `assets`")
    return found
