"""Voices: made from a sample of somebody speaking."""

from typing import Any

from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import deletion, voices
from schemas.assets import DeletedIdentity, VoiceSchema
from schemas.jobs import JobSchema
from webapp.door import client, in_transaction, links
from webapp.errors import NotFound
from webapp.intake import accept
from webapp.openapi import accepted, accepting
from webapp.removal import remove

blueprint = Blueprint("voices", __name__, url_prefix="/v1/voices", description="Voices made from samples.")


@blueprint.route("", methods=["POST"])
@blueprint.doc(**accepting("voices"))
@blueprint.response(202, JobSchema, **accepted("voices"))
def create() -> Any:
    """Clone a voice

    The job checks and measures the sample, makes a voice like it, and keeps it with a spoken preview. `method` says how
    near that is: this installation may clone at a vendor, or only make an approximate voice match.
    """
    taken = accept("voices")
    return taken.job, *taken.status_and_headers()


@blueprint.route("/<id:voice_id>")
@blueprint.response(200, VoiceSchema)
def show(voice_id: str) -> Any:
    """Show a voice"""

    def work(session: Session) -> dict[str, Any] | None:
        row = voices.find(session, voice_id, client=client().name)
        if row is None:
            return None
        return {
            "id": row.id,
            "name": row.name,
            "version": row.version,
            "provider": row.model["provider"],
            "method": row.model["method"],
            "traits": row.traits,
            "preview": links().present(row.preview),
            "consent": row.consent,
            "job_id": row.job_id,
            "created_at": row.created_at,
        }

    if found := in_transaction(work):
        return found
    raise NotFound("voice", voice_id)


@blueprint.route("/<id:voice_id>", methods=["DELETE"])
@blueprint.response(200, DeletedIdentity)
@blueprint.alt_response(409, "Conflict")
def delete(voice_id: str) -> Any:
    """Delete a voice, its sample and its preview

    The sample stays where another identity has it too. Its job stays without its content, and videos that were spoken
    with it stay whole, but cannot be spoken again. What providers keep is not reached from here. Refused while a job
    uses it, and for an avatar's own voice, which goes with the avatar. Whoever asks again is told that there is no such
    voice.
    """
    return remove("voice", voice_id, deletion.delete_voice)
