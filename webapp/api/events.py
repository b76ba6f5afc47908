"""Events: sending one again."""

from typing import Any

from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import outbox
from schemas.events import EventSchema
from webapp.door import client, in_transaction
from webapp.errors import NotFound, StateClash
from webapp.job import present_event

blueprint = Blueprint("events", __name__, url_prefix="/v1/events", description="What the product backend is told.")


@blueprint.route("/<id:event_id>/redeliver", methods=["POST"])
@blueprint.response(202, EventSchema)
def redeliver(event_id: str) -> Any:
    """Send an event again

    It is due at once, with a new set of attempts; later events of its job wait for it.
    """
    if client().callback_url is None:
        raise StateClash("No callback_url is set for this client, so there is nowhere to send it.")

    def work(session: Session) -> dict[str, Any]:
        event = outbox.redeliver(session, event_id, client=client().name)
        if event is None:
            raise NotFound("event", event_id)
        session.flush()
        session.refresh(event)
        return present_event(event, outbox.deliveries(session, event_id))

    return in_transaction(work)
