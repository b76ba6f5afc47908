"""Cutaways keep heads: measured on the pictures that come out, of photos and videos that do not have the frame's shape.

The photos are cut from one real portrait, whose face is near the top, as in most portraits.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Footage
from pipeline.timeline import Word
from providers.local import ffmpeg, kinetic
from providers.local.b_roll import LocalCutaways
from providers.local.faces import LEFT_EYE, NOSE_TIP, RIGHT_EYE, find
from providers.local.framing import Placement
from providers.local.photo import SURE_FACE
from providers.local.window import Window, corner
from tests.portraits import astronaut
from tests.shelf import FolderStore

WIDE, TALL, SQUARE = Frame(640, 360, 25), Frame(360, 640, 25), Frame(480, 480, 25)
MOUTH = (61, 13, 291, 14)  # corners, lips
HAIR = 0.25  # of the face's height, above the landmarks: they begin below the hair


def beside(picture: np.ndarray, columns: int) -> np.ndarray:
    return np.hstack([np.full((picture.shape[0], columns, 3), 90, np.uint8), picture])


PHOTOS = {
    "as it is": astronaut(),
    "upright": astronaut()[:, 80:400],
    "face at the bottom": np.vstack([np.full((400, 512, 3), 90, np.uint8), astronaut()[:300]]),
    "face at the right edge": beside(astronaut()[:, :300], 500),
    "two people": np.hstack([astronaut()[:, 60:360], astronaut()[:, 360:60:-1]]),
}
CLOSE_UP = astronaut()[45:200, 172:282]  # the face is higher than a wide frame of the photo's width


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("crop"))


def photo(store: FolderStore, picture: np.ndarray) -> Asset:
    file = store.root / "photo.png"
    Image.fromarray(picture).save(file)
    return store.keep(file, kind="photo", media_type="image/png")


def frames(store: FolderStore, made: Footage, frame: Frame) -> np.ndarray:
    raw = ffmpeg.run(["-i", store.path(made.video), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).out
    return np.frombuffer(raw, np.uint8).reshape(-1, frame.height, frame.width, 3)


def head(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest face."""
    face = next(face for face in find(picture) if face.presence >= SURE_FACE)
    (left, top), (right, bottom) = face.points.min(axis=0), face.points.max(axis=0)
    return left, top, right, bottom


def inside(picture: np.ndarray, *, hair: float = 0.0) -> bool:
    left, top, right, bottom = head(picture)
    height, width = picture.shape[:2]
    return bool(left >= 0 and right <= width and bottom <= height and top >= hair * (bottom - top))


@pytest.mark.parametrize(("name", "frame"), list(product(PHOTOS, (WIDE, TALL, SQUARE))))
def test_the_whole_head_stays_in_the_picture(store: FolderStore, name: str, frame: Frame) -> None:
    medium = photo(store, PHOTOS[name])
    for seed in (0, 2):  # nearer, and away
        made = LocalCutaways(store).cut(medium, (), seconds=0.4, frame=frame, seed=seed)
        pictures = frames(store, made, frame)
        for number in (0, 5, -1):
            assert inside(pictures[number], hair=HAIR), (seed, number)


@pytest.mark.parametrize("frame", [WIDE, TALL, SQUARE], ids=str)
def test_the_speakers_window_covers_no_eye_or_mouth_of_a_portrait(store: FolderStore, frame: Frame) -> None:
    rows, columns = Window(find(astronaut())[0], Placement(1.0, 0.0, 0.0), frame).place
    for seed in (0, 2):
        medium = photo(store, np.ascontiguousarray(astronaut()[:334, 90:340]))
        made = LocalCutaways(store).cut(medium, (), seconds=0.4, frame=frame, seed=seed)
        for picture in frames(store, made, frame)[[0, -1]]:
            for x, y in find(picture)[0].points[[*RIGHT_EYE, *LEFT_EYE, NOSE_TIP, *MOUTH]]:
                assert not (columns.start <= x < columns.stop and rows.start <= y < rows.stop)


@pytest.mark.parametrize("frame", [WIDE, TALL, SQUARE], ids=str)
def test_the_speakers_window_covers_no_word(frame: Frame) -> None:
    text = "the words themselves become the picture, as I say them."
    words = [Word(word, 0.1 * number, 0.1 * number + 0.1) for number, word in enumerate(text.split())]
    shown = list(kinetic.pictures(words, 40, frame, seed=1))
    for number in (6, 12, 16, -1):
        assert (shown[number].min(axis=2) > 200).any()
        assert not (shown[number][corner(frame)].min(axis=2) > 200).any()


@pytest.mark.parametrize("frame", [WIDE, TALL, SQUARE], ids=str)
def test_a_face_that_fills_the_photo_is_shown_whole(store: FolderStore, frame: Frame) -> None:
    made = LocalCutaways(store).cut(photo(store, CLOSE_UP), (), seconds=0.4, frame=frame, seed=2)
    pictures = frames(store, made, frame)
    assert inside(pictures[0])
    assert inside(pictures[-1])
    assert min(pictures[0][:, side].mean() for side in (0, -1)) > 30  # no black bars


def test_a_tall_photo_without_a_face_keeps_its_upper_part(store: FolderStore) -> None:
    rows = np.linspace(0, 250, 900).astype(np.uint8)  # as bright as far down
    slope = np.repeat(np.repeat(rows[:, None, None], 500, axis=1), 3, axis=2)
    made = LocalCutaways(store).cut(photo(store, slope), (), seconds=0.4, frame=WIDE, seed=2)
    middle = frames(store, made, WIDE)[5].mean() / 250
    assert 0.2 < middle < 0.42


@pytest.mark.parametrize("frame", [WIDE, TALL, SQUARE], ids=str)
def test_the_crop_of_a_video_holds_the_head_all_the_time(store: FolderStore, tmp_path: Path, frame: Frame) -> None:
    """A tall video in which the camera moves sideways."""
    Image.fromarray(np.vstack([astronaut(), np.full((200, 512, 3), 90, np.uint8)])).save(tmp_path / "photo.png")
    pan = "crop=400:712:'40+60*t/2':0,scale=400:712"
    ffmpeg.run(["-loop", "1", "-r", "25", "-i", tmp_path / "photo.png", "-t", "2", "-vf", pan, "-c:v", "libx264",
                "-pix_fmt", "yuv420p", tmp_path / "video.mp4"])  # fmt: skip
    medium = store.keep(tmp_path / "video.mp4", kind="video", media_type="video/mp4")
    made = LocalCutaways(store).cut(medium, (), seconds=2.0, frame=frame, seed=1)
    for picture in frames(store, made, frame)[[0, 25, 49]]:
        assert inside(picture, hair=HAIR)
