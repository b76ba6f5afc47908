"""What a retry runs. The one planner: behind retries, dry runs and the question what is stale."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pipeline.graph import Gate, Node, Par, Seq, Step
from pipeline.routes import Plan
from pipeline.state import SATISFIED


def duration(tree: Node, seconds: Mapping[str, float]) -> float:
    """The longest way through the tree; a step that is not named takes no time."""
    if isinstance(tree, Step):
        return seconds.get(tree.key, 0.0)
    if isinstance(tree, Seq):
        return sum(duration(part, seconds) for part in tree.parts)
    if isinstance(tree, Par):
        return max((duration(part, seconds) for part in tree.parts), default=0.0)
    return 0.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """Steps in the route's order. What is to `run` may turn out unchanged on the way, and is reused then.

    `voids`: the gates about what is to run.
    """

    run: tuple[str, ...]
    reuse: tuple[str, ...]
    voids: tuple[Gate, ...]


def outlook(
    made: Plan, statuses: Mapping[str, str], *, again: Collection[str], changed: Callable[[str], bool]
) -> Outlook:
    """`again` runs whatever it is made from. `changed`: whether a step's inputs are others than its output was made of;
    it is asked only where all of them are there and none is to be made anew."""
    run: list[str] = []
    reuse: list[str] = []
    for key in made.steps:
        due = (
            key in again
            or statuses.get(key) not in SATISFIED
            or not made.predecessors[key].isdisjoint(run)
            or changed(key)
        )
        (run if due else reuse).append(key)
    voids = tuple(gate for gate in made.gates.values() if not set(made.judged(gate)).isdisjoint(run))
    return Outlook(tuple(run), tuple(reuse), voids)
