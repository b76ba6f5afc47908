"""`output.generate/1`: an avatar says a script in a video."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from pipeline.answers import ANSWERS
from pipeline.frame import Frame
from pipeline.ports import PlannedCutaway
from pipeline.ports import PlannedScene as Planned
from pipeline.poses import POSES, USUAL
from pipeline.routes import GATES
from pipeline.snapshots import (
    AvatarRef,
    BRollWish,
    CaptionStyle,
    Language,
    LowerThird,
    OutputSnapshot,
    PoseWish,
    ReviewWish,
    SceneLimit,
    ScriptRequest,
    Seed,
    Setting,
)
from pipeline.stages.script import Script as Written
from pipeline.stages.storyboard import SHOTS, TRANSITIONS, compose
from schemas import records
from schemas.money import MoneyFields, amount, written
from schemas.strict import (
    Choice,
    Deadline,
    Flag,
    Matching,
    Metadata,
    NotOffered,
    Number,
    Strict,
    Text,
    Whole,
    exactly_one,
    listed,
    nested,
    required,
)

LANES = ("avatar", "marketing")
SCRIPT_CHARACTERS = 20_000
WIDEST = 21 / 9
BRIEF_ONLY = ("duration_s", "tone")
LANGUAGE = "en"
TAG = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"
DURATION_S = 30.0
TONE = "friendly"
MOST_SCENES = 8
MOST_SCENES_EVER = 50
SCENE_CHARACTERS = 2000
ID_CHARACTERS = 40
MOST_APPROVED = MOST_SCENES_EVER * len(ANSWERS)
ANSWERED = re.compile(rf"scene/([1-9][0-9]?)/({'|'.join(ANSWERS)})")
OUTPUT = {
    "width": 1280,
    "height": 720,
    "fps": 25,
    "captions": "burned",
    "background": "a bright office",
    "music": None,
    "label": "AI-generated",
    "lower_third": None,
}
SCENES = {"mode": "multi", "max": MOST_SCENES}

EXAMPLE = {
    "contract": "output.generate/1",
    "lane": "marketing",
    "avatar_id": "avt_01jd3v9k7m5q8r2t4w6x8y0z1a",
    "script": {"text": "Hello. I am a synthetic person, made from one photo. This is what I have to say."},
    "scenes": SCENES,
    "output": OUTPUT,
    "seed": 7,
    "metadata": {"campaign": "c_1"},
}


class Script(Strict):
    """The words to say, or a brief from which they are written."""

    text = Text(SCRIPT_CHARACTERS, lines=True, spoken=True)
    brief = Text(2000, lines=True, spoken=True)
    duration_s = Number(5, 300, metadata={"description": f"Seconds of speech; {DURATION_S:g} if left out."})
    tone = Text(40, metadata={"description": f"`{TONE}` if left out."})
    language = Matching(
        TAG,
        form="a BCP 47 tag such as en or pt-BR",
        load_default=LANGUAGE,
        metadata={"description": "Of the words and the voice. Which are known depends on who speaks here."},
    )

    @validates_schema
    def one_origin(self, data: dict[str, Any], **_: Any) -> None:
        exactly_one(data, ("text", "brief"))
        if "text" in data and (idle := [name for name in BRIEF_ONLY if name in data]):
            raise ValidationError({name: ["belongs to a brief; leave it out with a text"] for name in idle})


class Scenes(Strict):
    mode = Choice(("multi", "single"), load_default="multi")
    max = Whole(1, MOST_SCENES_EVER, load_default=MOST_SCENES, metadata={"description": "For planned scenes."})


class CutawayFields(Strict):
    """From and to are shares of the scene's speech."""

    medium = Text(
        40,
        load_default=None,
        allow_none=True,
        metadata={"description": "One of `b_roll.assets`; null: made from the words."},
    )
    start = Number(0, 1, required=True)
    end = Number(0, 1, required=True)

    @validates_schema
    def forward(self, data: dict[str, Any], **_: Any) -> None:
        if data["end"] <= data["start"]:
            raise ValidationError({"end": ["must be after the start"]})


