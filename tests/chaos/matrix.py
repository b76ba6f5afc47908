"""Every place where a step can be struck, times everything that can happen there.

A cell is one job with one paid call. It runs to its place, the fault happens there, and the job has to end as if
nothing had been: with one charge, or, where nobody can know whether the vendor took the request, parked for a person.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import psutil

from pipeline.calls import Repeat
from tests import paid
from tests.chaos import faults, oracle
from tests.chaos.stand import ENDED, Stand
from tests.vendors.paid import Charge

UNANSWERED = "after_send"
LEDGER = ("before_intent", "after_intent", UNANSWERED, "after_reply", "after_id", "after_asset")
RECORD = ("before_record", "after_record", "before_ack", "in_recovery")
LAUNCH = ("after_launch",)
POINTS = LEDGER + RECORD + LAUNCH
KILLS = ("kill_child", "kill_worker")
OUTAGES: dict[str, Callable[[Stand], None]] = {
    "restart_broker": faults.restart_broker,
    "wipe_broker": faults.wipe_broker,
    "restart_database": faults.restart_database,
}
FAULTS = (*KILLS, *OUTAGES)
DOUBTFUL = ("after_intent", UNANSWERED, "after_reply")
CAPABILITY = {Repeat.IDEMPOTENT: "speech", Repeat.FINDABLE: "background", Repeat.NEITHER: "lip_sync"}
STRUCK_S = 45.0
END_S = 150.0
EVENTS_S = 75.0  # a delivery that dies holds its event for 40 s
BATCH = 4  # of six children; whoever is struck holds one


@dataclass(frozen=True, slots=True)
class Cell:
    """`digit` is the vendor's counter (see tests.paid)."""

    point: str
    fault: str
    digit: int

    @property
    def repeat(self) -> Repeat:
        return paid.COUNTERS[self.digit][0]

    @property
    def name(self) -> str:
        return f"{self.fault}/{self.point}/{self.repeat}-{paid.COUNTERS[self.digit][1]}"

    @property
    def seed(self) -> int:
        return paid.seed(**{CAPABILITY[self.repeat]: self.digit})

    @property
    def may_park(self) -> bool:
        """Whether nobody can know what became of the call: an answer that came at once had no id to ask for."""
        now = paid.COUNTERS[self.digit][1] == "now"
        return self.repeat is Repeat.NEITHER and (self.point in DOUBTFUL or (now and self.point == "after_asset"))


@dataclass(slots=True)
class Result:
    """What became of a cell. Seconds count from the end of the fault: `recovered_s` to the first claim or record of the
    struck job, `ended_s` to the job's end. `outage_s` is how long a server was away."""

    cell: str
    fault: str
    point: str
    repeat: str
    job: str
    status: str
    outage_s: float
    recovered_s: float | None
    ended_s: float | None
    charges: int
    runs: int
    flaws: list[str] = field(default_factory=list)


def cells() -> Iterator[Cell]:
    for fault, point in product(FAULTS, POINTS):
        for digit, (_, form) in paid.COUNTERS.items():
            if point == "after_id" and form == "now":
                continue  # an answer that comes at once has no id to keep
            if point in RECORD + LAUNCH and digit not in (1, 4, 6):
                continue  # the ledger is not asked there: one of each kind shows that it is not paid again
            yield Cell(point, fault, digit)


def run(stand: Stand, chosen: Sequence[Cell], *, told: Callable[[Result], None]) -> list[Result]:
    """Kills one by one; outages for several cells at once, since each takes a server's whole restart."""
    results = []
    for fault in FAULTS:
        of_fault = [cell for cell in chosen if cell.fault == fault]
        size = 1 if fault in KILLS else BATCH
        for start in range(0, len(of_fault), size):
            for result in _strike(stand, of_fault[start : start + size]):
                results.append(result)
                told(result)
    return results


