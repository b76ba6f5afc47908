"""The watch of a worker process: one thread that shows that the process lives, and holds the leases of its steps.

Most steps are over before it looks at them for the first time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic, sleep

import structlog

from db import claims
from db.claims import Claim, Hold
from db.database import Database
from db.lives import Life
from tasks.hand import Hand
from tasks.house import house
from tasks.interrupt import Body

TICK_S = 0.5
RETRY_S = 0.1

log = structlog.get_logger()


class Watched:
    """A step under way. `hold` says whether it is still ours, as far as was seen."""

    def __init__(self, held: Claim) -> None:
        self.held = held
        self.hold = Hold.KEPT
        self.due = monotonic() + claims.RENEWAL_S
        self.body: Body | None = None

    def keep_to_limit(self) -> None:
        """Stop the body if it has taken longer than its stage may."""
        limit = self.held.step.stage.limit.total_seconds()
        if self.body is not None and monotonic() - self.body.begun > limit:
            self.body.interrupt()

    def end(self, hold: Hold) -> None:
        self.hold = hold
        if self.body is not None:
            self.body.interrupt()


class Watch:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._life = Life(database.engine)
        self._steps: set[Watched] = set()
        self._hands: set[Hand] = set()
        self._changing = threading.Lock()
        self._alive = threading.Event()
        threading.Thread(target=self._keep, name="watch", daemon=True).start()

    def life(self) -> int | None:
        """The number under which this process is known to live; None while that cannot be shown."""
        return self._life.number if self._alive.wait(TICK_S) else None

    @contextmanager
    def over(self, *held: Claim, hand: Hand | None = None) -> Iterator[list[Watched]]:
        """Hold the steps' leases until their outcomes are written, however long the database keeps us waiting."""
        steps = [Watched(each) for each in held]
        hands = set() if hand is None else {hand}
        with self._changing:
            self._steps.update(steps)
            self._hands.update(hands)
        try:
            yield steps
        finally:
            with self._changing:
                self._steps.difference_update(steps)
                self._hands.difference_update(hands)

    def _keep(self) -> None:
        while True:
            if not self._life.hold():
                self._alive.clear()
                sleep(RETRY_S)
            else:
                self._alive.set()
                self._life.wait(TICK_S)
            with self._changing:
                relieved = {id(each) for hand in self._hands if hand.slow for each in hand.relieve()}
                self._steps = {step for step in self._steps if id(step.held) not in relieved}
                due = [step for step in self._steps if step.due <= monotonic()]
                for step in self._steps:
                    step.keep_to_limit()
            for step in due:
                self._renew(step)

    def _renew(self, step: Watched) -> None:
        held = step.held
        step.due = monotonic() + claims.RENEWAL_S
        try:
            with self._database.transaction() as session:
                hold = claims.renew(session, held)
        except Exception as error:
            # the next renewal may come in time; if none does, the lease is there to end
            log.warning("lease not renewed", job=held.job_id, step=held.step.key, error=type(error).__name__)
            return
        if hold is not Hold.KEPT and step.hold is Hold.KEPT:
            log.warning("step interrupted", job=held.job_id, step=held.step.key, reason=hold.value)
            step.end(hold)


@cache
def watch() -> Watch:
    """One per process; begun by the first step that it serves."""
    return Watch(house().database)
