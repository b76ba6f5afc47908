"""What steps will take and cost, by what they took and cost before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Job, Record

ENOUGH = 3  # runs of this very size; with fewer, those of any size are asked
# Ids sort by time: the newest jobs are found by their key, however many there are.
PAST = text(
    """
    WITH lately AS (
        SELECT id, request -> 'frame' AS frame FROM jobs
        WHERE kind = :kind AND status = 'completed' AND deleted_at IS NULL ORDER BY id DESC LIMIT 100
    ), runs AS (
        SELECT stage, EXTRACT(epoch FROM finished_at - started_at) AS seconds, cost,
            COALESCE(frame = CAST(:frame AS jsonb), true) AS alike
        FROM records JOIN lately ON lately.id = records.job_id
        WHERE records.status IN ('succeeded', 'stale') AND started_at IS NOT NULL AND stage = ANY(:stages)
            AND origin IS NULL
    )
    SELECT stage,
        CASE WHEN count(*) FILTER (WHERE alike) >= :enough
            THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE alike)
            ELSE percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)
        END AS seconds,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY cost) AS cost
    FROM runs GROUP BY stage
    """
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one step: seconds (None: never seen) and USD."""

    seconds: float | None
    cost: Decimal


def estimate(session: Session, job: Job, rows: Collection[Record], frame: str | None) -> Mapping[str, Estimate]:
    """By step: the medians over the newest jobs of this kind, and of this size where there are enough.

    What a step of this job cost before is what it will cost again. `frame`: the job's, as JSON.
    """
    stages = sorted({row.stage for row in rows})
    asked = {"kind": job.kind, "frame": frame or "null", "stages": stages, "enough": ENOUGH}
    past = {row.stage: row for row in session.execute(PAST, asked)}
    found: dict[str, Estimate] = {}
    for row in rows:
        seen = past.get(row.stage)
        usual = Decimal(str(round(seen.cost, 4))) if seen is not None else Decimal(0)
        found[row.step] = Estimate(float(seen.seconds) if seen is not None else None, row.cost or usual)
    return found
