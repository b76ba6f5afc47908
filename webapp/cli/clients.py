"""`likeness clients`: the tokens and secrets of calling services, made where they are set up."""

import base64
import json
import secrets
import sys
from hashlib import sha256

import click

TOKEN_PREFIX = "lkn_"  # lets a scanner for leaked secrets know ours  # noqa: S105
TOKEN_BYTES = 32
SECRET_BYTES = 32
SHORTEST_TOKEN = 20


@click.group()
def clients() -> None:
    """Make the credentials of calling services. Nothing is sent or stored."""


@clients.command()
@click.argument("name")
@click.option("--callback-url", metavar="URL", help="Where lifecycle events are posted.")
@click.option("--max-active-jobs", type=click.IntRange(1), help="How many unfinished jobs it may have.")
def new(name: str, callback_url: str | None, max_active_jobs: int | None) -> None:
    """Make a token, shown this once, and the entry for LIKENESS_CLIENTS."""
    token = made_token()
    entry: dict[str, object] = {"name": name, "token_sha256": [digest(token)]}
    secret = made_secret() if callback_url else None
    if secret is not None:
        entry |= {"callback_url": callback_url, "callback_secrets": [secret]}
    if max_active_jobs is not None:
        entry["max_active_jobs"] = max_active_jobs
    _check(entry)
    click.echo("Token, for the calling service; it is not shown again:", err=True)
    click.echo(token)
    if secret is not None:
        click.echo(
            "Secret, with which the service verifies events (LIKENESS_WEBHOOK_SECRET of `likeness receive`):", err=True
        )
        click.echo(secret)
    click.echo("Entry for the list in LIKENESS_CLIENTS:", err=True)
    click.echo(json.dumps(entry))


@clients.command("hash")
def hash_() -> None:
    """Print the hash of a token, for `token_sha256`.

    The token is read from standard input, or asked for: as an argument it would stand in the shell's history and in the
    list of processes.
    """
    token = (click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not token:
        raise click.UsageError("No token came on standard input.")
    if len(token) < SHORTEST_TOKEN:
        raise click.UsageError(
            f"A token has at least {SHORTEST_TOKEN} characters: `likeness clients new` makes good ones."
        )
    if any(character.isspace() for character in token):
        raise click.UsageError("A token has no white space.")
    click.echo(digest(token))


def made_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def made_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def strong(secret: str) -> bool:
    """Whether it is a secret as the Standard Webhooks specification has it: `whsec_` and base64 of 24 to 64 bytes."""
    try:
        return secret.startswith("whsec_") and 24 <= len(base64.b64decode(secret[6:], validate=True)) <= 64
    except ValueError:
        return False


def digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _check(entry: dict[str, object]) -> None:
    """An entry that the service would refuse at start is refused here."""
    from marshmallow import ValidationError

    from schemas.environment import ClientSchema
    from schemas.problems import flaws

    try:
        ClientSchema().load(entry)
    except ValidationError as error:
        found = "; ".join(f"{flaw.pointer.lstrip('/')}: {flaw.detail}" for flaw in flaws(error.messages))
        raise click.UsageError(found) from error
