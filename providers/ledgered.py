"""The ledgered call: the one way to a vendor that costs money. It gives every paid adapter its memory.

The order is everything: what may be paid is written down before it is sent, the vendor's id before it is used, the
answer's files before the answer. Nothing is tried twice here: a stage that is entered again continues from the ledger.
"""

import time
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from pipeline.calls import Answered, Call, Move, NotYet, Operation, Repeat, Running, Ticket, next_move, poll_pause
from pipeline.errors import OutcomeUnknown, ProviderError, ProviderMissing, ProviderTimeout
from pipeline.failpoints import failpoint
from pipeline.outcome import Error, Wait
from pipeline.ports import AssetStore, Ledger
from pipeline.settings import Vendor
from schemas import records as codec

R = TypeVar("R")

STALE_S = 10.0  # an intent older than this is looked at again before it is sent: less than half of a lease
UNREACHED_S = 5.0  # before the next question to a vendor that did not answer one about running work


class Paid:
    """An adapter whose calls cost money: the ledger makes them once.

    `requires` are the variables without which it cannot be used: `("API_KEY",)` for `ELEVENLABS_API_KEY`.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, assets: AssetStore, vendor: Vendor, ledger: Ledger) -> None:
        self.assets = assets
        self.vendor = vendor
        self.ledger = ledger

    @classmethod
    def ready(cls, vendor: Vendor) -> None:
        """Raises ProviderMissing where a setting is missing."""
        missing = [vendor.variable(name) for name in cls.requires if not vendor.variables.get(name)]
        if missing:
            raise ProviderMissing(f"{' and '.join(missing)} not set")

    def once(self, operation: Operation[Any, R], action: Any) -> R:
        return perform(self.ledger, operation, action)


def perform(ledger: Ledger, operation: Operation[Any, R], action: Any) -> R:
    """The answer to this action: asked for at most once, however often this is entered.

    Raises NotYet (the answer is not there yet), ProviderError.
    """
    failpoint("before_intent")
    started = time.monotonic()
    call = ledger.open(operation, action)
    failpoint("after_intent")
    move = next_move(call, operation.repeat)
    if move is Move.REPLAY:
        return codec.load(call.output, operation.answer)
    if move is Move.PARK:
        ledger.uncertain(call)
        raise NotYet(_parked(operation))
    if move is Move.FIND:
        found = _find(ledger, operation, action, call)
        if found is not None:
            return _taken(ledger, operation, action, call, found)
    if move is Move.POLL:
        assert call.ticket is not None
        return _poll(ledger, operation, action, call, call.ticket)
    with ledger.undisturbed():
        if time.monotonic() - started > STALE_S:
            ledger.confirm(call)
        return _taken(ledger, operation, action, call, _send(ledger, operation, action, call))


def _send(ledger: Ledger, operation: Operation[Any, R], action: Any, call: Call) -> Ticket | Answered[R]:
    try:
        found = operation.submit(action, call.reference)
    except OutcomeUnknown as error:
        if operation.repeat is Repeat.NEITHER:
            ledger.uncertain(call)
            raise NotYet(_parked(operation)) from error
        # the same key, or a look for our reference, tells at the next entry
        raise NotYet(Wait(timedelta(seconds=max(operation.settles_s, UNREACHED_S)), error.message)) from error
    except ProviderError as error:
        ledger.failed(call, error)
        raise
    failpoint("after_reply")
    return found


def _taken(ledger: Ledger, operation: Operation[Any, R], action: Any, call: Call, found: Ticket | Answered[R]) -> R:
    if isinstance(found, Answered):
        return _keep(ledger, call, found)
    ledger.submitted(call, found)
    failpoint("after_id")
    return _poll(ledger, operation, action, call, found)


def _find(ledger: Ledger, operation: Operation[Any, R], action: Any, call: Call) -> Ticket | Answered[R] | None:
    if call.age_s < operation.settles_s:
        pause = timedelta(seconds=operation.settles_s - call.age_s)
        raise NotYet(Wait(pause, f"{operation.provider} may not know yet whether it took the request."))
    try:
        return operation.find(action, call.reference)
    except ProviderError as error:
        raise _ask_later(error) from error


def _poll(ledger: Ledger, operation: Operation[Any, R], action: Any, call: Call, ticket: Ticket) -> R:
    try:
        state = operation.poll(action, ticket)
    except ProviderError as error:
        if error.ends_call:
            ledger.failed(call, error)
            raise
        if call.age_s < operation.deadline.total_seconds():
            raise _ask_later(error) from error
        state = Running(timedelta())
    if isinstance(state, Answered):
        return _keep(ledger, call, state)
    if call.age_s < operation.deadline.total_seconds():
        pause = max(state.after, poll_pause(call.age_s))
        raise NotYet(Wait(pause, f"{operation.provider} is at work.", awaits="call"))
    # the sweeper sees its end, and asks the vendor to stop: it may have to be paid
    raise ProviderTimeout(f"{operation.provider} did not finish within {operation.deadline}.")


def _keep(ledger: Ledger, call: Call, answer: Answered[R]) -> R:
    failpoint("after_asset")
    ledger.succeeded(call, answer)
    return answer.output


def _ask_later(error: ProviderError) -> NotYet:
    """A question about work that goes on whatever becomes of the question."""
    pause = error.pause_s or UNREACHED_S
    return NotYet(Wait(timedelta(seconds=pause), error.message, error=_fact(error)))


def _parked(operation: Operation[Any, Any]) -> Wait:
    fact = Error(
        OutcomeUnknown.code,
        f"Nobody knows whether {operation.provider} took the request, and it may have to be paid. A person decides.",
        retryable=True,
    )
    return Wait(None, fact.message, awaits="person", error=fact)


def _fact(error: ProviderError) -> Error:
    return Error(error.code, error.message, error.retryable, error.details)
