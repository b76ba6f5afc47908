"""Quick steps of one job that a worker takes at once.

A turn at a job costs about the same for one step as for several. Where the bodies are over sooner than that, several
are claimed in one turn, done one after the other, and recorded in the next, which claims what follows.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from time import monotonic
from typing import TypeAlias

from db.claims import Claim
from pipeline.graph import Node
from pipeline.stage import Stage
from tasks.attempted import Attempted

MOST = 5  # when a worker is killed, no more bodies have run in vain
QUICK_S = 0.01  # about what it costs to send, take and claim one
RECENT = 4
SLOW_S = 1.0

Tried: TypeAlias = tuple[Claim, Attempted]


class Hand:
    """Claimed steps of `tree`, with which it begins.

    If a body is not quick after all, nobody else has to wait for it: `relief` is called, once and in a thread of its
    own, with what is done and with what has not begun.
    """

    def __init__(
        self, tree: Node, claims: Sequence[Claim], relief: Callable[[Sequence[Tried], Sequence[Claim]], None]
    ) -> None:
        self.tree = tree
        self.claims = tuple(claims)
        self._left = deque(claims)
        self._done: list[Tried] = []
        self._relief = relief
        self._relieved = False
        self._begun = monotonic()
        self._changing = threading.Lock()

    def __iter__(self) -> Iterator[Claim]:
        """What is to be begun now, one after the other."""
        while True:
            with self._changing:
                if not self._left:
                    return
                self._begun = monotonic()
                claim = self._left.popleft()
            yield claim

    def note(self, claim: Claim, tried: Attempted) -> None:
        with self._changing:
            self._done.append((claim, tried))

    def done(self) -> Sequence[Tried]:
        """What is left to be recorded by whoever did it; from now on there is no relief."""
        with self._changing:
            self._relieved = True
            return tuple(self._done)

    @property
    def slow(self) -> bool:
        return not self._relieved and monotonic() - self._begun > SLOW_S

    def relieve(self) -> Sequence[Claim]:
        """The claims that others see to from now on."""
        with self._changing:
            if self._relieved:
                return ()
            done, rest = tuple(self._done), tuple(self._left)
            thread = threading.Thread(target=self._relief, args=(done, rest), name="relief", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return ()  # the machine has none to give: at the next look, perhaps
            self._relieved = True
            self._done.clear()
            self._left.clear()
        return [claim for claim, _ in done] + list(rest)


class Paces:
    """How long the stages' bodies took lately in this process."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def note(self, stage: Stage, seconds: float) -> None:
        self._seconds.setdefault(stage.name, deque(maxlen=RECENT)).append(seconds)

    def quick(self, stage: Stage) -> bool:
        seconds = self._seconds.get(stage.name, ())
        return len(seconds) == RECENT and max(seconds) <= QUICK_S


@cache
def paces() -> Paces:
    """One per process."""
    return Paces()
