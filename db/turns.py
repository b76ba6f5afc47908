"""A turn at a job: its row is locked while it is decided what changes, and all of that is written at once at the end.

Every step costs one turn, or two: so a turn asks the server little, and in few messages.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg2.extras import Json
from sqlalchemy import CursorResult
from sqlalchemy.orm import Session

from db import ids
from pipeline.routes import Plan, plan
from pipeline.state import ACTIVE, SATISFIED, EventType, JobStatus

PATIENCE = timedelta(seconds=30)  # a job that moved is left alone by the sweeper for so long

LOCK = """
    SELECT id, client, route, lane, request, status, launch, scenes, progress FROM jobs WHERE id = %(job)s FOR UPDATE
"""
# What a step reads comes only when all of it is there: of a join, each branch asks.
READ = """
    SELECT
        step, status, attempt, tried, waits, variation, owner, provider, started_at, output, output_input_digest,
        COALESCE(lease_until > now(), false), COALESCE(wake_at <= now(), false)
    FROM records
    WHERE job_id = %(job)s AND step = ANY(%(steps)s || %(needed)s) AND (step = ANY(%(steps)s) OR NOT EXISTS (
        SELECT FROM records WHERE job_id = %(job)s AND step = ANY(%(needed)s) AND status <> ALL(%(satisfied)s)
    ))
"""
WRITE = """
    UPDATE jobs SET
        status = %(status)s, scenes = %(scenes)s, progress = %(progress)s, error = COALESCE(%(error)s, error),
        sequence = sequence + %(events)s, updated_at = now(),
        started_at = CASE WHEN %(started)s THEN now() ELSE started_at END,
        finished_at = CASE WHEN %(ended)s THEN now() ELSE finished_at END,
        nudge_at = CASE WHEN %(moved)s THEN now() + %(patience)s ELSE nudge_at END,
        nudges = CASE WHEN %(moved)s THEN 0 ELSE nudges END
    WHERE id = %(job)s
"""
TELL = """
    INSERT INTO events (id, job_id, client, sequence, type, state, due_at, data)
    SELECT
        told.id, job.id, job.client, job.sequence - %(events)s + told.place, told.type,
        CASE WHEN job.callbacks THEN 'pending' ELSE 'unwanted' END,
        CASE WHEN told.place = 1 AND NOT EXISTS (
            SELECT FROM events WHERE job_id = %(job)s AND state = 'pending'
        ) THEN now() END,
        jsonb_build_object(
            'job_id', job.id, 'sequence', job.sequence - %(events)s + told.place, 'kind', job.kind,
            'route', job.route, 'status', job.status, 'progress', job.progress, 'stage', told.stage,
            'label', told.label, 'gate', job.gate, 'result', job.result, 'error', job.error,
            'metadata', COALESCE(job.snapshot -> 'metadata', '{}')
        )
    FROM jobs AS job, unnest(%(ids)s, %(types)s, %(stages)s::text[], %(labels)s::text[])
        WITH ORDINALITY AS told (id, type, stage, label, place)
    WHERE job.id = %(job)s
"""


class Seen(NamedTuple):
    """A record as a turn sees it. `leased`: its lease has not ended; `due`: its time to wake has come."""

    step: str
    status: str
    attempt: int
    tried: int
    waits: int
    variation: int
    owner: str | None
    provider: str | None
    started_at: datetime | None
    output: Any
    output_input_digest: str | None
    leased: bool
    due: bool


def jsonb(value: Any) -> Json | None:
    """None is no value; all else is JSON."""
    return None if value is None else Json(value)


@dataclass(slots=True)
class Turn:
    """What a turn knows of its job. Whoever changes records under the lock says here what that means for the job."""

    session: Session
    id: str
    client: str
    route: str
    lane: str
    request: dict[str, Any]
    status: str
    launch: int
    scenes: int | None
    progress: float
    seen: dict[str, Seen] = field(default_factory=dict)
    _later: list[str] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)
    _events: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    _error: Mapping[str, Any] | None = None
    _started: bool = False
    _moved: bool = False
    _touched: bool = False

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def plan(self) -> Plan:
        return plan(self.route, self.scenes)

    def read(self, *steps: str, entered: str | None = None) -> None:
        """See these steps; `entered` as well, and what it reads, if all of that is there."""
        wanted = [step for step in steps if step not in self.seen]
        needed: list[str] = []
        if entered is not None and entered not in self.seen:
            needed = [
                step for step in self.plan.predecessors.get(entered, ()) if step not in self.seen and step not in wanted
            ]
            wanted.append(entered)
        if wanted:
            values = {"job": self.id, "steps": wanted, "needed": needed, "satisfied": list(SATISFIED)}
            rows = self.ask(READ, values).all()
            self.seen |= {row[0]: Seen._make(row) for row in rows}

    def ask(self, statement: str, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run it now: its answer decides what changes."""
        return self.session.connection().exec_driver_sql(statement, dict(values))

    def later(self, statement: str, values: Mapping[str, Any]) -> None:
        """Run it at the end of the turn, with all else that changes."""
        place = f"{len(self._later)}."
        self._later.append(statement.replace("%(", f"%({place}"))
        self._values |= {f"{place}{name}": value for name, value in values.items()}

    def begin(self, stage: str, label: str, *, first: bool) -> None:
        """A step starts; `first`: for the first time."""
        if self.status == JobStatus.ACCEPTED:
            self.status = JobStatus.RUNNING
            self._started = True
            self._tell(EventType.STARTED)
        if first:
            self._tell(EventType.PROGRESS, stage, label)

    def reach(self, step: str, output: Any) -> None:
        """This step is satisfied now; the storyboard also tells how many scenes there are.

        What an ended job still finishes is kept, and tells nothing.
        """
        if output is not None and step == self.plan.storyboard:
            self.scenes = len(output["scenes"])
        if self.active:
            self.progress = min(round(self.progress + self.plan.shares[step], 6), 1.0)
        self._touched = True

    def fail(self, error: Mapping[str, Any]) -> None:
        """The job remembers its failed step. Siblings end what they are doing, and start nothing."""
        self.status = JobStatus.FAILED
        self._error = dict(error)
        self._tell(EventType.FAILED, error["stage"])

    def move(self) -> None:
        """Something happened: the sweeper's patience starts anew."""
        self._moved = True

    def touch(self) -> None:
        self._touched = True

    def write(self) -> None:
        if self._events or self._moved or self._touched:
            self.later(WRITE, self._changes())
        if self._events:
            columns: Sequence[Sequence[Any]] = list(zip(*self._events, strict=True))
            told = dict(zip(("ids", "types", "stages", "labels"), map(list, columns), strict=True))
            self.later(TELL, told | {"job": self.id, "events": len(self._events)})
        if self._later:
            self.ask(";".join(self._later), self._values)

    def _changes(self) -> dict[str, Any]:
        return {
            "job": self.id,
            "status": self.status,
            "scenes": self.scenes,
            "progress": self.progress,
            "error": jsonb(self._error),
            "started": self._started,
            "ended": self._error is not None,
            "moved": self._moved,
            "patience": PATIENCE,
            "events": len(self._events),
        }

    def _tell(self, kind: EventType, stage: str | None = None, label: str | None = None) -> None:
        self._events.append((ids.new("evt"), kind.value, stage, label))


@contextmanager
def turn(session: Session, job_id: str) -> Iterator[Turn | None]:
    """None: there is no such job. What was said of the job is written at the end."""
    found = session.connection().exec_driver_sql(LOCK, {"job": job_id}).first()
    if found is None:
        yield None
        return
    taken = Turn(session, *found)
    yield taken
    taken.write()
