"""Jobs: looking at them, and stopping them."""

import json
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import events, jobs, overview
from db.jobs import JobEnded
from db.models import Job
from pipeline.state import FINAL, JobStatus
from schemas.events import EventList
from schemas.jobs import EXAMPLE, JobPage, JobQuery, JobSchema, StepList, TimelineQuery
from schemas.timeline import TimelineSchema
from webapp.door import client, door, in_transaction, in_turn, links
from webapp.download import stream, whole
from webapp.errors import NotFound, StateClash
from webapp.job import present, present_event, present_step
from webapp.openapi import FILE
from webapp.otio import MEDIA_TYPE as OTIO
from webapp.otio import otio

STOPPABLE = [status.value for status in JobStatus if status not in FINAL]

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs", description="Requests being served.")


def owned(session: Session, job_id: str) -> Job:
    """Raises NotFound."""
    job = jobs.find(session, job_id, client=client().name)
    if job is None:
        raise NotFound("job", job_id)
    return job


@blueprint.route("")
@blueprint.arguments(JobQuery, location="query", unknown=None)
@blueprint.response(200, JobPage)
def page(query: dict[str, str]) -> Any:
    """List jobs, newest first"""
    limit = int(query["limit"])

    def work(session: Session) -> dict[str, Any]:
        rows = jobs.page(
            session,
            client=client().name,
            status=query.get("status"),
            kind=query.get("kind"),
            before=query.get("cursor"),
            limit=limit + 1,  # the one too many tells that there is a next page
        )
        more = rows[limit - 1].id if len(rows) > limit else None
        return {"jobs": present(session, rows[:limit]), "next_cursor": more}

    return in_transaction(work)


@blueprint.route("/<id:job_id>")
@blueprint.response(200, JobSchema, example=EXAMPLE)
def show(job_id: str) -> Any:
    """Show a job: status, progress, error, result"""
    return in_transaction(lambda session: present(session, [owned(session, job_id)])[0])


@blueprint.route("/<id:job_id>/stages")
@blueprint.response(200, StepList)
def steps(job_id: str) -> Any:
    """List a job's stage records

    A scene's stages appear once the storyboard says how many scenes there are.
    """

    def work(session: Session) -> dict[str, Any]:
        owned(session, job_id)
        tries = overview.attempts(session, job_id)
        rows = jobs.steps(session, job_id)
        return {"job_id": job_id, "stages": [present_step(row, tries.get(row.step, ())) for row in rows]}

    return in_transaction(work)


@blueprint.route("/<id:job_id>/events")
@blueprint.response(200, EventList)
def story(job_id: str) -> Any:
    """List a job's lifecycle events, each with its deliveries"""

    def work(session: Session) -> dict[str, Any]:
        owned(session, job_id)
        told = events.story(session, job_id)
        return {"job_id": job_id, "events": [present_event(event, deliveries) for event, deliveries in told]}

    return in_transaction(work)


@blueprint.route("/<id:job_id>/cancel", methods=["POST"])
@blueprint.response(202, JobSchema)
def cancel(job_id: str) -> Any:
    """Cancel a job

    No further stage starts. Cancelling twice is harmless.
    """

    def work(session: Session) -> dict[str, Any]:
        return present(session, [owned(session, job_id)])[0]

    owner = client().name
    try:
        in_turn(lambda connection: jobs.cancel(connection, job_id, client=owner))
        return in_transaction(work)
    except JobEnded as error:
        raise StateClash(
            f"The job is {error.status}, so there is nothing to cancel: a job can be cancelled while it is"
            f" {', '.join(STOPPABLE)}.",
            job_status=error.status,
            possible=STOPPABLE,
        ) from None


@blueprint.route("/<id:job_id>/timeline")
@blueprint.arguments(TimelineQuery, location="query", unknown=None)
@blueprint.response(200, TimelineSchema, description="The file.")
@blueprint.alt_response(200, schema=FILE, content_type="text/vtt", success=True)
@blueprint.alt_response(200, schema=FILE, content_type="application/x-subrip", success=True)
@blueprint.alt_response(200, schema=FILE, content_type=OTIO, success=True)
def timeline(query: dict[str, str], job_id: str) -> Response:
    """Download the media timeline of a completed output

    `json`: scenes and captions on one measured clock; `otio`: the same for editing programs (OpenTimelineIO);
    `vtt`, `srt`: the captions.
    """
    asked = query["format"]
    job = in_transaction(lambda session: owned(session, job_id))
    if job.deleted_at is not None:
        raise NotFound("timeline any more, since its avatar was deleted, of the job", job_id)
    if job.kind != "output":
        raise NotFound("timeline of the avatar job", job_id)
    if job.status != JobStatus.COMPLETED or job.result is None:
        raise StateClash(
            f"The job is {job.status}: its timeline is there once it is completed.",
            job_status=job.status,
            possible=[JobStatus.COMPLETED.value],
        )
    if asked == "otio":
        return whole(_otio(job.id, job.result).encode(), name=f"{job.id}.otio", media_type=OTIO)
    file = job.result["timeline"] if asked == "json" else (job.result["captions"] or {}).get(asked)
    if file is None:
        raise NotFound("caption file, since output.captions was `none`, in the job", job_id)
    return stream(file["id"], sha256=file["sha256"], size=file["bytes"], media_type=file["media_type"])


def _otio(job_id: str, result: dict[str, Any]) -> str:
    with door().storage.fetch(result["timeline"]["sha256"]) as file:
        captions = json.loads(file.read_text(encoding="utf-8"))["captions"]
    return otio(job_id, result, captions, address=links().content)
