"""What is seen: poses differ, cutaways show their medium while the voice goes on, fades are dark, names are written."""

import hashlib
import wave
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.assets import Asset
from pipeline.errors import UnreadableVideo
from pipeline.frame import Frame
from pipeline.ports import PLAIN, Footage, Insert, Neutral, Staging, Title, Utterance
from pipeline.poses import POSES
from pipeline.timeline import Word
from providers import video_header
from providers.local import faces, ffmpeg
from providers.local.b_roll import LocalCutaways
from providers.local.lip_sync import LocalPortrait
from providers.local.neutral import LocalNeutral
from providers.local.pose import LocalPose
from providers.local.render import draw
from providers.local.sample import portrait
from tests.shelf import FolderStore

FRAME = Frame(480, 270, 25)
SECONDS = 2.52
START, LENGTH = 0.8, 1.0
MIDDLE = round((START + LENGTH / 2) * FRAME.fps)
FILM = (200, 40, 40), (40, 60, 200)  # its colours, one second each


class Here(LocalPortrait):
    """Draws in this process: another one takes longer to start than these few frames."""

    def _draw(self, folder: Path, frames: int, frame: Frame) -> list[Path]:
        part = folder / "part-0.mp4"
        draw(folder, range(frames), part)
        return [part]


@dataclass
class Studio:
    store: FolderStore
    folder: Path
    neutral: Neutral
    speech: Utterance
    backdrop: Asset

    def speak(self, staging: Staging = PLAIN, *, seconds: float = SECONDS) -> Footage:
        return Here(self.store).speak(
            self.neutral, replace(self.speech, seconds=seconds), backdrop=self.backdrop, shot="medium", frame=FRAME,
            cues=(), seed=5, staging=staging,
        )  # fmt: skip

    def cut_to(self, medium: Asset | None, *, window: bool = False, words: tuple[Word, ...] = ()) -> Footage:
        made = LocalCutaways(self.store).cut(medium, words, seconds=LENGTH, frame=FRAME, seed=1)
        return self.speak(Staging(insert=Insert(made, START, window, medium is None)))

    def frames(self, footage: Footage) -> np.ndarray:
        """RGB of all frames."""
        raw = ffmpeg.run(["-i", self.store.path(footage.video), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).out
        return np.frombuffer(raw, np.uint8).reshape(-1, FRAME.height, FRAME.width, 3)

    def sound(self, footage: Footage) -> str:
        raw = ffmpeg.run(["-i", self.store.path(footage.video), "-map", "0:a", "-f", "s16le", "-"]).out
        return hashlib.sha256(raw).hexdigest()

    def film(self, name: str, *arguments: str) -> Path:
        """Two seconds of small pictures, of two colours."""
        file = self.folder / name
        if not file.exists():
            one, other = ("0x{:02x}{:02x}{:02x}".format(*colour) for colour in FILM)
            source = f"color={one}:s=160x120:r=15:d=1[a];color={other}:s=160x120:r=15:d=1[b];[a][b]concat=n=2"
            ffmpeg.run(["-filter_complex", source, "-pix_fmt", "yuv420p", *arguments, file])
        return file

    def video(self, file: Path, media_type: str = "video/mp4") -> Asset:
        return self.store.keep(file, kind="video", media_type=media_type)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("pictures")
    store = FolderStore(folder / "store")
    photo = store.keep(portrait(), kind="photo", media_type="image/png")
    Image.new("RGB", (320, 180), "#56708c").save(folder / "backdrop.png")
    rate = 24000
    hum = 0.4 * np.sin(2 * np.pi * 180 * np.arange(int(SECONDS * rate)) / rate)
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((hum * 32767).astype("<i2").tobytes())
    sound = f'{{"symbol": "m", "start": 0.0, "end": {SECONDS}, "stress": 0}}'
    (folder / "phonemes.json").write_text(f'{{"seconds": {SECONDS}, "phonemes": [{sound}], "words": []}}')
    speech = Utterance(
        store.keep(folder / "speech.wav", kind="speech", media_type="audio/wav"),
        store.keep(folder / "phonemes.json", kind="phonemes", media_type="application/json"),
        SECONDS, (),
    )  # fmt: skip
    backdrop = store.keep(folder / "backdrop.png", kind="background", media_type="image/png")
    return Studio(store, folder, LocalNeutral(store).neutral(photo, background="#d8dfe8"), speech, backdrop)


@pytest.fixture(scope="module")
def plain(studio: Studio) -> Footage:
    return studio.speak()


@dataclass(frozen=True)
class Seen:
    """The one face of a picture: its middle and size as shares of the picture, its roll in degrees, the mouth's width
    and the brows' height over the eyes, both in eye distances."""

    x: float
    y: float
    size: float
    roll: float
    mouth: float
    brows: float


def seen(picture: np.ndarray) -> Seen | None:
    found = faces.find(picture)
    if not found:
        return None
    face = found[0]
    right, left = face.eyes
    middle = (right + left) / 2
    unit = face.eye_distance
    down = np.array([right[1] - left[1], left[0] - right[0]]) / unit
    brows = (face.points[[105, 334]].mean(axis=0) - middle) @ down / unit
    return Seen(
        float(middle[0]) / picture.shape[1],
        float(middle[1]) / picture.shape[0],
        unit / picture.shape[1],
        float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0]))),
        float(np.linalg.norm(face.points[78] - face.points[308])) / unit,
        -float(brows),
    )


