"""What the gallery shows: by route, what is asked of it and in which formats. A route is added by one more line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Asked = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    width: int
    height: int

    @property
    def title(self) -> str:
        return f"{self.name}, {self.width}×{self.height}"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """`asked` is what the payload has besides avatar, seed and size; it is given the id of an uploaded photo."""

    route: str
    about: str
    asked: Callable[[str], Asked]
    formats: tuple[Format, ...]


SHAPES = Format("16:9", 854, 480), Format("9:16", 480, 854), Format("1:1", 480, 480)
FULL_HD = Format("16:9", 1920, 1080)

ONE = "Hello. I am a synthetic demo, made from one public-domain portrait. This is one scene, in one go."
MANY = (
    "Hello. I am a synthetic demo, and this video has three scenes.",
    "The first one dissolved into this one. My voice kept its place.",
    "And here the picture came back from black.",
)
POSED = (
    "Welcome. I am a synthetic demo, and you can read my name.\n"
    "I lean a little when I explain something.\n"
    "And this is my face when it matters."
)
REVIEWED = "Hello. I am a synthetic demo. Somebody read these words before I said them.\nAnd saw me before you did."
CUT = (
    "Hello. I am a synthetic demo. While I speak, you see the photo that I was made from, and then me again.",
    "Without any photo, the words themselves become the picture, as I say them. That is all.",
)


def _single(_: str) -> Asked:
    return {"script": {"text": ONE}, "scenes": {"mode": "single"}}


def _multi(_: str) -> Asked:
    shots, transitions = ("medium", "close", "wide"), ("dissolve", "fade", "cut")
    scenes = [
        {"transcript": line, "shot": shot, "transition": transition}
        for line, shot, transition in zip(MANY, shots, transitions, strict=True)
    ]
    return {"storyboard": {"scenes": scenes}}


def _posed(_: str) -> Asked:
    poses = {"enabled": True, "sequence": ["welcome", "explain", "emphasize"]}
    return {"script": {"text": POSED}, "poses": poses, "output": {"lower_third": {"line": "Synthetic presenter"}}}


def _b_roll(photo: str) -> Asked:
    scenes = [
        {"transcript": CUT[0], "cutaway": {"medium": photo, "start": 0.3, "end": 0.85}, "transition": "dissolve"},
        {"transcript": CUT[1], "shot": "close", "cutaway": {"medium": None, "start": 0.2, "end": 0.8}},
    ]
    b_roll = {"enabled": True, "assets": [photo], "picture_in_picture": True}
    return {"storyboard": {"scenes": scenes}, "b_roll": b_roll}


def _reviewed(_: str) -> Asked:
    gates = ["script", "storyboard", "background", "video_asset"]
    return {"script": {"text": REVIEWED}, "scenes": {"max": 2}, "review": {"gates": gates}}


EXHIBITS = (
    Exhibit("single_scene", "One script, one scene.", _single, (*SHAPES, FULL_HD)),
    Exhibit("multi_scene", "Three scenes: a dissolve, then a fade through black.", _multi, SHAPES),
    Exhibit("pose_based", "Another pose in each scene, the name in the first.", _posed, SHAPES),
    Exhibit("b_roll", "A portrait photo, then the words; the speaker stays in a corner.", _b_roll, SHAPES),
    Exhibit(
        "approval_gated", "Somebody approves the script, the scenes, the backgrounds and the clips.", _reviewed, SHAPES
    ),
)
