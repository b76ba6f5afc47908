"""A storyboard by rules: whole sentences, scenes of like length, framings that change."""

from collections.abc import Sequence
from itertools import pairwise

from pipeline.errors import StoryboardInvalid
from pipeline.ports import AssetStore, PlannedCutaway, PlannedScene
from pipeline.sentences import sentences

SHOTS = ("medium", "close", "wide")
CUTAWAY_WORDS = 10  # a shorter scene has no time to leave the speaker and to come back
CUTAWAY_START, CUTAWAY_END = 0.32, 0.84  # of a scene of one sentence
FADE_SCENES = 3  # from so many scenes on, the last one comes in through black
FEWEST_WORDS = 3  # a scene shorter than this is over before the eye has settled


class LocalStoryboard:
    """Plans without understanding: it never changes a word."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def plan(
        self, script: str, *, scenes: int, background: str, poses: Sequence[str] = (),
        media: Sequence[str] | None = None, flaw: str | None = None,
        notes: str | None = None,
    ) -> tuple[PlannedScene, ...]:  # fmt: skip
        """As many scenes as asked for and as there are sentences. The background is the given one in each: only the
        framing changes, and the pose. Every scene that is long enough cuts away once, after its first sentence, to the
        next medium. Rules follow no notes. Raises StoryboardInvalid for a script without words."""
        lines = sentences(script)
        if not lines:
            raise StoryboardInvalid("The script has no words: write at least one sentence.")
        count = max(1, min(scenes, len(lines)))
        parts = balanced(lines, count)
        while len(parts) > 1 and any(len(part.split()) < FEWEST_WORDS for part in parts):
            parts = balanced(lines, len(parts) - 1)
        cut = _cut(parts, media)
        fades = len(parts) >= FADE_SCENES and bool(poses or media is not None)
        return tuple(
            PlannedScene(
                part, background, SHOTS[index % len(SHOTS)],
                pose=poses[index % len(poses)] if poses else None,
                cutaway=cut.get(index),
                transition="fade" if fades and index == len(parts) - 2 else "cut",
            )
            for index, part in enumerate(parts)
        )  # fmt: skip


def _cut(parts: Sequence[str], media: Sequence[str] | None) -> dict[int, PlannedCutaway]:
    """By scene: its cutaway. At least the longest scene has one."""
    if media is None:
        return {}
    longest = max(range(len(parts)), key=lambda index: len(parts[index]))
    chosen = [index for index, part in enumerate(parts) if len(part.split()) >= CUTAWAY_WORDS or index == longest]
    found: dict[int, PlannedCutaway] = {}
    for turn, index in enumerate(chosen):
        lengths = [len(line) for line in sentences(parts[index])]
        first = lengths[0] / sum(lengths)
        start = first if 0.15 <= first <= 0.5 else CUTAWAY_START
        found[index] = PlannedCutaway(media[turn % len(media)] if media else None, start, CUTAWAY_END)
    return found


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
