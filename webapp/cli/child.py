"""The demo's service, as its parent holds it: a process that is ours alone and ends with us."""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from webapp.cli.clients import digest

START_S = 90.0  # the first start makes a database cluster; a slow machine also imports slowly
END_S = 20.0
KEPT = {"LIKENESS_MODELS_DIR"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Those of the demo's one client; new each time."""

    token: str
    secret: str


class Failed(click.ClickException):
    """The demo did not reach its end; the message is one line."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise Failed(f"cannot write in {folder}: {error.strerror}; give another folder with --dir") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another demo runs in {folder}: wait for it, or give another folder with --dir") from None
        yield


def environment(credentials: Credentials, callback_url: str) -> dict[str, str]:
    """That of the service. What is set here for another installation must not reach it: vendors cost money."""
    client = {
        "name": "demo",
        "token_sha256": [digest(credentials.token)],
        "callback_url": callback_url,
        "callback_secrets": [credentials.secret],
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("LIKENESS_") or name in KEPT}
    return others | {
        "LIKENESS_CLIENTS": json.dumps([client]),
        "LIKENESS_SIGNING_KEY": secrets.token_urlsafe(32),
        "LIKENESS_CALLBACK_ALLOW_PRIVATE": "1",
        "LIKENESS_CALLBACK_SCHEDULE_S": "1,1,2,4",
    }


@contextmanager
def serving(folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """The service in a process of its own, until the block ends; gives its address. Raises Failed."""
    log_file = folder / "log.jsonl"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "webapp.cli.embedded", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=variables,
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one in order
        )  # fmt: skip
    try:
        said = _first_line(process)
        if "url" not in said:
            raise Failed(f"{said.get('error', 'the service does not start')}; its log is {log_file}")
        yield said["url"]
    finally:
        _end(process)


def _first_line(process: "subprocess.Popen[bytes]") -> dict[str, str]:
    late = threading.Timer(START_S, process.kill)
    late.start()
    try:
        assert process.stdout is not None
        return json.loads(process.stdout.readline() or b"{}")
    finally:
        late.cancel()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ending its input ends it. A second Ctrl-C must not leave it behind."""
    was = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    finally:
        signal.signal(signal.SIGINT, was)
