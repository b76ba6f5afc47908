"""`likeness forget`: a person is deleted."""

import json

import click

from webapp.cli.api import Api, with_api


@click.command(short_help="Delete an avatar and everything that was made from it.")
@click.argument("avatar_id", metavar="AVATAR")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer.")
@with_api
def forget(api: Api, avatar_id: str, yes: bool, as_json: bool) -> None:
    """Delete an avatar: its photos and pictures, and the videos and sound of its jobs. There is no way back."""
    if not yes:
        click.confirm(f"Delete {avatar_id} and everything that was made from it?", abort=True, err=True)
    gone = api.forget(avatar_id)
    if as_json:
        click.echo(json.dumps(gone, indent=2))
    else:
        click.echo(f"{gone['id']} deleted: {gone['assets']} assets, and the content of {len(gone['jobs'])} jobs")
