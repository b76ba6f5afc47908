"""Every shape of video, as the local family draws it: the whole face is in the safe area, above the captions."""

import json
import wave
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Neutral, Title, Utterance
from pipeline.timeline import Cue, Word
from providers.local import faces, ffmpeg
from providers.local.editing import LocalEditor
from providers.local.lip_sync import LocalPortrait
from providers.local.motion import perform
from providers.local.neutral import LocalNeutral, person
from providers.local.overlay import captions_top
from providers.local.photo import decode
from providers.local.render import Scene, draw, write
from providers.local.sample import nameless, portrait
from providers.local.visemes import Phoneme
from tests.shelf import FolderStore

People = dict[str, tuple[np.ndarray, faces.Face]]

MARGIN = 0.05
SECONDS = 0.4
SHAPES = (
    (854, 480), (1280, 720), (1920, 1080),
    (480, 854), (720, 1280), (1080, 1920),
    (480, 480), (720, 720), (1080, 1080),
)  # fmt: skip
SHOTS = ("wide", "medium", "close", "medium", "close", "wide", "close", "wide", "medium")
FORMATS = [(Frame(*size, fps), shot) for size, fps, shot in zip(SHAPES, cycle((24, 25, 30)), SHOTS, strict=False)]
TEXT = ("The whole face stays", "above what is read")
CUES = (Cue(tuple(tuple(Word(word, 0.0, SECONDS) for word in line.split()) for line in TEXT), 0.0, SECONDS),)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("formats"))


@pytest.fixture(scope="module")
def neutral(store: FolderStore) -> Neutral:
    photo = store.keep(portrait(), kind="photo", media_type="image/png")
    return LocalNeutral(store).neutral(photo, background="#d8dfe8")


@pytest.fixture(scope="module")
def backdrop(store: FolderStore) -> Asset:
    file = store.root / "backdrop.png"
    Image.new("RGB", (320, 180), "#56708c").save(file)
    return store.keep(file, kind="background", media_type="image/png")


@pytest.fixture(scope="module")
def people(store: FolderStore, neutral: Neutral) -> People:
    """By how much body the photo shows below the face."""
    short = store.keep(nameless(store.root), kind="photo", media_type="image/png")
    photos = {"much": neutral, "little": LocalNeutral(store).neutral(short, background="#d8dfe8")}
    return {body: person(each, store) for body, each in photos.items()}


def hum(store: FolderStore, seconds: float) -> Utterance:
    """And the phonemes of "ma"."""
    rate, half = 24_000, seconds / 2
    sound = 0.4 * np.sin(2 * np.pi * 180 * np.arange(round(seconds * rate)) / rate)
    with wave.open(str(store.root / "hum.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    sounds = [{"symbol": s, "start": a, "end": a + half, "stress": 0} for s, a in (("m", 0.0), ("ɑ", half))]
    (store.root / "hum.json").write_text(json.dumps({"seconds": seconds, "phonemes": sounds, "words": []}))
    return Utterance(
        store.keep(store.root / "hum.wav", kind="speech", media_type="audio/wav"),
        store.keep(store.root / "hum.json", kind="phonemes", media_type="application/json"),
        seconds, (),
    )  # fmt: skip


def shown(file: Path, frame: Frame) -> np.ndarray:
    raw = ffmpeg.run(["-i", file, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).out
    return np.frombuffer(raw, np.uint8).reshape(-1, frame.height, frame.width, 3)


@pytest.mark.parametrize(("frame", "shot"), FORMATS, ids=lambda value: getattr(value, "height", value))
def test_the_face_is_inside_the_safe_area_in_every_shape(
    store: FolderStore, neutral: Neutral, backdrop: Asset, frame: Frame, shot: str
) -> None:
    actor = LocalPortrait(store, workers=1)
    clip = actor.speak(neutral, hum(store, SECONDS), backdrop=backdrop, shot=shot, frame=frame, cues=CUES, seed=3)
    track = ffmpeg.probe(store.path(clip.video)).video
    assert track
    assert (track.width, track.height, track.fps, track.frames) == (frame.width, frame.height, frame.fps, clip.frames)
    assert clip.frames == -int(-SECONDS * frame.fps // 1)
    pictures = shown(store.path(clip.video), frame)
    for picture in pictures[[0, -1]]:
        (face,) = faces.find(picture)
        (left, top), (right, bottom) = face.points.min(axis=0), face.points.max(axis=0)
        assert left >= MARGIN * frame.width
        assert right <= (1 - MARGIN) * frame.width
        assert top >= MARGIN * frame.height
        assert bottom <= captions_top(frame)


@pytest.mark.parametrize(
    ("body", "frame", "shot"),
    [*(("much", *each) for each in FORMATS), *(("little", *each) for each in FORMATS[::3])],
    ids=lambda value: getattr(value, "height", value),
)
def test_the_name_covers_no_face(
    store: FolderStore, tmp_path: Path, people: People, backdrop: Asset, body: str, frame: Frame, shot: str
) -> None:
    """Found as what differs from the same picture before the name came. A photo that ends at the chest has the face
    lower in tall frames."""
    cutout, face = people[body]
    performance = perform((Phoneme("ɑ", 0.0, 1.3, 0),), 40, frame.fps, loudness=np.full(260, 0.5), seed=3)
    before, during = round(0.2 * frame.fps), round(0.75 * frame.fps)
    for values in (performance.poses, performance.heads):
        values[before] = values[during]
    with store.open(backdrop) as file:
        behind = decode(file)
    scene = Scene(cutout, face, behind, performance, shot, frame, (), title=Title("Ada Example", "Host of the show"))
    write(scene, tmp_path)
    draw(tmp_path, (before, during), tmp_path / "frames.mp4")
    plain, titled = shown(tmp_path / "frames.mp4", frame)
    rows, columns = np.nonzero(np.abs(titled.astype(int) - plain).max(axis=2) > 60)
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
    assert right - left > 0.12 * frame.width
    (seen,) = [each for each in faces.find(plain) if each.presence > 0.8]
    (x0, y0), (x1, y1) = seen.points.min(axis=0), seen.points.max(axis=0)
    assert x1 < left or x0 > right or y1 < top or y0 > bottom
    assert bottom <= captions_top(frame)
    if frame.height > 1.3 * frame.width:  # where the apps' own buttons and texts are
        assert right <= 0.85 * frame.width
        assert top >= 0.11 * frame.height


@pytest.mark.parametrize("fps", [24, 30])
def test_what_two_processes_drew_joins_evenly_at_every_rate(
    store: FolderStore, neutral: Neutral, backdrop: Asset, fps: int
) -> None:
    """Half of it does not end on a whole thousandth of a second."""
    frame, frames = Frame(320, 180, fps), 82
    said = hum(store, frames / fps)
    actor = LocalPortrait(store, workers=2)
    clip = actor.speak(neutral, said, backdrop=backdrop, shot="wide", frame=frame, cues=(), seed=3)
    cut = LocalEditor(store).stitch([clip, clip], [said, said], frame=frame)
    for made, count in ((clip, frames), (cut, 2 * frames)):
        track = ffmpeg.probe(store.path(made.video)).video
        assert track
        assert (track.even, track.frames) == (True, count)
        assert track.end == pytest.approx(count / fps)
