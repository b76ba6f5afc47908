"""Deleting a person: the avatar, all that was made from it, and what its jobs tell of it.

The jobs themselves stay, for an account of what was done: when, by which stages and providers, at what cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.state import FINAL

AVATAR = text("SELECT job_id FROM avatars WHERE id = :avatar AND client = :client FOR UPDATE")
# Those that its creation was given, and those that it fetched. Their locks keep out new jobs that would name them.
PHOTOS = text(
    """
    SELECT id FROM assets WHERE client = :client AND (
        (job_id = :creation AND kind = 'photo') OR id IN (
            SELECT source ->> 'asset_id' FROM jobs, jsonb_array_elements(request #> '{photos,sources}') AS source
            WHERE jobs.id = :creation
        )
    ) ORDER BY id FOR UPDATE
    """
)
# Other jobs that make, or made, or might have made an avatar of one of the photos.
OTHERS = text(
    """
    SELECT photo.id AS photo, jobs.id AS job,
        jobs.status <> ALL(:final) OR EXISTS (SELECT FROM avatars WHERE avatars.job_id = jobs.id) AS needs
    FROM jobs JOIN assets AS photo ON photo.id = ANY(:photos) AND (
        photo.job_id = jobs.id
        OR request #> '{photos,sources}' @> jsonb_build_array(jsonb_build_object('asset_id', photo.id))
    )
    WHERE jobs.client = :client AND jobs.kind = 'avatar' AND jobs.id <> :creation
    """
)
NAMING = text(
    """
    SELECT id FROM jobs
    WHERE kind = 'output' AND request #>> '{avatar,avatar_id}' = :avatar AND client = :client
    """
)
# From the identity's own files on. The identity of another person ends the search, whatever it was made from.
MADE = text(
    """
    WITH RECURSIVE made (id, job_id) AS (
        SELECT id, job_id FROM assets
        WHERE client = :client AND id <> ALL(:kept) AND (job_id = :creation OR id = ANY(:photos))
        UNION
        SELECT assets.id, assets.job_id FROM made
        JOIN asset_edges ON asset_edges.source_id = made.id
        JOIN assets ON assets.id = asset_edges.asset_id AND assets.client = :client
        WHERE NOT EXISTS (
            SELECT FROM avatars WHERE avatars.job_id = assets.job_id AND assets.job_id <> :creation
        )
    )
    SELECT id, job_id FROM made
    """
)
MADE_BY = text("SELECT id FROM assets WHERE job_id = ANY(:jobs) AND id <> ALL(:kept)")
LOCK = text("SELECT id, status FROM jobs WHERE id = ANY(:jobs) AND client = :client ORDER BY id FOR UPDATE")
# Siblings of a failed step end what they are doing, and an open call is looked after to its end.
BUSY = text(
    """
    SELECT DISTINCT job_id, 'its stage ' || step || ' is about to end' FROM records
    WHERE job_id = ANY(:jobs) AND status = 'running'
    UNION ALL
    SELECT DISTINCT job_id, provider || ' has not ended its call for ' || step FROM provider_calls
    WHERE job_id = ANY(:jobs) AND status IN ('intended', 'submitted')
    """
)
# Said apart, since their indexes are partial.
MENTIONING = text(
    """
    SELECT id, status FROM (
        SELECT id, status, request FROM jobs WHERE client = :client AND status IN ('accepted', 'running')
        UNION ALL
        SELECT id, status, request FROM jobs WHERE client = :client AND status = 'awaiting_approval'
    ) AS unfinished
    WHERE EXISTS (
        SELECT FROM regexp_matches(request::text, '(?\\:ast|voc)_[0-9a-z]+', 'g') AS found WHERE found[1] = ANY(:named)
    )
    """
)
# Rows first, files later: what is committed here names each file that may have to go (db/files.py).
REMOVE = text(
    """
    WITH gone AS (
        DELETE FROM assets WHERE id = ANY(:assets) RETURNING sha256
    ), unfinished AS (
        DELETE FROM held_files WHERE job_id = ANY(:jobs) RETURNING sha256
    ), brought AS (
        SELECT each #>> '{asset,sha256}' AS sha256 FROM provider_calls, jsonb_array_elements(made) AS each
        WHERE job_id = ANY(:jobs)
    )
    INSERT INTO file_removals (sha256)
    SELECT sha256 FROM gone UNION SELECT sha256 FROM unfinished UNION SELECT sha256 FROM brought
    ON CONFLICT (sha256) DO UPDATE SET due_at = now()
    """
)
# The avatar's own voice; those that were cloned by themselves stay.
VOICES = text("DELETE FROM voices WHERE job_id = ANY(:jobs) RETURNING id")
FORGET = text("DELETE FROM avatars WHERE id = :avatar")
MARK = '{"deleted": true}'
# Of an error its code stays; its words and details may quote what was said.
SAID = '{"message": "Deleted with its avatar.", "details": {}}'
BLANK = tuple(
    text(sql)
    for sql in (
        """
        UPDATE jobs SET
            snapshot = CAST(:mark AS json), request = CAST(:mark AS jsonb), result = NULL, gate = NULL, review = '{}',
            error = error || CAST(:said AS jsonb), deleted_at = now(), updated_at = now()
        WHERE id = ANY(:jobs) AND deleted_at IS NULL
        """,
        """
        UPDATE records SET
            input = CASE WHEN input IS NOT NULL THEN CAST(:mark AS jsonb) END,
            output = CASE WHEN output IS NOT NULL THEN CAST(:mark AS jsonb) END,
            input_digest = NULL, output_input_digest = NULL, error = error || CAST(:said AS jsonb),
            notes = NULL, passed_over = NULL, why = NULL, awaits = NULL, message = NULL, wake_at = NULL,
            status = CASE WHEN status IN ('pending', 'waiting') THEN 'cancelled' ELSE status END
        WHERE job_id = ANY(:jobs)
        """,
        "DELETE FROM past_outputs WHERE job_id = ANY(:jobs)",
        """
        UPDATE decisions SET notes = NULL, reviewer = NULL, edits = NULL, judged = '{}' WHERE job_id = ANY(:jobs)
        """,
        "UPDATE attempts SET error = error || CAST(:said AS jsonb) WHERE job_id = ANY(:jobs) AND error IS NOT NULL",
        """
        UPDATE provider_calls SET
            request = CAST(:mark AS jsonb), output = CASE WHEN output IS NOT NULL THEN CAST(:mark AS jsonb) END,
            made = NULL, urls = NULL, error = error || CAST(:said AS jsonb)
        WHERE job_id = ANY(:jobs)
        """,
        """
        UPDATE events SET data = data || '{"result": null, "gate": null, "metadata": {}}' || jsonb_build_object(
            'error', CASE
                WHEN jsonb_typeof(data -> 'error') = 'object' THEN (data -> 'error') || CAST(:said AS jsonb)
            END
        )
        WHERE job_id = ANY(:jobs)
        """,
        """
        UPDATE deliveries SET answer = '' FROM events
        WHERE events.id = deliveries.event_id AND events.job_id = ANY(:jobs)
        """,
    )
)


@dataclass(frozen=True, slots=True)
class Use:
    """A job that needs what is to be deleted, and why."""

    job_id: str
    why: str


class AvatarInUse(Exception):
    def __init__(self, uses: Sequence[Use]) -> None:
        super().__init__("; ".join(f"{use.job_id}: {use.why}" for use in uses))
        self.uses = tuple(uses)


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many asset rows are gone, and the jobs whose content is."""

    avatar_id: str
    assets: int
    jobs: tuple[str, ...]


def delete(session: Session, avatar_id: str, *, client: str) -> Deleted | None:
    """None: the client has no such avatar. Raises AvatarInUse.

    The avatar's lock keeps out new jobs that would name it, the jobs' locks keep the finished ones from going on.
    """
    creation = session.scalar(AVATAR, {"avatar": avatar_id, "client": client})
    if creation is None:
        return None
    doomed = _Doomed(session, avatar_id, client, creation)
    jobs = doomed.jobs()
    if uses := list(doomed.uses(jobs)):
        raise AvatarInUse(uses)
    assets = doomed.assets(jobs)
    session.execute(REMOVE, {"assets": assets, "jobs": jobs})
    voices = session.scalars(VOICES, {"jobs": jobs}).all()
    # Asked last: who names one of them from now on finds that it is gone.
    mentioned = session.execute(MENTIONING, {"client": client, "named": [*assets, *voices]}).all()
    if mentioned:
        raise AvatarInUse(
            [Use(job_id, f"it is {status} and uses what was made from it") for job_id, status in mentioned]
        )
    session.execute(FORGET, {"avatar": avatar_id})
    for blank in BLANK:
        session.execute(blank, {"jobs": jobs, "mark": MARK, "said": SAID})
    return Deleted(avatar_id, len(assets), tuple(jobs))


class _Doomed:
    """What goes with an avatar."""

    def __init__(self, session: Session, avatar_id: str, client: str, creation: str) -> None:
        self._session = session
        self._about: dict[str, Any] = {"avatar": avatar_id, "client": client, "creation": creation}
        photos = self._column(PHOTOS)
        others = session.execute(OTHERS, self._about | {"photos": photos, "final": list(FINAL)}).all()
        self._kept = sorted({other.photo for other in others if other.needs})
        self._photos = [photo for photo in photos if photo not in self._kept]
        self._tries = {other.job for other in others if other.photo in self._photos}
        self._status: dict[str, str] = {}

    def jobs(self) -> list[str]:
        """The jobs that made it, tried to, name it, or made something from it: all locked."""
        locked: set[str] = set()
        while True:
            found = {self._about["creation"], *self._tries, *self._column(NAMING)}
            found |= {row.job_id for row in self._made() if row.job_id is not None}
            if found <= locked:
                return sorted(locked)
            locked |= found
            rows = self._session.execute(LOCK, self._about | {"jobs": sorted(locked)})
            self._status = {row.id: row.status for row in rows}

    def uses(self, jobs: Sequence[str]) -> Iterator[Use]:
        for job_id, status in self._status.items():
            if status not in FINAL:
                yield Use(job_id, f"it is {status}")
        for job_id, why in self._session.execute(BUSY, {"jobs": jobs}):
            if self._status[job_id] in FINAL:
                yield Use(job_id, why)

    def assets(self, jobs: Sequence[str]) -> list[str]:
        """What was made from the person, and all else that was made for it: speech, captions, what stands behind it."""
        made_by = self._column(MADE_BY, jobs=jobs, kept=self._kept)
        return sorted({*made_by, *(row.id for row in self._made())})

    def _made(self) -> Sequence[Any]:
        asked = self._about | {"photos": self._photos, "kept": self._kept}
        return self._session.execute(MADE, asked).all()

    def _column(self, query: Any, **more: Any) -> list[str]:
        return list(self._session.scalars(query, self._about | more))
