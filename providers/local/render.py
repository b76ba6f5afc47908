"""Draws frames of a scene and encodes them: a program of its own, so that several run beside each other.

`python -m providers.local.render FOLDER FIRST STOP OUT` draws the frames FIRST..STOP-1 of the scene that `write` put
into FOLDER. It dies with its parent, and its ffmpeg with it.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.errors import RenderFailed
from pipeline.frame import Frame
from pipeline.ports import Title
from pipeline.timeline import Cue, Word
from providers.local.arrangement import arrange
from providers.local.compositor import Compositor, Shown
from providers.local.faces import Array, Face
from providers.local.memory import give_back
from providers.local.motion import Performance
from providers.local.overlay import Overlay
from providers.local.reel import Encoder, Reel
from providers.local.stances import STANCES, leaned

INSERT = "insert.mp4"
NOTHING = np.zeros((0, 0, 4), np.uint8)
CROSS_S = 0.24  # between the speaker and a cutaway
FADE_S = 0.28  # to black, and from it
PARENT_DIED = 1  # PR_SET_PDEATHSIG of Linux's prctl


@dataclass(frozen=True, slots=True)
class Cutaway:
    """From which frame on the pictures of INSERT are shown, how many of them, and with what."""

    first: int
    frames: int
    window: bool
    typed: bool

    def share(self, number: int, fps: int) -> float:
        """How much of it is seen in a frame: it comes and goes softly, inside its own time."""
        steps = max(1, min(round(CROSS_S * fps), self.frames // 4)) + 1
        inside = number - self.first
        return min(1.0, max(0.0, min(inside + 1, self.frames - inside) / steps))


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the drawing of one scene depends on. `cutout` is RGBA, `backdrop` RGB.

    `opens` and `closes` are as in Staging; a cutaway's pictures lie as INSERT in the scene's folder.
    """

    cutout: Array
    face: Face
    backdrop: Array
    performance: Performance
    shot: str
    frame: Frame
    cues: tuple[Cue, ...]
    stance: str = "neutral"
    cutaway: Cutaway | None = None
    opens: str = "cut"
    closes: str = "cut"
    title: Title | None = None

    def light(self, number: int) -> float:
        """1, and less where the scene comes from black or goes there."""
        steps = round(FADE_S * self.frame.fps)
        count = len(self.performance.poses)
        light = 1.0
        if self.opens == "fade":
            light = min(light, number / steps)
        if self.closes == "fade":
            light = min(light, (count - 1 - number) / steps)
        return max(0.0, light)


def write(scene: Scene, folder: Path) -> None:
    np.savez(
        folder / "scene.npz", cutout=scene.cutout, points=scene.face.points, backdrop=scene.backdrop,
        poses=scene.performance.poses, heads=scene.performance.heads,
    )  # fmt: skip
    told = {
        "shot": scene.shot, "frame": asdict(scene.frame), "cues": [asdict(cue) for cue in scene.cues],
        "stance": scene.stance, "cutaway": asdict(scene.cutaway) if scene.cutaway else None, "opens": scene.opens,
        "closes": scene.closes, "title": asdict(scene.title) if scene.title else None,
    }  # fmt: skip
    (folder / "scene.json").write_text(json.dumps(told))


def read(folder: Path) -> Scene:
    told = json.loads((folder / "scene.json").read_text())
    cues = tuple(
        Cue(tuple(tuple(Word(**word) for word in line) for line in cue["lines"]), cue["start"], cue["end"])
        for cue in told["cues"]
    )
    with np.load(folder / "scene.npz") as arrays:
        return Scene(
            arrays["cutout"], Face(arrays["points"], 1.0), arrays["backdrop"],
            Performance(arrays["poses"], arrays["heads"]), told["shot"], Frame(**told["frame"]), cues,
            told["stance"], Cutaway(**told["cutaway"]) if told["cutaway"] else None, told["opens"], told["closes"],
            Title(**told["title"]) if told["title"] else None,
        )  # fmt: skip


def draw(folder: Path, frames: Sequence[int], out: Path) -> None:
    """Encode these frames of the scene in a folder, H.264 in MP4, without sound. Raises RenderFailed."""
    scene = read(folder)
    frame = scene.frame
    stance = STANCES[scene.stance]
    cutout, face = leaned(scene.cutout, scene.face, stance.lean)
    framed = arrange(face, cutout.shape[0], scene.shot, frame, stance, scene.title)
    compositor = Compositor(cutout, face, framed.placement, scene.backdrop, frame, framed.shot)
    overlay = Overlay(frame, scene.cues, title=scene.title, title_at=framed.title_at, **_times(scene))
    del cutout  # the compositor has its own, at the frame's scale
    scene = replace(scene, cutout=NOTHING, backdrop=NOTHING)
    give_back()
    with ExitStack() as opened:
        encoder = opened.enter_context(Encoder(out, frame))
        insert = None
        if scene.cutaway:
            insert = opened.enter_context(Reel(folder / INSERT, frame, scene.cutaway.frames))
        for number in frames:
            encoder.write(
                compositor.frame(
                    scene.performance.pose(number),
                    scene.performance.head(number),
                    overlay.at((number + 0.5) / frame.fps),
                    shown=_shown(scene.cutaway, insert, number, frame.fps),
                    light=scene.light(number),
                )
            )


def _shown(cutaway: Cutaway | None, insert: Reel | None, number: int, fps: int) -> Shown | None:
    if cutaway is None or insert is None or (share := cutaway.share(number, fps)) == 0:
        return None
    return Shown(insert.at(number - cutaway.first), share, cutaway.window)


def _times(scene: Scene) -> dict[str, Any]:
    """When the title has to be gone, and when captions would only repeat what a cutaway writes."""
    fps = scene.frame.fps
    if scene.cutaway is None:
        return {"title_until": len(scene.performance.poses) / fps, "silent": None}
    start, end = scene.cutaway.first / fps, (scene.cutaway.first + scene.cutaway.frames) / fps
    return {"title_until": start, "silent": (start, end) if scene.cutaway.typed else None}


def die_with_parent(parent: int) -> None:
    """Where the system can (Linux), this process gets SIGKILL when its parent is gone."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PARENT_DIED, signal.SIGKILL)
    if os.getppid() != parent:  # it died before, while this program was being loaded
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    cv2.setNumThreads(1)  # the processes share the cores already
    folder, first, stop, out, parent = arguments
    die_with_parent(int(parent))
    try:
        draw(Path(folder), range(int(first), int(stop)), Path(out))
    except RenderFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
