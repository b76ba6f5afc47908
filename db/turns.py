"""A turn at a job: its row is locked while it is decided what changes, and all of that is written at once at the end.

Every step costs one turn, or two, and each message to the server costs as much as what it asks: so a turn is two, the
first with its BEGIN, the last with its COMMIT.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from psycopg2.extras import Json
from sqlalchemy import Connection

from db import events, ids, statements
from db.statements import Statement
from pipeline.graph import Node
from pipeline.review import Review
from pipeline.routes import Plan, plan
from pipeline.state import ACTIVE, SATISFIED, EventType, JobStatus, StepStatus

UNSENT_GRACE = timedelta(seconds=3)  # a publish takes less than a second, or the broker is away
PATIENCE = timedelta(seconds=30)  # a job that moved is left alone by the sweeper for so long
PATIENT = timedelta(seconds=25)  # nearly so long is enough: to write it anew each time costs an entry in each index

BEGIN = ("BEGIN", dict[str, Any]())
COMMIT = ("COMMIT", dict[str, Any]())
LOCK = Statement("lock_job", "SELECT FROM jobs WHERE id = %(job)s FOR UPDATE")
_COLUMNS = """
    step, status, attempt, tried, waits, variation, notes, owner, provider, started_at, output, output_input_digest,
    COALESCE(lease_until > now(), false), COALESCE(wake_at <= now(), false)
"""
_STEPS = "records WHERE job_id = %(job)s AND step = ANY(%(steps)s)"
# Every branch of a join asks whether it was the last: many outputs are read only when they are all there.
_JOIN = f"""{_STEPS} AND (step = ANY(%(wanted)s) OR NOT EXISTS (
        SELECT FROM records WHERE job_id = %(job)s AND step = ANY(%(needed)s) AND status <> ALL(%(satisfied)s)
    ))
"""
_READ = "SELECT {columns} FROM {records}"
READ = Statement("read_records", _READ.format(columns=_COLUMNS, records=_STEPS))
READ_JOIN = Statement("read_join", _READ.format(columns=_COLUMNS, records=_JOIN))
# The job as it is once it is locked, and records of it. What can be long stands in one row only.
_LOOK = """
    SELECT
        id, client, kind, route, lane, CASE WHEN COALESCE(place, 1) = 1 THEN request END, jobs.status, launch, scenes,
        progress, sequence, nudges, gate, result, jobs.error, callbacks, COALESCE(snapshot -> 'metadata', '{{}}'),
        review,
        found.*
    FROM jobs LEFT JOIN LATERAL (SELECT row_number() OVER () AS place, {columns} FROM {records}) AS found ON true
    WHERE id = %(job)s
    ORDER BY place
"""
LOOK = Statement("look_at_job", _LOOK.format(columns=_COLUMNS, records=_STEPS))
LOOK_JOIN = Statement("look_at_join", _LOOK.format(columns=_COLUMNS, records=_JOIN))
JOB_COLUMNS = 18
FEW = 4
WRITE = Statement(
    "write_job",
    """
    UPDATE jobs SET
        status = %(status)s, launch = %(launch)s, scenes = %(scenes)s, progress = %(progress)s,
        sequence = %(sequence)s, gate = %(gate)s, result = %(result)s, error = %(error)s, nudges = %(nudges)s,
        nudge_at = CASE
            WHEN nudge_at BETWEEN now() + %(patient)s::interval AND now() + %(patience)s::interval THEN nudge_at
            ELSE COALESCE(now() + %(patience)s::interval, nudge_at)
        END,
        updated_at = now(),
        started_at = CASE WHEN %(started)s THEN now() ELSE started_at END,
        finished_at = CASE WHEN %(ended)s THEN now() WHEN %(resumed)s THEN NULL ELSE finished_at END
    WHERE id = %(job)s
    """,
)
# The clock runs while the machine has the job.
DEADLINE = "UPDATE jobs SET deadline_at = now() + %(limit)s WHERE id = %(job)s"
REVIEW = "UPDATE jobs SET review = %(review)s WHERE id = %(job)s"
# Of an earlier storyboard that had more scenes.
PARE = "UPDATE records SET status = 'cancelled' WHERE job_id = %(job)s AND scene > %(scenes)s AND status <> 'running'"
# Before an output is replaced.
PAST = """
    INSERT INTO past_outputs (job_id, step, number, origin, output, input_digest, attempt, variation, made_at)
    SELECT job_id, step, (SELECT count(*) + 1 FROM past_outputs WHERE job_id = %(job)s AND step = %(step)s),
        origin, output, output_input_digest, attempt, variation, finished_at
    FROM records WHERE job_id = %(job)s AND step = %(step)s AND output IS NOT NULL
