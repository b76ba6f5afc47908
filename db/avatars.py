"""Avatars: identities that outlive the job that made them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import ids
from db.models import AvatarRow


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
    """The id of the job's avatar: the same one, however often the step is entered."""
    row = {
        "client": client,
        "job_id": job_id,
        "name": name,
        "consent": dict(consent),
        "neutral": dict(neutral),
        "sheet": dict(sheet),
        "voice_id": voice_id,
    }
    statement = insert(AvatarRow).values(id=ids.new("avt"), **row)
    renewed = statement.on_conflict_do_update(
        index_elements=["job_id"],
        set_={
            "neutral": row["neutral"],
            "sheet": row["sheet"],
            "voice_id": voice_id,
            "version": AvatarRow.version,
        },
    )
    return session.scalars(renewed.returning(AvatarRow.id)).one()


def find(session: Session, avatar_id: str, *, client: str, keep: bool = False) -> AvatarRow | None:
    """`keep`: it is not deleted before the end of the transaction."""
    query = select(AvatarRow).where(AvatarRow.id == avatar_id, AvatarRow.client == client)
    return session.scalar(query.with_for_update(read=True, key_share=True) if keep else query)