class PlannedScene(Strict):
    """A scene as the caller wants it."""

    transcript = Text(SCENE_CHARACTERS, lines=True, spoken=True, required=True)
    background = Text(500, metadata={"description": "What is seen behind the avatar; `output.background` if left out."})
    shot = Choice(SHOTS, load_default="medium")
    pose = Choice(tuple(POSES), metadata={"description": "Where poses are on; the next of the sequence if left out."})
    cutaway = nested(CutawayFields, metadata={"description": "Where b-roll is on; the scene has none if left out."})
    transition = Choice(
        TRANSITIONS,
        load_default="cut",
        metadata={"description": "To the next scene: at once, through black, or into its first picture."},
    )


class StoryboardFields(Strict):
    """Scenes that are approved already: no script is written, and nothing is planned."""

    scenes = listed(nested(PlannedScene), 1, MOST_SCENES_EVER, required=True)


class ApprovedAssets(fields.Raw):
    """By step: the asset that stands for what it would make."""

    def __init__(self) -> None:
        described = f"By step, such as `scene/2/background`: your asset, which takes its place ({', '.join(ANSWERS)})."
        example = {"scene/2/background": "ast_01jd3v9k7m5q8r2t4w6x8y0z1a"}
        metadata = {"type": "object", "additionalProperties": {"type": "string"}, "description": described}
        super().__init__(load_default=dict, error_messages=required(), metadata=metadata | {"example": example})

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        if len(value) > MOST_APPROVED:
            raise ValidationError(f"must have at most {MOST_APPROVED} entries")
        if any(len(step) > ID_CHARACTERS for step in value):
            raise ValidationError(f"must have keys such as scene/2/background, of at most {ID_CHARACTERS} characters")
        wrong = {step: [detail] for step, asset in value.items() if (detail := self._flaw(step, asset))}
        if wrong:
            raise ValidationError(wrong)
        return value

    def _flaw(self, step: str, asset: Any) -> str | None:
        if not ANSWERED.fullmatch(step):
            return f"is no step that an asset can stand for; those are scene/<n>/{{{', '.join(ANSWERS)}}}, n from 1"
        return None if isinstance(asset, str) and 0 < len(asset) <= ID_CHARACTERS else "must be the id of an asset"


class BRoll(Strict):
    """Cutaways: other pictures while the voice goes on."""

    enabled = Flag(load_default=False)
    assets = listed(
        Text(40),
        0,
        50,
        load_default=list,
        metadata={
            "description": "Ids of uploaded photos and videos, shown in turn; without any, pictures are made from the"
            " words. Without effect while b-roll is off."
        },
    )
    picture_in_picture = Flag(
        load_default=False, metadata={"description": "The speaker stays in a corner during a cutaway."}
    )


class Poses(Strict):
    """Head, expression and framing, another in each scene."""

    enabled = Flag(load_default=False)
    sequence = listed(
        Choice(tuple(POSES)),
        0,
        50,
        load_default=list,
        metadata={
            "description": f"The scenes take them in turn, from the first again after the last; {', '.join(USUAL)} if"
            " left out. Without effect while poses are off."
        },
    )


class Review(Strict):
    """Where the job waits for a person."""

    gates = listed(
        Choice(GATES),
        0,
        len(GATES),
        load_default=list,
        metadata={"description": "What is put before a person, who decides by `/v1/jobs/{id}/approvals`."},
    )
    expires_in_s = Whole(
        60,
        90 * 86_400,
        load_default=None,
        allow_none=True,
        metadata={"description": "Then a gate is shown as expired. The job goes on waiting: nothing is lost."},
    )


class Title(Strict):
    """The avatar's name, written into the first scene for a few seconds."""

    line = Text(60, allow_none=True, load_default=None, metadata={"description": "Written below the name."})