"""
RELEASE = Statement(
    "release_calls",
    "UPDATE provider_calls SET look_at = now() WHERE job_id = %(job)s AND status IN ('intended', 'submitted')",
)
# What came too late was booked as waste; a job that goes on uses it after all.
REDEEM = """
    UPDATE provider_calls SET wasted = 0 FROM records
    WHERE provider_calls.job_id = %(job)s AND provider_calls.status = 'succeeded' AND wasted > 0
    AND records.job_id = provider_calls.job_id AND records.step = provider_calls.step
    AND records.variation = provider_calls.variation AND records.status = ANY(%(satisfied)s)
"""
TELL = Statement(
    "tell",
    """
    INSERT INTO events (id, job_id, client, sequence, type, state, due_at, data) VALUES (
        %(id)s, %(job)s::text, %(client)s, %(sequence)s, %(type)s, 'pending',
        CASE WHEN NOT EXISTS (SELECT FROM events WHERE job_id = %(job)s::text AND state = 'pending') THEN now() END,
        %(data)s
    )
    """,
)
NOTE = Statement(
    "note",
    """
    INSERT INTO events (id, job_id, client, sequence, type, state, data)
    VALUES (%(id)s, %(job)s, %(client)s, %(sequence)s, %(type)s, 'unwanted', %(data)s)
    """,
)


class Seen(NamedTuple):
    """A record as a turn sees it. `leased`: its lease has not ended; `due`: its time to wake has come."""

    step: str
    status: str
    attempt: int
    tried: int
    waits: int
    variation: int
    notes: str | None
    owner: str | None
    provider: str | None
    started_at: datetime | None
    output: Any
    output_input_digest: str | None
    leased: bool
    due: bool

    @classmethod
    def new(cls, step: str) -> Self:
        """As the table makes it."""
        return cls(step, StepStatus.PENDING, 0, 0, 0, 0, None, None, None, None, None, None, False, False)


def deadline(request: Mapping[str, Any]) -> timedelta | None:
    """How long the machine may have the job at a time."""
    seconds = request.get("deadline_s")
    return None if seconds is None else timedelta(seconds=seconds)


def jsonb(value: Any) -> Json | None:
    """None is no value; all else is JSON."""
    return None if value is None else Json(value)


@dataclass(frozen=True, slots=True)
class Sought:
    """The steps that are read at once: `wanted` in any case, `needed` if all of them are there."""

    wanted: list[str]
    needed: list[str]

    @classmethod
    def of(cls, made: Plan | None, steps: Iterable[str], entered: str | None, seen: Collection[str] = ()) -> Self:
        """What was `seen` need not be read again."""
        wanted = [step for step in dict.fromkeys([*steps, entered]) if step is not None and step not in seen]
        if made is None or entered is None:
            return cls(wanted, [])
        needed = [step for step in made.predecessors.get(entered, ()) if step not in seen and step not in wanted]
        return cls(wanted, needed)

    @property
    def steps(self) -> list[str]:
        return self.wanted + self.needed

    @property
    def joins(self) -> bool:
        return len(self.needed) > FEW

    def values(self, job: str) -> dict[str, Any]:
        asked = {"job": job, "steps": self.steps}
        if not self.joins:
            return asked
        return asked | {"wanted": self.wanted, "needed": self.needed, "satisfied": list(SATISFIED)}


@dataclass(slots=True)
class Turn:
    """What a turn knows of its job. Whoever changes records under the lock says here what that means for the job."""

    connection: Connection
    id: str
    client: str
    kind: str
    route: str
    lane: str
    request: Mapping[str, Any]
    status: str = JobStatus.ACCEPTED
    launch: int = 0
    scenes: int | None = None
    progress: float = 0.0
    sequence: int = 0
    nudges: int = 0
    gate: Any = None
    result: Any = None
    error: Any = None
    callbacks: bool = False
    metadata: Any = None
    state: Any = None
    stale: tuple[str, ...] = ()
    seen: dict[str, Seen] = field(default_factory=dict)
    entered: str | None = None
    _later: list[tuple[Statement | str, Mapping[str, Any]]] = field(default_factory=list)
    _events: list[tuple[EventType, str | None, str | None]] = field(default_factory=list)
    _patience: timedelta | None = None
    _patient: timedelta | None = None
    _started: bool = False
    _ended: bool = False
    _resumed: bool = False
    _changed: bool = False

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def plan(self) -> Plan:
        return plan(self.route, self.scenes)

    @property
    def review(self) -> Review:
        return Review.of(self.request, self.state)

    @review.setter
    def review(self, review: Review) -> None:
        self.state = review.kept()
        self.later(REVIEW, {"job": self.id, "review": jsonb(self.state)})

    def left(self, satisfied: Collection[str]) -> Node:
        """What is still to be run and decided, when these steps are satisfied."""
        return self.plan.left(satisfied, self.review)

    def read(self, *steps: str, entered: str | None = None) -> None:
        """See these steps; `entered` as well, and what it reads, if all of that is there."""
        sought = Sought.of(self.plan, steps, None if entered == self.entered else entered, self.seen)
        if sought.steps:
            self.see(self.ask(READ_JOIN if sought.joins else READ, sought.values(self.id)))
        self.entered = entered or self.entered

    def see(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self.seen |= {row[0]: Seen._make(row) for row in rows if row[0] is not None}

    def ask(self, statement: Statement | str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it now: its answer decides what changes."""
        return statements.run(self.connection, [(statement, values)])

    def later(self, statement: Statement | str, values: Mapping[str, Any]) -> None:
        """Run it at the end of the turn, with all else that changes."""
        self._later.append((statement, values))

    def start(self) -> None:
        """Something of the job is under way, or was given."""
        if self.status == JobStatus.ACCEPTED:
            self.status = JobStatus.RUNNING
            self._started = True
            self._tell(EventType.STARTED)

    def begin(self, stage: str, label: str, *, first: bool) -> None:
        """A step starts; `first`: for the first time."""
        self.start()
        if first:
            self._tell(EventType.PROGRESS, stage, label)

    def reach(self, step: str, output: Any) -> None:
        """This step is satisfied now; the storyboard also tells how many scenes there are.

        What an ended job still finishes is kept, and tells nothing.
        """
        if output is not None and step == self.plan.storyboard:
            self.count(len(output["scenes"]))
        if self.active:
            self.progress = min(round(self.progress + self.plan.shares[step], 6), 1.0)
        self._changed = True

    def count(self, scenes: int | None) -> None:
        """There are so many scenes now; None: as many as the storyboard will have."""
        first = self.scenes is None and self.launch <= 1
        self.scenes = scenes
        if scenes is not None and not first:
            self.later(PARE, {"job": self.id, "scenes": scenes})

    def keep_past(self, step: str) -> None:
        """The step's output is about to be replaced."""
        self.later(PAST, {"job": self.id, "step": step})

    def open(self, gate: Mapping[str, Any]) -> None:
        """A person decides."""
        self.status = JobStatus.AWAITING_APPROVAL
        self.gate = dict(gate)
        self._tell(EventType.APPROVAL_REQUIRED)

    def resume(self, stage: str | None, label: str, *, progress: float) -> None:
        """A person said how it goes on: under a new launch, so that what is left of the old one is fenced."""
        self.status = JobStatus.RUNNING
        self.gate = self.error = None
        self.progress = progress
        self.launch += 1
        self.nudges = 0
        self.rest(UNSENT_GRACE)
        self._resumed = True
        self.later(REDEEM, {"job": self.id, "satisfied": list(SATISFIED)})
        if (limit := deadline(self.request)) is not None:
            self.later(DEADLINE, {"job": self.id, "limit": limit})
        self._tell(EventType.STARTED, stage, label)

    def complete(self, result: Any) -> None:
        self.status = JobStatus.COMPLETED
        self.progress = 1.0
        self.result, self.error = result, None
        self._ended = True
        self._tell(EventType.COMPLETED)

    def fail(self, error: Mapping[str, Any]) -> None:
        """The job remembers its failed step. Siblings end what they are doing, and start nothing."""
        self.status = JobStatus.FAILED
        self.error = dict(error)
        self._ended = True
        self._tell(EventType.FAILED, error["stage"])

    def cancel(self) -> None:
        """What was launched is fenced."""
        self.status = JobStatus.CANCELLED
        self.gate = None
        self.launch += 1
        self._ended = True
        self._tell(EventType.CANCELLED)

    def move(self) -> None:
        """Something happened: the sweeper's patience starts anew."""
        self.nudges = 0
        self.rest(PATIENCE, at_least=PATIENT)

    def rest(self, patience: timedelta, *, at_least: timedelta | None = None) -> None:
        """The sweeper leaves the job alone for so long; `at_least`: if it would for so long, that stands."""
        self._patience, self._patient = patience, at_least
        self._changed = True

    def release(self) -> None:
        """Some of its open paid calls may have no step any more that looks after them."""
        self.later(RELEASE, {"job": self.id})

    def touch(self) -> None:
        self._changed = True

    def forget(self) -> None:
        """Nothing of what was said of the job is written."""
        self._later.clear()
        self._events.clear()
        self._changed = self._ended = False

    def write(self) -> None:
        for place, told in enumerate(self._events):
            self.later(*self.event(self.sequence + 1 + place, *told))
        self.sequence += len(self._events)
        if self._ended:
            self.release()
        if self._events or self._changed:
            self.later(WRITE, self._changes())
        statements.run(self.connection, [*self._later, COMMIT])

    def _changes(self) -> dict[str, Any]:
        return {
            "job": self.id,
            "status": self.status,
            "launch": self.launch,
            "scenes": self.scenes,
            "progress": self.progress,
            "sequence": self.sequence,
            "gate": jsonb(self.gate),
            "result": jsonb(self.result),
            "error": jsonb(self.error),
            "nudges": self.nudges,
            "patience": self._patience,
            "patient": self._patient,
            "started": self._started,
            "ended": self._ended,
            "resumed": self._resumed,
        }

    def event(
        self, sequence: int, kind: EventType, stage: str | None = None, label: str | None = None
    ) -> tuple[Statement, Mapping[str, Any]]:
        """What writes an event that tells of the job as it is now."""
        data = events.data(self, sequence, stage=stage, label=label, metadata=self.metadata)
        told = {"id": ids.new("evt"), "job": self.id, "client": self.client, "sequence": sequence, "type": kind.value}
        return TELL if self.callbacks else NOTE, told | {"data": Json(data)}

    def _tell(self, kind: EventType, stage: str | None = None, label: str | None = None) -> None:
        self._events.append((kind, stage, label))


@contextmanager
def turn(
    connection: Connection, job_id: str, *steps: str, entered: str | None = None, made: Plan | None = None
) -> Iterator[Turn | None]:
    """A transaction of its own: it begins with the lock and ends with what was said of the job. None: no such job.

    The steps are read with the job, and so is what `entered` reads, if the job's plan is the one that was `made`.
    """
    sought = Sought.of(made, steps, entered)
    try:
        look = LOOK_JOIN if sought.joins else LOOK
        rows = statements.run(connection, [BEGIN, (LOCK, {"job": job_id}), (look, sought.values(job_id))])
        if not rows:
            yield None
            return
        taken = Turn(connection, *rows[0][:JOB_COLUMNS])
        taken.see(row[JOB_COLUMNS + 1 :] for row in rows)
        if taken.plan is made:
            taken.entered = entered
        yield taken
        taken.write()
    finally:
        statements.roll_back(connection)
