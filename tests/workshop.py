"""Jobs that the API accepted, run to their end in this process, with the tools that workers have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import text

from db import calls, records
from db.claims import Claim
from db.models import AssetRow, Job
from pipeline.graph import steps
from pipeline.ports import CAPABILITIES
from providers.catalogue import Catalogue
from providers.fetch import MediaFetcher
from schemas.links import Links
from tasks import reclaiming, removing
from tasks.attempt import attempt
from tasks.house import House
from tasks.watch import Watched
from tests import inline
from tests.api import Api, Caller, payload, picture
from webapp.door import NAME

DUE = text("UPDATE records SET wake_at = now() WHERE job_id = :job AND status = 'waiting' AND wake_at > now()")
TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name")

WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@dataclass(frozen=True)
class Workshop:
    """`house` shares the API's database and storage."""

    api: Api
    house: House

    @classmethod
    def of(cls, api: Api, family: str = "tests.filed", **others: str) -> "Workshop":
        """`others`: by capability, where it is another family's."""
        families = dict.fromkeys(CAPABILITIES, family) | others
        settings = replace(api.settings, providers={name: (each,) for name, each in families.items()})
        storage = api.app.extensions[NAME].storage
        fetcher = MediaFetcher((), max_bytes=2**20)
        return cls(api, House(settings, api.database, storage, Catalogue(settings), fetcher, Links(settings)))

    @property
    def root(self) -> Path:
        return Path(urlsplit(self.api.settings.storage_url).path)

    def upload(self, caller: Caller, content: bytes | None = None) -> str:
        return str(caller.upload(content or picture()).get_json()["id"])

    def submit(self, caller: Caller, call: str, asked: Mapping[str, Any]) -> str:
        """The accepted job; nothing of it runs yet."""
        answer = caller.post(f"/v1/{call}", dict(asked))
        assert answer.status_code == 202, answer.text
        return str(answer.get_json()["id"])

    def avatar(self, caller: Caller, *photos: str, **changes: Any) -> str:
        """A finished avatar of these photos."""
        images = {"inputs": {"images": [{"asset_id": photo} for photo in photos]}}
        job_id = self.submit(caller, "avatars", payload("avatar.create/1", **images | changes))
        return str((self.run(job_id).result or {})["avatar_id"])

    def video(self, caller: Caller, avatar_id: str, words: str = "One.\nTwo.", **changes: Any) -> Job:
        """A finished video; each line becomes a scene."""
        asked = payload("output.generate/1", avatar_id=avatar_id, script={"text": words}, **changes)
        job = self.run(self.submit(caller, "outputs", asked))
        assert job.status == "completed", job.error
        return job

    def run(self, job_id: str, *, until: str | None = None) -> Job:
        """The job at its end, or before its step `until`."""
        database = self.house.database
        while (move := inline.advance(database, job_id)).launch is not None:
            for step in steps(move.launch.tree):
                if step.key == until:
                    return inline.job(database, job_id)
                held = inline.claim(database, job_id, step.key, move.launch.number, makers=self.house.makers)
                if isinstance(held, Claim):
                    tried = attempt(self.house, held, Watched(held))
                    inline.record(database, held, tried.outcome, made_assets=tried.made, provider=tried.provider)
        return inline.job(database, job_id)

    def wake(self, job_id: str) -> Job:
        """Let the time pass that steps wait for, and run the job on."""
        with self.house.database.transaction() as session:
            session.execute(DUE, {"job": job_id})
            records.wake(session)
        return self.run(job_id)

    def reclaim(self) -> int:
        """Look after the paid calls that no step looks after; how many there were."""
        found = self.house.database.patiently(calls.orphans)
        for orphan in found:
            reclaiming.end(self.house, orphan.call_id)
        return len(found)

    def sweep(self) -> int:
        """Remove the files that are to go; how many went."""
        return removing.clear(self.house.database, self.house.storage)

    def made_by(self, *jobs: str) -> Sequence[AssetRow]:
        with self.house.database.transaction() as session:
            return session.query(AssetRow).where(AssetRow.job_id.in_(jobs)).all()

    def files(self) -> set[str]:
        """The digests of all that is stored."""
        return {path.name for path in (self.root / "sha256").rglob("*") if path.is_file()}

    def waits(self) -> bool:
        """Whether some session of this database waits for a lock."""
        with self.house.database.transaction() as session:
            return bool(session.scalar(WAITING))

    def dump(self) -> str:
        """Every row of every table."""
        with self.house.database.transaction() as session:
            tables = [name for name in session.scalars(TABLES) if name != "alembic_version"]
            return "\n".join(
                f"{name}: {row}"
                for name in tables
                for row in session.scalars(text(f'SELECT to_jsonb(each)::text FROM "{name}" AS each'))
            )
