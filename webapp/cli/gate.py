"""An open gate, shown: what is to be judged, and how to say so."""

from collections.abc import Iterator, Mapping
from typing import Any


def invitation(job: Mapping[str, Any]) -> list[str]:
    """What a person has to decide, and the command for it; nothing where no gate is open."""
    gate = job.get("gate")
    if job.get("status") != "awaiting_approval" or not isinstance(gate, dict):
        return []
    about = ", ".join(str(item["stage"]) for item in gate["items"])
    until = f", {'until' if not gate['expired'] else 'overdue since'} {gate['expires_at']}" * bool(gate["expires_at"])
    command = f"likeness approve {job['id']} {gate['name']}"
    return [
        f"a person decides about {about} (round {gate['round']}{until}):",
        f"  {command} [--decision revise --notes TEXT | --decision reject]",
    ]


def items(gate: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing under review, and one for each of its words and files."""
    for item in gate["items"]:
        yield str(item["stage"])
        for place, value in _leaves(item["output"]):
            said = str(value).replace("\n", "\n    ")
            yield f"  {place}: {said}"


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its place; of a file its address."""
    if isinstance(value, dict) and "url" in value:
        yield place or "file", value["url"]
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}/{name}".strip("/"))
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _leaves(inner, f"{place}/{number}".strip("/"))
    elif value is not None:
        yield place, value
