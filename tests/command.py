"""The `likeness` command, called in this process or in one of its own."""

import os
import sys
from collections.abc import Mapping

from click.testing import CliRunner, Result

from webapp.cli import main

# A process of its own. Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
LIKENESS = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from webapp.cli import main; main()",
)


def run(*words: str, env: Mapping[str, str] | None = None, input: str | None = None) -> Result:
    """Call it with these words. Of the settings in the environment only those given here are seen."""
    settings: dict[str, str | None] = {name: None for name in os.environ if name.startswith("LIKENESS_")}
    return CliRunner().invoke(main, words, env={**settings, **(env or {})}, input=input, prog_name="likeness")
