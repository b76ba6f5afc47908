"""A stage: a plain function whose signature says everything.

What stands before `*` it reads, what stands after it needs, what it returns it makes.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@dataclass(frozen=True, slots=True)
class Read:
    """One input: a value of `type`, all scenes' values (`many`), or None where the route makes none (`optional`)."""

    name: str
    type: type
    optional: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """A named piece of work.

    `version` is part of the input digest: raise it when the meaning of the output changes.
    A `heavy` stage (a minute of rendering or of a vendor) travels in a message of its own.
    `tries` counts every attempt that ended in a retryable error.
    What a `reusable` stage makes is worth keeping and depends on nothing but what it reads: another job may have it.
    """

    name: str
    label: str
    run: Callable[..., Any] = field(repr=False, compare=False)
    reads: tuple[Read, ...]
    needs: Mapping[str, type] = field(hash=False, compare=False)
    makes: type
    limit: timedelta
    version: int
    heavy: bool
    tries: int
    reusable: bool


def stage(
    *,
    label: str,
    limit: timedelta = timedelta(minutes=1),
    version: int = 1,
    heavy: bool = False,
    tries: int = 3,
    reusable: bool = False,
) -> Callable[[Callable[..., Any]], Stage]:
    """Declare a stage. `label` is what people see while it runs."""

    def declare(run: Callable[..., Any]) -> Stage:
        hints = get_type_hints(run)
        parameters = inspect.signature(run).parameters.values()
        return Stage(
            name=run.__name__,
            label=label,
            run=run,
            reads=tuple(_read(p.name, hints[p.name]) for p in parameters if p.kind is not p.KEYWORD_ONLY),
            needs=MappingProxyType({p.name: hints[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY}),
            makes=hints["return"],
            limit=limit,
            version=version,
            heavy=heavy,
            tries=tries,
            reusable=reusable,
        )

    return declare


def _read(name: str, hint: Any) -> Read:
    arguments = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        (kind,) = (argument for argument in arguments if argument is not NoneType)
        return Read(name, kind, optional=True)
    if get_origin(hint) is tuple:
        return Read(name, arguments[0], many=True)
    return Read(name, hint)
