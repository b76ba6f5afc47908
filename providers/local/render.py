"""Draws frames of a scene and encodes them: a program of its own, so that several run beside each other.

`python -m providers.local.render FOLDER FIRST STOP OUT` draws the frames FIRST..STOP-1 of the scene that `write` put
into FOLDER. It dies with its parent, and its ffmpeg with it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import RenderFailed
from pipeline.frame import Frame
from pipeline.timeline import Cue, Word
from providers.local import ffmpeg
from providers.local.compositor import Compositor
from providers.local.faces import Array, Face
from providers.local.framing import place
from providers.local.motion import Performance
from providers.local.overlay import Overlay

PARENT_DIED = 1  # PR_SET_PDEATHSIG of Linux's prctl


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the drawing of one scene depends on. `cutout` is RGBA, `backdrop` RGB."""

    cutout: Array
    face: Face
    backdrop: Array
    performance: Performance
    shot: str
    frame: Frame
    cues: tuple[Cue, ...]


def write(scene: Scene, folder: Path) -> None:
    np.savez(
        folder / "scene.npz", cutout=scene.cutout, points=scene.face.points, backdrop=scene.backdrop,
        poses=scene.performance.poses, heads=scene.performance.heads,
    )  # fmt: skip
    told = {"shot": scene.shot, "frame": asdict(scene.frame), "cues": [asdict(cue) for cue in scene.cues]}
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
        )  # fmt: skip


def draw(scene: Scene, frames: Sequence[int], out: Path) -> None:
    """Encode these frames, H.264 in MP4, without sound. Raises RenderFailed."""
    frame = scene.frame
    placement = place(scene.face, scene.cutout.shape[0], scene.shot, frame)
    compositor = Compositor(scene.cutout, scene.face, placement, scene.backdrop, frame, scene.shot)
    overlay = Overlay(frame, scene.cues)
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{frame.width}x{frame.height}", "-r", str(frame.fps)]
    command = [
        ffmpeg.executable(), "-hide_banner", "-nostats", "-loglevel", "error", "-y", *raw,
        "-color_range", "tv", "-colorspace", "bt709", "-i", "pipe:0",
        *ffmpeg.video(frame.fps), *ffmpeg.BITEXACT, str(out),
    ]  # fmt: skip
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert encoder.stdin
    try:
        for number in frames:
            writing = overlay.at((number + 0.5) / frame.fps)
            encoder.stdin.write(
                compositor.frame(scene.performance.pose(number), scene.performance.head(number), writing)
            )
    except BrokenPipeError:
        pass  # ffmpeg says why below
    except BaseException:
        encoder.kill()
        raise
    _, said = encoder.communicate()
    if encoder.returncode:
        raise RenderFailed("The frames could not be encoded: " + ffmpeg.last_words(said.decode("utf-8", "replace")))


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
        draw(read(Path(folder)), range(int(first), int(stop)), Path(out))
    except RenderFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
