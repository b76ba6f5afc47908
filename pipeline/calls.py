"""Paid calls: what is known of one, and what that allows. Pure: the memory is a port, the vendor an operation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Generic, Protocol, TypeVar

from pipeline.outcome import Wait

A = TypeVar("A")
R = TypeVar("R")
A_contra = TypeVar("A_contra", contravariant=True)


class CallStatus(StrEnum):
    """`intended`: committed, maybe sent. `submitted`: the vendor's id is ours. `uncertain`: sent, and nobody knows."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


class Repeat(StrEnum):
    """What may be done when nobody knows whether a request arrived."""

    IDEMPOTENT = "idempotent"  # the vendor takes a key: send it again with the same key
    FINDABLE = "findable"  # the vendor can be asked for our reference
    NEITHER = "neither"  # a person decides


class Move(Enum):
    """What comes next for a call."""

    REPLAY = "its answer is recorded"
    POLL = "ask the vendor how far it is"
    SEND = "send it"
    FIND = "ask the vendor for our reference"
    PARK = "it may have been paid: a person decides"


@dataclass(frozen=True, slots=True)
class Ticket:
    """How the vendor calls its work: its id, and the addresses it gave for it."""

    external_id: str
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """The vendor is still at work: ask again after a while."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Answered(Generic[R]):
    """The vendor's answer, its files in our store; `cost` where the vendor told it, else what was quoted."""

    output: R
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the ledger has it.

    `reference` is what the vendor is told (its idempotency key, our name for it). `fresh`: this very attempt intended
    it, so nothing was sent. `age_s` counts from the intent, or from the submission once there is one.
    """

    id: str
    status: CallStatus
    fresh: bool
    age_s: float
    ticket: Ticket | None = None
    output: Any = None

    @property
    def reference(self) -> str:
        return self.id


class NotYet(Exception):
    """Raised out of a stage body that cannot go on now: it is entered again when the wait is over."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait.why)
        self.wait = wait


class Operation(Protocol[A_contra, R]):
    """One kind of paid request at one vendor.

    `action` is the type of what is asked: a frozen dataclass of all that decides the answer, since its digest is what
    the call *is*. `settles_s`: a findable request may not be found for so long after it was sent. `deadline`: then the
    vendor's work is given up. Errors are `pipeline.errors.ProviderError`s; nothing here tries twice.
    """

    name: str
    provider: str
    capability: str
    repeat: Repeat
    action: type
    answer: type[R]
    settles_s: float
    deadline: timedelta

    def quote(self, action: A_contra) -> Decimal:
        """What it will cost in USD."""
        ...

    def submit(self, action: A_contra, reference: str) -> Ticket | Answered[R]:
        """Send it. The only method that may cost money. Raises OutcomeUnknown where the answer did not come."""
        ...

    def find(self, action: A_contra, reference: str) -> Ticket | Answered[R] | None:
        """What the vendor has under our reference; for findable operations."""
        ...

    def poll(self, action: A_contra, ticket: Ticket) -> Running | Answered[R]:
        """How far it is; the answer is fetched and kept."""
        ...

    def cancel(self, ticket: Ticket) -> bool:
        """Ask the vendor to stop. False where it cannot be asked; its end is seen by polling either way."""
        ...

    def adopt(self, external_id: str) -> Ticket | None:
        """The ticket of work whose id a person found at the vendor; None where answers cannot be fetched later."""
        ...


def next_move(call: Call, repeat: Repeat) -> Move:
    """What the ledger allows: never to send twice what may have been taken."""
    if call.status is CallStatus.SUCCEEDED:
        return Move.REPLAY
    if call.status is CallStatus.SUBMITTED:
        return Move.POLL
    if call.fresh or repeat is Repeat.IDEMPOTENT:
        return Move.SEND
    return Move.FIND if repeat is Repeat.FINDABLE else Move.PARK


def poll_pause(age_s: float) -> timedelta:
    """Short at first, then a fifth of the time that has passed: late by no more than that."""
    return timedelta(seconds=min(max(age_s / 5, 1.0), 30.0))
