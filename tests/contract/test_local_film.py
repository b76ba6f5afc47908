"""Eight scenes by the local family, from the photo to the finished file: picture, sound and timeline stay together."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.assets import Asset
from pipeline.frame import Frame
from pipeline.ports import Identity, Utterance
from pipeline.snapshots import CaptionStyle, Language, Seed, Setting
from pipeline.stages.background import Background
from pipeline.stages.enhance import enhance
from pipeline.stages.lip_sync import Clip, lip_sync
from pipeline.stages.publish import Publication, publish
from pipeline.stages.stitch import stitch
from pipeline.stages.storyboard import Line, Scene, Seam, Shot, Storyboard
from providers.local import ffmpeg
from providers.local.background import LocalBackground
from providers.local.captions import LocalCaptions
from providers.local.editing import LocalEditor
from providers.local.enhancement import LocalEnhancer
from providers.local.inspection import LocalInspector
from providers.local.lip_sync import LocalPortrait
from providers.local.neutral import LocalNeutral
from providers.local.sample import portrait
from providers.local.speech import LocalSpeech
from providers.provenance import Signer
from tests.shelf import FolderStore
from tests.subtitles import flaws

FRAME = Frame(320, 180, 30)
LINES = (
    "Good morning.", "This film has eight scenes.", "Every one begins on its first frame.", "Nothing drifts.",
    "We count.", "Listen closely now.", "Nearly there.", "This is the last of them.",
)  # fmt: skip
SOFT = (2, 3, 5)  # these dissolve into the next
DISSOLVE = 12  # frames; a quarter of a short scene
RATE = 48_000
AROUND = RATE // 2  # samples before and after its place among which a speech is looked for

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Film:
    store: FolderStore
    publication: Publication
    timeline: dict[str, Any]
    speeches: tuple[Utterance, ...]

    def sound(self, file: Asset) -> np.ndarray:
        pcm = ffmpeg.run(["-i", self.store.path(file), "-f", "s16le", "-ac", "1", "-ar", str(RATE), "-"]).out
        return np.frombuffer(pcm, "<i2").astype(np.float32)

    def picture(self, file: Asset) -> np.ndarray:
        """Luma of all frames."""
        raw = ffmpeg.run(["-i", self.store.path(file), "-f", "rawvideo", "-pix_fmt", "gray", "-"]).out
        return np.frombuffer(raw, np.uint8).reshape(-1, FRAME.height, FRAME.width)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    store = FolderStore(tmp_path_factory.mktemp("film"))
    photo = store.keep(portrait(), kind="photo", media_type="image/png")
    identity = Identity("avt_1", 1, "Demo", LocalNeutral(store).neutral(photo, background="#20242c"))
    room = LocalBackground(store).paint("a bright office", width=FRAME.width, height=FRAME.height, seed=1)
    backdrop, style = Background(room), CaptionStyle("burned")
    speeches = tuple(LocalSpeech(store).speak(line, seed=at) for at, line in enumerate(LINES))
    seams = [Seam("cut", "dissolve" if at in SOFT else "cut") for at in range(1, len(LINES) + 1)]
    clips: tuple[Clip, ...] = tuple(
        lip_sync.run(
            identity,
            each,
            backdrop,
            Shot("close"),
            None,
            None,
            seam,
            None,
            FRAME,
            style,
            Seed(1),
            None,
            portrait=LocalPortrait(store),
        )
        for each, seam in zip(speeches, seams, strict=True)
    )
    scenes = [
        Scene(at, Line(line), Setting("an office"), Shot("close"), seam=seam)
        for at, (line, seam) in enumerate(zip(LINES, seams, strict=True), 1)
    ]
    board = Storyboard(tuple(scenes))
    cut = stitch.run(clips, speeches, FRAME, editor=LocalEditor(store))
    master = enhance.run(
        cut, clips, speeches, FRAME, identity, Language("en"),
        inspector=LocalInspector(store), enhancer=LocalEnhancer(store), provenance=Signer(store, None),
    )  # fmt: skip
    publication = publish.run(
        master, board, clips, speeches, (backdrop,) * len(LINES), FRAME, style,
        captioner=LocalCaptions(store), assets=store,
    )  # fmt: skip
    timeline = json.loads(Path(store.path(publication.timeline)).read_text(encoding="utf-8"))
    return Film(store, publication, timeline, speeches)


def test_sound_and_picture_end_together(film: Film) -> None:
    made = ffmpeg.probe(film.store.path(film.publication.video))
    assert made.video
    assert made.audio
    assert made.video.frames == film.timeline["frames"]
    assert (made.video.start, made.audio.start) == (0.0, 0.0)
    assert made.video.end == pytest.approx(film.timeline["duration_s"], abs=0.0005)
    assert abs(made.audio.end - made.video.end) < 1 / FRAME.fps


def test_each_scene_is_heard_where_the_timeline_says(film: Film) -> None:
    """The finished sound against each scene's own speech: where they agree best, it begins."""
    sound = np.pad(film.sound(film.publication.video), AROUND)
    late = []
    for scene, speech in zip(film.timeline["scenes"], film.speeches, strict=True):
        own = film.sound(speech.audio)
        around = sound[round(scene["start_s"] * RATE) :][: len(own) + 2 * AROUND]
        late.append((best(around, own) - AROUND) / RATE)
    assert max(map(abs, late)) < 1 / FRAME.fps, late
    assert abs(late[-1] - late[0]) < 0.005, late


