"""How an attempt ended: data, so that one write can tell it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipeline.errors import StageError

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class Done:
    """The stage's output."""

    output: Any


@dataclass(frozen=True, slots=True)
class Again:
    """It went wrong in a way that may pass: try again after a pause."""

    after: timedelta
    error: "Error"


@dataclass(frozen=True, slots=True)
class Wait:
    """It has not gone wrong: something outside is not ready yet.

    Without `after` the step is parked: only a person, or an event from outside, wakes it. `awaits` says what it waits
    for besides its time: `slot:<provider>`, `call` (a vendor is at work) or `person`; `why` is a sentence for anybody.
    """

    after: timedelta | None
    why: str
    awaits: str | None = None
    error: "Error | None" = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job was cancelled meanwhile, and what the stage was doing was stopped."""


@dataclass(frozen=True, slots=True)
class Failed:
    error: "Error"


Outcome = Done | Again | Wait | Cancelled | Failed


@dataclass(frozen=True, slots=True)
class Error:
    """What a record keeps of a failure: safe to show to the caller."""

    code: str
    message: str
    retryable: bool
    details: Mapping[str, Any] = field(default_factory=dict)


def judge(error: StageError, *, tried: int, tries: int) -> Again | Failed:
    """What follows from an error at the `tried`-th of at most `tries` attempts."""
    fact = Error(error.code, error.message, error.retryable, error.details)
    if not error.retryable or tried >= tries:
        return Failed(fact)
    return Again(pause(tried), fact)


def pause(tried: int) -> timedelta:
    """Exponential, with full jitter above the half, so that many failures do not come back together."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tried - 1))
    return timedelta(seconds=longest * random.uniform(0.5, 1.0))
