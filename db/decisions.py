"""Gates: what is put before a person, and what he says."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from db import budgets, gates, ids, keys, retries
from db.keys import Key
from db.models import Decision
from db.turns import Turn, jsonb, turn
from pipeline.graph import Gate
from pipeline.review import BUDGET
from pipeline.state import JobStatus

LAST = """
    SELECT decision, digest, approved, reviewer FROM decisions
    WHERE job_id = %(job)s AND gate = %(gate)s ORDER BY id DESC LIMIT 1
"""
NOTE = """
    INSERT INTO decisions (id, job_id, gate, decision, reviewer, notes, scenes, edits, judged, digest, approved)
    VALUES (
        %(id)s, %(job)s, %(gate)s, %(decision)s, %(reviewer)s, %(notes)s, %(scenes)s, %(edits)s, %(judged)s, %(digest)s,
        %(approved)s
    )
"""
STOP = """
    UPDATE records SET status = 'cancelled', wake_at = NULL, message = NULL, awaits = NULL, why = NULL
    WHERE job_id = %(job)s AND status IN ('pending', 'waiting')
"""
LABELS = {"approve": "approved", "revise": "to be revised"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A decision as a person made it. `edits`: outputs that he gives, by step; `said` is how he put them.

    `digest`: of what he has seen. `scenes`: of which he wants another variation, None for all. `budget`: what the job
    may cost, None for just what it asked for.
    """

    gate: str
    decision: str
    reviewer: str | None = None
    notes: str | None = None
    scenes: Sequence[int] | None = None
    edits: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None
    budget: Decimal | None = None


class GateNotOpen(Exception):
    """Nothing is to be decided there just now. `last`: what was decided there last, and by whom."""

    def __init__(self, gate: str, status: str, opened: str | None, last: tuple[str, str | None] | None) -> None:
        super().__init__(f"the gate {gate} is not open")
        self.gate, self.status, self.open, self.last = gate, status, opened, last


class GateChanged(Exception):
    """What is under review has changed since it was looked at."""

    def __init__(self, gate: str, digest: str) -> None:
        super().__init__(f"what the gate {gate} is about has changed since")
        self.gate, self.digest = gate, digest


class NotUnderReview(Exception):
    """The steps that are named are not those that the gate is about."""

    def __init__(self, what: str, known: Sequence[str]) -> None:
        super().__init__(f"{what} is not under review here; that is {', '.join(known)}")


def open(job: Turn, gate: Gate) -> None:  # a gate is opened
    """Put before a person what the gate is about."""
    gates.open(job, gate.name, gate.judges.name, _items(job, gate))


def stands(job: Turn, gate: Gate) -> bool:
    """Whether the last approval is of what is there now: then it is in force, whatever happened in between."""
    last = job.ask(LAST, {"job": job.id, "gate": gate.name})
    if not last or last[0][0] != "approve" or last[0][2] != gates.digest(_items(job, gate)):
        return False
    job.review = replace(job.review, approved=job.review.approved | {gate.key})
    return True


def decide(connection: Connection, job_id: str, asked: Asked, *, client: str, key: Key) -> bool | None:
    """Whether something changed: then launch the job after the commit. None: the client has no such job.

    What was approved already may be approved again. Raises GateNotOpen, GateChanged, NotUnderReview, BudgetTooSmall,
    KeyReused.
    """
    with turn(connection, job_id) as job:
        if job is None or job.client != client:
            return None
        if keys.served(job, key):
            return False
        opened = job.gate if job.status == JobStatus.AWAITING_APPROVAL else None
        if opened is None or opened["name"] != asked.gate:
            _refuse_unless_the_same(job, asked, opened)
            return False
        if asked.digest is not None and asked.digest != opened["digest"]:
            raise GateChanged(asked.gate, opened["digest"])
        retries.read(job)
        if asked.decision == "reject":
            _note(job, asked, opened)
            job.later(STOP, {"job": job.id})
            job.cancel()
        elif asked.gate == BUDGET:
            _spend(job, asked, opened)
        else:
            _judge(job, next(gate for gate in job.plan.gates.values() if gate.name == asked.gate), asked, opened)
        return True


