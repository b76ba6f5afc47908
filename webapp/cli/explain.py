"""`likeness explain`: why a job is where it is."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from webapp.cli.api import Api, show, with_api


@click.command(short_help="Say why a job is where it is, and what could be done.")
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print the whole explanation.")
@with_api
def explain(api: Api, job_id: str, as_json: bool) -> None:
    """Say why a job is where it is: what it waits for, what failed, what is stale since which change."""
    found = api.explain(job_id)
    click.echo(show(found) if as_json else "\n".join(_lines(found)))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['job_id']} {found['status']}"
    yield str(found["summary"])
    for item in found["waits_for"][2:]:  # the summary has those before
        yield f"  {item['says']}"
    for each in found["failed"]:
        again = "may succeed later" if each["retryable"] else "will fail again as it is"
        yield f"failed: {each['stage']}: {each['message']} ({each['code']}; {again})"
    for each in found["stale"]:
        yield f"stale: {each['stage']}, since {'; '.join(map(_change, each['because']))}"
    for each in found["possible"]:
        yield f"possible: {each['says']}"
        yield f"  {each['call']} {json.dumps(each['body'], ensure_ascii=False) if each['body'] else ''}".rstrip()


def _change(change: Mapping[str, Any]) -> str:
    was, now = (str(change[name] or "nothing")[:8] for name in ("was", "is"))
    return {
        "replaced": f"{change['from']} was {was} and is {now}",
        "stale": f"{change['from']} is stale",
        "missing": f"{change['from']} has to run first",
    }.get(change["reason"], f"{change['from']} works otherwise now")
