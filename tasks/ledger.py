"""The ledger of one attempt: the port that paid adapters write to, on the database."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from random import uniform
from typing import Any

from db import calls
from db.assets import NewAsset
from db.budgets import OverBudget
from db.calls import Fenced, Holder, NoSlot, Request
from db.claims import Claim
from pipeline.calls import Answered, Call, NotYet, Operation, Ticket
from pipeline.errors import ProviderError
from pipeline.outcome import Error, Wait
from pipeline.review import BUDGET
from schemas import records as codec
from schemas.money import written
from tasks.house import House
from tasks.interrupt import held_off
from tasks.store import StepAssets

SLOT_S = 30.0  # who waits for a slot is woken when one is free; if that is missed, after this


class StepLedger:
    """Writes at once, in transactions of its own: what it says must outlive the step."""

    def __init__(self, house: House, held: Claim, assets: StepAssets) -> None:
        self._house = house
        self._holder = Holder(held.job_id, held.step.key, held.attempt)
        self._assets = assets
        self._kept_before: dict[str, int] = {}

    def open(self, operation: Operation[Any, Any], action: Any) -> Call:
        asked, digest = calls.identity(operation, action)
        request = Request(
            provider=operation.provider,
            operation=operation.name,
            capability=operation.capability,
            repeat=operation.repeat,
            action=asked,
            digest=digest,
            price=operation.quote(action),
            concurrency=self._house.settings.vendor(operation.provider).concurrency,
        )
        try:
            call, made = self._house.database.patiently(lambda session: calls.open(session, self._holder, request))
        except NoSlot:
            raise NotYet(no_slot(operation.provider)) from None
        except OverBudget as over:
            raise NotYet(_over_budget(operation.provider, over)) from None
        except Fenced:
            raise NotYet(_fenced()) from None
        self._assets.made += [_asset(each) for each in made]
        self._kept_before[call.id] = len(self._assets.made)
        return call

    def undisturbed(self) -> AbstractContextManager[None]:
        return held_off()

    def confirm(self, call: Call) -> None:
        try:
            self._house.database.patiently(lambda session: calls.confirm(session, self._holder))
        except Fenced:
            raise NotYet(_fenced()) from None

    def submitted(self, call: Call, ticket: Ticket) -> None:
        self._house.database.patiently(lambda session: calls.submit(session, call.id, ticket))

    def succeeded(self, call: Call, answer: Answered[Any]) -> None:
        brought = [codec.dump(each) for each in self._assets.made[self._kept_before[call.id] :]]
        output = codec.dump(answer.output)
        self._house.database.patiently(
            lambda session: calls.succeed(session, call.id, output, brought, cost=answer.cost)
        )

    def failed(self, call: Call, error: ProviderError) -> None:
        fact = Error(error.code, error.message, error.retryable, error.details)
        self._house.database.patiently(
            lambda session: calls.fail(session, call.id, fact, charged=error.charged, holder=self._holder)
        )

    def uncertain(self, call: Call) -> None:
        self._house.database.patiently(lambda session: calls.doubt(session, call.id))


def no_slot(provider: str) -> Wait:
    pause = timedelta(seconds=SLOT_S * uniform(1.0, 1.5))
    return Wait(pause, f"All places at {provider} are taken.", awaits=f"slot:{provider}")


def _over_budget(provider: str, over: OverBudget) -> Wait:
    sums = {"quote": written(over.quote), "spent": written(over.spent), "budget": written(over.budget)}
    says = f"The next call costs {sums['quote']} USD; of {sums['budget']} USD {sums['spent']} are spent or reserved."
    fact = Error("over_budget", says, retryable=True, details=sums | {"provider": provider})
    return Wait(None, says, awaits=BUDGET, error=fact)


def _fenced() -> Wait:
    return Wait(timedelta(), "The step was taken over, or its job has ended.")


def _asset(data: Mapping[str, Any]) -> NewAsset:
    return codec.load(data, NewAsset)
