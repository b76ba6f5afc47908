"""What is shown instead of the speaker for a while."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.frame import Frame
from pipeline.ports import CutawayMaker, Insert, MediaSource, Utterance
from pipeline.snapshots import PhotoSource, Seed
from pipeline.stage import minutes, stage
from pipeline.stages.storyboard import Cutaway
from pipeline.timeline import MARK_END

EDGE_S = 0.4  # a scene opens and ends on the speaker
SHORTEST_S = 0.9  # eyes need this long to take in a new picture
LEAD_S, TAIL_S = 0.12, 0.2  # the picture comes a little before the words that it belongs to, and goes after them
SNAP_S = 1.6  # a cut moves this far to fall between two clauses
WORD_S = 0.8  # or else this far, to fall between two words


@dataclass(frozen=True, slots=True)
class BRoll:
    """None: the scene stays with the speaker."""

    insert: Insert | None


@stage(label="Cutting b-roll", limit=minutes(10), heavy=True, reusable=True)
def b_roll(
    cutaway: Cutaway | None, speech: Utterance, frame: Frame, seed: Seed, *, source: MediaSource, maker: CutawayMaker
) -> BRoll:
    """The plan told shares; here they become frames of the speech as it was measured. Too short a scene has no room."""
    span = None if cutaway is None else room(cutaway, speech, frame.fps)
    if cutaway is None or span is None:
        return BRoll(None)
    start, end = span
    medium = None if cutaway.medium is None else source.take(PhotoSource(cutaway.medium, None))
    words = tuple(
        replace(word, start=word.start - start, end=word.end - start)
        for word in speech.words
        if start - 0.001 <= word.start < end - 0.001
    )
    footage = maker.cut(medium, words, seconds=end - start, frame=frame, seed=seed.value)
    typed = medium is None and bool(words)
    return BRoll(Insert(footage, start, cutaway.picture_in_picture, typed))


def room(cutaway: Cutaway, speech: Utterance, fps: int) -> tuple[float, float] | None:
    """From when to when, in seconds on whole frames: with a clause where one is near, or else with a word."""
    words = speech.words
    opening = [after.start for before, after in pairwise(words) if MARK_END.search(before.text)]
    closing = [word.end for word in words if MARK_END.search(word.text)]
    start = _near(cutaway.start * speech.seconds, opening, [word.start for word in words]) - LEAD_S
    end = _near(cutaway.end * speech.seconds, closing, [word.end for word in words]) + TAIL_S
    first = round(max(start, EDGE_S) * fps)
    last = round(min(end, speech.seconds - EDGE_S) * fps)
    return (first / fps, last / fps) if last - first >= SHORTEST_S * fps else None


def _near(moment: float, better: Sequence[float], good: Sequence[float]) -> float:
    """The nearest of the better ones, or of the good ones, or the moment itself."""
    for others, far in ((better, SNAP_S), (good, WORD_S)):
        nearest = min(others, key=lambda other: abs(other - moment), default=moment)
        if others and abs(nearest - moment) <= far:
            return nearest
    return moment
