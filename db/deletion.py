"""Deleting an identity: a person's avatar with all that was made from it, or a voice; and what their jobs tell of it.

The jobs themselves stay, for an account of what was done: when, by which stages and providers, at what cost.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.ports import DELETED
from pipeline.state import FINAL

AVATAR = text("SELECT job_id FROM avatars WHERE id = :avatar AND client = :client FOR UPDATE")
VOICE = text("SELECT job_id FROM voices WHERE id = :voice AND client = :client FOR UPDATE")
# Whoever has it for its own, now or in an earlier version.
OWNERS = text(
    """
    SELECT id FROM avatars WHERE voice_id = :voice
    UNION SELECT avatar_id FROM avatar_versions WHERE voice_id = :voice ORDER BY id
    """
)
# Photos and samples: those that its creation was given, and those that it fetched. Their locks keep out new jobs that
# would name them.
SOURCES = text(
    """
    SELECT id FROM assets WHERE client = :client AND (
        (job_id = :creation AND kind IN ('photo', 'voice_sample')) OR id IN (
            SELECT source ->> 'asset_id' FROM jobs, jsonb_array_elements(
                COALESCE(request #> '{photos,sources}', '[]') || COALESCE(request -> 'sample', '[]')
            ) AS source
            WHERE jobs.id = :creation
        )
    ) ORDER BY id FOR UPDATE
    """
)
# Other jobs that make, or made, or might have made an identity of one of them.
OTHERS = text(
    """
    SELECT source.id AS source, jobs.id AS job,
        jobs.status <> ALL(:final)
        OR EXISTS (SELECT FROM avatars WHERE avatars.job_id = jobs.id)
        OR EXISTS (SELECT FROM voices WHERE voices.job_id = jobs.id) AS needs
    FROM jobs JOIN assets AS source ON source.id = ANY(:sources) AND (
        source.job_id = jobs.id
        OR request #> '{photos,sources}' @> jsonb_build_array(jsonb_build_object('asset_id', source.id))
        OR request #>> '{sample,asset_id}' = source.id
    )
    WHERE jobs.client = :client AND jobs.kind <> 'output' AND jobs.id <> :creation
    """
)
NAMING = text(
    """
    SELECT id FROM jobs
    WHERE kind = 'output' AND request #>> '{avatar,avatar_id}' = :avatar AND client = :client
    """
)
SPEAKING = text(
    "SELECT id FROM jobs WHERE kind = 'output' AND request #>> '{avatar,voice_id}' = :voice AND client = :client"
)
# From the identity's own files on. The identity of another person ends the search, whatever it was made from.
MADE = text(
    """
    WITH RECURSIVE made (id, job_id) AS (
        SELECT id, job_id FROM assets
        WHERE client = :client AND id <> ALL(:kept) AND (job_id = :creation OR id = ANY(:sources))
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
    ) OR EXISTS (
        SELECT FROM records, regexp_matches(output::text, 'ast_[0-9a-z]+', 'g') AS found
        WHERE records.job_id = unfinished.id AND origin = 'human' AND found[1] = ANY(:named)
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
# A voice, or an avatar's own; those that were cloned by themselves stay when an avatar goes.
VOICES = text("DELETE FROM voices WHERE job_id = ANY(:jobs) RETURNING id")
# Videos that were spoken with it stay. What their records hold of it must not speak again, nor tell of the speaker.
_SILENCE = """
    UPDATE {table} AS told SET output = jsonb_set(output, '{{voice}}', CAST(:gone AS jsonb)) FROM jobs
    WHERE jobs.id = told.job_id AND jobs.client = :client AND jobs.kind = 'output'
    AND request #>> '{{avatar,voice_id}}' = ANY(:voices)
    AND step = 'load_identity' AND jsonb_typeof(output -> 'voice') = 'object'
"""
SILENCE = tuple(text(_SILENCE.format(table=table)) for table in ("records", "past_outputs"))
GONE = json.dumps({"provider": DELETED, "external_id": "", "method": DELETED, "settings": {}, "samples": []})
# Its versions go with it.
FORGET = text("DELETE FROM avatars WHERE id = :avatar")
MARK = '{"deleted": true}'
# A key stands for its job on, whatever it is sent with: a digest would confirm a guess of what was said.
UNKNOWN = ""
KEYED = text("SELECT job_id FROM idempotency_keys WHERE client = :client AND key = :key AND request_digest = :unknown")
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
        UPDATE decisions SET
            notes = NULL, reviewer = NULL, edits = NULL, judged = '{}', digest = :unknown, approved = NULL
        WHERE job_id = ANY(:jobs)
        """,
        "UPDATE attempts SET error = error || CAST(:said AS jsonb) WHERE job_id = ANY(:jobs) AND error IS NOT NULL",
        """
        UPDATE provider_calls SET
            request = CAST(:mark AS jsonb), output = CASE WHEN output IS NOT NULL THEN CAST(:mark AS jsonb) END,
            digest = id, made = NULL, urls = NULL, error = error || CAST(:said AS jsonb)
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
        "UPDATE idempotency_keys SET request_digest = :unknown WHERE job_id = ANY(:jobs)",
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


class InUse(Exception):
    def __init__(self, uses: Sequence[Use]) -> None:
        super().__init__("; ".join(f"{use.job_id}: {use.why}" for use in uses))
        self.uses = tuple(uses)


class OwnVoice(Exception):
    """These avatars have the voice for their own: it goes with them."""

    def __init__(self, avatars: Sequence[str]) -> None:
        super().__init__(", ".join(avatars))
        self.avatars = tuple(avatars)


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many asset rows are gone, and the jobs whose content is."""

    id: str
    assets: int
    jobs: tuple[str, ...]


def delete_avatar(session: Session, avatar_id: str, *, client: str) -> Deleted | None:
    """None: the client has no such avatar. Raises InUse.

    The avatar's lock keeps out new jobs that would name it, the jobs' locks keep the finished ones from going on.
    """
    creation = session.scalar(AVATAR, {"avatar": avatar_id, "client": client})
    if creation is None:
        return None
    doomed = _Doomed(session, client, creation)
    jobs = doomed.jobs(avatar_id)
    doomed.expect_unused(jobs)
    assets = doomed.traced(jobs)
    doomed.remove(jobs, assets)
    session.execute(FORGET, {"avatar": avatar_id})
    doomed.blank(jobs, "Deleted with its avatar.")
    return Deleted(avatar_id, len(assets), tuple(jobs))


def delete_voice(session: Session, voice_id: str, *, client: str) -> Deleted | None:
    """None: the client has no such voice. What was spoken with it stays. Raises InUse, OwnVoice.

    The voice's lock keeps out new jobs that would name it.
    """
    creation = session.scalar(VOICE, {"voice": voice_id, "client": client})
    if creation is None:
        return None
    if owners := session.scalars(OWNERS, {"voice": voice_id}).all():
        raise OwnVoice(owners)
    doomed = _Doomed(session, client, creation)
    jobs = doomed.tries()
    doomed.expect_unused([*jobs, *doomed.speaking(voice_id)])
    assets = doomed.given(jobs)
    doomed.remove(jobs, assets)
    doomed.blank(jobs, "Deleted with its voice.")
    return Deleted(voice_id, len(assets), tuple(jobs))


def answer(session: Session, key: str, *, client: str) -> str | None:
    """The deleted job that the key stands for: with which payload it was used is not known any more."""
    return session.scalar(KEYED, {"key": key, "client": client, "unknown": UNKNOWN})


class _Doomed:
    """What goes with an identity. Its jobs are locked before anything is judged."""

    def __init__(self, session: Session, client: str, creation: str) -> None:
        self._session = session
        self._about: dict[str, Any] = {"client": client, "creation": creation}
        sources = self._column(SOURCES)
        others = session.execute(OTHERS, self._about | {"sources": sources, "final": list(FINAL)}).all()
        self._kept = sorted({other.source for other in others if other.needs})
        self._sources = [source for source in sources if source not in self._kept]
        self._tries = {creation, *(other.job for other in others if other.source in self._sources)}
        self._status: dict[str, str] = {}

    def tries(self) -> list[str]:
        """The jobs that made it, or tried to."""
        self._lock(self._tries)
        return sorted(self._tries)

    def speaking(self, voice_id: str) -> list[str]:
        found = self._column(SPEAKING, voice=voice_id)
        self._lock(found)
        return found

    def jobs(self, avatar_id: str) -> list[str]:
        """The jobs that made it, tried to, name it, or made something from it."""
        locked: set[str] = set()
        while True:
            found = self._tries | set(self._column(NAMING, avatar=avatar_id))
            found |= {row.job_id for row in self._made() if row.job_id is not None}
            if found <= locked:
                return sorted(locked)
            locked |= found
            self._lock(locked)

    def expect_unused(self, jobs: Sequence[str]) -> None:
        """Raises InUse."""
        if uses := list(self._uses(jobs)):
            raise InUse(uses)

    def traced(self, jobs: Sequence[str]) -> list[str]:
        """What was made from the person, and all else that was made for it: speech, captions, what stands behind it."""
        return sorted({*self._made_by(jobs), *(row.id for row in self._made())})

    def given(self, jobs: Sequence[str]) -> list[str]:
        """What the jobs made, and what they were given."""
        return sorted({*self._made_by(jobs), *self._sources})

    def remove(self, jobs: Sequence[str], assets: Sequence[str]) -> None:
        """The assets, and the jobs' voices. Raises InUse."""
        self._session.execute(REMOVE, {"assets": assets, "jobs": jobs})
        voices = self._column(VOICES, jobs=jobs)
        # Asked last: who names one of them from now on finds that it is gone.
        mentioned = self._session.execute(MENTIONING, self._about | {"named": [*assets, *voices]}).all()
        if mentioned:
            raise InUse([Use(job_id, f"it is {status} and uses what was made from it") for job_id, status in mentioned])
        for silence in SILENCE:
            self._session.execute(silence, self._about | {"voices": voices, "gone": GONE})

    def blank(self, jobs: Sequence[str], said: str) -> None:
        """Of an error its code stays; its words and details may quote what was said."""
        words = json.dumps({"message": said, "details": {}})
        for blank in BLANK:
            self._session.execute(blank, {"jobs": jobs, "mark": MARK, "said": words, "unknown": UNKNOWN})

    def _uses(self, jobs: Sequence[str]) -> Iterator[Use]:
        for job_id, status in self._status.items():
            if status not in FINAL:
                yield Use(job_id, f"it is {status}")
        for job_id, why in self._session.execute(BUSY, {"jobs": jobs}):
            if self._status[job_id] in FINAL:
                yield Use(job_id, why)

    def _lock(self, jobs: Iterable[str]) -> None:
        rows = self._session.execute(LOCK, self._about | {"jobs": sorted(jobs)})
        self._status |= {row.id: row.status for row in rows}

    def _made_by(self, jobs: Sequence[str]) -> list[str]:
        return self._column(MADE_BY, jobs=jobs, kept=self._kept)

    def _made(self) -> Sequence[Any]:
        return self._session.execute(MADE, self._about | {"sources": self._sources, "kept": self._kept}).all()

    def _column(self, query: Any, **more: Any) -> list[str]:
        return list(self._session.scalars(query, self._about | more))
