"""Avatars: reusable identities."""

from typing import Any

from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import avatars
from schemas.assets import AvatarSchema
from schemas.jobs import JobSchema
from webapp.door import client, in_transaction, links
from webapp.errors import NotFound
from webapp.intake import accept
from webapp.openapi import accepted, accepting

blueprint = Blueprint("avatars", __name__, url_prefix="/v1/avatars", description="Identities made from photos.")


@blueprint.route("", methods=["POST"])
@blueprint.doc(**accepting("avatars"))
@blueprint.response(202, JobSchema, **accepted("avatars"))
def create() -> Any:
    """Create an avatar

    The job checks the photos, prepares a neutral portrait and a character sheet, and keeps both as an avatar.
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
            "job_id": row.job_id,
            "created_at": row.created_at,
        }

    if found := in_transaction(work):
        return found
    raise NotFound("avatar", avatar_id)
