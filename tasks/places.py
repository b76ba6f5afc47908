"""How many letters may be on their way at once, so that no endpoint, slow or dead, takes the places of the others."""

import threading
from collections import defaultdict
from dataclasses import dataclass

MOST = 8  # more would not make a fast endpoint faster
MOST_IF_SLOW = 2
PROMPT_MS = 1000


@dataclass(slots=True)
class _Door:
    """One client's share. `room` grows by one with each answer; where one does not come, it is one again."""

    under_way: int = 0
    room: int = 1
    prompt: bool = False
    knocked: bool = False
    calling: bool = False


class Places:
    """The places of this process. All endpoints that are not known to be prompt get half of them together."""

    def __init__(self, places: int = 2) -> None:
        self._lock = threading.Lock()
        self._doors: defaultdict[str, _Door] = defaultdict(_Door)
        self.furnish(places)

    def furnish(self, places: int) -> None:
        self._most_doubted = max(1, places // 2)

    def enter(self, client: str) -> bool:
        """A place for one letter after the other, if there is one; give it back with `leave`."""
        with self._lock:
            door = self._doors[client]
            door.calling = False
            if door.under_way >= door.room or not (door.prompt or self._doubted() < self._most_doubted):
                door.knocked = True
                return False
            door.under_way += 1
            return True

    def leave(self, client: str) -> bool:
        """Whether somebody asked for a place meanwhile, and may have come for a letter that we did not see."""
        with self._lock:
            door = self._doors[client]
            door.under_way -= 1
            knocked, door.knocked = door.knocked, False
            if not door.under_way:
                door.room = 1  # many places are for who has much to hear now
            return knocked

    def heard(self, client: str, *, alive: bool, latency_ms: int) -> None:
        """An answer came, or did not."""
        with self._lock:
            door = self._doors[client]
            door.prompt = alive and latency_ms < PROMPT_MS
            door.room = min(door.room + 1, MOST if door.prompt else MOST_IF_SLOW) if alive else 1

    def wants(self, client: str) -> bool:
        """Whether one more might help, and nobody was called yet."""
        with self._lock:
            door = self._doors[client]
            wanted = not door.calling and door.under_way < door.room
            door.calling = door.calling or wanted
            return wanted

    def _doubted(self) -> int:
        return sum(door.under_way for door in self._doors.values() if not door.prompt)
