"""The local family's face adapters, from a photo to a talking clip."""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.assets import Asset
from pipeline.errors import NoFace, UnreadableImage
from pipeline.frame import Frame
from pipeline.ports import Footage, Neutral, Utterance
from pipeline.timeline import Cue, Word
from providers.local import ffmpeg
from providers.local.framing import SHOTS, place
from providers.local.lip_sync import LocalPortrait
from providers.local.neutral import LocalNeutral, person
from providers.local.photo import LocalPhoto, the_face
from providers.local.sample import portrait
from providers.local.sheet import TILES, LocalSheet
from tests.shelf import FolderStore

BACKGROUND = "#d8dfe8"
FRAME = Frame(480, 270, 25)
SECONDS, SILENT_UNTIL, SILENT_FROM = 1.83, 0.5, 1.3


@dataclass
class Studio:
    store: FolderStore
    photo: Asset
    neutral: Neutral
    speech: Utterance
    backdrop: Asset

    def speak(self, *, frame: Frame = FRAME, shot: str = "medium", seed: int = 5, workers: int = 2) -> Footage:
        cues = (Cue(((Word("Mama.", SILENT_UNTIL, SILENT_FROM),),), SILENT_UNTIL, SILENT_FROM),)
        actor = LocalPortrait(self.store, workers=workers)
        return actor.speak(
            self.neutral, self.speech, backdrop=self.backdrop, shot=shot, frame=frame, cues=cues, seed=seed
        )

    def frames(self, footage: Footage, frame: Frame = FRAME) -> np.ndarray:
        """Luma of all frames."""
        with self.store.open(footage.video) as file:
            raw = ffmpeg.run(["-i", file, "-f", "rawvideo", "-pix_fmt", "gray", "-"]).out
        return np.frombuffer(raw, np.uint8).reshape(-1, frame.height, frame.width)


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Studio:
    folder = tmp_path_factory.mktemp("studio")
    store = FolderStore(folder / "store")
    photo = store.keep(portrait(), kind="photo", media_type="image/png")
    Image.new("RGB", (320, 180), "#56708c").save(folder / "backdrop.png")
    backdrop = store.keep(folder / "backdrop.png", kind="background", media_type="image/png")
    return Studio(
        store, photo, LocalNeutral(store).neutral(photo, background=BACKGROUND), _speech(store, folder), backdrop
    )


def _speech(store: FolderStore, folder: Path) -> Utterance:
    """A hum between two silences, and the phonemes of "mamama"."""
    rate = 24000
    at = np.arange(int(SECONDS * rate)) / rate
    hum = 0.4 * np.sin(2 * np.pi * 180 * at) * ((at > SILENT_UNTIL) & (at < SILENT_FROM))
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((hum * 32767).astype("<i2").tobytes())
    length = (SILENT_FROM - SILENT_UNTIL) / 6
    sounds = [
        {"symbol": symbol, "start": SILENT_UNTIL + i * length, "end": SILENT_UNTIL + (i + 1) * length, "stress": i % 2}
        for i, symbol in enumerate("mɑmɑmɑ")
    ]
    (folder / "phonemes.json").write_text(json.dumps({"seconds": SECONDS, "phonemes": sounds, "words": []}))
    return Utterance(
        store.keep(folder / "speech.wav", kind="speech", media_type="audio/wav"),
        store.keep(folder / "phonemes.json", kind="phonemes", media_type="application/json"),
        SECONDS, (),
    )  # fmt: skip


@pytest.fixture(scope="module")
def clip(studio) -> Footage:
    return studio.speak()


def mouth(studio: Studio, frames: np.ndarray) -> np.ndarray:
    """The luma around the lips, at rest places of the medium shot."""
    rgba, face = person(studio.neutral, studio.store)
    placed = place(face, rgba.shape[0], "medium", FRAME)
    x, y = face.points[[78, 308]].mean(axis=0) * placed.scale + (placed.x, placed.y)
    unit = face.eye_distance * placed.scale
    return frames[:, int(y - 0.15 * unit) : int(y + 0.45 * unit), int(x - 0.35 * unit) : int(x + 0.35 * unit)].astype(
        float
    )


def test_a_photo_is_inspected(studio):
    report = LocalPhoto(studio.store).inspect(studio.photo)
    assert report.eye_distance > 40
    assert report.width == 512


