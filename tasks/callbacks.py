"""Telling product backends: signed Standard Webhooks, in order per job."""

import json
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog
from celery import signals
from celery.worker import state
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from db import outbox
from db.outbox import Answer, Letter
from pipeline.settings import Client
from providers import webhook
from tasks.app import app
from tasks.house import House, house
from tasks.launching import call
from tasks.places import Places

TURN_S = 1.0  # then whoever waits for a place has his turn
TOO_MANY = 429

log = structlog.get_logger()
places = Places()


@signals.worker_init.connect
def furnish(sender: Any, **_: object) -> None:
    if isinstance(sender.concurrency, int):
        places.furnish(sender.concurrency)


@app.task(name="deliver")
def deliver(client: str) -> None:
    """Deliver what is due for a client, one after the other, until nothing is or its endpoint is not there."""
    while places.enter(client):
        alive = False
        try:
            alive = _turn(house(), client)
        finally:
            knocked = places.leave(client)
        if not (alive and knocked):
            return


def _turn(at: House, client: str) -> bool:
    """Whether the endpoint was there for every letter, and nothing more is due.

    What a dead endpoint's letters wait for is the sweeper: it sends us again in a second.
    """
    end = monotonic() + TURN_S
    letter = at.database.patiently(lambda session: outbox.take(session, client))
    while letter is not None:
        answer = _post(at, letter)
        alive = answer.status is not None and answer.status < 500 and answer.status != TOO_MANY
        places.heard(client, alive=alive, latency_ms=answer.latency_ms)
        over = not alive or monotonic() > end or state.should_stop is not None
        letter = _settle(at, letter, answer, go_on=not over)
        if over:
            if alive:
                call(client)
            return False
        if letter is not None and places.wants(client):
            call(client)
    return True


def _settle(at: House, letter: Letter, answer: Answer, *, go_on: bool) -> Letter | None:
    """Keep the answer, and take the client's next letter in the same transaction."""

    def settle(session: Session) -> tuple[bool, Letter | None]:
        delivered = outbox.settle(session, letter, answer, schedule=at.settings.callback_schedule_s)
        return delivered, outbox.take(session, letter.client) if go_on else None

    delivered, following = at.database.patiently(settle)
    log.info("event sent", job=letter.job_id, event_id=letter.event_id, status=answer.status, delivered=delivered)
    return following


def _post(at: House, letter: Letter) -> Answer:
    client = at.settings.client(letter.client)
    if client is None or client.callback_url is None:
        return Answer(None, 0, "the client has no callback URL any more")
    told = letter.body | {"data": at.links.event(letter.body["data"])}
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    reply = webhook.post(
        client.callback_url,
        body.encode(),
        {"Content-Type": "application/json", **signed(client, letter.event_id, body, datetime.now(UTC))},
        allow_private=at.settings.callback_allow_private,
    )
    return Answer(reply.status, reply.latency_ms, reply.text)


def signed(client: Client, event_id: str, body: str, at: datetime) -> dict[str, str]:
    """The headers of a Standard Webhook; with every secret of the client, so that one can be rotated."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, at, body) for secret in client.callback_secrets),
    }
