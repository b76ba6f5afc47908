"""Outputs: videos in which an avatar speaks."""

from typing import Any

from flask_smorest import Blueprint

from schemas.jobs import JobSchema
from webapp.intake import accept
from webapp.openapi import accepted, accepting

blueprint = Blueprint("outputs", __name__, url_prefix="/v1/outputs", description="Videos in which an avatar speaks.")


@blueprint.route("", methods=["POST"])
@blueprint.doc(**accepting("outputs"))
@blueprint.response(202, JobSchema, **accepted("outputs"))
def generate() -> Any:
    """Generate a talking-avatar video

    The job writes or takes the script, cuts it into scenes, speaks and films each, and joins them.
    """
    taken = accept("outputs")
    return taken.job, *taken.status_and_headers()
