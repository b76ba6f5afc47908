"""`likeness receive`: a callback endpoint that verifies what it is sent and says what is odd about it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from webapp.cli.clients import strong
from webapp.cli.inbox import Delivery, Inbox, NotGenuine

BODY_BYTES = 2**20
PATIENCE_S = 15.0  # the sender gives up after as long
SECRET_VARIABLE = "LIKENESS_WEBHOOK_SECRET"  # noqa: S105  # a name, no secret

Heard = Callable[[Delivery | NotGenuine], None]


@click.command(short_help="Receive lifecycle events and verify them.")
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--secret", "secrets", multiple=True, envvar=SECRET_VARIABLE, metavar="WHSEC", show_envvar=True,
    help="The secret that events are signed with; two while one is rotated.",
)  # fmt: skip
def receive(port: int, host: str, secrets: tuple[str, ...]) -> None:
    """Receive lifecycle events, verify each signature, and print a line for each.

    Repetitions and gaps in a job's sequence are shown. Ends with Ctrl-C.
    """
    if not secrets:
        raise click.UsageError(f"Give the signing secret: --secret or {SECRET_VARIABLE}.")
    if not all(map(strong, secrets)):
        raise click.UsageError(
            "A secret is `whsec_` and base64 of 24 to 64 bytes: `likeness clients new` makes good ones."
        )
    console = Console(highlight=False, soft_wrap=True)
    try:
        with listening(Inbox(secrets), lambda heard: console.print(line(heard)), host=host, port=port) as url:
            console.print(f"listening at {url}, events are answered 204 when genuine, 400 when not")
            threading.Event().wait()
    except OSError as error:
        raise click.ClickException(f"cannot listen at {host}:{port}: {error.strerror}") from error
    except KeyboardInterrupt:
        console.print("stopped")


def line(heard: Delivery | NotGenuine) -> str:
    """One line about a delivery, in rich's markup."""
    now = datetime.now(UTC).astimezone().strftime("%H:%M:%S")
    if isinstance(heard, NotGenuine):
        return f"{now} [red]refused[/]: {escape(str(heard))}"
    data = heard.data
    said = [now, f"[bold]{escape(heard.type)}[/]", escape(heard.job_id), f"#{heard.sequence}"]
    if isinstance(data.get("progress"), int | float):
        said.append(f"{data['progress']:.0%}")
    if data.get("stage"):
        said.append(escape(f"{data['stage']} ({data.get('label')})" if data.get("label") else str(data["stage"])))
    if isinstance(data.get("error"), dict):
        said.append(f"[red]{escape(str(data['error'].get('message')))}[/]")
    if heard.seen:
        said.append("[yellow]again: same webhook-id, nothing to do[/]")
    if heard.missing:
        said.append(f"[yellow]gap: #{heard.missing[0]} to #{heard.missing[-1]} did not come before[/]")
    if heard.late:
        said.append("[yellow]late: a newer event of this job came first[/]")
    return " ".join(said)


@contextmanager
def listening(inbox: Inbox, heard: Heard, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve until the block ends; gives the address. `heard` is called for each POST, from the server's threads."""

    class Endpoint(_Endpoint):
        pass

    Endpoint.inbox, Endpoint.heard = inbox, staticmethod(heard)
    with ThreadingHTTPServer((host, port), Endpoint) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="receiver", daemon=True)
        thread.start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Endpoint(BaseHTTPRequestHandler):
    inbox: Inbox
    heard: Heard
    timeout = PATIENCE_S
    server_version = "likeness"
    sys_version = ""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._answer(411, "send Content-Length")
        if int(length) > BODY_BYTES:
            return self._answer(413, f"at most {BODY_BYTES} bytes are read")
        try:
            body = self.rfile.read(int(length))
        except TimeoutError:
            return self._answer(408, "the body did not come in time")
        try:
            delivery = self.inbox.take(dict(self.headers), body)
        except NotGenuine as reason:
            self.heard(reason)
            return self._answer(400, str(reason))
        self.heard(delivery)
        return self._answer(204)

    def do_GET(self) -> None:
        self._answer(405, "events are posted here")

    def _answer(self, status: int, text: str = "") -> None:
        content = f"{text}\n".encode() if text else b""
        self.close_connection = True
        self.send_response(status)
        if status == 405:
            self.send_header("Allow", "POST")
        if content:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """The line about the event says more."""
