"""Avatars: reusable identities."""

from typing import Any

import structlog
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import avatars, deletion
from db.deletion import AvatarInUse, Deleted
from schemas.assets import AvatarSchema, DeletedAvatar
from schemas.jobs import JobSchema
from webapp.door import client, in_transaction, links
from webapp.errors import NotFound, StateClash
from webapp.intake import accept
from webapp.openapi import accepted, accepting

log = structlog.get_logger()
blueprint = Blueprint("avatars", __name__, url_prefix="/v1/avatars", description="Identities made from photos.")


@blueprint.route("", methods=["POST"])
@blueprint.doc(**accepting("avatars"))
@blueprint.response(202, JobSchema, **accepted("avatars"))
def create() -> Any:
    """Create an avatar

    The job checks the photos, prepares a neutral portrait and a character sheet, and keeps both as an avatar.
    With a voice sample it makes the avatar's own voice as well.
    """
    taken = accept("avatars")
    return taken.job, *taken.status_and_headers()


@blueprint.route("/<id:avatar_id>")
@blueprint.response(200, AvatarSchema)
def show(avatar_id: str) -> Any:
    """Show an avatar"""

    def work(session: Session) -> dict[str, Any] | None:
        row = avatars.find(session, avatar_id, client=client().name)
        if row is None:
            return None
        return {
            "id": row.id,
            "name": row.name,
            "version": row.version,
            "consent": row.consent,
            "neutral_image": links().present(row.neutral["image"]),
            "character_sheet": links().present(row.sheet),
            "voice_id": row.voice_id,
            "job_id": row.job_id,
            "created_at": row.created_at,
        }

    if found := in_transaction(work):
        return found
    raise NotFound("avatar", avatar_id)


@blueprint.route("/<id:avatar_id>", methods=["DELETE"])
@blueprint.response(200, DeletedAvatar)
@blueprint.alt_response(409, "Conflict")
def delete(avatar_id: str) -> Any:
    """Delete an avatar, and everything that was made from it

    Its photos, unless another avatar has them too, its pictures, and all that its jobs made: videos, speech, captions.
    The jobs stay without their content. Files are removed within seconds. What providers keep is not reached from here.
    Refused while a job uses it. Whoever asks again is told that there is no such avatar.
    """
    owner = client().name
    told: list[Deleted] = []

    def work(session: Session) -> None:
        if done := deletion.delete(session, avatar_id, client=owner):
            told.append(done)

    try:
        in_transaction(work)
    except AvatarInUse as error:
        uses = [{"job_id": use.job_id, "why": use.why} for use in error.uses]
        raise StateClash(
            f"Jobs still use the avatar: {error}."[:1000] + " Wait until they have ended, or cancel them.",
            jobs=uses,
        ) from None
    if not told:
        raise NotFound("avatar", avatar_id)
    gone = told[-1]  # also where the commit's answer was lost, and the second look found nothing any more
    log.info("avatar deleted", avatar=avatar_id, jobs=len(gone.jobs), assets=gone.assets)
    return {"id": avatar_id, "deleted": True, "assets": gone.assets, "jobs": gone.jobs}