class Output(Strict):
    width = Whole(320, 1920, even=True, load_default=OUTPUT["width"])
    height = Whole(320, 1920, even=True, load_default=OUTPUT["height"])
    fps = Choice((24, 25, 30), load_default=OUTPUT["fps"])
    captions = Choice(("burned", "sidecar", "none"), load_default=OUTPUT["captions"])
    background = Text(500, load_default=OUTPUT["background"])
    music = NotOffered(None, "music is")
    label = Text(
        40,
        allow_none=True,
        load_default=OUTPUT["label"],
        metadata={"description": "Always in the picture."},
    )
    lower_third = nested(
        Title, allow_none=True, load_default=None, metadata={"description": "null: the name is not written."}
    )

    @validates_schema
    def sensible_shape(self, data: dict[str, Any], **_: Any) -> None:
        ratio = data["width"] / data["height"]
        if not 1 / WIDEST <= ratio <= WIDEST:
            raise ValidationError(f"{data['width']}×{data['height']} is longer than 21:9 one way or the other")


def unplayable(
    scenes: Sequence[Mapping[str, Any]], *, poses: bool, media: Sequence[str] | None
) -> dict[int, dict[str, Any]]:
    """By scene: what the job cannot play, since it was not asked for. `media`: None where b-roll is off."""
    wrong: dict[int, dict[str, Any]] = {}
    for index, scene in enumerate(scenes):
        cutaway = scene.get("cutaway")
        if "pose" in scene and not poses:
            wrong[index] = {"pose": ["needs `poses.enabled`"]}
        if cutaway and media is None:
            wrong[index] = {"cutaway": ["needs `b_roll.enabled`"]}
        elif cutaway and cutaway["medium"] is not None and cutaway["medium"] not in (media or ()):
            wrong[index] = {"cutaway": {"medium": ["is none of `b_roll.assets`"]}}
    return wrong


class OutputGenerate(Strict):
    """`output.generate/1`"""

    contract = Choice(("output.generate/1",), required=True)
    lane = Choice(LANES, load_default="marketing", metadata={"description": "The queue that serves the job."})
    avatar_id = Text(40, required=True)
    voice_id = Text(
        40, allow_none=True, load_default=None, metadata={"description": "Without it, the avatar's own voice."}
    )
    script = nested(Script, metadata={"description": "Can be left out where a storyboard has all the words."})
    scenes = nested(Scenes, load_default=lambda: dict(SCENES))
    b_roll = nested(BRoll, load_default=lambda: BRoll().load({}))
    poses = nested(Poses, load_default=lambda: Poses().load({}))
    storyboard = nested(StoryboardFields, allow_none=True, load_default=None)
    approved_assets = ApprovedAssets()
    review = nested(Review, load_default=lambda: Review().load({}))
    output = nested(Output, load_default=lambda: dict(OUTPUT))
    seed = Whole(0, 2**31 - 1, load_default=0)
    reuse = Flag(
        load_default=True,
        metadata={
            "description": "What an earlier job of yours made from the very same is taken; off: all is made anew."
        },
    )
    deadline_s = Deadline()
    budget = nested(
        MoneyFields,
        allow_none=True,
        load_default=None,
        metadata={"description": "What providers may be paid; a call beyond waits for a decision. null: no limit."},
    )
    metadata = Metadata()

    @validates_schema
    def words_once(self, data: dict[str, Any], **_: Any) -> None:
        """A storyboard has all the words; a script beside it must be the same."""
        script = data.get("script")
        if data.get("storyboard") is None:
            if script is None:
                raise ValidationError({"script": ["is required, unless a storyboard has the words"]})
        elif len(_words(data)) > SCRIPT_CHARACTERS:
            raise ValidationError({"storyboard": [f"has more than {SCRIPT_CHARACTERS} characters to say"]})
        elif script is not None and script.get("text", "").split() != _words(data).split():
            raise ValidationError({"script": ["is not what the storyboard's transcripts say; leave it out"]})

    @validates_schema
    def scenes_that_can_be_played(self, data: dict[str, Any], **_: Any) -> None:
        scenes = (data.get("storyboard") or {"scenes": []})["scenes"]
        media = data["b_roll"]["assets"] if data["b_roll"]["enabled"] else None
        if wrong := unplayable(scenes, poses=data["poses"]["enabled"], media=media):
            raise ValidationError({"storyboard": {"scenes": wrong}})

    @validates_schema
    def scenes_that_are_there(self, data: dict[str, Any], **_: Any) -> None:
        most = MOST_SCENES_EVER if data.get("storyboard") is None else len(data["storyboard"]["scenes"])
        if data["scenes"]["mode"] == "single":
            if data.get("storyboard") is not None and most > 1:
                raise ValidationError(
                    {"storyboard": {"scenes": [f"must have one entry in single mode; it has {most}"]}}
                )
            most = 1
        beyond = {step: [f"there is no scene beyond {most}"] for step in data["approved_assets"] if _scene(step) > most}
        if beyond:
            raise ValidationError({"approved_assets": beyond})


