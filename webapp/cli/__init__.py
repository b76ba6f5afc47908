"""The `likeness` command: thin clients of the API, and tools for the people around it."""

import sys
from io import TextIOWrapper

import click

from webapp.cli.clients import clients
from webapp.cli.demo import demo
from webapp.cli.doctor import doctor
from webapp.cli.receive import receive
from webapp.cli.submit import submit
from webapp.cli.watch import cancel, watch


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """A photo and a script become a talking video."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ shows ?, and no traceback


for command in (demo, submit, watch, cancel, receive, clients, doctor):
    main.add_command(command)
