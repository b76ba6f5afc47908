"""Lifecycle events: written with the change they tell of."""

from typing import Any, Protocol

from sqlalchemy import Row, case, exists, func, null, select
from sqlalchemy.orm import Session

from db import ids
from db.models import Delivery, Event, Job
from pipeline.state import EventType


class Told(Protocol):
    """What an event tells of its job."""

    id: Any
    kind: Any
    route: Any
    status: Any
    progress: Any
    gate: Any
    result: Any
    error: Any


def data(job: Told, sequence: int, *, stage: str | None, label: str | None, metadata: Any) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "sequence": sequence,
        "kind": job.kind,
        "route": job.route,
        "status": job.status,
        "progress": job.progress,
        "stage": stage,
        "label": label,
        "gate": job.gate,
        "result": job.result,
        "stale": list(getattr(job, "stale", ())),
        "error": job.error,
        "metadata": metadata,
    }


def tell(session: Session, job: Job, kind: EventType) -> Event:
    """Add the event to the job's story. The caller holds the job row's lock: so the sequence has no gaps."""
    job.sequence += 1
    stage = job.error["stage"] if kind is EventType.FAILED and job.error else None
    event = Event(
        id=ids.new("evt"),
        job_id=job.id,
        client=job.client,
        sequence=job.sequence,
        type=kind.value,
        state="pending" if job.callbacks else "unwanted",
        data=data(job, job.sequence, stage=stage, label=None, metadata=job.snapshot.get("metadata", {})),
    )
    if job.callbacks:
        earlier = exists().where(Event.job_id == job.id, Event.state == "pending")
        event.due_at = case((earlier, null()), else_=func.now())
    session.add(event)
    return event


def story(session: Session, job_id: str) -> list[tuple[Event, list[Delivery]]]:
    """Every event of a job in order, each with its deliveries."""
    events = session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.sequence)).all()
    deliveries: dict[str, list[Delivery]] = {event.id: [] for event in events}
    rows = session.scalars(select(Delivery).where(Delivery.event_id.in_(deliveries)).order_by(Delivery.id))
    for row in rows:
        deliveries[row.event_id].append(row)
    return [(event, deliveries[event.id]) for event in events]


def body(event: Event | Row[Any]) -> dict[str, Any]:
    """What is sent, but for the links to assets, which are signed when it is sent."""
    return {
        "type": event.type,
        "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
        "contract": "event/1",
        "data": event.data,
    }
