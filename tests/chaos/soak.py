"""Random faults over a mix of jobs, for minutes; then quiet, and the oracle."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import amqp

from pipeline.routes import GATES
from tests import paid
from tests.chaos import faults, oracle
from tests.chaos.stand import ENDED, Stand

JOB_EVERY_S = (0.5, 4.0)
FAULT_EVERY_S = (3.0, 12.0)
MOST_OPEN = 30  # two cores: what waits longer than this shows nothing new
CANCELLED = 0.1
DOOMED = 0.04
GATED = 0.25
POSED = 0.5  # a pose is quick, so several are taken at once
REVISED = 0.2
DECIDED = 0.1  # of the open gates, at each look
# A step that kills its process each time, and one that needs too much memory.
FATAL = (
    paid.POISON,
    "raise MemoryError",
)
QUIET_S = 300.0
LOOK_S = 1.0
AWAY_S = 30.0
FROZEN_S = 15.0
CROWD = 12
CUT_OFF_S = 40.0  # longer than a lease


@dataclass(frozen=True, slots=True)
class Fault:
    """`weight`: how often it happens compared with the others; outages are rare, since all stands still meanwhile."""

    name: str
    weight: int
    strike: Callable[[Stand], object]


def _any(stand: Stand, *prefixes: str) -> str:
    return random.choice([name for name in stand.supervisor.names if name.startswith(prefixes or ("",))])


LANES = ("avatar", "marketing")
FAULTS = (
    Fault("kill child", 12, lambda stand: faults.kill_child(stand, _any(stand, *LANES))),
    Fault("kill worker", 8, lambda stand: faults.kill_worker(stand, _any(stand, *LANES))),
    Fault("kill any process", 4, lambda stand: faults.kill_worker(stand, _any(stand))),
    Fault("cut a worker off", 1, lambda stand: faults.freeze_worker(stand, _any(stand, *LANES), CUT_OFF_S)),
    Fault("rolling restart", 1, faults.rolling_restart),
    Fault("restart broker", 2, faults.restart_broker),
    Fault("kill broker", 1, faults.kill_broker),
    Fault("freeze broker", 1, lambda stand: faults.freeze_broker(stand, FROZEN_S)),
    Fault("wipe broker", 2, faults.wipe_broker),
    Fault("lose the broker's disk", 1, faults.lose_broker),
    Fault("restart database", 3, faults.restart_database),
    Fault("kill database", 1, faults.kill_database),
    Fault("database away", 1, lambda stand: faults.database_away(stand, AWAY_S)),
    Fault("lose a message", 3, lambda stand: faults.lose_message(stand, _crowded(stand))),
    Fault("purge a queue", 1, lambda stand: faults.purge(stand, _crowded(stand))),
    Fault("double a message", 3, lambda stand: faults.double_message(stand, _crowded(stand))),
    Fault("late messages", 3, lambda stand: _late(stand)),
    Fault("many sweepers", 2, lambda stand: _sweepers(stand)),
    Fault("receiver away", 2, lambda stand: _receiver_away(stand)),
)


def _crowded(stand: Stand) -> str:
    """A queue in which messages wait: there are more jobs than processes."""
    lane = random.choice(LANES)
    for _ in range(CROWD):
        stand.output_job(lane=lane)
    return lane


def _late(stand: Stand) -> None:
    """Everything that was sent in some seconds, once more."""
    faults.listen(stand)
    time.sleep(random.uniform(1.0, 5.0))
    faults.replay(stand, faults.heard(stand))


def _sweepers(stand: Stand) -> None:
    """As if five clocks were running."""
    faults.listen(stand, ["maintenance.sweep"])
    time.sleep(1.5)
    faults.replay(stand, faults.heard(stand) * 5)


def _receiver_away(stand: Stand) -> None:
    stand.receiver.away = True
    time.sleep(random.uniform(1.0, 6.0))
    stand.receiver.away = False


def run(stand: Stand, *, minutes: float, seed: int | None = None) -> dict[str, Any]:
    """What happened, and what the oracle found."""
    seed = random.randrange(2**32) if seed is None else seed
    random.seed(seed)
    print(f"soak of {minutes:g} minutes, seed {seed}", flush=True)
    first, charges, restarts = len(stand.accepted), len(stand.vendor.books()), stand.supervisor.restarts.copy()
    running: list[str] = []
    cancelled: set[str] = set()
    doomed: set[str] = set()
    happened: Counter[str] = Counter()
    decisions: Counter[str] = Counter()
    _trouble(stand)
    start = time.monotonic()
    end = start + minutes * 60
    next_job = next_fault = start
    while (now := time.monotonic()) < end:
        if now >= next_job:
            next_job = now + random.uniform(*JOB_EVERY_S)
            running = [job for job in running if not stand.ended(job)]
            if len(running) < MOST_OPEN:
                fatal = random.choice(FATAL) if random.random() < DOOMED else None
                running.append(stand.output_job(text=fatal) if fatal else _job(stand))
                doomed |= {running[-1]} if fatal else set()
            if random.random() < CANCELLED and stand.cancel(victim := random.choice(running)):
                cancelled.add(victim)
        decisions += _decide(stand, share=DECIDED, revised=REVISED)
        if now >= next_fault:
            (fault,) = random.choices(FAULTS, [each.weight for each in FAULTS])
            print(f"{now - start:6.0f} s  {fault.name}", flush=True)
            try:
                happened[fault.name] += fault.strike(stand) is not False
            except (OSError, amqp.AMQPError) as error:  # its own means were away: a tap on a broker that is starting
                print(f"          could not happen: {type(error).__name__} {error}", flush=True)
            next_fault = time.monotonic() + random.uniform(*FAULT_EVERY_S)
        time.sleep(0.1)
    stand.vendor.calm()
    stand.receiver.away = False
    print("quiet", flush=True)
    quiet = time.monotonic()
    jobs = stand.accepted[first:]
    stand.supervisor.await_ready()
    late = ["not looked at yet"]
    while late and time.monotonic() - quiet < QUIET_S:
        decisions += _decide(stand, share=1.0, revised=0.0)
        late = oracle.settle(stand, jobs, within=LOOK_S)
    settled_s = time.monotonic() - quiet
    lost = stand.ask("SELECT count(*) AS n FROM jobs WHERE error ->> 'code' = 'worker_lost'")[0]["n"]
    flaws = oracle.judge(stand, jobs, dead=lost)
    flaws["jobs that failed"] = oracle.failures(stand, [job for job in jobs if job not in doomed])
    flaws["jobs that should have failed"] = [
        f"{job} completed" for job in doomed if stand.job(job)["status"] == "completed"
    ]
    if late and not flaws["jobs that did not end"]:
        flaws["jobs that did not end"] = late
    statuses = Counter(stand.job(job)["status"] if stand.job(job)["status"] in ENDED else "parked" for job in jobs)
    return {
        "seed": seed,
        "minutes": minutes,
        "jobs": dict(statuses),
        "cancelled": len(cancelled),
        "decisions": dict(decisions),
        "faults": dict(happened),
        "restarts": dict(stand.supervisor.restarts - restarts),
        "charges": len(stand.vendor.books()) - charges,
        "uncertain": stand.ask(
            "SELECT count(*) AS n FROM provider_calls WHERE status = 'uncertain' AND job_id = ANY(%s)", jobs
        )[0]["n"],
        "events": stand.ask("SELECT count(*) AS n FROM events WHERE job_id = ANY(%s)", jobs)[0]["n"],
        "settled_s": round(settled_s, 1),
        "flaws": flaws,
    }


def _decide(stand: Stand, *, share: float, revised: float) -> Counter[str]:
    """What a person said of each gate, and of how many another one had decided before."""
    said: Counter[str] = Counter()
    for waiting in stand.gates():
        if random.random() < share:
            decision = "revise" if random.random() < revised else "approve"
            status = stand.decide(waiting["id"], waiting["gate"], decision)
            said[decision if status in (200, 202) else f"{decision}: {status}"] += 1
    return said


def _trouble(stand: Stand) -> None:
    """The vendor has days like that too."""
    vendor = stand.vendor
    vendor.busy, vendor.flaky, vendor.deaf = 0.03, 0.03, 0.01
    vendor.lag_s, vendor.slow_s, vendor.render_s = 0.05, 0.1, 1.0


def _job(stand: Stand) -> str:
    lane = random.choice(LANES)
    if random.random() < 0.2:
        return stand.avatar_job(lane)
    seed = paid.seed(
        speech=random.choice((0, 1, 2, 4)), background=random.choice((0, 3, 4, 2)), lip_sync=random.choice((2, 4, 5, 6))
    )
    gates = random.sample(GATES, random.choice((1, 1, 2, 4))) if random.random() < GATED else ()
    poses = random.random() < POSED
    return stand.output_job(seed=seed, scenes=random.choice((1, 2, 3, 5)), lane=lane, gates=gates, poses=poses)
