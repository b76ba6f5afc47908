"""A family of adapters that are paid: voices, backgrounds and portraits from `tests.vendors.paid`, through the ledger.

The seed of a request says who serves: its digits name, from the right, the counter for the voice, the background and
the portrait (see `COUNTERS`; 0: nobody is paid). So one installation can try every way to call, job by job.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import requests

from pipeline.assets import Asset
from pipeline.calls import Answered, Repeat, Running, Ticket
from pipeline.errors import CallVanished, OutcomeUnknown, RateLimited, VendorBusy, VendorFailed
from pipeline.ports import Footage, Utterance
from providers.ledgered import Paid
from providers.operation import VendorOperation
from tests.instant import SECONDS, Instant, obey

CAPABILITIES = ("speech", "background", "lip_sync")
COUNTERS = {
    1: (Repeat.IDEMPOTENT, "now"),
    2: (Repeat.IDEMPOTENT, "later"),
    3: (Repeat.FINDABLE, "now"),
    4: (Repeat.FINDABLE, "later"),
    5: (Repeat.NEITHER, "now"),
    6: (Repeat.NEITHER, "later"),
}
TIMEOUT_S = (3.0, 30.0)
SETTLES_S = 2.0  # the vendor's `lag_s` must be less
ASK_AGAIN = timedelta(seconds=0.3)
POISON = "poison"


def seed(**digits: int) -> int:
    """`seed(speech=1, lip_sync=6)`: a seed that asks these counters."""
    return sum(digit * 10 ** CAPABILITIES.index(name) for name, digit in digits.items())


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the vendor; `form` as its API has it: `now` or `later`."""

    content: str
    form: str


class Order(VendorOperation):
    """Any of the vendor's work: what is made is a small file."""

    action = Wish
    settles_s = SETTLES_S
    deadline = timedelta(minutes=5)

    def quote(self, action: Wish) -> Decimal:
        return Decimal("0.05")

    def submit(self, action: Wish, reference: str) -> Ticket | Answered[Any]:
        headers = {"Idempotency-Key": reference} if self.repeat is Repeat.IDEMPOTENT else {}
        asked = {"reference": reference, "form": action.form, "content": action.content}
        try:
            answer = requests.post(self._url(), json=asked, headers=headers, timeout=TIMEOUT_S)
        except requests.ConnectTimeout as error:
            raise VendorBusy("The vendor could not be reached.") from error
        except requests.RequestException as error:
            raise OutcomeUnknown("The vendor did not answer.") from error
        return self._read(answer)

    def find(self, action: Wish, reference: str) -> Ticket | Answered[Any] | None:
        found = self._get("", params={"reference": reference}).json()["calls"]
        return self._told(found[0]) if found else None

    def poll(self, action: Wish, ticket: Ticket) -> Running | Answered[Any]:
        answer = self._get(f"/{ticket.external_id}")
        if answer.status_code == requests.codes.not_found:
            raise CallVanished("The vendor does not know its id.")
        told = self._told(answer.json())
        return Running(ASK_AGAIN) if isinstance(told, Ticket) else told

    def cancel(self, ticket: Ticket) -> bool:
        return requests.delete(f"{self._url()}/{ticket.external_id}", timeout=TIMEOUT_S).ok

    def adopt(self, external_id: str) -> Ticket | None:
        return Ticket(external_id)

    def _url(self) -> str:
        return f"{self.vendor.variables['BASE_URL']}/{self.repeat}/calls"

    def _get(self, path: str, **options: Any) -> requests.Response:
        try:
            return requests.get(self._url() + path, timeout=TIMEOUT_S, **options)
        except requests.RequestException as error:
            raise VendorBusy("The vendor could not be reached.") from error

    def _read(self, answer: requests.Response) -> Ticket | Answered[Any]:
        if answer.status_code == requests.codes.too_many_requests:
            raise RateLimited("The vendor asks for a pause.", pause_s=float(answer.headers["Retry-After"]))
        if not answer.ok:
            raise VendorBusy("The vendor did not take it.")
        return self._told(answer.json())

    def _told(self, told: dict[str, Any]) -> Ticket | Answered[Any]:
        if told["status"] == "cancelled":
            raise VendorFailed("The vendor stopped it.")
        if told["status"] == "running":
            return Ticket(told["id"])
        with self.assets.scratch() as folder:
            file = folder / "made"
            file.write_text(told["result"])
            kept = self.assets.keep(file, kind=self.capability, media_type="application/octet-stream")
        return Answered(self.output(kept), Decimal(str(told["price"])))

    def output(self, kept: Asset) -> Any:
        raise NotImplementedError


class _Speech(Order):
    capability = "speech"
    answer = Utterance

    def output(self, kept: Asset) -> Utterance:
        return Utterance(kept, kept, SECONDS, ())


class _Background(Order):
    capability = "background"
    answer = Asset

    def output(self, kept: Asset) -> Asset:
        return kept


class _Portrait(Order):
    capability = "lip_sync"
    answer = Footage

    def output(self, kept: Asset) -> Footage:
        return Footage(kept, round(SECONDS * 25), SECONDS)


def _operations() -> dict[tuple[str, Repeat], Any]:
    made: dict[tuple[str, Repeat], Any] = {}
    for kind in (_Speech, _Background, _Portrait):
        for repeat in Repeat:
            name = f"{kind.capability}_{repeat}"
            made[kind.capability, repeat] = globals()[name] = type(name, (kind,), {"name": name, "repeat": repeat})
    return made


_OPERATIONS = _operations()
OPERATIONS = {each.name: f"tests.paid:{each.name}" for each in _OPERATIONS.values()}


class Costly(Paid):
    """Every paid capability; each run of a body is written into the journal, a file at `PAID_JOURNAL`."""

    name: ClassVar[str] = "paid"
    requires = ("BASE_URL", "JOURNAL")

    def speak(self, *arguments: Any, seed: int, **options: Any) -> Any:
        if "frame" in options:
            return self._make("lip_sync", seed, lambda free: free.speak(*arguments, seed=seed, **options), arguments)
        if arguments[0].startswith(POISON):
            os.kill(os.getpid(), signal.SIGKILL)
        obey(arguments[0])
        return self._make("speech", seed, lambda free: free.speak(*arguments, seed=seed), arguments)

    def paint(self, prompt: str, *, width: int, height: int, seed: int) -> Any:
        return self._make(
            "background", seed, lambda free: free.paint(prompt, width=width, height=height, seed=seed), (prompt,)
        )

    def _make(self, capability: str, seed: int, free: Any, asked: tuple[Any, ...]) -> Any:
        content = f"{capability} of {asked!r}"
        with self._journaled(content):
            digit = seed // 10 ** CAPABILITIES.index(capability) % 10
            if digit not in COUNTERS:
                return free(Instant(self.assets))
            repeat, form = COUNTERS[digit]
            operation = _OPERATIONS[capability, repeat](self.assets, self.vendor)
            return self.once(operation, Wish(content, form))

    @contextmanager
    def _journaled(self, content: str) -> Iterator[None]:
        self._write(content, "begins")
        try:
            yield
        finally:
            self._write(content, "ends")

    def _write(self, content: str, what: str) -> None:
        line = json.dumps({"body": content, "what": what, "pid": os.getpid(), "at": time.time()})
        with Path(self.vendor.variables["JOURNAL"]).open("a") as journal:
            journal.write(line + "\n")  # one short write: lines of many processes do not mix


ADAPTERS = dict.fromkeys(CAPABILITIES, "tests.paid:Costly")
