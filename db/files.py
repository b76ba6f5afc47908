"""Stored files and their rows: which files are held for rows to come, and which go because no row names them any more.

Files are addressed by their content, so one may be many assets', of many clients. Who stores a file holds it first,
who removes one looks first; both do it under the digest's lock. So a file that is stored anew while it is removed is
either seen and left, or found missing and written again.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db import statements
from db.models import Job
from db.statements import Statement

FILES = 0x66696C65  # the class of these locks
PAUSE = timedelta(minutes=1)

ANY_DUE = Statement("any_due_removal", "SELECT 1 FROM file_removals WHERE due_at <= now() LIMIT 1")
SHARE = text(f"SELECT pg_advisory_xact_lock_shared({FILES}, hashtext(:sha256))")
HOLD = text("INSERT INTO held_files (asset_id, sha256) VALUES (:asset, :sha256) ON CONFLICT DO NOTHING")
# The row's lock: the job is not deleted while we look.
HOLD_FOR_JOB = text(
    """
    INSERT INTO held_files (asset_id, sha256, job_id)
    SELECT :asset, :sha256, id FROM jobs WHERE id = :job AND deleted_at IS NULL FOR KEY SHARE
    ON CONFLICT (asset_id) DO UPDATE SET sha256 = EXCLUDED.sha256
    RETURNING asset_id
    """
)
DUE = text("SELECT sha256 FROM file_removals WHERE due_at <= now() ORDER BY due_at LIMIT :limit")
TAKE = text("SELECT sha256 FROM file_removals WHERE sha256 = :sha256 FOR UPDATE SKIP LOCKED")
ALONE = text(f"SELECT pg_try_advisory_xact_lock({FILES}, hashtext(:sha256))")
NEEDED = text(
    """
    SELECT
        EXISTS (SELECT FROM assets WHERE sha256 = :sha256) AS named,
        EXISTS (SELECT FROM held_files WHERE sha256 = :sha256) AS held
    """
)
DONE = text("DELETE FROM file_removals WHERE sha256 = :sha256")
LATER = text("UPDATE file_removals SET due_at = now() + :pause WHERE sha256 = :sha256")
GIVE_UP = text(
    """
    WITH old AS (DELETE FROM held_files WHERE job_id IS NULL AND held_at < now() - :age RETURNING sha256)
    INSERT INTO file_removals (sha256) SELECT DISTINCT sha256 FROM old
    ON CONFLICT (sha256) DO UPDATE SET due_at = now()
    """
)


class JobDeleted(Exception):
    """The content of the job was deleted: nothing is made for it any more."""


def expect_kept(session: Session, job_id: str) -> None:
    """For whoever has just locked or made what goes with the job's content. Raises JobDeleted."""
    if session.scalar(select(Job.deleted_at).where(Job.id == job_id)) is not None:
        raise JobDeleted(f"the content of {job_id} was deleted")


def hold(session: Session, asset_id: str, sha256: str, *, job_id: str | None = None) -> None:
    """To be committed before the file is stored; the row of the asset ends it. Raises JobDeleted."""
    session.execute(SHARE, {"sha256": sha256})
    if job_id is None:
        session.execute(HOLD, {"asset": asset_id, "sha256": sha256})
    elif session.execute(HOLD_FOR_JOB, {"asset": asset_id, "sha256": sha256, "job": job_id}).first() is None:
        raise JobDeleted(f"the content of {job_id} was deleted")


def removals(session: Session, *, limit: int = 200) -> Sequence[str]:
    """The digests of files that are to go now, or to be looked at again."""
    if not statements.run(session.connection(), [(ANY_DUE, {})]):
        return []
    return session.scalars(DUE, {"limit": limit}).all()


def remove(session: Session, sha256: str, delete: Callable[[str], None]) -> bool:
    """Have the file deleted, if nothing needs it; whether it is gone.

    Inside of the transaction, for its lock must outlast the deletion. A crash between the two leaves the intention,
    and to delete a file twice is harmless.
    """
    about = {"sha256": sha256}
    if session.execute(TAKE, about).first() is None or not session.scalar(ALONE, about):
        return False  # another sweeper has it, or somebody stores the same content just now
    needed = session.execute(NEEDED, about).one()
    if needed.held and not needed.named:
        postpone(session, sha256)
        return False
    if not needed.named:
        delete(sha256)
    session.execute(DONE, about)
    return not needed.named


def postpone(session: Session, sha256: str) -> None:
    session.execute(LATER, {"sha256": sha256, "pause": PAUSE})


def give_up(session: Session, age: timedelta) -> None:
    """Uploads that never became assets: their files go."""
    session.execute(GIVE_UP, {"age": age})
