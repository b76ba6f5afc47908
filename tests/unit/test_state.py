"""How far a job is, and what follows from an error."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import FetchFailed, NoFace
from pipeline.outcome import LONGEST_PAUSE_S, Again, Failed, judge, pause
from pipeline.routes import plan
from pipeline.snapshots import Seed
from pipeline.state import progress


@given(st.integers(1, 12), st.randoms())
def test_progress_rises_from_nothing_to_all_and_never_falls(scenes: int, random) -> None:  # type: ignore[no-untyped-def]
    before, after = plan("multi_scene"), plan("multi_scene", scenes)
    done: set[str] = set()
    figures = [progress(before.route, before.tree, done)]
    for key in ("load_identity", "script"):
        done.add(key)
        figures.append(progress(before.route, before.tree, done))
    rest = [key for key in after.steps if key not in done]
    random.shuffle(rest)
    for key in rest:
        done.add(key)
        figures.append(progress(after.route, after.tree, done))
    assert figures == sorted(figures)
    assert figures[0] == 0.0
    assert figures[-1] == 1.0


def test_what_cannot_succeed_later_is_not_tried_again() -> None:
    assert isinstance(judge(NoFace("no face"), tried=1, tries=3), Failed)


def test_what_may_pass_is_tried_as_often_as_the_stage_allows() -> None:
    assert [type(judge(FetchFailed("busy"), tried=tried, tries=3)) for tried in (1, 2, 3)] == [Again, Again, Failed]


@given(st.integers(1, 60))
def test_pauses_grow_and_have_an_end(tried: int) -> None:
    assert timedelta(seconds=1) <= pause(tried) <= timedelta(seconds=LONGEST_PAUSE_S)


@given(st.integers(0, 2**31 - 1), st.integers(1, 1000))
def test_a_new_variation_has_a_seed_of_its_own(value: int, variation: int) -> None:
    assert Seed(value).varied(0) == Seed(value)
    assert Seed(value).varied(variation) != Seed(value)
