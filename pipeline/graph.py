"""Routes as data: `seq`, `par`, `each_scene` and `gate`, and what can be asked of them.

A route is a tree. It says *when*; the stages' signatures say *what depends on what* (pipeline/wiring.py).
Gates and `each_scene` stand only at the top level, so one canvas at a time is in force for a job.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from pipeline.stage import Stage


@dataclass(frozen=True, slots=True)
class Step:
    """A stage bound to its place in a job: `script`, `scene/2/lip_sync`."""

    stage: Stage
    scene: int | None = None

    @property
    def key(self) -> str:
        return self.stage.name if self.scene is None else f"scene/{self.scene}/{self.stage.name}"


@dataclass(frozen=True, slots=True)
class Gate:
    """A place where a person decides about what the `judges` stage made."""

    name: str
    judges: Stage

    @property
    def key(self) -> str:
        return f"approve_{self.name}"


@dataclass(frozen=True, slots=True)
class Seq:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Par:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class EachScene:
    """The body, once for every scene of the storyboard; how many is known only at run time."""

    body: "Node"


Node: TypeAlias = Step | Gate | Seq | Par | EachScene
EMPTY = Seq(())


def seq(*parts: Stage | Node) -> Node:
    """One after the other."""
    flat: list[Node] = []
    for part in map(_node, parts):
        flat.extend(part.parts if isinstance(part, Seq) else [part])
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def par(*parts: Stage | Node) -> Node:
    """Side by side; what follows waits for all."""
    flat: list[Node] = []
    for part in map(_node, parts):
        flat.extend(part.parts if isinstance(part, Par) else [] if part == EMPTY else [part])
    return EMPTY if not flat else flat[0] if len(flat) == 1 else Par(tuple(flat))


def each_scene(body: Stage | Node) -> Node:
    return EachScene(_node(body))


def gate(name: str, *, judges: Stage) -> Node:
    return Gate(name, judges)


def expand(route: Node, scenes: int | None) -> Node:
    """Each `each_scene` becomes `par` over the scenes, once their number is known."""
    if scenes is None:
        return route
    if isinstance(route, EachScene):
        return par(*(_bind(route.body, scene) for scene in range(1, scenes + 1)))
    if isinstance(route, Seq):
        return seq(*(expand(part, scenes) for part in route.parts))
    return route


def prune(route: Node, done: Collection[str]) -> Node:
    """What is left when the steps and gates with these keys are done."""
    if isinstance(route, Step | Gate):
        return EMPTY if route.key in done else route
    if isinstance(route, Seq):
        return seq(*(prune(part, done) for part in route.parts))
    if isinstance(route, Par):
        return par(*(prune(part, done) for part in route.parts))
    return route


def segment(route: Node) -> Node:
    """The longest part that can run now: it ends at a gate, at scenes that are not known yet, or between two fan-outs.

    Two fan-outs come together where the gate between them is passed; nothing would join the first one.
    """
    return next(_segments(route))


def segment_of(route: Node, key: str) -> Node:
    """The segment that has this step; EMPTY where none has it."""
    return next((each for each in _segments(route) if key in {step.key for step in steps(each)}), EMPTY)


def without(route: Node, busy: Collection[str]) -> Node:
    """What of this could begin now while these steps are busy, with all that follows it; what follows only them waits.

    After steps side by side stands what joins them, even if some of them are busy: the join asks for all.
    """
    if isinstance(route, Step):
        return EMPTY if route.key in busy else route
    if isinstance(route, Par):
        return par(*(without(part, busy) for part in route.parts))
    if isinstance(route, Seq) and route.parts:
        first, *rest = route.parts
        begun = without(first, busy)
        return EMPTY if begun == EMPTY else seq(begun, *rest)
    return route


def first(route: Node) -> Iterator[Step]:
    """The steps with which it begins."""
    if isinstance(route, Step):
        yield route
    elif isinstance(route, Par):
        for part in route.parts:
            yield from first(part)
    elif isinstance(route, Seq) and route.parts:
        yield from first(route.parts[0])


def parts(route: Node) -> tuple[Node, ...]:
    """The top level of a route, in order."""
    return route.parts if isinstance(route, Seq) else (route,)


def steps(route: Node) -> Iterator[Step]:
    """Every step, in the tree's order; those of an unexpanded `each_scene` have no scene yet."""
    if isinstance(route, Step):
        yield route
    elif isinstance(route, EachScene):
        yield from steps(route.body)
    elif isinstance(route, Seq | Par):
        for part in route.parts:
            yield from steps(part)


def gates(route: Node) -> Iterator[Gate]:
    return (part for part in parts(route) if isinstance(part, Gate))


def find(route: Node, key: str) -> Step:
    """The step with this key. Raises KeyError."""
    for step in steps(route):
        if step.key == key:
            return step
    raise KeyError(key)


def draw(route: Node) -> str:
    """One line: `script > (speech | background) > lip_sync`."""
    if isinstance(route, Step):
        return route.key
    if isinstance(route, Gate):
        return f"<{route.name}?>"
    if isinstance(route, EachScene):
        return f"each scene [{draw(route.body)}]"
    if isinstance(route, Par):
        return "(" + " | ".join(map(draw, route.parts)) + ")"
    return " > ".join(map(draw, route.parts))


def _segments(route: Node) -> Iterator[Node]:
    ready: list[Node] = []
    for part in parts(route):
        if isinstance(part, Gate | EachScene):
            yield seq(*ready)
            ready = []
            continue
        if ready and isinstance(ready[-1], Par) and isinstance(part, Par):
            yield seq(*ready)
            ready = []
        ready.append(part)
    yield seq(*ready)


def _node(part: Stage | Node) -> Node:
    return Step(part) if isinstance(part, Stage) else part


def _bind(body: Node, scene: int) -> Node:
    if isinstance(body, Step):
        return replace(body, scene=scene)
    join: Callable[..., Node] = seq if isinstance(body, Seq) else par
    return join(*(_bind(part, scene) for part in body.parts)) if isinstance(body, Seq | Par) else body
