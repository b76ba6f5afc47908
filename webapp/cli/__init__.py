"""The `likeness` command: thin clients of the API, and tools for the people around it."""

import sys
from importlib import import_module
from io import TextIOWrapper

import click

from webapp.cli.approve import approve
from webapp.cli.clients import clients
from webapp.cli.demo import demo
from webapp.cli.doctor import doctor
from webapp.cli.explain import explain
from webapp.cli.forget import forget
from webapp.cli.receive import receive
from webapp.cli.retry import retry
from webapp.cli.submit import submit
from webapp.cli.watch import cancel, watch

HEAVY = ("calls", "dead")  # they bring the weight of the service along, which the others must start without


class Commands(click.Group):
    """Loads a heavy command when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *HEAVY])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in HEAVY:
            found: click.Command = getattr(import_module(f"webapp.cli.{name}"), name)
            return found
        return super().get_command(context, name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """A photo and a script become a talking video."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ shows ?, and no traceback


for command in (demo, submit, watch, approve, retry, explain, cancel, forget, receive, clients, doctor):
    main.add_command(command)