@pytest.fixture(scope="module")
def posed(studio: Studio) -> dict[str, Seen]:
    """The face of the same frame, in each pose."""
    found = {name: seen(studio.frames(studio.speak(Staging(pose=name), seconds=0.8))[10]) for name in POSES}
    assert all(found.values())
    return {name: face for name, face in found.items() if face}


def test_poses_stand_at_other_places_and_sizes(posed: dict[str, Seen]) -> None:
    assert posed["explain"].x < posed["neutral"].x - 0.1
    assert posed["think"].x > posed["neutral"].x + 0.1
    assert posed["emphasize"].size > 1.15 * posed["neutral"].size


def test_poses_tilt_the_head_visibly_and_both_ways(posed: dict[str, Seen]) -> None:
    assert posed["explain"].roll - posed["neutral"].roll > 4
    assert posed["neutral"].roll - posed["think"].roll > 4
    assert posed["neutral"].roll - posed["welcome"].roll > 4


def test_poses_have_an_expression(posed: dict[str, Seen]) -> None:
    assert posed["welcome"].mouth > posed["serious"].mouth + 0.03
    assert posed["emphasize"].brows > posed["neutral"].brows + 0.03
    assert posed["serious"].brows < posed["neutral"].brows - 0.015


def test_a_still_shows_its_pose(studio: Studio) -> None:
    rolls = {}
    for name in ("explain", "think"):
        still = LocalPose(studio.store).pose(studio.neutral, name=name)
        assert studio.store.facts[still.id]["pose"] == name
        with Image.open(studio.store.path(still)) as picture:
            face = seen(np.asarray(picture.convert("RGB")))
        assert face
        rolls[name] = face.roll
    assert rolls["explain"] - rolls["think"] > 8


def test_a_photo_takes_the_speakers_place_and_the_voice_goes_on(studio: Studio, plain: Footage) -> None:
    Image.new("RGB", (900, 700), "#2e8b57").save(studio.folder / "green.png")
    clip = studio.cut_to(studio.store.keep(studio.folder / "green.png", kind="photo", media_type="image/png"))
    frames = studio.frames(clip)
    assert (len(frames), clip.seconds) == (plain.frames, plain.seconds)
    assert studio.sound(clip) == studio.sound(plain)
    for before_or_after in (5, -5):
        assert seen(frames[before_or_after])
    assert seen(frames[MIDDLE]) is None
    centre = frames[MIDDLE][100:200, 100:400].reshape(-1, 3).mean(axis=0)
    assert np.abs(centre - (0x2E, 0x8B, 0x57)).max() < 8
    # it comes softly: between the speaker and the photo there are mixtures
    first = round(START * FRAME.fps)
    greens = frames[first - 1 : first + 7, 100:200, 20:100].reshape(8, -1, 3).mean(axis=1)[:, 1]
    assert (np.diff(greens[1:6]) > 1).all()