def test_what_is_no_portrait_is_refused(studio, tmp_path):
    inspector = LocalPhoto(studio.store)
    Image.new("RGB", (300, 300), "#888").save(tmp_path / "grey.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    for name, error in (("grey.png", NoFace), ("text.jpg", UnreadableImage)):
        with pytest.raises(error):
            inspector.inspect(studio.store.keep(tmp_path / name, kind="photo", media_type="image/png"))


def test_the_neutral_image_is_upright_on_the_plain_colour(studio):
    with studio.store.open(studio.neutral.image) as file:
        picture = np.asarray(Image.open(file).convert("RGB"))
    assert picture.shape == (1024, 1024, 3)
    face = the_face(np.ascontiguousarray(picture))
    assert abs(face.roll) < 1.5
    assert abs(face.points[1, 0] - 512) < 40
    assert np.abs(picture[5, [5, -5]].astype(int) - (0xD8, 0xDF, 0xE8)).max() < 12
    lips = face.points[[13, 14]]
    assert np.linalg.norm(lips[1] - lips[0]) < 0.08 * face.eye_distance, "the mouth is closed"


def test_the_cutout_keeps_the_photos_mouth_and_is_clear_around_the_head(studio):
    rgba, face = person(studio.neutral, studio.store)
    assert rgba[10, 10, 3] == 0
    assert rgba[rgba.shape[0] // 2, rgba.shape[1] // 2, 3] == 255
    assert (face.points[14] - face.points[13])[1] > 0.1 * face.eye_distance
    assert face.eye_distance > 160, "small photos are enlarged"


def test_the_same_photo_gives_the_same_neutral(studio):
    again = LocalNeutral(studio.store).neutral(studio.photo, background=BACKGROUND)
    assert (again.image.sha256, again.cutout.sha256) == (studio.neutral.image.sha256, studio.neutral.cutout.sha256)


def test_the_sheet_has_a_tile_for_each_expression(studio):
    sheet = LocalSheet(studio.store).sheet(studio.neutral, name="Demo Ünïcode 名")
    assert studio.store.facts[sheet.id]["tiles"] == len(TILES) == 12
    assert {tile.label for tile in TILES if tile.head.yaw > 1 or tile.head.pitch > 1} <= {
        tile.label for tile in TILES if "approx." in tile.label
    }


def test_the_clip_is_as_long_as_the_speech_and_has_sound(studio, clip):
    with studio.store.open(clip.video) as file:
        found = ffmpeg.probe(file)
    assert clip.frames == found.video.frames == 46
    assert clip.seconds == pytest.approx(46 / 25)
    assert (found.video.width, found.video.height, found.video.codec, found.video.even) == (480, 270, "h264", True)
    assert found.audio.codec == "aac"
    assert found.audio.end == pytest.approx(clip.seconds, abs=0.05)


def test_the_mouth_moves_in_speech_and_rests_in_silence(studio, clip):
    lips = mouth(studio, studio.frames(clip))
    rest = lips[2:9].mean(axis=0)
    away = np.abs(lips - rest).mean(axis=(1, 2))
    said = away[int((SILENT_UNTIL + 0.1) * 25) : int((SILENT_FROM - 0.05) * 25)]
    silent = np.concatenate([away[:9], away[-8:]])
    assert said.max() > 3 * silent.mean()
    assert silent.max() < 0.6 * said.max()
    # "mamama": the lips meet between the vowels
    assert said[3:13].min() < 0.3 * said.max()


def test_equal_requests_give_equal_frames_with_any_number_of_workers(studio, clip):
    alone, other = studio.speak(workers=1), studio.speak(seed=6)
    frames = studio.frames(clip)
    # the encoder's own choices differ at the seam, by no more than it loses anyway
    assert np.abs(frames.astype(int) - studio.frames(alone)).mean() < 0.6
    assert studio.speak().video.sha256 == clip.video.sha256
    assert other.video.sha256 != clip.video.sha256


@pytest.mark.parametrize(("width", "height", "shot"), [(320, 568, "wide"), (360, 360, "close"), (1920, 320, "medium")])
def test_every_format_and_shot(studio, width, height, shot):
    assert shot in SHOTS
    frame = Frame(width, height, 24, label=None)
    footage = studio.speak(frame=frame, shot=shot)
    frames = studio.frames(footage, frame)
    assert frames.shape == (footage.frames, height, width)
    assert footage.frames == 44
    assert frames[0].std() > 10


def test_workers_die_with_their_parent(studio, tmp_path):
    """The parent is killed: neither the renderer nor its ffmpeg go on."""
    program = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", '''
import subprocess, sys, time
from providers.local.render import die_with_parent
die_with_parent()
print("ready", flush=True)
time.sleep(60)
'''], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    with parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    for _ in range(100):
        if not _alive(child):
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its parent")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_renderer_whose_parent_is_gone_draws_nothing(tmp_path: Path) -> None:
    """The parent may die while the renderer is still being loaded."""
    nobody = "1"
    command = [
        sys.executable,
        "-m",
        "providers.local.render",
        str(tmp_path),
        "0",
        "10",
        str(tmp_path / "out.mp4"),
        nobody,
    ]
    ended = subprocess.run(command, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
