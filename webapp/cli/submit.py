"""`likeness submit`: a snapshot becomes a job."""

import json
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from webapp.cli.api import Api, show, with_api
from webapp.cli.watch import report

CALLS = {"avatar": "avatars", "voice": "voices", "output": "outputs"}
CONTRACTS = {"avatar.create": "avatar", "voice.clone": "voice", "output.generate": "output"}


class FileOrCommand(click.Group):
    """`submit FILE` is `submit file FILE`: the commonest form needs no word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] != "--help" and args[0] not in self.commands:
            args = ["file", *args]
        return super().parse_args(ctx, args)


@click.group(cls=FileOrCommand, short_help="Submit a job, from a JSON file or in a simple form.")
def submit() -> None:
    """Submit a job: FILE.json, or the simple forms `avatar` and `output`.

    \b
    likeness submit request.json --watch
    likeness submit avatar --name Demo --photo me.jpg --consent "I agree that an avatar is made of me."
    likeness submit output --avatar avt_... --text @script.txt --captions burned
    """


def job_options(command: Any) -> Any:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the whole job."),
        click.option("--watch", "-w", is_flag=True, help="Follow it to its end; the exit code tells how it ended."),
        click.option("--key", metavar="KEY", help="The Idempotency-Key; made and printed when left out."),
    ):
        command = option(command)
    return command


@submit.command()
@click.argument("source", metavar="FILE", type=click.File("rb"))
@click.option("--kind", type=click.Choice(list(CALLS)), help="What it asks for, where `contract` does not tell.")
@job_options
@with_api
def file(api: Api, source: Any, kind: str | None, key: str | None, watch: bool, as_json: bool) -> None:
    """Submit a snapshot from a JSON file (- for standard input)."""
    name = getattr(source, "name", "-")
    try:
        payload = json.load(source)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{name} is not JSON: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{name} cannot be read: {error.strerror}") from error
    _submit(api, kind or kind_of(payload), payload, key, watch, as_json)


@submit.command()
@click.option("--name", required=True, help="The avatar's name.")
@click.option(
    "--photo", "photos", required=True, multiple=True, help="A photo; may be given several times.",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)  # fmt: skip
@click.option("--consent", required=True, metavar="TEXT", help="What the person in the photo agreed to.")
@click.option("--subject", metavar="NAME", help="Who agreed; the avatar's name when left out.")
@click.option("--granted-at", metavar="TIME", help="When, as 2026-11-01T09:00:00Z; now when left out.")
@click.option("--background", metavar="#RRGGBB", help="The colour behind the portrait.")
@job_options
@with_api
def avatar(
    api: Api, name: str, photos: tuple[Path, ...], consent: str, subject: str | None, granted_at: str | None,
    background: str | None, key: str | None, watch: bool, as_json: bool,
) -> None:  # fmt: skip
    """Upload photos and make an avatar of them."""
    images = [{"asset_id": _uploaded(api, photo)} for photo in photos]
    payload: dict[str, Any] = {
        "contract": "avatar.create/1",
        "name": name,
        "inputs": {"images": images},
        "consent": {
            "statement": consent,
            "subject": subject or name,
            "granted_at": granted_at or datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
    }
    if background:
        payload["style"] = {"background": background}
    _submit(api, "avatar", payload, key, watch, as_json)


@submit.command()
@click.option("--avatar", "avatar_id", required=True, metavar="AVT", help="The avatar's id.")
@click.option("--text", metavar="TEXT|@FILE", help="The words to say; @FILE reads them, @- from standard input.")
@click.option("--brief", metavar="TEXT|@FILE", help="What the words are about, instead of the words.")
@click.option("--duration", type=click.FloatRange(5, 300), metavar="SECONDS", help="With --brief: how long to speak.")
@click.option("--tone", help="With --brief: friendly, say.")
@click.option("--multi/--single", "multi", default=None, help="Several scenes, or one.")
@click.option("--scenes", type=click.IntRange(1, 50), help="At most so many scenes.")
@click.option("--captions", type=click.Choice(["burned", "sidecar", "none"]))
@click.option("--background", metavar="TEXT", help="What is seen behind the avatar.")
@click.option("--size", metavar="WIDTHxHEIGHT", help="1280x720, say.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="The same seed makes the same video.")
@job_options
@with_api
def output(
    api: Api, avatar_id: str, text: str | None, brief: str | None, duration: float | None, tone: str | None,
    multi: bool | None, scenes: int | None, captions: str | None, background: str | None, size: str | None,
    seed: int | None, key: str | None, watch: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make a video in which an avatar speaks. What is left out, the service decides."""
    if (text is None) == (brief is None):
        raise click.UsageError("Give either --text or --brief.")
    script = {"text": text_of(text), "brief": text_of(brief), "duration_s": duration, "tone": tone}
    width, height = _size(size)
    payload: dict[str, Any] = {
        "contract": "output.generate/1",
        "avatar_id": avatar_id,
        "script": _given(script),
        "scenes": _given({"mode": None if multi is None else "multi" if multi else "single", "max": scenes}),
        "output": _given({"width": width, "height": height, "captions": captions, "background": background}),
        "seed": seed,
    }
    _submit(api, "output", {name: value for name, value in _given(payload).items() if value != {}}, key, watch, as_json)


def kind_of(payload: Any) -> str:
    """Told from the contract's name, whatever its version: the service knows the versions."""
    contract = payload.get("contract") if isinstance(payload, dict) else None
    kind = CONTRACTS.get(str(contract).partition("/")[0])
    if kind is None:
        known = ", ".join(CONTRACTS)
        raise click.ClickException(f"the file's `contract` is none of {known}: name it there, or give --kind")
    return kind


def _submit(api: Api, kind: str, payload: Any, key: str | None, watch: bool, as_json: bool) -> None:
    send(api, lambda used: api.submit(CALLS[kind], payload, used), key, watch, as_json)


def send(
    api: Api, call: Callable[[str], tuple[dict[str, Any], bool]], key: str | None, watch: bool, as_json: bool
) -> None:
    """Make the call under the key, or a new one; show the job, and follow it if that is wanted."""
    if key is None:
        key = f"cli-{uuid.uuid4()}"
        # before the call: if its answer is lost, the same key asks again and nothing happens twice
        click.echo(f"Idempotency-Key: {key}", err=True)
    job, replayed = call(key)
    said = f"{job['id']} {job['kind']} {job['route']} {job['status']}"
    click.echo(show(job) if as_json else said + (" (this was asked before)" if replayed else ""))
    if watch:
        raise SystemExit(report(api, job["id"], Console(stderr=as_json)))


def _uploaded(api: Api, photo: Path) -> str:
    try:
        return str(api.upload(photo)["id"])
    except OSError as error:
        raise click.ClickException(f"{photo} cannot be read: {error.strerror}") from error


def text_of(text: str | None) -> str | None:
    """What an option says, or what is in the file that it names after an @."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{text[1:]} cannot be read as text: {error}") from error


def _size(size: str | None) -> tuple[int | None, int | None]:
    if size is None:
        return None, None
    width, _, height = size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.UsageError(f"{size} is no size: write 1280x720.")
    return int(width), int(height)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
