"""Quick steps of one job that a worker takes at once.

A turn at a job costs about the same for one step as for several. Where the bodies are over sooner than that, several
are claimed in one turn, done one after the other, and recorded in the next, which claims what follows.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from time import monotonic

from db.claims import Claim
from pipeline.graph import Node
from pipeline.stage import Stage

MOST = 5  # when a worker is killed, no more bodies have run in vain
QUICK_S = 0.01  # about what it costs to send, take and claim one
RECENT = 4
SLOW_S = 1.0


class Hand:
    """Claimed steps of `tree`, with which it begins.

    If a body is not quick after all, those that have not begun are somebody else's: `relief` is called with them, in a
    thread of its own.
    """

    def __init__(self, tree: Node, held: Sequence[Claim], relief: Callable[[Sequence[Claim]], None]) -> None:
        self.tree = tree
        self.held = tuple(held)
        self._left = deque(held)
        self._relief = relief
        self._begun = monotonic()
        self._changing = threading.Lock()

    def __iter__(self) -> Iterator[Claim]:
        while True:
            with self._changing:
                if not self._left:
                    return
                self._begun = monotonic()
                held = self._left.popleft()
            yield held

    @property
    def slow(self) -> bool:
        return monotonic() - self._begun > SLOW_S

    def relieve(self) -> Sequence[Claim]:
        """What has not begun and will not be begun here."""
        with self._changing:
            rest = tuple(self._left)
            self._left.clear()
        if rest:
            threading.Thread(target=self._relief, args=(rest,), name="relief", daemon=True).start()
        return rest


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
