"""Sending canvases and announcing events: always after the commit, and never the only way.

If the broker is away, the commit stands and the sweeper sends later.
"""

from collections.abc import Iterable
from typing import Any

import structlog
from kombu.exceptions import OperationalError

from db import jobs
from db.jobs import Move
from tasks import posting, stencils
from tasks.app import app
from tasks.house import house
from tasks.posting import posted

log = structlog.get_logger()


def launch(job_id: str, *, number: int | None = None) -> Move:
    """Advance the job and send what runs next.

    `number` names the launch that has ended: an older one changes nothing. Without it, what is left is sent again.
    """
    move = house().database.in_turn(lambda connection: jobs.advance(connection, job_id, launch=number))
    send(job_id, move)
    return move


def send(job_id: str, move: Move, made: Iterable[dict[str, Any]] | None = None) -> bool:
    """Do after the commit what the move asks for; `made`: what is to be sent of its canvas, if not all.

    False: the broker may not have it, and the sweeper sends it soon.
    """
    sent = True
    if move.launch is not None:
        canvas = move.launch
        try:
            with posted():
                stencils.send(app, stencils.messages(canvas) if made is None else made)
                posting.settle()
        except OperationalError as error:
            sent = False
            log.warning("canvas not sent", job=job_id, launch=canvas.number, error=type(error).__name__)
            house().database.patiently(lambda session: jobs.soon(session, job_id))
    if move.client is not None:
        announce(move.client, job_id)
    return sent


def begin(job_id: str) -> None:
    """The first launch of an accepted job; when the sweeper was faster, nothing."""
    launch(job_id, number=0)


def resume(job_id: str) -> None:
    """The next launch of a job of which a person said how it goes on."""
    launch(job_id)


def announce(client: str, job_id: str) -> None:
    """Ask a callback worker to deliver the job's next events, if the client wants any."""
    if house().wanted(client):
        call(client, job=job_id)


def call(client: str, **about: str) -> None:
    """Ask a callback worker to look for the client's events."""
    try:
        app.send_task(
            "deliver",
            args=(client,),
            queue="callback",
            routing_key="callback.deliver",
            argsrepr=f"(client={client})",
            producer=posting.producer(app),
        )
    except OperationalError as error:
        log.warning("events not announced", client=client, error=type(error).__name__, **about)
