"""Assets as answers: what a stage would have made, where the caller brings it."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Footage
from pipeline.stages.background import Background
from pipeline.stages.lip_sync import Clip

PICTURES = ("photo", "background")
MEASURED = {"width", "height", "fps", "frames", "seconds"}


class Unfit(Exception):
    """The asset cannot stand for what the stage makes; the text says why, and what could."""


def answer(stage: str, asset: Asset, facts: Mapping[str, Any], frame: Frame) -> Any:
    """The stage's output, made of the asset and of what was measured on it. Raises Unfit."""
    return ANSWERS[stage](asset, facts, frame)


def _background(asset: Asset, _facts: Mapping[str, Any], _frame: Frame) -> Background:
    if asset.kind not in PICTURES:
        raise Unfit(f"{asset.id} is a {asset.kind}; a background is a picture")
    return Background(asset)


def _clip(asset: Asset, facts: Mapping[str, Any], frame: Frame) -> Clip:
    if asset.kind != "clip":
        raise Unfit(f"{asset.id} is a {asset.kind}; a scene's video is a clip that an earlier job made")
    if not facts.keys() >= MEASURED:
        raise Unfit(f"{asset.id} was never measured; take a clip that an earlier job made")
    shape = (facts["width"], facts["height"], facts["fps"])
    if shape != (frame.width, frame.height, frame.fps):
        raise Unfit(
            f"{asset.id} is {shape[0]}×{shape[1]} at {shape[2]} fps; "
            f"the output is {frame.width}×{frame.height} at {frame.fps}"
        )
    return Clip(Footage(asset, facts["frames"], facts["seconds"]))


ANSWERS: Mapping[str, Callable[[Asset, Mapping[str, Any], Frame], Any]] = {"background": _background, "lip_sync": _clip}
