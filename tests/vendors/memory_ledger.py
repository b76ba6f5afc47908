"""The ledger of one step in memory: for tests of adapters, where no database is."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pipeline.calls import Answered, Call, CallStatus, Operation, Ticket
from pipeline.errors import ProviderError
from schemas import records as codec


@dataclass
class Row:
    """What the ledger has of a call. `error` is how it failed, `cost` what was paid."""

    call: Call
    operation: str
    action: Any
    reserved: Decimal
    cost: Decimal = Decimal(0)
    error: ProviderError | None = None


@dataclass
class MemoryLedger:
    """Remembers by what was asked, as the real one does, and through JSON. `rows` are all calls, oldest first.

    `grow_old` lets time pass for all of them.
    """

    rows: list[Row] = field(default_factory=list)
    _current: dict[str, Row] = field(default_factory=dict)

    def open(self, operation: Operation[Any, Any], action: Any) -> Call:
        asked = codec.dump(action)
        digest = codec.digest({"operation": operation.name, "action": asked})
        row = self._current.get(digest)
        if row is None or row.call.status is CallStatus.FAILED:
            call = Call(f"call_{len(self.rows) + 1:020d}", CallStatus.INTENDED, True, 0.0)
            row = self._current[digest] = Row(call, operation.name, asked, operation.quote(action))
            self.rows.append(row)
            return call
        row.call = replace(row.call, fresh=False)
        return row.call

    def undisturbed(self) -> AbstractContextManager[None]:
        return nullcontext()

    def confirm(self, call: Call) -> None:
        """The attempt is always in force."""

    def submitted(self, call: Call, ticket: Ticket) -> None:
        self._set(call, status=CallStatus.SUBMITTED, ticket=ticket)

    def succeeded(self, call: Call, answer: Answered[Any]) -> None:
        row = self._set(call, status=CallStatus.SUCCEEDED, output=codec.dump(answer.output))
        row.cost = row.reserved if answer.cost is None else answer.cost

    def failed(self, call: Call, error: ProviderError) -> None:
        row = self._set(call, status=CallStatus.FAILED)
        row.error = error
        row.cost = row.reserved if error.charged else Decimal(0)

    def uncertain(self, call: Call) -> None:
        self._set(call, status=CallStatus.UNCERTAIN)

    @property
    def only(self) -> Row:
        (row,) = self.rows
        return row

    def grow_old(self, seconds: float) -> None:
        for row in self.rows:
            row.call = replace(row.call, age_s=row.call.age_s + seconds)

    def _set(self, call: Call, **known: Any) -> Row:
        row = next(row for row in self.rows if row.call.id == call.id)
        row.call = replace(row.call, fresh=False, **known)
        return row
