"""Jobs that were not done in time: they fail where they are, and can be resumed."""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from db import jobs, statements
from db.statements import Statement
from db.turns import Seen, deadline, turn
from pipeline.errors import DeadlineExceeded
from pipeline.graph import EMPTY, segment, steps
from pipeline.outcome import Error
from pipeline.state import SATISFIED

OVERDUE = Statement(
    "overdue_jobs",
    """
    SELECT id FROM jobs WHERE status IN ('accepted', 'running') AND deadline_at <= now()
    ORDER BY deadline_at LIMIT %(limit)s
    """,
)
PASSED = "SELECT deadline_at <= now() FROM jobs WHERE id = %(job)s"


def overdue(session: Session, *, limit: int = 50) -> Sequence[str]:
    """Active jobs whose time is over."""
    return [job_id for (job_id,) in statements.run(session.connection(), [(OVERDUE, {"limit": limit})])]


def fail(connection: Connection, job_id: str) -> str | None:
    """End the job as failed, if its time is still over: its client then, who is to be told.

    A job of which nothing is left to run is about to end, or to ask a person, and is left alone.
    """
    with turn(connection, job_id) as job:
        if job is None or not job.active or job.ask(PASSED, {"job": job_id}) != [(True,)]:
            return None
        job.read(*job.plan.steps)
        left = job.left({key for key, row in job.seen.items() if row.status in SATISFIED})
        if segment(left) == EMPTY:
            return None
        first = next(steps(left)).key
        row = job.seen.get(first) or Seen.new(first)
        limit = deadline(job.request)
        says = f"The job was not done within {limit}. It can be resumed by a retry, with as much time again."
        error = Error(DeadlineExceeded.code, says, retryable=True, details={"deadline_s": job.request["deadline_s"]})
        job.fail(jobs.problem(row.step, error, attempts=row.attempt - row.waits, provider=row.provider))
        return job.client
