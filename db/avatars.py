"""Avatars: identities that outlive the job that made them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import files, ids
from db.models import AvatarRow, AvatarVersion, VoiceRow
from schemas.records import digest


def save(
    session: Session,
    *,
    client: str,
    job_id: str,
    name: str,
    consent: Mapping[str, Any],
    neutral: Mapping[str, Any],
    sheet: Mapping[str, Any],
    voice_id: str | None = None,
) -> str:
    """The id of the job's avatar: the same one, however often the step is entered.

    It gets a new version where what is saved differs from its newest one. Raises JobDeleted: a worker that was taken
    for dead must not bring the person back.
    """
    person = {"client": client, "job_id": job_id, "name": name, "consent": dict(consent)}
    made: dict[str, Any] = {"neutral": dict(neutral), "sheet": dict(sheet), "voice_id": voice_id}
    first = insert(AvatarRow).values(id=ids.new("avt"), **person, **made)
    session.execute(first.on_conflict_do_nothing(index_elements=["job_id"]))
    row = session.scalars(select(AvatarRow).where(AvatarRow.job_id == job_id).with_for_update()).one()
    files.expect_kept(session, job_id)
    saved = made | {"voice_version": session.scalar(select(VoiceRow.version).where(VoiceRow.id == voice_id))}
    newest = session.get(AvatarVersion, (row.id, row.version))
    if newest is not None:
        if digest({part: getattr(newest, part) for part in saved}) == digest(saved):
            return row.id
        row.version += 1
        for part, value in made.items():
            setattr(row, part, value)
    session.add(AvatarVersion(avatar_id=row.id, version=row.version, **saved))
    return row.id


def find(session: Session, avatar_id: str, *, client: str, keep: bool = False) -> AvatarRow | None:
    """`keep`: it is not deleted before the end of the transaction."""
    query = select(AvatarRow).where(AvatarRow.id == avatar_id, AvatarRow.client == client)
    return session.scalar(query.with_for_update(read=True, key_share=True) if keep else query)


def versions(session: Session, avatar_id: str) -> Sequence[AvatarVersion]:
    """Newest first."""
    query = select(AvatarVersion).where(AvatarVersion.avatar_id == avatar_id)
    return session.scalars(query.order_by(AvatarVersion.version.desc())).all()
