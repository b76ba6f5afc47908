"""What people say of a job: decisions at its gates, having stages run again; and what it has to say of itself."""

import json
from decimal import Decimal
from typing import Any

from flask import jsonify, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import decisions, estimates, explanation, jobs, retries
from db.budgets import BudgetTooSmall
from db.decisions import GateChanged, GateNotOpen, NotUnderReview
from db.keys import Key
from db.models import Job
from db.retries import NoRetry, NoSuchStage, PlanChanged, Planned
from pipeline.retry import duration
from pipeline.routes import plan
from providers.catalogue import Catalogue
from schemas import canonical
from schemas.contracts import fit
from schemas.explanation import Explanation
from schemas.explanation import explain as explained
from schemas.jobs import JobSchema
from schemas.money import amount
from schemas.problems import Flaw, PayloadInvalid
from schemas.review import DecisionList, ExplanationSchema, PlanSchema
from tasks.quotes import quote
from webapp.api.jobs import owned
from webapp.door import client, door, in_transaction, in_turn
from webapp.edits import approved, overridden
from webapp.errors import NotFound, StateClash
from webapp.intake import body, idempotency_key
from webapp.job import cost, present, present_decision
from webapp.openapi import about_job

blueprint = Blueprint("review", __name__, url_prefix="/v1/jobs", description="Decisions and retries.")


@blueprint.route("/<id:job_id>/approvals", methods=["POST"])
@blueprint.doc(**about_job("approvals"))
@blueprint.response(202, JobSchema, description="Decided; the job goes on, or has ended.")
def decide(job_id: str) -> Any:
    """Decide at an open gate

    `approve` goes on, with `edits` by what they say; `revise` makes another variation and opens the gate again;
    `reject` ends the job as cancelled. At the gate `budget`, `approve` raises the budget: as `edits` say, or by what
    the calls that it names lack. Send `gate.digest` along: what has changed since you looked is not decided.
    """
    key, data = _asked("approvals")
    owner = client().name

    def edits(session: Session) -> dict[str, Any]:
        return approved(session, _kept(session, job_id), data["edits"] or {}, owner)

    asked = decisions.Asked(
        gate=data["gate"],
        decision=data["decision"],
        reviewer=data["reviewer"],
        notes=data["notes"],
        scenes=data["scenes"],
        edits=in_transaction(edits),
        said=data["edits"] or {},
        digest=data["digest"],
        budget=amount(raised) if (raised := (data["edits"] or {}).get("budget")) else None,
    )
    try:
        moved = in_turn(lambda connection: decisions.decide(connection, job_id, asked, client=owner, key=key))
    except GateNotOpen as error:
        raise _closed(error) from None
    except GateChanged as error:
        says = f"What the gate {error.gate} is about has changed since it was looked at. Look again, then decide."
        raise StateClash(says, digest=error.digest, possible=["approvals"]) from None
    except BudgetTooSmall as error:
        raise PayloadInvalid([Flaw("/edits/budget/amount", str(error))]) from None
    except NotUnderReview as error:
        place = "/scenes" if data["scenes"] else "/edits/assets"
        raise PayloadInvalid([Flaw(place, str(error))]) from None
    return _answer(job_id, moved)


@blueprint.route("/<id:job_id>/approvals", methods=["GET"])
@blueprint.response(200, DecisionList)
def story(job_id: str) -> Any:
    """List what people decided, in order

    `in_force`: whether an approval is of what is there now.
    """

    def work(session: Session) -> dict[str, Any]:
        job = owned(session, job_id)
        return {"job_id": job_id, "approvals": [present_decision(job, row) for row in decisions.story(session, job_id)]}

    return in_transaction(work)