@pytest.mark.parametrize(
    ("name", "media_type", "arguments"),
    [
        ("film.mp4", "video/mp4", ("-c:v", "libx264")),
        ("film.mov", "video/quicktime", ("-c:v", "libx264")),
        ("film.webm", "video/webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime")),
    ],
)
def test_a_video_is_told_from_its_bytes_and_fills_the_frame(
    studio: Studio, name: str, media_type: str, arguments: tuple[str, ...]
) -> None:
    file = studio.film(name, *arguments)
    assert video_header.read(file) == media_type
    cutaways = LocalCutaways(studio.store)
    made = cutaways.cut(studio.video(file, media_type), (), seconds=3.0, frame=FRAME, seed=1)
    frames = studio.frames(made)
    assert len(frames) == made.frames == 75
    # its first second, its second one, and its first again: it was shorter than what was asked for
    for moment, colour in ((12, FILM[0]), (37, FILM[1]), (62, FILM[0])):
        assert np.abs(frames[moment].reshape(-1, 3).mean(axis=0) - colour).max() < 12
        assert frames[moment].std(axis=(0, 1)).max() < 6  # no bars


def test_the_speaker_may_stay_in_a_corner(studio: Studio) -> None:
    frames = studio.frames(studio.cut_to(studio.video(studio.film("film.mp4", "-c:v", "libx264")), window=True))
    face = seen(frames[MIDDLE])
    assert face
    assert face.x > 0.75
    assert face.y < 0.4
    assert np.abs(frames[MIDDLE][150:260, 20:200].reshape(-1, 3).mean(axis=0) - FILM[0]).max() < 12


def test_words_become_the_picture(studio: Studio) -> None:
    words = tuple(Word(text, at, at + 0.2) for text, at in (("Words", 0.0), ("become", 0.3), ("pictures.", 0.6)))
    made = LocalCutaways(studio.store).cut(None, words, seconds=LENGTH, frame=FRAME, seed=1)
    frames = studio.frames(made)
    written = [int((frame.min(axis=2) > 200).sum()) for frame in frames]
    assert 0 < written[5] < written[13]
    lit = (frames[-1][..., 0] > 200) & (frames[-1][..., 2] < 120)
    assert lit.sum() > 100  # the longest word
    assert seen(frames[-1]) is None


@pytest.mark.parametrize("where", ["index first", "index last"])
def test_a_truncated_video_is_refused_with_its_own_code_and_for_good(studio: Studio, where: str) -> None:
    options = ("-movflags", "+faststart") if where == "index first" else ()
    whole = studio.film(f"{where}.mp4", "-c:v", "libx264", "-g", "5", *options).read_bytes()
    cut = studio.folder / f"{where}-cut.mp4"
    cut.write_bytes(whole[: len(whole) * 7 // 10])
    with pytest.raises(UnreadableVideo):
        video_header.read(cut)
    with pytest.raises(UnreadableVideo) as caught:
        LocalCutaways(studio.store).cut(studio.video(cut), (), seconds=LENGTH, frame=FRAME, seed=1)
    assert (caught.value.code, caught.value.retryable) == ("unreadable_video", False)


def test_what_is_no_video_is_none(studio: Studio) -> None:
    (studio.folder / "text.mp4").write_text("not a video")
    assert video_header.read(studio.folder / "text.mp4") is None
    assert video_header.read(studio.folder / "speech.wav") is None
    sound = studio.folder / "sound.m4a"
    ffmpeg.run(["-i", studio.folder / "speech.wav", "-c:a", "aac", "-f", "mp4", sound])
    assert video_header.read(sound) is None
    with pytest.raises(UnreadableVideo):
        LocalCutaways(studio.store).cut(studio.video(sound), (), seconds=LENGTH, frame=FRAME, seed=1)


def test_fades_lie_inside_the_scene(studio: Studio, plain: Footage) -> None:
    frames = studio.frames(studio.speak(Staging(opens="fade", closes="fade"))).reshape(plain.frames, -1)
    bright = studio.frames(plain).reshape(plain.frames, -1)
    assert len(frames) == plain.frames
    for number in (0, -1):
        assert frames[number].mean() < 12 < 80 < bright[number].mean()
    assert abs(frames[30].mean() - bright[30].mean()) < 1


def test_the_name_is_written_for_a_while(studio: Studio, plain: Footage) -> None:
    titled = studio.frames(studio.speak(Staging(title=Title("Ada Example", "Host"))))
    bright = studio.frames(plain)
    change = np.abs(titled.astype(int) - bright).max(axis=3)
    assert (change[2] > 60).sum() == 0
    ys, xs = np.nonzero(change[30] > 60)
    assert len(ys) > 500
    assert xs.max() < 0.5 * FRAME.width
    assert (change[-1] > 60).sum() == 0
