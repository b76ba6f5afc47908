"""Avatars: reusable identities."""

from typing import Any

from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import avatars, deletion
from db.models import AvatarVersion
from schemas.assets import AvatarSchema, DeletedIdentity
from schemas.jobs import JobSchema
from webapp.door import client, in_transaction, links
from webapp.errors import NotFound
from webapp.intake import accept
from webapp.openapi import accepted, accepting
from webapp.removal import remove

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
    """Show an avatar

    Videos show the version that is the newest when they begin; the stage `load_identity` says which.
    """

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
            "versions": [_version(each) for each in avatars.versions(session, row.id)],
            "job_id": row.job_id,
            "created_at": row.created_at,
        }

    if found := in_transaction(work):
        return found
    raise NotFound("avatar", avatar_id)


@blueprint.route("/<id:avatar_id>", methods=["DELETE"])
@blueprint.response(200, DeletedIdentity)
@blueprint.alt_response(409, "Conflict")
def delete(avatar_id: str) -> Any:
    """Delete an avatar, and everything that was made from it

    All its versions, its photos and samples, unless another identity has them too, its pictures, and all that its jobs
    made: videos, speech, captions. The jobs stay without their content. Files are removed within seconds. What
    providers keep is not reached from here. Refused while a job uses it. Whoever asks again is told that there is no
    such avatar.
    """
    return remove("avatar", avatar_id, deletion.delete_avatar)


def _version(row: AvatarVersion) -> dict[str, Any]:
    return {
        "version": row.version,
        "neutral_image": links().present(row.neutral["image"]),
        "character_sheet": links().present(row.sheet),
        "voice_id": row.voice_id,
        "voice_version": row.voice_version,
        "created_at": row.created_at,
    }
