"""Gates: what is put before a person, and what he says."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from db import ids, keys, retries
from db.keys import Key
from db.models import Decision
from db.turns import Turn, jsonb, turn
from pipeline.graph import Gate
from pipeline.state import JobStatus
from schemas import records as codec

LAST = """
    SELECT decision, digest, approved, reviewer FROM decisions
    WHERE job_id = %(job)s AND gate = %(gate)s ORDER BY id DESC LIMIT 1
"""
ROUNDS = "SELECT count(*) FROM decisions WHERE job_id = %(job)s AND gate = %(gate)s"
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

    `digest`: of what he has seen. `scenes`: of which he wants another variation, None for all.
    """

    gate: str
    decision: str
    reviewer: str | None = None
    notes: str | None = None
    scenes: Sequence[int] | None = None
    edits: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None


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
    """Put before a person what the gate is about: the very assets and texts, and until when."""
    items = _items(job, gate)
    now = datetime.now(UTC)
    expires_in_s = (job.request.get("review") or {}).get("expires_in_s")
    ((rounds,),) = job.ask(ROUNDS, {"job": job.id, "gate": gate.name})
    job.open(
        {
            "name": gate.name,
            "stage": gate.judges.name,
            "round": rounds + 1,
            "digest": _digest(items),
            "items": items,
            "opened_at": _written(now),
            "expired": False,
            "expires_at": None if expires_in_s is None else _written(now + timedelta(seconds=expires_in_s)),
        }
    )


def stands(job: Turn, gate: Gate) -> bool:
    """Whether the last approval is of what is there now: then it is in force, whatever happened in between."""
    last = job.ask(LAST, {"job": job.id, "gate": gate.name})
    if not last or last[0][0] != "approve" or last[0][2] != _digest(_items(job, gate)):
        return False
    job.review = replace(job.review, approved=job.review.approved | {gate.key})
    return True


def decide(connection: Connection, job_id: str, asked: Asked, *, client: str, key: Key) -> bool | None:
    """Whether something changed: then launch the job after the commit. None: the client has no such job.

    What was approved already may be approved again. Raises GateNotOpen, GateChanged, NotUnderReview, KeyReused.
    """
    with turn(connection, job_id) as job:
        if job is None or job.client != client:
            return None
        if keys.served(job, key):
            return False
        gate = next(gate for gate in job.plan.gates.values() if gate.name == asked.gate)
        opened = job.gate if job.status == JobStatus.AWAITING_APPROVAL else None
        if opened is None or opened["name"] != gate.name:
            _refuse_unless_the_same(job, gate, asked, opened)
            return False
        if asked.digest is not None and asked.digest != opened["digest"]:
            raise GateChanged(gate.name, opened["digest"])
        judged = {item["stage"]: item["digest"] for item in opened["items"]}
        if unknown := asked.edits.keys() - judged:
            raise NotUnderReview(min(unknown), list(judged))
        named = _named(job, gate, asked)
        retries.read(job)
        if asked.decision == "approve":
            _approve(job, gate, asked)
        _note(job, gate, asked, judged, opened["digest"])
        if asked.decision == "reject":
            job.later(STOP, {"job": job.id})
            job.cancel()
            return True
        if asked.decision == "revise":
            retries.rerun(job, named, again=named, regenerate=True, notes=asked.notes)
        retries.resume(job, named, gate.key, f"{gate.name.replace('_', ' ').capitalize()} {LABELS[asked.decision]}")
        return True


def story(session: Session, job_id: str) -> Sequence[Decision]:
    """Everything that people said of the job, in order."""
    return session.scalars(select(Decision).where(Decision.job_id == job_id).order_by(Decision.id)).all()


def _approve(job: Turn, gate: Gate, asked: Asked) -> None:
    for step, output in asked.edits.items():
        retries.give(job, step, output)
    job.review = replace(job.review, approved=job.review.approved | {gate.key})


def _note(job: Turn, gate: Gate, asked: Asked, judged: Mapping[str, str], digest: str) -> None:
    about = {"id": ids.new("dec"), "job": job.id, "gate": gate.name, "decision": asked.decision}
    said = {"reviewer": asked.reviewer, "notes": asked.notes, "edits": jsonb(dict(asked.said) or None)}
    scenes = jsonb(list(asked.scenes) if asked.scenes is not None else None)
    approved = _digest(_items(job, gate)) if asked.decision == "approve" else None
    saw = {"scenes": scenes, "judged": jsonb(dict(judged)), "digest": digest, "approved": approved}
    job.later(NOTE, about | said | saw)


def _refuse_unless_the_same(job: Turn, gate: Gate, asked: Asked, opened: Mapping[str, Any] | None) -> None:
    """To approve what is approved changes nothing, and is no mistake."""
    last = job.ask(LAST, {"job": job.id, "gate": gate.name})
    same = last and asked.decision == "approve" == last[0][0] and asked.digest in (None, last[0][1], last[0][2])
    if same and gate.key in job.review.approved and not asked.edits:
        return
    told = (last[0][0], last[0][3]) if last else None
    raise GateNotOpen(gate.name, job.status, opened["name"] if opened else None, told)


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
    return [
        {
            "stage": key,
            "scene": job.plan.steps[key].scene,
            "digest": codec.digest(job.seen[key].output),
            "output": job.seen[key].output,
        }
        for key in judged
    ]


def _digest(items: Sequence[Mapping[str, Any]]) -> str:
    return codec.digest({item["stage"]: item["digest"] for item in items})


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