def test_each_scene_is_seen_where_the_timeline_says(film: Film) -> None:
    """Pictures are joined without being encoded again: each frame is the clip's own, but where it dissolves."""
    picture = film.picture(film.publication.video)
    assert len(picture) == film.timeline["frames"]
    for scene, told in zip(film.publication.scenes, film.timeline["scenes"], strict=True):
        seen, own = picture[told["start_frame"] : told["end_frame"]], film.picture(scene.video)
        if scene.index in SOFT:
            assert np.abs(seen[:-DISSOLVE].astype(int) - own[:-DISSOLVE]).mean() < 1.5
        else:
            assert np.array_equal(seen, own)


@pytest.mark.parametrize("number", SOFT)
def test_a_dissolve_goes_evenly_from_one_picture_into_the_next(film: Film, number: int) -> None:
    """Each frame is so much of the scene's own one, and so much of the next scene's first one."""
    picture = film.picture(film.publication.video).astype(float)
    scene, following = film.publication.scenes[number - 1 : number + 1]
    own, first = film.picture(scene.video).astype(float), film.picture(following.video).astype(float)[0]
    steps, end = min(DISSOLVE, len(own) // 4), film.timeline["scenes"][number - 1]["end_frame"]
    shares = []
    for made, before in zip(picture[end - steps : end], own[-steps:], strict=True):
        way = first - before
        shares.append(float(((made - before) * way).sum() / (way * way).sum()))
    assert shares == pytest.approx([step / steps for step in range(steps)], abs=0.06)


@pytest.mark.parametrize("form", ["vtt", "srt"])
def test_its_captions_can_be_read(film: Film, form: str) -> None:
    assert film.publication.captions
    file = getattr(film.publication.captions, form)
    ends = [
        scene["start_s"] + speech.seconds for scene, speech in zip(film.timeline["scenes"], film.speeches, strict=True)
    ]
    text = film.store.path(file).read_text(encoding="utf-8")
    assert flaws(text, form, words=" ".join(LINES).split(), scenes=ends) == []


def best(sound: np.ndarray, own: np.ndarray) -> int:
    """The sample of `sound` from which on it is most like `own`."""
    size = len(sound) + len(own)
    likeness = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(own, size)), size)
    return int(np.argmax(likeness[: len(sound) - len(own) + 1]))
