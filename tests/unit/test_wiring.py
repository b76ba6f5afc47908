"""What depends on what, read from signatures."""

from dataclasses import dataclass

import pytest

from pipeline.graph import Node, draw, each_scene, expand, find, gate, par, seq
from pipeline.routes import GIVEN, ROUTES, STAGES, plan
from pipeline.stage import Stage, stage
from pipeline.wiring import Origin, RouteInvalid, Source, check, onward, origins, predecessors


@dataclass(frozen=True)
class Wish:
    text: str


@dataclass(frozen=True)
class Asked:
    wish: Wish


@dataclass(frozen=True)
class Line:
    text: str


@dataclass(frozen=True)
class Scene:
    line: Line


@dataclass(frozen=True)
class Board:
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class Sound:
    text: str


@dataclass(frozen=True)
class Picture:
    text: str


@dataclass(frozen=True)
class Pose:
    text: str


@dataclass(frozen=True)
class Film:
    text: str


@dataclass(frozen=True)
class Whole:
    text: str


@stage(label="Planning")
def board(wish: Wish) -> Board:
    return Board((Scene(Line(wish.text)),))


@stage(label="Speaking")
def sound(line: Line) -> Sound:
    return Sound(line.text)


@stage(label="Painting")
def picture(wish: Wish) -> Picture:
    return Picture(wish.text)


@stage(label="Filming")
def film(heard: Sound, seen: Picture, pose: Pose | None) -> Film:
    return Film(heard.text + seen.text + (pose.text if pose else ""))


@stage(label="Joining")
def whole(films: tuple[Film, ...]) -> Whole:
    return Whole("".join(each.text for each in films))


ROUTE = seq(board, gate("board", judges=board), each_scene(seq(par(sound, picture), film)), whole)
TWO = expand(ROUTE, 2)


def of(key: str) -> dict[str, Source]:
    return origins(TWO, [find(TWO, key)], given=Asked)[key]


def test_values_come_from_the_own_scene_the_job_and_the_snapshot() -> None:
    assert of("scene/2/sound") == {"line": Origin("board", ("scenes", 1, "line"))}
    assert of("scene/2/picture") == {"wish": Origin(None, ("wish",))}
    assert of("scene/2/film") == {
        "heard": Origin("scene/2/sound"),
        "seen": Origin("scene/2/picture"),
        "pose": None,
    }


def test_after_the_scenes_all_of_them_are_read_in_order() -> None:
    found = of("whole")
    assert found == {"films": (Origin("scene/1/film"), Origin("scene/2/film"))}


def test_a_step_depends_on_nothing_that_only_stands_before_it() -> None:
    assert predecessors(of("scene/1/picture")) == frozenset()


def test_onward_follows_values_and_not_positions() -> None:
    assert onward(TWO, "scene/2/picture", given=Asked) == {"scene/2/picture", "scene/2/film", "whole"}
    assert "approve_board" in onward(TWO, "board", given=Asked)


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (seq(film), "film reads Sound"),
        (seq(board, par(each_scene(sound), picture)), "top level"),
        (seq(board, board), "made before it"),
        (seq(board, par(sound, gate("board", judges=board))), "Line|top level"),
        (seq(gate("board", judges=board), board), "not before it"),
        (seq(each_scene(picture)), "no storyboard"),
        (seq(board, each_scene(sound), each_scene(picture)), "two fan-outs in a row"),
        (seq(board, each_scene(seq(film, sound))), "film reads Sound"),
        (seq(board, each_scene(par(sound, seq(picture, film)))), "film reads Sound"),
    ],
)
def test_a_route_that_could_not_work_is_found_on_import(route: Node, reason: str) -> None:
    with pytest.raises(RouteInvalid, match=reason):
        check(route, given=Asked)


def test_every_stage_of_every_route_has_its_values() -> None:
    for name in ROUTES:
        made = plan(name, 3)
        assert set(made.origins) == set(made.steps)
        for key, sources in made.origins.items():
            assert set(sources) == {read.name for read in made.steps[key].stage.reads}
        assert GIVEN[name]


@pytest.mark.parametrize("route", ["multi_scene", "pose_based", "b_roll"])
def test_a_scene_never_waits_for_another_scene(route: str) -> None:
    made = plan(route, 3)
    for key in made.steps:
        if key.startswith("scene/2/"):
            assert not any(other.startswith(("scene/1/", "scene/3/")) for other in made.predecessors[key])


def test_a_new_background_in_scene_two_touches_no_other_scene() -> None:
    made = plan("multi_scene", 3)
    assert onward(made.tree, "scene/2/background", given=made.given) == {
        "scene/2/background",
        "scene/2/lip_sync",
        "stitch",
        "enhance",
        "publish",
    }


@pytest.mark.parametrize(
    ("route", "body", "read"),
    [
        ("single_scene", "[(speech | background) > lip_sync]", set()),
        ("multi_scene", "[(speech | background) > lip_sync]", set()),
        ("pose_based", "[(speech | background | pose) > lip_sync]", {"pose"}),
        ("b_roll", "[(speech > b_roll | background | pose) > lip_sync]", {"pose", "b_roll"}),
    ],
)
def test_what_each_route_makes_of_a_scene(route: str, body: str, read: set[str]) -> None:
    ends = "load_identity > script > storyboard > each scene {} > stitch > enhance > publish"
    assert draw(ROUTES[route]) == ends.format(body)
    sources = plan(route, 2).origins["scene/2/lip_sync"]
    assert {name for name in ("pose", "b_roll") if sources[name] is not None} == read


def test_what_a_stage_is_called_is_what_the_contract_calls_it() -> None:
    avatar = "validate_images neutral_image character_sheet persist_identity"
    voice = "validate_voice clone_voice persist_voice"
    output = "load_identity script storyboard speech background pose b_roll lip_sync stitch enhance publish"
    contract = set(f"{avatar} {voice} {output}".split())
    assert set(STAGES) == contract
    assert all(isinstance(each, Stage) and each.label for each in STAGES.values())
