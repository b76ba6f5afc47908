"""A job, its steps and its events, as the public sees them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from db import overview
from db.models import Attempt, Decision, Delivery, Event, Job, Record
from db.overview import Current
from pipeline.review import BUDGET, Review
from pipeline.routes import STAGES
from pipeline.state import ACTIVE, StepStatus
from schemas.money import CURRENCY, written
from webapp.door import links


def present(session: Session, rows: Sequence[Job]) -> list[dict[str, Any]]:
    current = overview.current(session, rows)
    return [_job(row, current[row.id]) for row in rows]


def _job(row: Job, current: Current) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "route": row.route,
        "lane": row.lane,
        "status": row.status,
        "progress": row.progress,
        "stages": current.stages,
        "parked": current.parked,
        "gate": _gate(row),
        "error": row.error,
        "result": links().present(row.result),
        "cost": cost(row.cost),
        "budget": None if (budget := Review.of(row.request, row.review).budget) is None else cost(budget),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "deadline_at": row.deadline_at if row.status in ACTIVE else None,
        "deleted_at": row.deleted_at,
        "metadata": row.snapshot.get("metadata", {}),
        "links": links().job(row.id),
    }


def _gate(row: Job) -> dict[str, Any] | None:
    if row.gate is None:
        return None
    shown: dict[str, Any] = links().present(row.gate)
    until = row.gate.get("expires_at")
    return shown | {"expired": until is not None and datetime.fromisoformat(until) < datetime.now(UTC)}


def present_decision(job: Job, row: Decision) -> dict[str, Any]:
    approved = Review.of(job.request, job.review).approved
    return {
        "id": row.id,
        "gate": row.gate,
        "decision": row.decision,
        "reviewer": row.reviewer,
        "notes": row.notes,
        "scenes": row.scenes,
        "edits": row.edits,
        "judged": row.judged,
        "digest": row.digest,
        "in_force": row.decision == "approve" and (row.gate == BUDGET or f"approve_{row.gate}" in approved),
        "created_at": row.created_at,
    }


def present_step(row: Record, tries: Sequence[Attempt]) -> dict[str, Any]:
    stage = STAGES.get(row.stage)  # a step of a route that a newer version no longer has is still shown
    waits = row.status == StepStatus.WAITING
    return {
        "key": row.step,
        "name": row.stage,
        "label": stage.label if stage else row.stage,
        "scene": row.scene,
        "status": row.status,
        "attempts": _attempts(row),
        "tries": [_try(number, each) for number, each in enumerate(tries, 1)],
        "variation": row.variation,
        "origin": row.origin,
        "source": row.source,
        "notes": row.notes,
        "input": row.input,
        "output": links().present(row.output),
        "error": row.error,
        "provider": row.provider,
        "passed_over": row.passed_over or [],
        "cost": cost(row.cost),
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "wake_at": row.wake_at,
        "why": row.why if waits else None,
        "awaits": row.awaits if waits else None,
    }


def _attempts(row: Record) -> int:
    """A step that waits for something outside is entered many times, and all of that is one try, the present one."""
    return row.attempt - row.waits + (row.why is not None)


def _try(number: int, row: Attempt) -> dict[str, Any]:
    return {
        "attempt": number,
        "outcome": row.outcome,
        "error": row.error,
        "provider": row.provider,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def present_event(event: Event, deliveries: Sequence[Delivery]) -> dict[str, Any]:
    return {
        "id": event.id,
        "sequence": event.sequence,
        "type": event.type,
        "created_at": event.created_at,
        "state": event.state,
        "attempts": event.attempts,
        "next_attempt_at": event.due_at if event.state == "pending" else None,
        "data": links().event(event.data),
        "deliveries": [
            {"at": each.at, "status": each.status, "latency_ms": each.latency_ms, "answer": each.answer}
            for each in deliveries
        ],
    }


def cost(amount: Decimal) -> dict[str, str]:
    return {"amount": written(amount), "currency": CURRENCY}
