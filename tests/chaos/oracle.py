"""What must hold when it is quiet again. Each question is answered with what is wrong: a list of sentences."""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from db.lives import LIVES
from providers.storage import Storage
from tests import paid
from tests.chaos.stand import ENDED, Stand
from tests.processes import eventually

SETTLE_S = 180.0
RECLAIMED_S = 180.0  # an intent is an orphan after a minute; it is looked at each quarter of one
UNLOCKED_S = 11.0  # a scratch folder that is younger is left alone by the sweep
LINES_PER_PROCESS = 12  # a process's pool: 4 and 8 more under load


def settle(stand: Stand, jobs: Sequence[str], *, within: float = SETTLE_S) -> list[str]:
    """Wait until every job has ended or is parked and every event was delivered; who has not by then."""
    end = time.monotonic() + within
    while True:
        open_jobs = [job_id for job_id in jobs if not stand.ended(job_id)]
        pending = stand.ask("SELECT job_id FROM events WHERE state = 'pending' AND job_id = ANY(%s)", list(jobs))
        if not open_jobs and not pending:
            return []
        if time.monotonic() > end:
            unended = [f"{job_id} has not ended: {_where(stand, job_id)}" for job_id in open_jobs]
            return unended + [f"{row['job_id']}: an event was not delivered" for row in pending]
        time.sleep(0.2)


def _where(stand: Stand, job_id: str) -> str:
    rows = stand.ask(
        "SELECT step, status, attempt, awaits, wake_at, lease_until FROM records "
        "WHERE job_id = %s AND status NOT IN ('succeeded', 'reused', 'pending')",
        job_id,
    )
    return f"{stand.job(job_id)['status']}, " + "; ".join(f"{row['step']} {row['status']}" for row in rows)


# --- about jobs ----------------------------------------------------------------------------


def unended(stand: Stand, jobs: Sequence[str]) -> list[str]:
    """Every job ended, or waits for a person and says why."""
    found = []
    for job_id in jobs:
        if stand.job(job_id)["status"] in ENDED:
            continue
        parked = stand.parked(job_id)
        if not parked:
            found.append(f"{job_id} has not ended: {_where(stand, job_id)}")
        found += [f"{job_id}: {row['step']} does not say why it waits" for row in parked if not row["why"]]
    return found


def failures(stand: Stand, jobs: Sequence[str]) -> list[str]:
    """No job failed; for jobs in which nothing was asked for that could."""
    failed = stand.ask("SELECT id, error FROM jobs WHERE status = 'failed' AND id = ANY(%s)", list(jobs))
    return [f"{row['id']} failed: {row['error']['stage']} {row['error']['code']}" for row in failed]


def double_charges(stand: Stand, jobs: Sequence[str]) -> list[str]:
    """By the vendor's books, not by our ledger: each piece of work was charged once, and we know of it."""
    calls = stand.ask("SELECT id, job_id, step, variation, status, settled FROM provider_calls")
    known = {call["id"]: call for call in calls}
    paid: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    found = []
    for charge in stand.vendor.books():
        call = known.get(charge.reference)
        if call is None:
            found.append(f"{charge.id} was charged, and the ledger does not know it")
        elif call["job_id"] in jobs:
            paid[call["job_id"], call["step"], call["variation"], charge.what].append(charge.id)
    found += [f"{job} {step} was charged {len(ids)} times: {ids}" for (job, step, *_), ids in paid.items() if ids[1:]]
    charged = {charge.reference for charge in stand.vendor.books() if not charge.cancelled}
    for call in calls:
        if call["job_id"] in jobs and call["id"] in charged and call["status"] == "failed" and not call["settled"]:
            found.append(f"{call['id']} was charged, and the ledger says that it failed")
    return found


def unlisted_doubts(stand: Stand, jobs: Sequence[str]) -> list[str]:
    """Who waits for a person has an uncertain call; and there is no uncertain call of a job that goes on."""
    found = []
    for job_id in jobs:
        doubtful = {call["step"] for call in stand.calls(job_id) if call["status"] == "uncertain"}
        for row in stand.parked(job_id):
            if row["step"] not in doubtful:
                found.append(f"{job_id}: {row['step']} is parked without an uncertain call")
    return found


def lost_events(stand: Stand, jobs: Sequence[str]) -> list[str]:
    """Gapless, delivered, received, in order."""
    found = []
    for job_id in jobs:
        rows = stand.ask("SELECT sequence, state FROM events WHERE job_id = %s ORDER BY sequence", job_id)
        if [row["sequence"] for row in rows] != list(range(1, stand.job(job_id)["sequence"] + 1)):
            found.append(f"{job_id}: the sequence has gaps")
        found += [f"{job_id}: event {row['sequence']} is {row['state']}" for row in rows if row["state"] != "delivered"]
        found += stand.receiver.flaws(job_id, sequences=len(rows))
    return found


def overlaps(stand: Stand, jobs: Sequence[str]) -> list[str]:
    """A step was done at most once for each variation that a person asked for, and no attempt began before the one
    before it had ended or was lost."""
    found = []
    rows = stand.ask(
        "SELECT job_id, step, attempts.attempt, outcome, attempts.started_at, attempts.finished_at, variation "
        "FROM attempts JOIN records USING (job_id, step) WHERE job_id = ANY(%s) "
        "ORDER BY job_id, step, attempts.attempt",
        list(jobs),
    )
    steps: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        steps[row["job_id"], row["step"]].append(row)
    for (job_id, step), attempts in steps.items():
        if sum(each["outcome"] == "done" for each in attempts) > 1 + attempts[0]["variation"]:
            found.append(f"{job_id}: {step} was done twice")
        for first, second in itertools.pairwise(attempts):
            if first["outcome"] != "lost" and first["finished_at"] > second["started_at"]:
                found.append(f"{job_id}: attempts {first['attempt']} and {second['attempt']} of {step} overlap")
    return found


