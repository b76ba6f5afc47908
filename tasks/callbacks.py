"""Telling product backends: signed Standard Webhooks, in order per job."""

import json
from datetime import UTC, datetime
from functools import partial
from time import monotonic

import structlog
from standardwebhooks import Webhook

from db import outbox
from db.outbox import Answer, Letter
from pipeline.settings import Client
from providers import webhook
from tasks.app import app
from tasks.house import House, house

TURN_S = 30.0  # then another job's events have theirs: a slow endpoint must not hold a worker

log = structlog.get_logger()


@app.task(name="deliver")
def deliver(job_id: str) -> None:
    """Deliver what is due of a job, one after the other; stop at the first that is not taken."""
    at = house()
    end = monotonic() + TURN_S
    while monotonic() < end:
        letter = at.database.patiently(lambda session: outbox.take(session, job_id))
        if letter is None:
            return
        answer = _post(at, letter)
        settle = partial(outbox.settle, letter=letter, answer=answer, schedule=at.settings.callback_schedule_s)
        delivered = at.database.patiently(settle)
        log.info("event sent", job=job_id, event_id=letter.event_id, status=answer.status, delivered=delivered)


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
