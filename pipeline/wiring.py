"""What depends on what: the origin of every value a step reads, followed through the signatures.

A step reads a type. Its value comes from the one stage that makes this type (its own scene's first, then the job's),
from the snapshot, or from its scene in the storyboard. Of snapshot and scene the dataclass fields can be read as well,
so that a step depends on no more than it uses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from pipeline.graph import EachScene, Gate, Node, Par, Seq, Step, gates, steps
from pipeline.stage import Read

SNAPSHOT = None


class RouteInvalid(Exception):
    """A route that could not work, found on import."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value lies: the step that made it (None: the snapshot) and the way to it inside that output."""

    step: str | None
    path: tuple[str | int, ...] = ()


Source = Origin | tuple[Origin, ...] | None


def origins(route: Node, wanted: Iterable[Step], *, given: type) -> dict[str, dict[str, Source]]:
    """By step key and parameter: where its value is; all scenes' in order; None for what this route does not make."""
    makers: dict[type, list[Step]] = {}
    for step in steps(route):
        makers.setdefault(step.stage.makes, []).append(step)
    board = scene_source(route)
    return {
        step.key: {read.name: _origin(makers.get(read.type, ()), board, step, read, given) for read in step.stage.reads}
        for step in wanted
    }


def predecessors(sources: Mapping[str, Source]) -> frozenset[str]:
    """The keys of the steps whose outputs are read."""
    found: set[str] = set()
    for source in sources.values():
        every = source if isinstance(source, tuple) else (source,) if source else ()
        found.update(origin.step for origin in every if origin.step is not None)
    return frozenset(found)


def onward(route: Node, key: str, *, given: type) -> frozenset[str]:
    """The step and all that consumes what it made, gates included, however far down."""
    touched = {key}
    names = {key.rpartition("/")[2]}
    sources = origins(route, steps(route), given=given)
    for step in steps(route):
        if predecessors(sources[step.key]) & touched:
            touched.add(step.key)
            names.add(step.stage.name)
    return frozenset(touched | {gate.key for gate in gates(route) if gate.judges.name in names})


def scene_source(route: Node) -> Step | None:
    """The step whose output lists the scenes."""
    return next((step for step in steps(route) if _scene_type(step.stage.makes)), None)


def check(route: Node, *, given: type) -> None:
    """Prove that every stage reads only what is made before it. Raises RouteInvalid."""
    _check(route, set(parts_of(given)), set(), top=True)
    names = [step.stage.name for step in steps(route)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RouteInvalid(f"stands twice in one route: {', '.join(sorted(twice))}")


@cache
def parts_of(kind: type) -> dict[type, tuple[str, ...]]:
    """What can be read of a dataclass: itself and its dataclass fields, with the way to each."""
    found: dict[type, tuple[str, ...]] = {kind: ()}
    hints = get_type_hints(kind)
    for each in fields(kind):
        for candidate in (hints[each.name], *get_args(hints[each.name])):
            if is_dataclass(candidate) and isinstance(candidate, type) and get_origin(hints[each.name]) is not tuple:
                if candidate in found:
                    raise RouteInvalid(f"{kind.__name__} has two parts of the type {candidate.__name__}")
                found[candidate] = (each.name,)
    return found


def _origin(makers: Sequence[Step], board: Step | None, step: Step, read: Read, given: type) -> Source:
    if read.many:
        return tuple(Origin(maker.key) for maker in makers)
    for maker in makers:
        if maker.scene in (step.scene, None):
            return Origin(maker.key)
    if board is not None and step.scene is not None and (scene := _scene_type(board.stage.makes)):
        ways = parts_of(scene)
        if read.type in ways:
            return Origin(board.key, ("scenes", step.scene - 1, *ways[read.type]))
    ways = parts_of(given)
    if read.type in ways:
        return Origin(SNAPSHOT, ways[read.type])
    if read.optional:
        return None
    raise RouteInvalid(f"{step.key} reads {read.type.__name__}, which nothing makes")


def _fans_out(node: Node | None) -> bool:
    return isinstance(node, Par | EachScene)


@cache
def _scene_type(made: type) -> type | None:
    """The type of a storyboard's scenes; None for what is no storyboard."""
    hint: Any = get_type_hints(made).get("scenes") if is_dataclass(made) else None
    return get_args(hint)[0] if get_origin(hint) is tuple else None


def _check(node: Node, one: set[type], many: set[type], *, top: bool) -> None:
    """Walk in the tree's order; `one` can be read as it is, `many` as a tuple over the scenes."""
    if isinstance(node, Step):
        for read in node.stage.reads:
            if not read.optional and read.type not in (many if read.many else one):
                raise RouteInvalid(f"{node.stage.name} reads {read.type.__name__}, which is not made before it")
        if node.stage.makes in one | many:
            raise RouteInvalid(f"{node.stage.name} makes {node.stage.makes.__name__}, which is made before it")
        one.add(node.stage.makes)
    elif isinstance(node, Seq):
        for previous, part in zip((None, *node.parts), node.parts, strict=False):
            if _fans_out(previous) and _fans_out(part):
                raise RouteInvalid("two fan-outs in a row need a step between them, where the first is joined")
            _check(part, one, many, top=top)
    elif isinstance(node, Par):
        made: list[set[type]] = []
        for part in node.parts:
            branch = set(one)
            _check(part, branch, many, top=False)
            made.append(branch - one)
        one.update(*made)
    elif not top:
        raise RouteInvalid("gates and each_scene stand at the top level of a route")
    elif isinstance(node, Gate):
        if node.judges.makes not in one | many:
            raise RouteInvalid(f"gate {node.name} judges {node.judges.name}, which is not before it")
    elif isinstance(node, EachScene):
        scenes = next((scene for made in one if (scene := _scene_type(made))), None)
        if scenes is None:
            raise RouteInvalid("each_scene has no storyboard before it")
        inside = one | many | set(parts_of(scenes))
        before = set(inside)
        _check(node.body, inside, set(), top=False)
        many.update(inside - before)
