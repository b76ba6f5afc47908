"""The offline inspector on real files: a good video passes, and each way of spoiling it is found and named."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from pipeline.assets import Asset
from pipeline.errors import QualityFailed, RenderFailed
from pipeline.frame import Frame
from pipeline.ports import Footage, Identity, Neutral, Utterance
from pipeline.quality import Expected, Stretch, defects
from pipeline.snapshots import Language
from pipeline.stages.enhance import enhance, timeline
from pipeline.stages.lip_sync import Clip
from pipeline.stages.stitch import Cut
from pipeline.timeline import cues
from providers.local import ffmpeg
from providers.local.editing import LocalEditor
from providers.local.enhancement import LocalEnhancer
from providers.local.inspection import LocalInspector
from providers.local.lip_sync import LocalPortrait
from providers.local.neutral import LocalNeutral
from providers.local.sample import portrait
from providers.local.speech import LocalSpeech
from providers.provenance import Signer
from tests.shelf import FolderStore

FRAME = Frame(480, 270, 25)
TEXT = "Hello. My name is Ada, and I am made from one photo. This is what I have to say today."


@dataclass
class Film:
    """A finished video and all that it was made of."""

    store: FolderStore
    neutral: Neutral
    speech: Utterance
    backdrop: Asset
    clip: Footage
    video: Asset
    expected: Expected

    def act(self, speech: Utterance) -> Footage:
        words = cues(self.speech.words, until=self.speech.seconds)
        actor = LocalPortrait(self.store)
        return actor.speak(self.neutral, speech, backdrop=self.backdrop, shot="medium", frame=FRAME, cues=words, seed=3)

    def finish(self, clip: Footage) -> Asset:
        cut = LocalEditor(self.store).stitch([clip], [self.speech], frame=FRAME)
        return LocalEnhancer(self.store).enhance(cut, frame=FRAME, marks={}, thumbnail_at=0.5).video

    def spoilt(self, *arguments: str, picture: str | None = None, faststart: bool = True) -> Asset:
        """The video after another trip through ffmpeg; what is not named stays as it is."""
        encoder = ffmpeg.video(FRAME.fps)
        if picture:
            encoder[1] = f"{picture},{encoder[1]}"
        with self.store.scratch() as folder:
            file = folder / "spoilt.mp4"
            index = ["-movflags", "+faststart"] if faststart else []
            ffmpeg.run([
                "-i", self.store.path(self.video), *(encoder if picture else ["-c:v", "copy"]), "-c:a", "copy",
                *arguments, *index, file,
            ])  # fmt: skip
            return self.store.keep(file, kind="video", media_type="video/mp4")

    def named(self, video: Asset, expected: Expected | None = None) -> set[str]:
        expected = expected or self.expected
        found = LocalInspector(self.store).examine(video, expected=expected)
        return {defect.measure for defect in defects(found, expected)}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("film")
    store = FolderStore(folder / "store")
    photo = store.keep(portrait(), kind="photo", media_type="image/png")
    Image.new("RGB", (320, 180), "#56708c").save(folder / "backdrop.png")
    backdrop = store.keep(folder / "backdrop.png", kind="background", media_type="image/png")
    neutral = LocalNeutral(store).neutral(photo, background="#d8dfe8")
    speech = LocalSpeech(store).speak(TEXT, seed=1)
    film = Film(store, neutral, speech, backdrop, None, None, None)  # type: ignore[arg-type]
    film.clip = film.act(speech)
    film.video = film.finish(film.clip)
    film.expected = timeline([Clip(film.clip)], [speech], FRAME)
    return film


def test_a_good_video_passes_and_its_measures_are_kept(film: Film) -> None:
    master = enhance.run(
        Cut(LocalEditor(film.store).stitch([film.clip], [film.speech], frame=FRAME)),
        (Clip(film.clip),), (film.speech,), FRAME, Identity("avt_1", 1, "Ada", film.neutral),
        Language("en"),
        inspector=LocalInspector(film.store), enhancer=LocalEnhancer(film.store),
        provenance=Signer(film.store, None),
    )  # fmt: skip
    found = master.inspection
    assert found.picture
    assert found.sound
    assert (found.picture.codec, found.picture.profile, found.picture.pixels) == ("h264", "High", "yuv420p")
    assert found.picture.frames == film.clip.frames
    assert found.picture.closed
    assert found.picture.group_s <= 2
    assert found.sound.loudness_lufs == pytest.approx(-16, abs=1)
    assert (found.black, found.frozen) == ((), ())
    assert found.index_first
    openings = [look.lips for look in found.looks]
    assert None not in openings
    assert max(openings) > 0.1, "the mouth was seen open"


OTHER_COLOURS = "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
OPEN_GROUPS = ("-x264-params", "open-gop=1:keyint=25:min-keyint=20", "-flags:v", "-cgop")
SPOILT = {
    "black": {"picture": "drawbox=color=black:t=fill:enable='between(t,1,1.4)'"},
    "frozen": {"picture": "loop=loop=35:size=1:start=30,setpts=N/(25*TB),trim=end_frame={frames}"},
    "silent": {"arguments": ("-af", "volume=0:enable='between(t,1.8,3)'", *ffmpeg.AUDIO)},
    "channels sample_rate": {"arguments": (*ffmpeg.AUDIO, "-ac", "1", "-ar", "44100")},
    "pixels profile": {"picture": "null", "arguments": ("-pix_fmt", "yuv444p", "-profile:v", "high444")},
    "colour": {"picture": "null", "arguments": ("-vf", OTHER_COLOURS)},
    "frame_rate": {"arguments": ("-bsf:v", "setts=pts=PTS+100*mod(N\\,2)")},
    "group_s": {"picture": "null", "arguments": ("-g", "250", "-keyint_min", "250")},
    "groups": {"picture": "null", "arguments": OPEN_GROUPS},
    "index_first": {"faststart": False},
    "loudness_lufs true_peak_dbtp": {"arguments": ("-af", "volume=6dB", *ffmpeg.AUDIO)},
    "size": {"picture": "scale=320:180"},
    "face": {"picture": "drawbox=color=gray:t=fill:enable='between(t,1.5,3)'"},
}  # fmt: skip


@pytest.mark.parametrize("named", SPOILT)
def test_what_is_wrong_with_a_spoilt_video_is_named(film: Film, named: str) -> None:
    how = dict(SPOILT[named])
    arguments = how.pop("arguments", ())
    if "picture" in how:
        how["picture"] = str(how["picture"]).format(frames=film.clip.frames)
    assert set(named.split()) <= film.named(film.spoilt(*arguments, **how))


def test_a_mouth_that_does_not_move_is_found_though_the_head_does(film: Film, tmp_path: Path) -> None:
    (tmp_path / "phonemes.json").write_text(json.dumps({"seconds": film.speech.seconds, "phonemes": [], "words": []}))
    mute = film.store.keep(tmp_path / "phonemes.json", kind="phonemes", media_type="application/json")
    clip = film.act(replace(film.speech, phonemes=mute))
    assert film.named(film.finish(clip)) == {"mouth_still"}


def test_a_mouth_that_moves_while_nothing_is_said_is_found(film: Film) -> None:
    late = tuple(word for word in film.expected.words if word.start > film.expected.seconds / 2)
    assert "mouth_restless" in film.named(film.video, replace(film.expected, words=late, captions=late))


def test_a_cutaway_hides_the_face_where_the_timeline_says_so(film: Film) -> None:
    cutaway = film.spoilt(picture="drawbox=color=gray:t=fill:enable='between(t,1.5,3.5)'")
    assert film.named(cutaway) >= {"face"}
    assert film.named(cutaway, replace(film.expected, hidden=(Stretch(1.48, 3.56),))) == set()


def test_a_video_that_fails_is_no_master_and_says_why(film: Film) -> None:
    class Loud(LocalEnhancer):
        def enhance(self, *arguments, **options):
            finished = super().enhance(*arguments, **options)
            return replace(finished, video=film.spoilt("-af", "volume=6dB", *ffmpeg.AUDIO, faststart=False))

    with pytest.raises(QualityFailed, match="LUFS") as failed:
        enhance.run(
            Cut(LocalEditor(film.store).stitch([film.clip], [film.speech], frame=FRAME)),
            (Clip(film.clip),), (film.speech,), FRAME, Identity("avt_1", 1, "Ada", film.neutral),
        Language("en"),
            inspector=LocalInspector(film.store), enhancer=Loud(film.store),
        provenance=Signer(film.store, None),
        )  # fmt: skip
    error = failed.value
    assert (error.code, error.retryable) == ("quality_failed", False)
    named = {defect["measure"]: defect for defect in error.details["defects"]}
    assert {"index_first", "loudness_lufs", "true_peak_dbtp"} <= set(named)
    assert named["loudness_lufs"]["wanted"] == -16.0
    assert "Retry from enhance" in error.message
    json.dumps(error.details, allow_nan=False)


def test_a_file_that_is_no_video_is_refused(film: Film, tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"\0" * 4096)
    broken = film.store.keep(tmp_path / "video.mp4", kind="video", media_type="video/mp4")
    with pytest.raises(RenderFailed):
        LocalInspector(film.store).examine(broken, expected=film.expected)
