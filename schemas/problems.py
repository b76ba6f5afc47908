"""What is wrong with a call, place by place (RFC 9457, RFC 6901)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong, at a JSON pointer into the body."""

    pointer: str
    detail: str


class PayloadInvalid(Exception):
    """The body is JSON, and not what the contract says. `code` tells the kinds apart that programs react to."""

    def __init__(self, flaws: Sequence[Flaw], *, code: str = "validation_failed") -> None:
        super().__init__("; ".join(f"{flaw.pointer or 'the body'}: {flaw.detail}" for flaw in flaws))
        self.flaws = tuple(flaws)
        self.code = code


def pointer(place: Iterable[str | int]) -> str:
    """RFC 6901; empty for the whole body."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)


def flaws(messages: Any, place: tuple[str | int, ...] = ()) -> Iterator[Flaw]:
    """marshmallow's nested messages, one by one."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from flaws(inner, place if name == "_schema" else (*place, name))
    elif isinstance(messages, str):
        yield Flaw(pointer(place), messages)
    else:
        for message in messages:
            yield from flaws(message, place)


class FlawSchema(Schema):
    pointer = fields.String(metadata={"description": "Where in the body, as a JSON pointer; empty for the whole."})
    parameter = fields.String(metadata={"description": "Which query parameter, where it is not about the body."})
    detail = fields.String(required=True)


class ProblemSchema(Schema):
    """RFC 9457 problem details. `code` is for programs and stays; `detail` is for people."""

    type = fields.String(required=True, metadata={"format": "uri-reference", "example": "/problems/validation-failed"})
    title = fields.String(required=True, metadata={"example": "The payload is not what the contract says"})
    status = fields.Integer(required=True, metadata={"example": 422})
    detail = fields.String(required=True, metadata={"example": "1 thing is wrong with the payload."})
    code = fields.String(required=True, metadata={"example": "validation_failed"})
    request_id = fields.String(required=True, metadata={"description": "Also in X-Request-Id and in our log."})
    errors = fields.List(
        fields.Nested(FlawSchema),
        metadata={"example": [{"pointer": "/inputs/images/0/url", "detail": "must begin with https://"}]},
    )
