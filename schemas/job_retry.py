"""`job.retry/1`: a job goes on from a stage, or has it made anew."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from pipeline.poses import POSES
from pipeline.snapshots import Setting
from pipeline.stage import Stage
from pipeline.stages.storyboard import SHOTS, Line, Shot, Stance
from schemas.output_generate import SCENE_CHARACTERS, SCRIPT_CHARACTERS, StoryboardFields
from schemas.strict import Choice, Flag, Matching, Strict, Text, required

DIGEST = Matching(r"[0-9a-f]{64}", form="a digest as it was told", load_default=None, allow_none=True)
STEP_CHARACTERS = 80
# By what a stage reads of its scene: what may be said anew, and where it stands in the storyboard.
SCENE_WAYS: Mapping[type, tuple[str, tuple[str, str]]] = {
    Line: ("text", ("line", "text")),
    Setting: ("prompt", ("setting", "prompt")),
    Shot: ("shot", ("shot", "size")),
    Stance: ("pose", ("stance", "pose")),
}
EXAMPLE = {
    "contract": "job.retry/1",
    "from_stage": "scene/2/background",
    "mode": "downstream",
    "regenerate": True,
    "overrides": {"prompt": "a quiet library"},
    "reason": "too dark",
    "dry_run": False,
}


class SceneOverrides(Strict):
    text = Text(SCENE_CHARACTERS, lines=True, spoken=True)
    prompt = Text(500)
    shot = Choice(SHOTS)
    pose = Choice(tuple(POSES))


class ScriptOverrides(Strict):
    text = Text(SCRIPT_CHARACTERS, lines=True, spoken=True)


class Overrides(fields.Raw):
    """What the named stage may take is decided once the stage is known."""

    def __init__(self) -> None:
        described = (
            "What is to be different: `text` for `script`; `scenes` for `storyboard`; of a scene `text` for `speech`,"
            " `prompt` for `background`, `pose` for `pose`, `shot` for `lip_sync`."
        )
        metadata = {"type": "object", "description": described, "example": {"prompt": "a quiet library"}}
        super().__init__(load_default=dict, error_messages=required(), metadata=metadata)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        return value


class JobRetry(Strict):
    """`job.retry/1`"""

    contract = Choice(("job.retry/1",), required=True)
    from_stage = Text(
        STEP_CHARACTERS,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "A stage's key. Left out: what has failed, was never run or is stale.",
            "example": "scene/2/background",
        },
    )
    mode = Choice(
        ("downstream", "single"),
        load_default="downstream",
        metadata={"description": "`single`: only this stage runs; what depends on it is stale until a later retry."},
    )
    regenerate = Flag(load_default=False, metadata={"description": "A new variation, instead of the same once more."})
    overrides = Overrides()
    reason = Text(500, lines=True, load_default=None, allow_none=True)
    dry_run = Flag(load_default=False, metadata={"description": "Answer with the plan; nothing changes."})
    digest = Matching(
        r"[0-9a-f]{64}",
        form="the digest of a plan",
        load_default=None,
        allow_none=True,
        metadata={"description": "Of the plan that a dry run told: refused if that is not the plan any more."},
    )

    @validates_schema
    def named(self, data: dict[str, Any], **_: Any) -> None:
        if data["from_stage"] is not None:
            return
        needs = {"mode": data["mode"] == "single", "regenerate": data["regenerate"], "overrides": data["overrides"]}
        if wrong := {name: ["needs `from_stage`"] for name, used in needs.items() if used}:
            raise ValidationError(wrong)


def overrides(stage: Stage, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said anew to this stage. Raises marshmallow.ValidationError, below `overrides`."""
    known = takes(stage)
    wrong: dict[str, Any] = {
        name: [f"is nothing that {stage.name} takes; it takes {', '.join(known) or 'no overrides'}"]
        for name in given.keys() - set(known)
    }
    if wrong:
        raise ValidationError({"overrides": wrong})
    schema: type[Schema] = {"script": ScriptOverrides, "storyboard": StoryboardFields}.get(stage.name, SceneOverrides)
    try:
        loaded: dict[str, Any] = schema().load(dict(given))
    except ValidationError as error:
        raise ValidationError({"overrides": error.messages}) from None
    return loaded


def takes(stage: Stage) -> tuple[str, ...]:
    """The names of what may be said anew to a stage: derived from what it reads."""
    own = {"script": ("text",), "storyboard": ("scenes",)}.get(stage.name)
    return own or tuple(SCENE_WAYS[read.type][0] for read in stage.reads if read.type in SCENE_WAYS)
