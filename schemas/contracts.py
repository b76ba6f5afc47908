"""The contracts we know, by name and version: a payload becomes a snapshot, or a list of what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from pipeline.snapshots import Snapshot
from schemas import avatar_create, job_approve, job_retry, output_generate, voice_clone
from schemas.job_approve import JobApprove
from schemas.job_retry import JobRetry
from schemas.problems import Flaw, PayloadInvalid, flaws
from schemas.strict import Strict


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of one payload. `call` is the collection that it is posted to."""

    name: str
    call: str
    kind: str
    schema: type[Strict]
    snapshot: Callable[[dict[str, Any]], Snapshot]
    route: Callable[[dict[str, Any]], str]
    example: Mapping[str, Any]


CONTRACTS = {
    contract.name: contract
    for contract in (
        Contract(
            "avatar.create/1",
            "avatars",
            "avatar",
            avatar_create.AvatarCreate,
            avatar_create.snapshot,
            avatar_create.route,
            avatar_create.EXAMPLE,
        ),
        Contract(
            "voice.clone/1",
            "voices",
            "voice",
            voice_clone.VoiceClone,
            voice_clone.snapshot,
            voice_clone.route,
            voice_clone.EXAMPLE,
        ),
        Contract(
            "output.generate/1",
            "outputs",
            "output",
            output_generate.OutputGenerate,
            output_generate.snapshot,
            output_generate.route,
            output_generate.EXAMPLE,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Understood:
    """A payload that can become a job. `request` holds what was asked, every default filled in."""

    contract: str
    kind: str
    route: str
    lane: str
    request: Snapshot


JOB_CONTRACTS: Mapping[str, tuple[str, type[Strict], Mapping[str, Any]]] = {
    "job.retry/1": ("retries", JobRetry, job_retry.EXAMPLE),
    "job.approve/1": ("approvals", JobApprove, job_approve.EXAMPLE),
}


def fit(payload: Any, call: str) -> dict[str, Any]:
    """A payload posted to a job's `call` (`retries`, `approvals`), every default filled in. Raises PayloadInvalid."""
    known = [name for name, (where, _, _) in JOB_CONTRACTS.items() if where == call]
    _, schema, _ = JOB_CONTRACTS[_name(payload, known)]
    try:
        data: dict[str, Any] = schema().load(payload)
    except ValidationError as error:
        raise PayloadInvalid(list(flaws(error.messages))) from None
    return data


def understand(payload: Any, call: str) -> Understood:
    """What a payload posted to `call` (`avatars`, `voices`, `outputs`) asks for. Raises PayloadInvalid."""
    contract = _contract(payload, call)
    try:
        data: dict[str, Any] = contract.schema().load(payload)
    except ValidationError as error:
        code = "consent_missing" if _lacks_consent(contract, payload) else "validation_failed"
        raise PayloadInvalid(list(flaws(error.messages)), code=code) from None
    return Understood(contract.name, contract.kind, contract.route(data), data["lane"], contract.snapshot(data))


def _contract(payload: Any, call: str) -> Contract:
    return CONTRACTS[_name(payload, [contract.name for contract in CONTRACTS.values() if contract.call == call])]


def _name(payload: Any, known: Sequence[str]) -> str:
    """Of its contract."""
    if not isinstance(payload, dict):
        raise PayloadInvalid([Flaw("", "must be an object")])
    name = payload.get("contract")
    if "contract" not in payload or not isinstance(name, str):
        raise PayloadInvalid([Flaw("/contract", f"is required; known here: {', '.join(known)}")])
    if name not in known:
        detail = f"{name[:80]} is not known here; known: {', '.join(known)}"
        raise PayloadInvalid([Flaw("/contract", detail)], code="unknown_contract")
    return name


def _lacks_consent(contract: Contract, payload: Mapping[str, Any]) -> bool:
    return "consent" in contract.schema().fields and payload.get("consent") is None