def story(session: Session, job_id: str) -> Sequence[Decision]:
    """Everything that people said of the job, in order."""
    return session.scalars(select(Decision).where(Decision.job_id == job_id).order_by(Decision.id)).all()


def _judge(job: Turn, gate: Gate, asked: Asked, opened: Mapping[str, Any]) -> None:
    judged = _judged(opened)
    if unknown := asked.edits.keys() - judged:
        raise NotUnderReview(min(unknown), list(judged))
    named = _named(job, gate, asked)
    if asked.decision == "approve":
        for step, output in asked.edits.items():
            retries.give(job, step, output)
        job.review = replace(job.review, approved=job.review.approved | {gate.key})
        _note(job, asked, opened, approved=gates.digest(_items(job, gate)))
    else:
        _note(job, asked, opened)
        retries.rerun(job, named, again=named, regenerate=True, notes=asked.notes)
    retries.resume(job, named, gate.key, f"{gate.name.replace('_', ' ').capitalize()} {LABELS[asked.decision]}")


def _spend(job: Turn, asked: Asked, opened: Mapping[str, Any]) -> None:
    budgets.grant(job, opened, asked.budget)
    _note(job, asked, opened, approved=opened["digest"])
    steps = list(_judged(opened))
    retries.rerun(job, steps, again=(), regenerate=False)
    retries.resume(job, steps, opened["stage"], "Budget approved")


def _judged(opened: Mapping[str, Any]) -> dict[str, str]:
    return {item["stage"]: item["digest"] for item in opened["items"]}


def _note(job: Turn, asked: Asked, opened: Mapping[str, Any], *, approved: str | None = None) -> None:
    about = {"id": ids.new("dec"), "job": job.id, "gate": asked.gate, "decision": asked.decision}
    said = {"reviewer": asked.reviewer, "notes": asked.notes, "edits": jsonb(dict(asked.said) or None)}
    scenes = jsonb(list(asked.scenes) if asked.scenes is not None else None)
    saw = {"judged": jsonb(_judged(opened)), "digest": opened["digest"], "approved": approved}
    job.later(NOTE, about | said | saw | {"scenes": scenes})


def _refuse_unless_the_same(job: Turn, asked: Asked, opened: Mapping[str, Any] | None) -> None:
    """To approve what is approved changes nothing, and is no mistake."""
    last = job.ask(LAST, {"job": job.id, "gate": asked.gate})
    same = last and asked.decision == "approve" == last[0][0] and asked.digest in (None, last[0][1], last[0][2])
    stands = asked.gate == BUDGET or f"approve_{asked.gate}" in job.review.approved
    if same and stands and not asked.edits and asked.budget is None:
        return
    told = (last[0][0], last[0][3]) if last else None
    raise GateNotOpen(asked.gate, job.status, opened["name"] if opened else None, told)


def _named(job: Turn, gate: Gate, asked: Asked) -> list[str]:
    """The steps of which another variation is wanted; none where it is not about that."""
    if asked.decision != "revise":
        return []
    judged = job.plan.judged(gate)
    if asked.scenes is None:
        return judged
    by_scene = {job.plan.steps[key].scene: key for key in judged}
    for scene in asked.scenes:
        if scene not in by_scene:
            raise NotUnderReview(f"scene {scene}", judged)
    return [by_scene[scene] for scene in asked.scenes]


def _items(job: Turn, gate: Gate) -> list[dict[str, Any]]:
    judged: Collection[str] = job.plan.judged(gate)
    job.read(*judged)
    return [gates.item(key, job.plan.steps[key].scene, job.seen[key].output) for key in judged]
