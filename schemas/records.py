"""The internal contract, derived: stage inputs and outputs as JSON, by their dataclasses' types."""

from hashlib import sha256
from typing import Any, TypeVar

import cattrs
import rfc8785

T = TypeVar("T")

_converter = cattrs.Converter(forbid_extra_keys=True)


def dump(value: Any) -> Any:
    """Plain JSON of a dataclass."""
    return _converter.unstructure(value)


def load(data: Any, kind: type[T]) -> T:
    """Raises cattrs.BaseValidationError where the data is not of this type."""
    return _converter.structure(data, kind)


def digest(data: Any) -> str:
    """The digest of JSON by its meaning: key order does not count, and of an asset only its content does."""
    return sha256(rfc8785.dumps(_content(data))).hexdigest()


def _content(data: Any) -> Any:
    if isinstance(data, dict):
        if "sha256" in data and "media_type" in data:
            return {"sha256": data["sha256"]}
        return {key: _content(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_content(value) for value in data]
    return data