def snapshot(data: dict[str, Any]) -> OutputSnapshot:
    script, output = data.get("script") or {"text": _words(data)}, data["output"]
    return OutputSnapshot(
        avatar=AvatarRef(data["avatar_id"], data["voice_id"]),
        script=ScriptRequest(
            script.get("text"), script.get("brief"), script.get("duration_s", DURATION_S), script.get("tone", TONE)
        ),
        scenes=SceneLimit(1 if data["scenes"]["mode"] == "single" else data["scenes"]["max"]),
        setting=Setting(output["background"]),
        frame=Frame(output["width"], output["height"], output["fps"], output["label"]),
        captions=CaptionStyle(output["captions"]),
        seed=Seed(data["seed"]),
        poses=_poses(data),
        b_roll=_b_roll(data),
        lower_third=_lower_third(data),
        approved=data["approved_assets"],
        given=_given(data),
        review=_review(data),
        reuse=data["reuse"],
        deadline_s=data["deadline_s"],
        budget=written(amount(data["budget"])) if data["budget"] else None,
        language=Language(script.get("language", LANGUAGE)),
    )


def _given(data: dict[str, Any]) -> dict[str, Any]:
    """What a storyboard answers: the stage that plans it, and the one that writes the words."""
    if data["storyboard"] is None:
        return {}
    background = data["output"]["background"]
    scenes = planned(data["storyboard"]["scenes"], background=background, poses=_poses(data))
    board = compose(scenes, _poses(data), _b_roll(data), _lower_third(data))
    return {"script": records.dump(Written(_words(data), "given")), "storyboard": records.dump(board)}


def planned(scenes: Sequence[Mapping[str, Any]], *, background: str, poses: PoseWish | None) -> list[Planned]:
    """A person's scenes, as a planner would have answered them."""
    return [
        Planned(
            each["transcript"],
            each.get("background", background),
            each["shot"],
            pose=each.get("pose", poses.sequence[index % len(poses.sequence)]) if poses else None,
            cutaway=PlannedCutaway(**cutaway) if (cutaway := each.get("cutaway")) else None,
            transition=each["transition"],
        )
        for index, each in enumerate(scenes)
    ]


def _review(data: dict[str, Any]) -> ReviewWish | None:
    asked = data["review"]
    return ReviewWish(tuple(asked["gates"]), asked["expires_in_s"]) if asked["gates"] else None


def _poses(data: dict[str, Any]) -> PoseWish | None:
    return PoseWish(tuple(data["poses"]["sequence"]) or USUAL) if data["poses"]["enabled"] else None


def _b_roll(data: dict[str, Any]) -> BRollWish | None:
    asked = data["b_roll"]
    return BRollWish(tuple(asked["assets"]), asked["picture_in_picture"]) if asked["enabled"] else None


def _lower_third(data: dict[str, Any]) -> LowerThird | None:
    asked = data["output"]["lower_third"]
    return None if asked is None else LowerThird(asked["line"])


def _words(data: dict[str, Any]) -> str:
    return " ".join(scene["transcript"] for scene in data["storyboard"]["scenes"])


def _scene(step: str) -> int:
    return int(step.split("/")[1])


def route(data: dict[str, Any]) -> str:
    if data["review"]["gates"]:
        return "approval_gated"
    if data["b_roll"]["enabled"]:
        return "b_roll"
    if data["poses"]["enabled"]:
        return "pose_based"
    return "single_scene" if data["scenes"]["mode"] == "single" else "multi_scene"
