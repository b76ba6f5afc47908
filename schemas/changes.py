"""Which inputs of a step are others now than when its output was made."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.routes import Plan
from pipeline.state import SATISFIED, StepStatus
from pipeline.wiring import SNAPSHOT, Origin
from schemas import records as codec

REPLACED = "replaced"
STALE = "stale"  # what made it is out of date itself
MISSING = "missing"  # what made it has to run first
VERSION = "version"  # the stage works otherwise than it did


@dataclass(frozen=True, slots=True)
class Change:
    """One reason why an output is out of date. `source`: where the value of the parameter `input` lies, as a path.

    `was` and `now` are digests; `now` is None while it is not known what will be there.
    """

    input: str | None
    source: str | None
    was: str | None
    now: str | None
    reason: str


def changes(
    made: Plan, key: str, *, then: Mapping[str, Any], now: Mapping[str, Any], statuses: Mapping[str, str]
) -> tuple[Change, ...]:
    """`then`: the outputs of what the step reads as they were for its own output, `now`: as they are."""
    found: list[Change] = []
    for parameter, source in made.origins[key].items():
        every = source if isinstance(source, tuple) else (source,) if source else ()
        for origin in every:
            if origin.step is not SNAPSHOT:
                found += _compared(parameter, origin, origin.step, then, now, statuses.get(origin.step))
    return tuple(found) or (Change(None, made.steps[key].stage.name, None, None, VERSION),)


def _compared(
    parameter: str, origin: Origin, step: str, then: Mapping[str, Any], now: Mapping[str, Any], status: str | None
) -> Iterator[Change]:
    old, new = (_follow(outputs.get(step), origin.path) for outputs in (then, now))
    place = (step, *origin.path)
    if status == StepStatus.STALE or status not in SATISFIED:
        yield Change(parameter, _written(place), _digest(old), None, STALE if status == StepStatus.STALE else MISSING)
    elif _digest(old) != _digest(new):
        inner, old, new = _narrowed(old, new)
        yield Change(parameter, _written((*place, *inner)), _digest(old), _digest(new), REPLACED)


def _narrowed(old: Any, new: Any) -> tuple[tuple[str | int, ...], Any, Any]:
    """As far down as the difference has one place; an asset is one thing."""
    inner: tuple[str | int, ...] = ()
    while len(others := _others(old, new)) == 1:
        (place,) = others
        inner = (*inner, place)
        old, new = (_follow(value, (place,)) for value in (old, new))
    return inner, old, new


def _others(old: Any, new: Any) -> list[str | int]:
    """The members that differ; none where the two are no more than different."""
    places: Iterable[str | int] = ()
    if isinstance(old, dict) and isinstance(new, dict) and "sha256" not in old:
        places = {**old, **new}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        places = range(len(old))
    return [each for each in places if _digest(_follow(old, (each,))) != _digest(_follow(new, (each,)))]


def _follow(data: Any, path: tuple[str | int, ...]) -> Any:
    """None where an older output does not go so far."""
    for part in path:
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _digest(value: Any) -> str | None:
    """Of an asset that of its file, so that it can be compared with what callers have."""
    if value is None:
        return None
    if isinstance(value, dict) and "sha256" in value:
        return str(value["sha256"])
    return codec.digest(value)


def _written(place: tuple[str | int, ...]) -> str:
    return "/".join(map(str, place))
