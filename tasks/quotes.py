"""What a step would pay, asked of its adapter: nothing is done for it, and nothing is sent."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import structlog
from sqlalchemy.orm import Session

from db import calls
from db.retries import Reading
from pipeline.calls import Operation
from pipeline.errors import ProviderMissing
from pipeline.ports import CAPABILITIES
from providers.catalogue import Candidate, Catalogue
from schemas.inputs import load
from tasks.serving import Served

FREE = Decimal(0)

log = structlog.get_logger()


class _Asked(Exception):
    """The step got as far as its first paid call, or to an adapter that costs nothing."""

    def __init__(self, operation: Operation[Any, Any] | None = None, action: Any = None) -> None:
        super().__init__("asked")
        self.operation, self.action = operation, action


class _Closed:
    """A tool that would do work."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"{name} is work")


class _Listener(_Closed):
    """A ledger that hears what is asked."""

    def open(self, operation: Operation[Any, Any], action: Any) -> NoReturn:
        raise _Asked(operation, action)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A candidate that is not made if it is free: it would only work."""

    candidate: Candidate

    @property
    def family(self) -> str:
        return self.candidate.family

    def adapter(self) -> Any:
        if not self.candidate.paid:
            raise _Asked
        return self.candidate.adapter()


def quote(session: Session, catalogue: Catalogue, job_id: str, reading: Reading) -> Decimal | None:
    """What the step's first paid call costs in USD; what was answered already costs nothing.

    None: it cannot be said without work, as where a step needs several adapters and not all are free.
    """
    step = reading.step
    kinds = {kind: name for name, kind in CAPABILITIES.items()}
    needed = {name: kinds[kind] for name, kind in step.stage.needs.items() if kind in kinds}
    offers = {name: _offers(catalogue, capability) for name, capability in needed.items()}
    if not any(_paid(each.candidate) for every in offers.values() for each in every):
        return FREE
    if len(needed) > 1:
        return None
    tools: dict[str, Any] = {name: _Closed() for name in step.stage.needs}
    tools |= {name: Served(needed[name], every, last_try=False) for name, every in offers.items()}
    try:
        step.stage.run(**load(step.stage, reading.inputs), **tools)
    except _Asked as asked:
        return FREE if asked.operation is None else _price(session, job_id, reading, asked.operation, asked.action)
    except Exception as error:  # whatever it is, the step itself will say it better
        log.info("not quoted", job=job_id, step=step.key, error=type(error).__name__)
        return None
    return FREE


def _offers(catalogue: Catalogue, capability: str) -> list[_Offer]:
    closed: Any = _Closed()
    listener: Any = _Listener()
    try:
        return [_Offer(each) for each in catalogue.candidates(capability, closed, listener)]
    except ProviderMissing:
        return []


def _paid(candidate: Candidate) -> bool:
    try:
        return candidate.paid
    except ProviderMissing:
        return False


def _price(session: Session, job_id: str, reading: Reading, operation: Operation[Any, Any], action: Any) -> Decimal:
    _, digest = calls.identity(operation, action)
    key, variation = reading.step.key, reading.variation
    same = {"provider": operation.provider, "digest": digest}
    if reading.exact and calls.answered(session, job_id, key, variation, **same):
        return FREE
    return operation.quote(action)
