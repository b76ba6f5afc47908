"""`likeness demo`: the first minute. A whole service in this folder, used as any client would use it."""

import signal
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from webapp.cli.api import Api, Away, Refused
from webapp.cli.child import Credentials, Failed, alone, environment, serving
from webapp.cli.clients import made_secret, made_token
from webapp.cli.download import save
from webapp.cli.inbox import Inbox
from webapp.cli.receive import listening
from webapp.cli.watch import follow, told
from webapp.cli.witness import Witness

CALLBACKS_S = 15.0
PATIENCE_S = 10.0
INTERRUPTED = 130

SCRIPT = """\
Hello. I am a synthetic demo, made from one public-domain portrait.
Watch my lips. They meet for m, b and p, as in: a maple bowl, or a big blue map.
Do I keep time? Count with me: seven, twenty-five, one hundred and four.
My voice, my moving face and this room come from a program, and nothing left this machine.
"""
SHORT_SCRIPT = """\
Hello. I am a synthetic demo, made from one portrait.
Do my lips keep time? One, two, three.
"""
STATEMENT = (
    "The photograph is in the public domain and stands in for a consenting person. The avatar has an invented name, and"
    " is used only to show how this software works."
)


@click.command(short_help="Make a talking video of the sample portrait; needs no server.")
@click.option(
    "--dir", "folder", default=Path("var/demo"), show_default=True, help="Where everything goes.",
    type=click.Path(file_okay=False, path_type=Path),
)  # fmt: skip
@click.option("--fast", is_flag=True, help="A smaller video of two short scenes.")
@click.option("--keep-serving", is_flag=True, help="Stay up afterwards, to be tried with curl; ends with Ctrl-C.")
def demo(folder: Path, fast: bool, keep_serving: bool) -> None:
    """Make a talking video of the sample portrait: no server, no key, no network.

    Starts an embedded PostgreSQL, a worker, the web app and a receiver of its callbacks on free ports of 127.0.0.1, and
    goes through the whole API as a client.
    """
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(console, folder, fast, keep_serving)
    except KeyboardInterrupt:
        console.print("\nstopped; nothing is left running")
        raise SystemExit(INTERRUPTED) from None


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _run(console: Console, folder: Path, fast: bool, keep_serving: bool) -> None:
    began = time.monotonic()
    credentials, witness = Credentials(made_token(), made_secret()), Witness()
    with ExitStack() as stack:
        stack.enter_context(alone(folder))
        photo = _portrait(Path(stack.enter_context(TemporaryDirectory(prefix="likeness-demo-"))))
        callback_url = stack.enter_context(listening(Inbox([credentials.secret]), witness.hear))
        with console.status("starting PostgreSQL, worker and web app …"):
            url = stack.enter_context(serving(folder, environment(credentials, callback_url)))
        said = f"[green]✓[/] a whole service at {url}, its callbacks to {callback_url} [dim]{_since(began)}[/]"
        console.print(said, soft_wrap=True)
        api = Api(url, credentials.token, direct=True)

        first_call = time.monotonic()
        asset = api.upload(photo)
        said = "[green]✓[/] sample portrait uploaded: a NASA photo in the public domain, under an invented name"
        console.print(said, soft_wrap=True)
        console.print("\n[bold]Avatar[/]")
        avatar = _job(api, console, witness, "avatars", avatar_payload(asset["id"]))
        avatar_s = time.monotonic() - first_call
        console.print("\n[bold]Video[/]")
        start = time.monotonic()
        output = _job(api, console, witness, "outputs", output_payload(avatar["result"]["avatar_id"], fast=fast))
        video_s = time.monotonic() - start
        files = save(api, avatar, folder) + save(api, output, folder)
        total_s = time.monotonic() - first_call
        _check_callbacks(api, witness, avatar, output)

        heard = f"{len(witness.events)} callbacks received; each signature verified, each sequence without a gap"
        console.print(f"\n[green]✓[/] {heard}", soft_wrap=True)
        console.print(f"[green]✓[/] {facts(output, folder / 'video.mp4')}", soft_wrap=True)
        for file in files:
            if file.stem not in ("neutral_image", "timeline"):
                console.print(f"    {escape(str(file))}", soft_wrap=True)
        took = f"avatar {avatar_s:.1f} s, video {video_s:.1f} s, first call to last file {total_s:.1f} s"
        console.print(f"[green]✓[/] {took}, all {_since(began)}", soft_wrap=True)
        if keep_serving:
            _stay(console, url, credentials)