@blueprint.route("/<id:job_id>/retries", methods=["POST"])
@blueprint.doc(**about_job("retries"))
@blueprint.response(202, JobSchema, description="Accepted: the job goes on.")
def retry(job_id: str) -> Any:
    """Go on from a stage, or have it made anew

    Without `from_stage`: what has failed, was never run or is stale. What is upstream and what is in other scenes does
    not run again; a stage whose inputs turn out to be the same is reused. With `dry_run` nothing changes.
    """
    key, data = _asked("retries", optional=lambda asked: asked["dry_run"])
    owner = client().name

    def edits(session: Session) -> dict[str, Any]:
        job = _kept(session, job_id)
        if not data["overrides"]:
            return {}
        return overridden(session, job, data["from_stage"], data["overrides"])

    asked = retries.Asked(
        from_stage=data["from_stage"],
        single=data["mode"] == "single",
        regenerate=data["regenerate"],
        edits=in_transaction(edits),
        said=data["overrides"],
        reason=data["reason"],
        digest=data["digest"],
    )
    try:
        if data["dry_run"]:
            found = in_turn(lambda connection: retries.consider(connection, job_id, asked, client=owner))
            if found is None:
                raise NotFound("job", job_id)
            return jsonify(_told(job_id, found))
        return _answer(
            job_id, in_turn(lambda connection: retries.retry(connection, job_id, asked, client=owner, key=key))
        )
    except NoRetry as error:
        raise StateClash(str(error), job_status=error.status) from None
    except NoSuchStage as error:
        raise PayloadInvalid([Flaw("/from_stage", str(error)[:1000])]) from None
    except PlanChanged as error:
        says = "Since that plan was made, the job has changed: look at the new plan."
        raise StateClash(says, plan=_told(job_id, error.planned)) from None


@blueprint.route("/<id:job_id>/explain")
@blueprint.response(200, ExplanationSchema)
def explain(job_id: str) -> Any:
    """Explain why a job is where it is

    What it waits for, what failed, what is out of date and since which change; and what could be done, as calls that
    can be sent as they are.
    """

    def work(session: Session) -> Explanation:
        return explained(explanation.facts(session, owned(session, job_id)))

    return in_transaction(work)


def _kept(session: Session, job_id: str) -> Job:
    """Raises NotFound, StateClash."""
    job = owned(session, job_id)
    if job.deleted_at is not None:
        raise StateClash(
            "The job's avatar or voice was deleted, and with it all that the job was about.", job_status=job.status
        )
    return job


def _asked(call: str, *, optional: Any = None) -> tuple[Key, dict[str, Any]]:
    payload = body()
    if optional is None:
        name = idempotency_key()
        data = fit(payload, call)
    else:
        data = fit(payload, call)
        name = "" if optional(data) else idempotency_key()
    return Key(name, canonical.digest(request.method, request.path, payload)), data


def _answer(job_id: str, moved: bool | None) -> Any:
    if moved is None:
        raise NotFound("job", job_id)
    if moved:
        door().handoff.give(job_id, resumed=True)
    job = in_transaction(lambda session: present(session, [owned(session, job_id)])[0])
    where = {"Location": f"/v1/jobs/{job_id}"}
    return (job, 202, where) if moved else (job, 200, where | {"Idempotent-Replayed": "true"})


def _told(job_id: str, found: Planned) -> dict[str, Any]:
    """The plan, with what it will take: the longest way through it, as if there were workers enough; and all of it.

    What it costs are the adapters' quotes, and where one cannot be had, what it cost before.
    """
    catalogue = Catalogue(door().settings)

    def work(session: Session) -> dict[str, Any]:
        job = session.get_one(Job, job_id)
        rows = [row for row in jobs.steps(session, job_id) if row.step in found.run]
        known = estimates.estimate(session, job, rows, json.dumps(job.request.get("frame")))
        seconds = {step: each.seconds or 0.0 for step, each in known.items()}
        costs = {step: each.cost for step, each in known.items()}
        for step, each in found.readings.items():
            quoted = quote(session, catalogue, job_id, each)
            costs |= {} if quoted is None else {step: quoted}
        way = duration(plan(job.route, job.scenes).tree, seconds)
        return {
            "run": found.run,
            "reuse": found.reuse,
            "voids": found.voids,
            "stale": found.stale,
            "estimate": {
                "seconds": round(way, 1),
                "work_seconds": round(sum(seconds.values()), 1),
                "cost": cost(sum(costs.values(), start=Decimal(0))),
            },
            "digest": found.digest,
        }

    told: dict[str, Any] = PlanSchema().dump(in_transaction(work))
    return told


def _closed(error: GateNotOpen) -> StateClash:
    said = f"The gate {error.gate} is not open: the job is {error.status}"
    said += f" at the gate {error.open}." if error.open else "."
    if error.last is not None:
        who = f" by {error.last[1]}" if error.last[1] else ""
        said += f" It was last decided{who}: {error.last[0]}."
    possible = [f"approvals at {error.open}"] if error.open else []
    return StateClash(said, job_status=error.status, gate=error.open, possible=possible)
