"""Paid calls that no step looks after any more: their job was cancelled or has failed while the vendor was at work.

The vendor is asked to stop, and asked until it has: what it made all the same is kept and booked, and its slot is free
only then. Vendors can be slow, so this is done where steps are, never in the sweeper.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import structlog
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from db import calls
from db.calls import Orphan
from pipeline.calls import Answered, Operation, Repeat, Running, Ticket
from pipeline.errors import CallVanished, ProviderError
from pipeline.outcome import Error
from schemas import records as codec
from tasks.app import app
from tasks.house import House, house
from tasks.store import StepAssets, holder

GIVEN_UP_S = 2 * 86_400.0  # no vendor works that long

log = structlog.get_logger()


def announce() -> int:
    """Ask the lanes' workers to look after the calls that nobody does."""
    found = house().database.patiently(calls.orphans)
    for each in found:
        try:
            app.send_task("reclaim", args=(each.call_id,), queue=each.lane, routing_key=f"{each.lane}.reclaim")
        except OperationalError as error:
            log.warning("call not reclaimed", call=each.call_id, error=type(error).__name__)
    return len(found)


@app.task(name="reclaim", acks_late=False)
def reclaim(call_id: str) -> None:
    """Bring one call nearer to its end; the sweeper names it again until it is there."""
    end(house(), call_id)


def end(house: House, call_id: str) -> None:
    """Nothing where a step looks after the call again."""
    found = house.database.patiently(lambda session: calls.orphan(session, call_id))
    if found is not None:
        _Reclaimed(house, found).end()


class _Reclaimed:
    """One orphan, and the operation that it is a call of."""

    def __init__(self, house: House, orphan: Orphan) -> None:
        self.database = house.database
        self.orphan = orphan
        self.assets = StepAssets(house.storage, holder(house.database, orphan.job_id))
        self.operation: Operation[Any, Any] = house.catalogue.operation(orphan.provider, orphan.operation, self.assets)
        self.action: Any = codec.load(orphan.request, self.operation.action)

    def end(self) -> None:
        orphan = self.orphan
        try:
            if orphan.ticket is None:
                self._clear_up()
            else:
                self._stop(orphan.ticket)
        except ProviderError as error:
            if error.ends_call:
                # what was stopped before it began is often simply gone
                charged = error.charged and not isinstance(error, CallVanished)
                fact = Error(error.code, error.message, error.retryable, error.details)
                self._write(partial(calls.fail, call_id=orphan.call_id, error=fact, charged=charged))
            log.info("call reclaimed", call=orphan.call_id, code=error.code)

    def _clear_up(self) -> None:
        """Intended, and no id is known: only a vendor that can be asked knows more."""
        if self.orphan.repeat is not Repeat.FINDABLE:
            self._write(partial(calls.doubt, call_id=self.orphan.call_id))
            return
        found = self.operation.find(self.action, self.orphan.call_id)
        if found is None:
            fact = Error("not_found", f"{self.orphan.provider} never took it.", retryable=True)
            self._write(partial(calls.fail, call_id=self.orphan.call_id, error=fact, charged=False))
        elif isinstance(found, Answered):
            self._keep(found)
        else:
            ticket = found
            self._write(partial(calls.submit, call_id=self.orphan.call_id, ticket=ticket))

    def _stop(self, ticket: Ticket) -> None:
        if not self.orphan.cancelled:
            self.operation.cancel(ticket)
            self._write(partial(calls.cancelled, call_id=self.orphan.call_id))
        state = self.operation.poll(self.action, ticket)
        if not isinstance(state, Running):
            self._keep(state)
        elif self.orphan.age_s > GIVEN_UP_S:
            self._write(partial(calls.doubt, call_id=self.orphan.call_id))

    def _keep(self, answer: Answered[Any]) -> None:
        brought = [codec.dump(each) for each in self.assets.made]
        output, cost = codec.dump(answer.output), answer.cost
        call_id = self.orphan.call_id

        def keep(session: Session, *, paid: Decimal | None = cost) -> None:
            calls.succeed(session, call_id, output, brought, cost=paid)

        self._write(keep)

    def _write(self, verb: Callable[[Session], None]) -> None:
        self.database.patiently(verb)
