"""What came of one attempt at a step."""

from dataclasses import dataclass, field
from typing import Any

from db.assets import NewAsset
from pipeline.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Attempted:
    """`provider` served, if any did; `passed_over`: who did not, and why."""

    outcome: Outcome
    made: list[NewAsset] = field(default_factory=list)
    provider: str | None = None
    passed_over: list[dict[str, Any]] = field(default_factory=list)
