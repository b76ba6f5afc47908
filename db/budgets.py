"""What a job may cost: looked at before each paid call, in the transaction that reserves its price."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import gates
from db.models import Job, ProviderCall
from db.turns import Turn
from pipeline.review import BUDGET, Review
from schemas.money import written

PLACES = Decimal("0.0001")  # as prices are kept
SPENT = "SELECT COALESCE(sum(settled + reserved), 0) FROM provider_calls WHERE job_id = %(job)s"
SHORT = """
    SELECT step, scene, error -> 'details' FROM records
    WHERE job_id = %(job)s AND status = 'waiting' AND awaits = %(budget)s ORDER BY place, scene
"""
HURRY = "UPDATE records SET wake_at = now(), awaits = NULL WHERE job_id = %(job)s AND step = ANY(%(steps)s)"


class OverBudget(Exception):
    """The call would cost more than is left."""

    def __init__(self, quote: Decimal, spent: Decimal, budget: Decimal) -> None:
        super().__init__(f"the call costs {quote}, {spent} of {budget} USD are spent or reserved")
        self.quote, self.spent, self.budget = quote, spent, budget


class BudgetTooSmall(Exception):
    """With this budget the job could not go on."""

    def __init__(self, least: Decimal) -> None:
        super().__init__(f"must be at least {written(least)}: what is spent, and what the next call costs")


def hold(session: Session, job_id: str) -> Decimal | None:
    """What the job may cost, and its row locked: so the second of two calls at once sees what the first reserved.

    None: it has no budget, and is not locked.
    """
    asked = Job.request["budget"].astext
    held = select(asked, Job.review).where(Job.id == job_id, asked.is_not(None)).with_for_update()
    row = session.execute(held).first()
    return None if row is None else Review.of({"budget": row[0]}, row[1]).budget


def check(session: Session, job_id: str, budget: Decimal | None, price: Decimal) -> None:
    """Raises OverBudget where the price cannot be reserved."""
    if budget is None:
        return
    sums = select(func.coalesce(func.sum(ProviderCall.settled + ProviderCall.reserved), 0))
    spent = session.scalar(sums.where(ProviderCall.job_id == job_id)) or Decimal(0)
    quote = price.quantize(PLACES, ROUND_HALF_UP)
    if spent + quote > budget:
        raise OverBudget(quote, spent, budget)


def ask(job: Turn, busy: Collection[str]) -> bool:
    """Where all busy steps wait for money, a person is asked; whether he is.

    What others have not spent after all may be enough by now: then those for whom it is go on.
    """
    budget = job.review.budget
    if budget is None:
        return False
    short = job.ask(SHORT, {"job": job.id, "budget": BUDGET})
    if not short or not {step for step, *_ in short}.issuperset(busy):
        return False
    spent = left = _spent(job)
    fits = []
    for step, _, details in short:
        if left + (quote := Decimal(details["quote"])) <= budget:
            left += quote
            fits.append(step)
    if fits:
        job.later(HURRY, {"job": job.id, "steps": fits})
        return False
    sums = {"spent": written(spent), "budget": written(budget)}
    items = [
        gates.item(step, scene, {"quote": details["quote"], **sums, "provider": details["provider"]})
        for step, scene, details in short
    ]
    gates.open(job, BUDGET, items[0]["stage"], items)
    return True


def grant(job: Turn, opened: Mapping[str, Any], amount: Decimal | None) -> None:
    """The job may cost so much; None: as much as the calls that it asked for. Raises BudgetTooSmall."""
    spent = _spent(job)
    quotes = [Decimal(item["output"]["quote"]) for item in opened["items"]]
    if amount is None:
        amount = max(job.review.budget or Decimal(0), spent + sum(quotes))
    elif amount < (least := spent + min(quotes)):
        raise BudgetTooSmall(least)
    job.review = replace(job.review, budget=amount)


def _spent(job: Turn) -> Decimal:
    ((spent,),) = job.ask(SPENT, {"job": job.id})
    return Decimal(spent)
