"""Voices: what jobs can speak with, outliving the job that made them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import files, ids
from db.models import VoiceRow
from schemas.records import digest


def save(
    session: Session,
    *,
    client: str,
    job_id: str,
    name: str,
    consent: Mapping[str, Any],
    model: Mapping[str, Any],
    traits: Mapping[str, Any],
    sample: Mapping[str, Any],
    preview: Mapping[str, Any],
) -> str:
    """The id of the job's voice: the same one, however often the step is entered.

    Its version counts how often what was saved differed from what was there. Raises JobDeleted.
    """
    made = {"model": dict(model), "traits": dict(traits), "sample": dict(sample), "preview": dict(preview)}
    row = {"client": client, "job_id": job_id, "name": name, "consent": dict(consent), **made}
    first = insert(VoiceRow).values(id=ids.new("voc"), **row)
    session.execute(first.on_conflict_do_nothing(index_elements=["job_id"]))
    kept = session.scalars(select(VoiceRow).where(VoiceRow.job_id == job_id).with_for_update()).one()
    files.expect_kept(session, job_id)
    if digest({part: getattr(kept, part) for part in made}) != digest(made):
        kept.version += 1
        for part, value in made.items():
            setattr(kept, part, value)
    return kept.id


def find(session: Session, voice_id: str, *, client: str, keep: bool = False) -> VoiceRow | None:
    """`keep`: it is not deleted before the end of the transaction."""
    query = select(VoiceRow).where(VoiceRow.id == voice_id, VoiceRow.client == client)
    return session.scalar(query.with_for_update(read=True, key_share=True) if keep else query)
