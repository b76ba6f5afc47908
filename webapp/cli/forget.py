"""`likeness forget`: a person or a voice is deleted."""

import json

import click

from webapp.cli.api import Api, with_api


@click.command(short_help="Delete an avatar and everything that was made from it, or a voice.")
@click.argument("identity", metavar="AVATAR|VOICE")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer.")
@with_api
def forget(api: Api, identity: str, yes: bool, as_json: bool) -> None:
    """Delete an avatar: all its versions, its photos and pictures, and the videos and sound of its jobs. Or a voice
    that was cloned by itself: its sample and its preview. There is no way back."""
    if not yes:
        click.confirm(f"Delete {identity} and what goes with it?", abort=True, err=True)
    gone = api.forget(identity)
    if as_json:
        click.echo(json.dumps(gone, indent=2))
    else:
        click.echo(f"{gone['id']} deleted: {gone['assets']} assets, and the content of {len(gone['jobs'])} jobs")
