"""`output.generate/1`: an avatar says a script in a video."""

from typing import Any

from marshmallow import ValidationError, validates_schema

from pipeline.frame import Frame
from pipeline.snapshots import AvatarRef, CaptionStyle, OutputSnapshot, SceneLimit, ScriptRequest, Seed, Setting
from schemas.strict import Choice, Metadata, NotOffered, Number, Strict, Text, Whole, exactly_one, listed, nested

LANES = ("avatar", "marketing")
SCRIPT_CHARACTERS = 20_000
WIDEST = 21 / 9
BRIEF_ONLY = ("duration_s", "tone")
DURATION_S = 30.0
TONE = "friendly"
MOST_SCENES = 8
OUTPUT = {
    "width": 1280,
    "height": 720,
    "fps": 25,
    "captions": "burned",
    "background": "a bright office",
    "music": None,
    "label": "AI-generated",
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

    @validates_schema
    def one_origin(self, data: dict[str, Any], **_: Any) -> None:
        exactly_one(data, ("text", "brief"))
        if "text" in data and (idle := [name for name in BRIEF_ONLY if name in data]):
            raise ValidationError({name: ["belongs to a brief; leave it out with a text"] for name in idle})


class Scenes(Strict):
    mode = Choice(("multi", "single"), load_default="multi")
    max = Whole(1, 50, load_default=MOST_SCENES, metadata={"description": "`single` is one scene in any case."})


class BRoll(Strict):
    enabled = NotOffered(False, "b-roll is")
    assets = NotOffered([], "b-roll is")


class Poses(Strict):
    enabled = NotOffered(False, "poses are")
    sequence = listed(
        Text(40), 0, 50, load_default=list, metadata={"description": "Without effect while they are off."}
    )


class Review(Strict):
    gates = NotOffered([], "approval gates are")


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

    @validates_schema
    def sensible_shape(self, data: dict[str, Any], **_: Any) -> None:
        ratio = data["width"] / data["height"]
        if not 1 / WIDEST <= ratio <= WIDEST:
            raise ValidationError(f"{data['width']}×{data['height']} is longer than 21:9 one way or the other")


class OutputGenerate(Strict):
    """`output.generate/1`"""

    contract = Choice(("output.generate/1",), required=True)
    lane = Choice(LANES, load_default="marketing", metadata={"description": "The queue that serves the job."})
    avatar_id = Text(40, required=True)
    voice_id = NotOffered(None, "cloned voices are")
    script = nested(Script, required=True)
    scenes = nested(Scenes, load_default=lambda: dict(SCENES))
    b_roll = nested(BRoll, load_default=dict)
    poses = nested(Poses, load_default=dict)
    storyboard = NotOffered(None, "given storyboards are")
    approved_assets = NotOffered({}, "approved assets are")
    review = nested(Review, load_default=dict)
    output = nested(Output, load_default=lambda: dict(OUTPUT))
    seed = Whole(0, 2**31 - 1, load_default=0)
    metadata = Metadata()


def snapshot(data: dict[str, Any]) -> OutputSnapshot:
    script, output = data["script"], data["output"]
    return OutputSnapshot(
        avatar=AvatarRef(data["avatar_id"]),
        script=ScriptRequest(
            script.get("text"), script.get("brief"), script.get("duration_s", DURATION_S), script.get("tone", TONE)
        ),
        scenes=SceneLimit(1 if data["scenes"]["mode"] == "single" else data["scenes"]["max"]),
        setting=Setting(output["background"]),
        frame=Frame(output["width"], output["height"], output["fps"], output["label"]),
        captions=CaptionStyle(output["captions"]),
        seed=Seed(data["seed"]),
    )


def route(data: dict[str, Any]) -> str:
    return "single_scene" if data["scenes"]["mode"] == "single" else "multi_scene"
