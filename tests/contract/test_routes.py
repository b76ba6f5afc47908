"""Which route a payload takes, and which stages it runs: for every combination of what can be asked."""

from itertools import product
from typing import Any

import pytest

from pipeline.graph import draw
from pipeline.ports import CAPABILITIES, MediaSource
from pipeline.routes import STAGES as KNOWN
from pipeline.routes import plan
from schemas.contracts import understand
from tests.api import payload

FRAMED = "load_identity script storyboard {} stitch enhance publish"
STAGES = {
    "single_scene": FRAMED.format("speech background lip_sync"),
    "multi_scene": FRAMED.format("speech background lip_sync"),
    "pose_based": FRAMED.format("speech background pose lip_sync"),
    "b_roll": FRAMED.format("speech b_roll background pose lip_sync"),
    "approval_gated": FRAMED.format("speech b_roll background pose lip_sync"),
}
DRAWN = {
    "multi_scene": "(scene/1/speech | scene/1/background) > scene/1/lip_sync",
    "pose_based": "(scene/1/speech | scene/1/background | scene/1/pose) > scene/1/lip_sync",
    "b_roll": "(scene/1/speech > scene/1/b_roll | scene/1/background | scene/1/pose) > scene/1/lip_sync",
}


def expected(mode: str, *, poses: bool, b_roll: bool, gates: tuple[str, ...]) -> str:
    if gates:
        return "approval_gated"
    if b_roll:
        return "b_roll"
    return "pose_based" if poses else f"{mode}_scene"


@pytest.mark.parametrize(
    ("mode", "poses", "b_roll", "gates"),
    [*product(("single", "multi"), (False, True), (False, True), ((), ("script",), ("background", "video_asset")))],
)
def test_a_payload_takes_the_route_that_the_contract_says(
    mode: str, poses: bool, b_roll: bool, gates: tuple[str, ...]
) -> None:
    asked: dict[str, Any] = {
        "scenes": {"mode": mode},
        "poses": {"enabled": poses},
        "b_roll": {"enabled": b_roll},
        "review": {"gates": list(gates)},
    }
    understood = understand(payload("output.generate/1", **asked), "outputs")
    assert understood.route == expected(mode, poses=poses, b_roll=b_roll, gates=gates)
    made = plan(understood.route, 2)
    stages = dict.fromkeys(step.stage.name for step in made.steps.values())
    assert sorted(stages) == sorted(STAGES[understood.route].split())
    assert {step.scene for step in made.steps.values()} == {None, 1, 2}


def test_an_output_that_other_jobs_may_have_comes_from_the_inputs_and_one_provider_alone() -> None:
    """What a stage asks of the house besides stays unseen by the digest; an uploaded file never changes."""
    reusable = [stage for stage in KNOWN.values() if stage.reusable]
    assert {stage.name for stage in reusable} == {"speech", "background", "pose", "b_roll", "lip_sync", "stitch"}
    for stage in reusable:
        asked = set(stage.needs.values()) - {MediaSource}
        assert len(asked) == 1
        assert asked <= set(CAPABILITIES.values())


@pytest.mark.parametrize(("route", "scene"), list(DRAWN.items()))
def test_a_scenes_stages_run_side_by_side_where_they_can(route: str, scene: str) -> None:
    assert scene in draw(plan(route, 1).tree)
