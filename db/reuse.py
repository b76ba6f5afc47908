"""Taking what an earlier job of the client made from the very same, in place of making it again.

Files are shared by their content; the rows that name them are each job's own, so that a job and its files go or stay
whatever becomes of the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from db import assets, ids
from db.assets import NewAsset
from db.statements import Statement
from db.turns import Seen, Turn, jsonb
from pipeline.assets import Asset
from pipeline.state import StepStatus
from schemas import records as codec

# Only who made it is asked, not who took it: however often it was taken, few are looked at.
FIND = Statement(
    "find_made",
    """
    SELECT records.job_id, step, output FROM records JOIN jobs ON jobs.id = records.job_id
    WHERE output_input_digest = %(digest)s AND provider = %(maker)s AND source IS NULL AND origin IS NULL
    AND records.status IN ('succeeded', 'reused', 'stale')
    AND jobs.client = %(client)s AND jobs.deleted_at IS NULL AND jobs.id <> %(job)s
    ORDER BY records.finished_at DESC LIMIT 1
    """,
)
# Until we have rows of our own, theirs keep the files. What is about to be deleted is left alone, and never waited for:
# who deletes may be waiting for us.
KEEP = Statement(
    "keep_made",
    """
    SELECT id, sha256, facts, COALESCE(job_id = %(maker)s AND step = %(step)s, false), ARRAY(
        SELECT source_id FROM asset_edges WHERE asset_id = assets.id
    )
    FROM assets WHERE id = ANY(
        %(assets)s::varchar[] || ARRAY(SELECT source_id FROM asset_edges WHERE asset_id = ANY(%(assets)s))
    )
    FOR KEY SHARE SKIP LOCKED
    """,
)
TAKE = """
    UPDATE records SET
        status = 'reused', output = %(output)s, output_input_digest = %(digest)s, provider = %(maker)s,
        source = %(source)s, input = %(input)s, input_digest = %(digest)s, finished_at = now(),
        owner = NULL, lease_until = NULL, wake_at = NULL, message = NULL, error = NULL, awaits = NULL, why = NULL
    WHERE job_id = %(job)s AND step = %(step)s
"""


class _Kept(NamedTuple):
    """A row that is not deleted for now. `made`: by the step whose output is taken."""

    id: str
    sha256: str
    facts: Mapping[str, Any]
    made: bool
    sources: Sequence[str]


def take(
    job: Turn, row: Seen, digest: str, read: Mapping[str, Any], references: Mapping[str, Any], *, maker: str
) -> bool:
    """Whether there was something to take: then the step is done, and costs nothing.

    `maker` is the family that would make it, and is known to make the same again. A job accepted before there was this
    choice has not made it.
    """
    if not job.request.get("reuse", False):
        return False
    found = job.ask(FIND, {"digest": digest, "maker": maker, "client": job.client, "job": job.id})
    if not found:
        return False
    made_by, made_in, theirs = found[0]
    named = {asset["id"]: asset for asset in codec.assets(theirs)}
    rows = job.ask(KEEP, {"assets": list(named), "maker": made_by, "step": made_in})
    kept = {row[0]: _Kept(*row) for row in rows}
    if not all(asset in kept and kept[asset].made and kept.keys() >= set(kept[asset].sources) for asset in named):
        return False
    own = {asset: ids.new("ast") for asset in named}
    output = codec.renamed(theirs, own)
    told = {"job": job.id, "step": row.step, "digest": digest, "maker": maker, "output": jsonb(output)}
    source = {"job_id": made_by, "step": made_in}
    job.later(TAKE, told | {"source": jsonb(source), "input": jsonb(dict(references))})
    for call in assets.rows(list(_copies(named, kept, own, read)), client=job.client, job_id=job.id, step=row.step):
        job.later(*call)
    job.seen[row.step] = row._replace(
        status=StepStatus.REUSED, output=output, output_input_digest=digest, provider=maker
    )
    job.start()
    job.reach(row.step, output)
    job.move()
    return True


def _copies(
    named: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, _Kept],
    own: Mapping[str, str],
    read: Mapping[str, Any],
) -> Iterator[NewAsset]:
    """The assets as this job's, made from what this job's step read: of the same content, so it is known by that."""
    here: dict[str, list[str]] = {}
    for asset in codec.assets(read):
        here.setdefault(asset["sha256"], []).append(asset["id"])
    for theirs, told in named.items():
        made_from: list[str] = []
        for source in kept[theirs].sources:
            made_from += [own[source]] if source in own else here.get(kept[source].sha256, [source])
        copy = codec.load({**told, "id": own[theirs]}, Asset)
        yield NewAsset(copy, kept[theirs].facts, tuple(dict.fromkeys(made_from)))
