"""The example of the environment: complete, and readable by what reads it."""

import re
from pathlib import Path

from honcho.environ import parse

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "schemas", "db", "providers", "tasks", "webapp")
NAME = re.compile(r"\bLIKENESS_[A-Z0-9_]+\b")


def test_it_shows_every_setting_that_the_code_reads_and_no_other() -> None:
    sources = [file.read_text() for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    read = {name for source in sources for name in NAME.findall(source)}
    shown = set(re.findall(r"^#?(LIKENESS_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert shown == read


def test_what_it_shows_of_vendors_their_adapters_read() -> None:
    source = "".join(file.read_text() for file in (ROOT / "providers").rglob("*.py"))
    shown = re.findall(r"^#(?:ELEVENLABS|FAL)_([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert [name for name in shown if name != "CONCURRENCY" and f'"{name}"' not in source] == []


def test_honcho_reads_each_line_of_it_whole() -> None:
    text = re.sub(r"(?m)^#(?=[A-Z0-9_]+=)", "", (ROOT / ".env.example").read_text())
    lines = [line for line in text.splitlines() if re.match(r"[A-Z0-9_]+=", line)]
    written = {name: value[1:-1] for name, _, value in (line.partition("=") for line in lines)}
    assert parse(text) == written
