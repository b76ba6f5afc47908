"""A storyboard by rules: whole sentences, scenes of like length, framings that change."""

from collections.abc import Sequence
from itertools import pairwise

from pipeline.errors import StoryboardInvalid
from pipeline.ports import AssetStore, PlannedScene
from pipeline.sentences import sentences

SHOTS = ("medium", "close", "wide")
FEWEST_WORDS = 3  # a scene shorter than this is over before the eye has settled


class LocalStoryboard:
    """Plans without understanding: it never changes a word."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def plan(self, script: str, *, scenes: int, background: str) -> tuple[PlannedScene, ...]:
        """As many scenes as asked for and as there are sentences. The background is the given one in each: only the
        framing changes. Raises StoryboardInvalid for a script without words."""
        lines = sentences(script)
        if not lines:
            raise StoryboardInvalid("The script has no words: write at least one sentence.")
        count = max(1, min(scenes, len(lines)))
        parts = balanced(lines, count)
        while len(parts) > 1 and any(len(part.split()) < FEWEST_WORDS for part in parts):
            parts = balanced(lines, len(parts) - 1)
        return tuple(PlannedScene(part, background, SHOTS[index % len(SHOTS)]) for index, part in enumerate(parts))


def balanced(lines: Sequence[str], count: int) -> list[str]:
    """The lines in `count` runs whose lengths differ least (by squares), each joined with spaces."""
    reach = [0]
    for line in lines:
        reach.append(reach[-1] + len(line) + 1)
    ideal = reach[-1] / count
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for part in range(1, count + 1):
        best.append({
            stop: min(
                (cost + (reach[stop] - reach[start] - ideal) ** 2, start)
                for start, (cost, _) in best[part - 1].items() if start < stop
            )
            for stop in range(part, len(lines) - count + part + 1)
        })  # fmt: skip
    cuts = [len(lines)]
    for part in range(count, 0, -1):
        cuts.insert(0, best[part][cuts[0]][1])
    return [" ".join(lines[start:stop]) for start, stop in pairwise(cuts)]
