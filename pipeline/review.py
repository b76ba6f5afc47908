"""Where people come in: gates, and what a decision or a retry makes of a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

BUDGET = "budget"  # the gate that opens where a paid call would cost more than the job may


@dataclass(frozen=True, slots=True)
class Review:
    """What people have to say of a job, and have said.

    `gates` are asked for, by name; `approved` are the keys of those whose approval is in force. `only`: nothing runs
    but these steps, and then the job rests again as what it was (`rest`). `budget`: what the job may cost in USD.
    """

    gates: tuple[str, ...] = ()
    approved: frozenset[str] = frozenset()
    only: tuple[str, ...] | None = None
    rest: str | None = None
    budget: Decimal | None = None

    @classmethod
    def of(cls, request: Mapping[str, Any] | None, state: Mapping[str, Any] | None) -> Self:
        """From what the job was asked, and what its row keeps."""
        asked, kept = request or {}, state or {}
        wish = asked.get("review") or {}
        only = kept.get("only")
        budget = kept.get("budget") or asked.get("budget")
        return cls(
            tuple(wish.get("gates", ())),
            frozenset(kept.get("approved", ())),
            None if only is None else tuple(only),
            kept.get("rest"),
            None if budget is None else Decimal(budget),
        )

    def kept(self) -> dict[str, Any]:
        """What the job's row keeps of it."""
        state: dict[str, Any] = {"approved": sorted(self.approved)} if self.approved else {}
        state |= {} if self.budget is None else {"budget": str(self.budget)}
        return state | ({} if self.only is None else {"only": list(self.only), "rest": self.rest})
