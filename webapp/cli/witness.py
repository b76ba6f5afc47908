"""What the demo's receiver saw: is it all, is it genuine, is it in order?"""

import threading

from webapp.cli.inbox import Delivery, NotGenuine
from webapp.cli.watch import FINAL


class Witness:
    """Hears deliveries from the receiver's threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: list[Delivery] = []
        self.oddities: list[str] = []

    def hear(self, heard: Delivery | NotGenuine) -> None:
        with self._changed:
            if isinstance(heard, NotGenuine):
                self.oddities.append(f"a delivery was not genuine: {heard}")
            elif not heard.seen:  # a repetition is what the standard allows
                self.events.append(heard)
                if heard.missing or heard.late:
                    self.oddities.append(f"{heard.job_id} #{heard.sequence} came out of order")
            self._changed.notify_all()

    def wait_for_end(self, job_id: str, patience_s: float) -> bool:
        """Whether the event that ends the job came in time."""

        def ended() -> bool:
            return any(each.job_id == job_id and each.data.get("status") in FINAL for each in self.events)

        with self._changed:
            return self._changed.wait_for(ended, patience_s)

    def sequence(self, job_id: str) -> list[int]:
        with self._changed:
            return [event.sequence for event in self.events if event.job_id == job_id]
