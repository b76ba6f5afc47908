"""What a product backend does with deliveries: verify, drop repetitions, watch the order.

Nothing here knows of HTTP: headers and bytes go in, a verdict comes out.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

KEPT = 100_000  # identities remembered: a day of repetitions for a busy backend, some 20 MB


class NotGenuine(Exception):
    """The delivery is not signed by us for this body and time, or is no event; the message says which."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One verified delivery. `seen` tells a repetition; `missing` the sequence numbers of its job that should have come
    before; `late` that a newer event of its job came first."""

    webhook_id: str
    type: str
    data: Mapping[str, Any]
    seen: bool
    missing: tuple[int, ...]
    late: bool

    @property
    def job_id(self) -> str:
        return str(self.data["job_id"])

    @property
    def sequence(self) -> int:
        return int(self.data["sequence"])


class Inbox:
    """Takes deliveries from any thread. Several secrets are valid at once while one is being rotated."""

    def __init__(self, secrets: Sequence[str], *, kept: int = KEPT) -> None:
        self._signers = [Webhook(secret) for secret in secrets]
        self._kept = kept
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Raises NotGenuine."""
        event = self._verified(headers, body)
        data = event.get("data") if isinstance(event, dict) else None
        if not isinstance(data, dict) or not isinstance(event.get("type"), str):
            raise NotGenuine("the body is no event")
        job_id, sequence = data.get("job_id"), data.get("sequence")
        if not isinstance(job_id, str) or not isinstance(sequence, int) or sequence < 1:
            raise NotGenuine("the event has no job_id or sequence")
        webhook_id = next(value for name, value in headers.items() if name.lower() == "webhook-id")
        with self._lock:
            seen = webhook_id in self._seen
            newest = self._newest.get(job_id, 0)
            self._remember(self._seen, webhook_id, None)
            self._remember(self._newest, job_id, max(newest, sequence))
        missing = () if seen else tuple(range(newest + 1, sequence))
        return Delivery(webhook_id, event["type"], data, seen, missing, late=not seen and sequence <= newest)

    def newest(self, job_id: str) -> int:
        """The highest sequence number that came for a job; 0 when none did."""
        with self._lock:
            return self._newest.get(job_id, 0)

    def _verified(self, headers: Mapping[str, str], body: bytes) -> Any:
        reason = "no secret is set"
        for signer in self._signers:
            try:
                return signer.verify(body, dict(headers))
            except WebhookVerificationError as error:
                reason = str(error)
            except (
                ValueError
            ):  # what the library lets through: signatures that are not "v1,<base64>", bodies that are not JSON
                reason = "the signature or the body is malformed"
        raise NotGenuine(reason)

    def _remember(self, memory: "OrderedDict[str, Any]", key: str, value: Any) -> None:
        memory[key] = value
        memory.move_to_end(key)
        while len(memory) > self._kept:
            memory.popitem(last=False)
