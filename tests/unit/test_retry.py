"""What a retry runs, against its definition: what is named, missing or changed, and all that consumes that."""

from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.graph import Step, par, seq
from pipeline.retry import duration, outlook
from pipeline.routes import GIVEN, ROUTES, STAGES, Plan, plan
from pipeline.state import SATISFIED, StepStatus
from pipeline.wiring import onward

STATUSES = [status.value for status in StepStatus if status is not StepStatus.RUNNING]


@some.composite
def worlds(draw: some.DrawFn) -> tuple[Plan, dict[str, str], set[str], set[str]]:
    """A route grown to its scenes, the statuses of its steps, some to run again, and some whose inputs have changed."""
    made = plan(draw(some.sampled_from(sorted(ROUTES))), draw(some.integers(1, 5)))
    keys = list(made.steps)
    statuses = {key: draw(some.sampled_from(STATUSES)) for key in keys if draw(some.booleans())}
    among = some.sets(some.sampled_from(keys), max_size=3)
    return made, statuses, draw(among), draw(among)


@settings(deadline=None)
@given(worlds())
def test_what_runs_is_what_is_named_missing_or_changed_and_all_that_consumes_it(
    world: tuple[Plan, dict[str, str], set[str], set[str]],
) -> None:
    made, statuses, again, changed = world
    found = outlook(made, statuses, again=again, changed=changed.__contains__)
    seeds = again | changed | {key for key in made.steps if statuses.get(key) not in SATISFIED}
    expected = {key for seed in seeds for key in onward(made.tree, seed, given=made.given)} & made.steps.keys()
    assert set(found.run) == expected
    assert set(found.reuse) == made.steps.keys() - expected
    voided = {gate.key for gate in made.gates.values() if expected & set(made.judged(gate))}
    assert {gate.key for gate in found.voids} == voided


@settings(deadline=None)
@given(some.sampled_from(sorted(ROUTES)), some.integers(2, 5), some.data())
def test_another_scene_is_never_run_again(route: str, scenes: int, data: some.DataObject) -> None:
    made = plan(route, scenes)
    inside = [step for step in made.steps.values() if step.scene is not None]
    if not inside:
        assert GIVEN[route] is not None
        return
    named = data.draw(some.sampled_from(inside))
    done = dict.fromkeys(made.steps, StepStatus.SUCCEEDED.value)
    run = outlook(made, done, again={named.key}, changed=lambda key: False).run
    assert {made.steps[key].scene for key in run} <= {named.scene, None}


def test_the_longest_way_is_what_a_retry_takes() -> None:
    one, two, three = (Step(STAGES[name], 1) for name in ("speech", "background", "lip_sync"))
    tree = seq(par(one, two), three)
    assert duration(tree, {one.key: 2.0, two.key: 5.0, three.key: 1.0}) == 6.0
    assert duration(tree, {three.key: 1.0}) == 1.0
