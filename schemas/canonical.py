"""Request bodies: read strictly, and compared by their canonical form (RFC 8785)."""

import json
from collections import Counter
from hashlib import sha256
from typing import Any, NoReturn

import rfc8785

from schemas.problems import Flaw, PayloadInvalid, pointer

DEEPEST = 32
LARGEST_WHOLE = 2**53 - 1  # I-JSON (RFC 7493): above it, readers of other languages round
LONGEST_NUMBER = 400


class NotJson(Exception):
    """The body is not one JSON text; the message says where it breaks."""


def parse(body: bytes) -> Any:
    """The JSON value, which PostgreSQL can store and RFC 8785 can write.

    Raises NotJson where it is no JSON (a name given twice and NaN included), PayloadInvalid where it is JSON that
    cannot be kept: NUL and lone surrogates in strings, whole numbers that lose digits elsewhere.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is not UTF-8: byte {error.start} is not.") from None
    if not text.strip():
        raise NotJson("The body is empty.")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_fraction
        )
    except json.JSONDecodeError as error:
        raise NotJson(f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise NotJson(f"The body is nested deeper than {DEEPEST} levels.") from None
    flaws: list[Flaw] = []
    _judge(value, (), flaws)
    if flaws:
        raise PayloadInvalid(flaws)
    return value


def size(value: Any) -> int:
    """Bytes of the canonical form."""
    return len(rfc8785.dumps(value))


def digest(method: str, path: str, payload: Any) -> str:
    """What an idempotency key stands for: the same call with the same meaning has the same digest."""
    return sha256(f"{method} {path}\n".encode() + rfc8785.dumps(payload)).hexdigest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise NotJson(f"The name {json.dumps(twice[:80])} stands twice in one object.")
    return found


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON number.")


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise NotJson(f"A number has {len(text)} digits.")
    return int(text)


def _fraction(text: str) -> float:
    number = float(text[:LONGEST_NUMBER])
    if len(text) > LONGEST_NUMBER or number in (float("inf"), float("-inf")):
        raise NotJson(f"The number {text[:20]} is out of range.")
    return number


def _judge(value: Any, place: tuple[str | int, ...], flaws: list[Flaw]) -> None:
    if len(place) > DEEPEST:
        raise NotJson(f"The body is nested deeper than {DEEPEST} levels.")
    if isinstance(value, str):
        if reason := _unstorable(value):
            flaws.append(Flaw(pointer(place), reason))
    elif isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        flaws.append(Flaw(pointer(place), f"must lie between -{LARGEST_WHOLE} and {LARGEST_WHOLE}"))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _judge(each, (*place, index), flaws)
    elif isinstance(value, dict):
        for name, each in value.items():
            if reason := _unstorable(name):
                flaws.append(Flaw(pointer(place), f"has a name that {reason}"))
            else:
                _judge(each, (*place, name), flaws)


def _unstorable(text: str) -> str | None:
    if "\0" in text:
        return "contains the character U+0000, which cannot be stored"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "contains half a surrogate pair, which is not a character"
    return None
