"""Routes as data: what the algebra promises, for any route."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pipeline.graph import (
    EMPTY,
    EachScene,
    Gate,
    Node,
    Par,
    Seq,
    Step,
    draw,
    each_scene,
    expand,
    find,
    first,
    gate,
    gates,
    par,
    parts,
    prune,
    segment,
    segment_of,
    seq,
    steps,
)
from pipeline.stage import Stage, stage


@dataclass(frozen=True)
class Nothing:
    pass


def named(name: str) -> Stage:
    def run() -> Nothing:
        return Nothing()

    run.__name__ = name
    return stage(label=name)(run)


A, B, C, D, E = (named(letter) for letter in "abcde")
ROUTE = seq(A, gate("a", judges=A), each_scene(seq(par(B, C), D)), E)

leaves = st.integers(0, 40).map(lambda number: Step(named(f"s{number}")))
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=1, max_size=4).flatmap(
        lambda found: st.sampled_from([seq(*found), par(*found)])
    ),
    max_leaves=20,
)


def keys(node: Node) -> set[str]:
    return {step.key for step in steps(node)}


def test_a_route_is_drawn_in_one_line() -> None:
    assert draw(ROUTE) == "a > <a?> > each scene [(b | c) > d] > e"
    assert draw(expand(ROUTE, 2)) == (
        "a > <a?> > ((scene/1/b | scene/1/c) > scene/1/d | (scene/2/b | scene/2/c) > scene/2/d) > e"
    )


def test_one_scene_needs_no_fan_out() -> None:
    assert draw(expand(each_scene(seq(B, D)), 1)) == "scene/1/b > scene/1/d"


def test_a_segment_ends_at_a_gate_and_at_scenes_that_are_not_known() -> None:
    assert draw(segment(ROUTE)) == "a"
    assert segment(prune(ROUTE, {"a"})) == EMPTY
    assert segment(prune(ROUTE, {"a", "approve_a"})) == EMPTY
    known = expand(prune(ROUTE, {"a", "approve_a"}), 1)
    assert draw(segment(known)) == "(scene/1/b | scene/1/c) > scene/1/d > e"


def test_of_two_fan_outs_in_a_row_each_is_a_segment_of_its_own() -> None:
    whole = expand(seq(A, each_scene(B), each_scene(seq(C, D)), E), 2)
    assert draw(segment(whole)) == draw(segment_of(whole, "scene/2/b")) == "a > (scene/1/b | scene/2/b)"
    rest = "(scene/1/c > scene/1/d | scene/2/c > scene/2/d) > e"
    assert draw(segment_of(whole, "scene/1/d")) == rest
    assert segment_of(ROUTE, "nowhere") == EMPTY


def test_a_route_begins_with_what_nothing_stands_before() -> None:
    assert [step.key for step in first(expand(ROUTE, 2))] == ["a"]
    assert [step.key for step in first(prune(expand(ROUTE, 2), {"a", "approve_a", "scene/1/b"}))] == [
        "scene/1/c", "scene/2/b", "scene/2/c"
    ]  # fmt: skip


def test_gates_are_found_in_order() -> None:
    assert [each.key for each in gates(ROUTE)] == ["approve_a"]


def test_a_step_is_found_by_its_key() -> None:
    assert find(expand(ROUTE, 3), "scene/2/d") == Step(D, 2)


@given(trees, st.data())
def test_pruning_leaves_exactly_what_is_not_done(tree: Node, data: st.DataObject) -> None:
    done = data.draw(st.sets(st.sampled_from(sorted(keys(tree)))))
    assert keys(prune(tree, done)) == keys(tree) - done


@given(trees, st.data())
def test_pruning_in_two_goes_is_pruning_at_once(tree: Node, data: st.DataObject) -> None:
    choices = st.sets(st.sampled_from(sorted(keys(tree))))
    first, second = data.draw(choices), data.draw(choices)
    assert prune(prune(tree, first), second) == prune(tree, first | second)


@given(trees)
def test_what_is_all_done_is_empty(tree: Node) -> None:
    assert prune(tree, keys(tree)) == EMPTY


@given(trees, st.integers(1, 5))
def test_every_scene_gets_every_step_of_the_body(tree: Node, scenes: int) -> None:
    grown = expand(each_scene(tree), scenes)
    names = {step.stage.name for step in steps(tree)}
    assert keys(grown) == {f"scene/{scene}/{name}" for scene in range(1, scenes + 1) for name in names}


@given(trees)
def test_trees_stay_flat(tree: Node) -> None:
    """A series in a series, or a branch in a branch, would only make messages larger."""

    def flat(node: Node) -> bool:
        if isinstance(node, Seq | Par):
            return all(type(part) is not type(node) and flat(part) for part in node.parts) and len(node.parts) > 1
        return not isinstance(node, EachScene | Gate) or bool(parts(node))

    assert flat(tree)