def avatar_payload(asset_id: str) -> dict[str, Any]:
    return {
        "contract": "avatar.create/1",
        "name": "Demo",
        "inputs": {"images": [{"asset_id": asset_id}]},
        "consent": {
            "statement": STATEMENT,
            "subject": "Demo (invented)",
            "granted_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
        "metadata": {"demo": True},
    }


def output_payload(avatar_id: str, *, fast: bool) -> dict[str, Any]:
    width, height = (640, 360) if fast else (1280, 720)
    return {
        "contract": "output.generate/1",
        "avatar_id": avatar_id,
        "script": {"text": SHORT_SCRIPT if fast else SCRIPT},
        "scenes": {"mode": "multi", "max": 2 if fast else 4},
        "output": {
            "width": width, "height": height, "fps": 25, "captions": "burned", "background": "a bright office",
            "label": "AI-generated",
        },
        "seed": 7,
        "metadata": {"demo": True},
    }  # fmt: skip


def facts(output: Mapping[str, Any], video: Path) -> str:
    """What the finished file is, as measured."""
    from providers.local import ffmpeg

    result = output["result"]
    media = ffmpeg.probe(video)
    said = [f"{result['duration_s']:.2f} s in {len(result['scenes'])} scenes"]
    if media.video is not None:
        track = media.video
        said.append(f"{track.width}×{track.height} at {track.fps:g} fps, {track.codec} {track.profile} {track.pixels}")
    if media.audio is not None:
        said.append(f"{media.audio.codec} {media.audio.sample_rate / 1000:g} kHz")
    return ", ".join([*said, f"{video.stat().st_size / 1e6:.1f} MB"])


def _portrait(into: Path) -> Path:
    try:
        from providers.local.distribution import SetupIncomplete
        from providers.local.sample import nameless
    except ImportError as error:
        raise Failed(f"the local media packages are missing ({error.name}): pip install '.[local,demo]'") from error
    try:
        return nameless(into)
    except SetupIncomplete as error:
        raise Failed(str(error)) from error


def _job(api: Api, console: Console, witness: Witness, call: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Submit, follow to the end, hear of the end. Raises Failed where it is not completed."""
    job, _ = api.submit(call, payload, f"demo-{uuid.uuid4()}")
    try:
        job = follow(api, job["id"], console, patience_s=PATIENCE_S)
    except (KeyboardInterrupt, Away):
        with suppress(Refused, Away):
            api.cancel(job["id"])
        raise
    if job["status"] != "completed":
        for text in told(job):
            console.print(text, soft_wrap=True)
        stage = (job.get("error") or {}).get("stage")
        raise Failed(f"the demo stopped at {stage}" if stage else f"the job was {job['status']}")
    if not witness.wait_for_end(job["id"], CALLBACKS_S):
        raise Failed(f"no callback told within {CALLBACKS_S:g} s that {job['id']} is completed")
    return job


def _check_callbacks(api: Api, witness: Witness, *jobs: Mapping[str, Any]) -> None:
    """What came is all there was to come, in order. Raises Failed."""
    if witness.oddities:
        raise Failed(witness.oddities[0])
    for job in jobs:
        came = witness.sequence(job["id"])
        if came != [event["sequence"] for event in api.events(job["id"])] or came != list(range(1, len(came) + 1)):
            raise Failed(f"callbacks of {job['id']} are not those that the service lists")


def _stay(console: Console, url: str, credentials: Credentials) -> None:
    console.print("\nThe service stays up until Ctrl-C. In another terminal:")
    console.print(f"    export LIKENESS_URL={url} LIKENESS_TOKEN={credentials.token}", soft_wrap=True)
    console.print(f"    docs: {url}/docs", soft_wrap=True)
    threading.Event().wait()


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"