class Struck:
    """One job on its way to its place. `reached` says that it is there, and for how long the clock has run since."""

    def __init__(self, stand: Stand, cell: Cell) -> None:
        self.stand = stand
        self.cell = cell
        self.at: float | None = None
        self.over = 0.0
        self.moved: float | None = None
        self.ended: float | None = None
        self.answer = threading.Event()
        if cell.point in LEDGER + LAUNCH and cell.point != UNANSWERED:
            self._arm(cell.point)
        else:
            stand.vendor.after_charge = self._charged
        self.job = stand.output_job(seed=cell.seed)

    def await_reached(self) -> bool:
        end = time.monotonic() + STRUCK_S
        while not self._reached() and time.monotonic() < end:
            time.sleep(0.01)
        self.stand.vendor.after_charge = None
        if self._reached():
            self.at = self.at or time.time()
        return self.at is not None

    def let_go(self) -> None:
        self.answer.set()

    def look(self) -> bool:
        """Note what happened since the fault was over; whether the job has ended."""
        self.moved = self.moved or self._first_move()
        job = self.stand.ended(self.job)
        if job is not None:
            self.ended = job["finished_at"].timestamp() if job["finished_at"] else time.time()
        return job is not None

    def since(self, moment: float | None) -> float | None:
        """Seconds after the fault."""
        return None if moment is None else round(max(moment - self.over, 0.0), 2)

    def _first_move(self) -> float | None:
        """When the struck step, or what follows it, was claimed or recorded; its sibling is no sign."""
        sibling = {"speech": "background", "background": "speech"}.get(CAPABILITY[self.cell.repeat], "")
        row = self.stand.ask(
            "SELECT min(at) AS at FROM (SELECT unnest(ARRAY[started_at, finished_at]) AS at FROM records "
            "WHERE job_id = %s AND stage <> %s UNION ALL SELECT finished_at FROM jobs WHERE id = %s) AS moves "
            "WHERE at > to_timestamp(%s)",
            self.job,
            sibling,
            self.job,
            self.over,
        )[0]
        return row["at"].timestamp() if row["at"] else None

    def _reached(self) -> bool:
        return self.at is not None if self.cell.point == UNANSWERED else self.stand.struck(self.cell.point)

    def _arm(self, point: str) -> None:
        self.stand.arm(point, self.cell.fault if self.cell.fault in KILLS else "pause")

    def _charged(self, charge: Charge) -> bool:
        """In the vendor's thread: the request is taken and paid, and not answered yet."""
        self.stand.vendor.after_charge = None
        if self.cell.point in RECORD:
            if self.cell.point == "in_recovery":
                self.stand.arm("before_record", "kill_child")
            self._arm(self.cell.point)
            return True
        if self.cell.fault in KILLS:
            self._kill(caller(charge))
        self.at = time.time()
        self.answer.wait(STRUCK_S)
        return True

    def _kill(self, child: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            victims = [child.parent(), child] if self.cell.fault == "kill_worker" else [child]
            for process in victims:
                if process is not None:
                    process.kill()


def caller(charge: Charge) -> psutil.Process:
    """The process at the other end of the vendor's connection."""
    for line in psutil.net_connections("tcp4"):
        if line.laddr and line.laddr.port == charge.port and line.raddr and line.pid:
            return psutil.Process(line.pid)
    raise AssertionError("nobody is at the other end")


def _strike(stand: Stand, batch: Sequence[Cell]) -> list[Result]:
    struck = []
    try:
        for cell in batch:
            struck.append(Struck(stand, cell))
            struck[-1].await_reached()
        began = time.time()
        if batch[0].fault in OUTAGES:
            OUTAGES[batch[0].fault](stand)
    finally:
        for each in struck:
            each.let_go()
        stand.release()
    over = time.time()
    outage = batch[0].fault in OUTAGES
    for each in struck:
        each.over = over if outage else each.at or over
    _await_ends(struck)
    results = [_judged(stand, each, outage_s=over - began if outage else 0.0) for each in struck]
    if batch[0].fault == "kill_worker":
        stand.supervisor.await_ready()
    return results


def _await_ends(struck: Sequence[Struck]) -> None:
    end = time.monotonic() + END_S
    left = list(struck)
    while left and time.monotonic() < end:
        left = [each for each in left if not each.look()]
        time.sleep(0.03)


def _judged(stand: Stand, struck: Struck, *, outage_s: float) -> Result:
    """What became of it, and what the oracle says."""
    cell, job_id = struck.cell, struck.job
    references = {call["id"] for call in stand.calls(job_id)}
    charges = [charge for charge in stand.vendor.books() if charge.reference in references]
    runs = oracle.bodies(stand)
    flaws = [] if struck.at else [f"{job_id} was not struck"]
    flaws += oracle.settle(stand, [job_id], within=EVENTS_S) + oracle.failures(stand, [job_id])
    for question in oracle.JOBS.values():
        flaws += question(stand, [job_id])
    status = stand.job(job_id)["status"]
    if status not in ENDED:
        status = "parked"
        if not cell.may_park:
            flaws.append(f"{job_id} is parked, though it could be known what became of its call")
    elif len(charges) != 1:
        flaws.append(f"{job_id} was charged {len(charges)} times")
    return Result(
        cell=cell.name,
        fault=cell.fault,
        point=cell.point,
        repeat=cell.repeat,
        job=job_id,
        status=status,
        outage_s=round(outage_s, 2),
        recovered_s=struck.since(struck.moved),
        ended_s=struck.since(struck.ended),
        charges=len(charges),
        runs=sum(len(runs[content]) for content in {charge.asked["content"] for charge in charges}),
        flaws=flaws,
    )


def row(result: Result) -> dict[str, Any]:
    return asdict(result)
