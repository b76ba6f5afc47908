"""The internal contract, derived: stage inputs and outputs as JSON, by their dataclasses' types."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from hashlib import sha256
from typing import Any, TypeVar

import cattrs
import rfc8785

from pipeline.assets import Asset

T = TypeVar("T")

ASSET_FIELDS = frozenset(each.name for each in fields(Asset))

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


def is_asset(data: Mapping[str, Any]) -> bool:
    return data.keys() == ASSET_FIELDS


def assets(data: Any) -> Iterator[Mapping[str, Any]]:
    """Every asset in JSON, as often as it is there."""
    if isinstance(data, dict) and is_asset(data):
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from assets(value)


def renamed(data: Any, ids: Mapping[str, str]) -> Any:
    """The same JSON, its assets by other ids."""
    if isinstance(data, dict):
        if is_asset(data):
            return data | {"id": ids[data["id"]]}
        return {name: renamed(value, ids) for name, value in data.items()}
    return [renamed(value, ids) for value in data] if isinstance(data, list) else data


def _content(data: Any) -> Any:
    if isinstance(data, dict):
        if "sha256" in data and "media_type" in data:
            return {"sha256": data["sha256"]}
        return {key: _content(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_content(value) for value in data]
    return data