def bodies(stand: Stand) -> dict[str, list[tuple[float, float | None]]]:
    """By what was asked: when each run of a paid body began, and when it ended (None: it was killed)."""
    found: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    running: dict[tuple[str, int], float] = {}
    if not stand.journal.exists():
        return found
    for text in stand.journal.read_text().splitlines():
        entry = json.loads(text)
        key = entry["body"], entry["pid"]
        if entry["what"] == "begins":
            if key in running:  # the process that began it was frozen or reused its number: it has no end
                found[entry["body"]].append((running[key], None))
            running[key] = entry["at"]
        elif key in running:
            found[entry["body"]].append((running.pop(key), entry["at"]))
    for (body, _), began in running.items():
        found[body].append((began, None))
    return found


# --- about the installation ----------------------------------------------------------------


def leaked_slots(stand: Stand) -> list[str]:
    """No open call without a step that looks after it: those of ended jobs are ended within minutes."""

    def left() -> list[dict[str, Any]]:
        return stand.ask(
            "SELECT c.id, c.status, j.status AS job, r.status AS step FROM provider_calls c "
            "JOIN jobs j ON j.id = c.job_id JOIN records r ON r.job_id = c.job_id AND r.step = c.step "
            "WHERE c.status IN ('intended', 'submitted')"
        )

    end = time.monotonic() + RECLAIMED_S
    while (rows := left()) and time.monotonic() < end:
        time.sleep(0.5)
    return [f"{row['id']} is {row['status']} while its step is {row['step']} in a {row['job']} job" for row in rows]


def leaked_sessions(stand: Stand) -> list[str]:
    """No transaction is left open, no advisory lock held, and not more sessions than pools allow."""
    idle = stand.ask(
        "SELECT pid, query FROM pg_stat_activity WHERE datname = 'likeness' AND pid <> pg_backend_pid() "
        "AND state LIKE 'idle in transaction%%' AND state_change < now() - interval '5 s'"
    )
    locks = stand.ask("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid <> %s", LIVES)
    lives = stand.ask("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND classid = %s", LIVES)[0]["n"]
    processes = sum(worker.processes for worker in stand.workers)
    sessions = stand.ask("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'likeness'")[0]["n"]
    most = LINES_PER_PROCESS * (processes + 1)
    found = [f"session {row['pid']} idles in a transaction: {row['query'][:80]}" for row in idle]
    found += [f"session {row['pid']} holds an advisory lock" for row in locks]
    found += [f"{lives} proofs of life for {processes} processes"] if lives > processes else []
    return found + ([f"{sessions} sessions, more than {most}"] if sessions > most else [])


def leaked_folders(stand: Stand) -> list[str]:
    """What dead steps left on disk goes with the next step that needs room, and what they did not finish writing with
    the sweeper's hourly clearing: both are run here."""
    scratch = stand.folder / "scratch"
    time.sleep(UNLOCKED_S)  # the age from which a folder may be taken for a dead step's
    last = stand.output_job(seed=paid.seed(speech=1))
    eventually(lambda: stand.ended(last), within=60, what="the job after it all ends")
    left = [path.name for path in scratch.glob("likeness-step-*")]
    Storage((stand.folder / "assets").as_uri()).sweep(timedelta())
    partial = Path(stand.folder / "assets" / "partial")
    unfinished = [path.name for path in partial.iterdir()] if partial.exists() else []
    return [f"scratch folder {name} is left" for name in left] + [f"partial file {name} is left" for name in unfinished]


def depths(stand: Stand) -> dict[str, int]:
    """By queue: messages that wait or are not acknowledged."""
    listed = stand.rabbit.ctl("list_queues", "--quiet", "--no-table-headers", "name", "messages")
    return {name: int(count) for name, count in (row.split() for row in listed.splitlines())}


def full_queues(stand: Stand, *, dead: int = 0) -> list[str]:
    """Nothing is left to do; `dead` poison messages are expected at most."""

    def left() -> dict[str, int]:
        found = depths(stand)
        kept = {name: found.get(name, 0) for name in ("avatar", "marketing", "callback")}
        return {name: count for name, count in kept.items() if count}

    end = time.monotonic() + 30
    while (found := left()) and time.monotonic() < end:
        time.sleep(0.5)
    buried = depths(stand).get("dead", 0)
    return [f"{count} messages in {name}" for name, count in found.items()] + (
        [f"{buried} messages in dead"] if buried > dead else []
    )


JOBS: dict[str, Callable[[Stand, Sequence[str]], list[str]]] = {
    "jobs that did not end": unended,
    "double charges": double_charges,
    "doubts that are not listed": unlisted_doubts,
    "lost events": lost_events,
    "steps that ran twice": overlaps,
}
HOUSE: dict[str, Callable[[Stand], list[str]]] = {
    "leaked slots": leaked_slots,
    "leaked sessions": leaked_sessions,
    "leaked files": leaked_folders,
}


def judge(stand: Stand, jobs: Sequence[str], *, dead: int = 0) -> dict[str, list[str]]:
    """By question: everything that is wrong. Empty lists where all is well."""
    found = {name: question(stand, jobs) for name, question in JOBS.items()}
    found |= {name: question(stand) for name, question in HOUSE.items()}
    return found | {"messages left": full_queues(stand, dead=dead)}
