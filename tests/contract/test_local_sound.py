"""The offline voice, editor, finisher, painter and caption writer keep the promises of their ports."""

import json
import math
import wave
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pysubs2
import pytest

from pipeline.errors import RenderFailed, TextNotSpeakable
from pipeline.frame import Frame
from pipeline.ports import Footage, Utterance
from pipeline.timeline import READ_CPS, cues
from providers.local import ffmpeg
from providers.local.background import LocalBackground
from providers.local.captions import LocalCaptions
from providers.local.editing import LocalEditor
from providers.local.enhancement import LocalEnhancer, measure
from providers.local.speech import LocalSpeech, voice
from tests.shelf import FolderStore
from tests.subtitles import flaws, speed

FRAME = Frame(320, 180, 25)
TEXT = 'In 2026, about 25 % of "makers" paid $5 million — e.g. Dr. Smith’s R&D. Really? See https://example.org/a! 😀'
PASSAGE = (
    "Welcome. Extraordinarily comprehensive documentation accompanies everything. Really? Yes! It explains, step by"
    " step, how photographs become presentations; how representatives of international organisations communicate"
    " simultaneously; and why. Nothing is left out. In short: read it, try it, and tell us what you think about it."
)
MARKS = {"title": "Ada: synthetic", "comment": "AI-generated <& honest>", "digital_source_type": "http://cv.iptc.org/x"}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def clip(store: FolderStore, speech: Utterance, source: str = "testsrc2") -> Footage:
    """A filmed scene as the renderer gives it: as long as the speech, rounded up to a frame."""
    frames = math.ceil(speech.seconds * FRAME.fps - 1e-6)
    with store.scratch() as folder, store.open(speech.audio) as sound:
        file = folder / "clip.mp4"
        picture = f"{source}=size={FRAME.width}x{FRAME.height}:rate={FRAME.fps}"
        ffmpeg.run([
            "-f", "lavfi", "-i", picture, "-i", sound, "-frames:v", frames, *ffmpeg.video(FRAME.fps), *ffmpeg.AUDIO,
            *ffmpeg.BITEXACT, file,
        ])  # fmt: skip
        return Footage(store.keep(file, kind="clip", media_type="video/mp4"), frames, frames / FRAME.fps)


def boxes(file: Path) -> list[str]:
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        found.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return found


# --- speech --------------------------------------------------------------------------------------


def test_words_are_the_text_with_times_inside_the_sound(store: FolderStore) -> None:
    speech = LocalSpeech(store).speak(TEXT, seed=1)
    assert [word.text for word in speech.words] == TEXT.split()
    assert all(before.end <= after.start for before, after in pairwise(speech.words))
    assert all(0 <= word.start <= word.end <= speech.seconds for word in speech.words)
    spoken = [word for word in speech.words if any(map(str.isalnum, word.text))]
    assert all(0.02 < word.end - word.start < 3 for word in spoken)
    with wave.open(str(store.path(speech.audio))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24000, 1, 2)
        assert sound.getnframes() / 24000 == speech.seconds == store.facts[speech.audio.id]["seconds"]


def test_phonemes_are_gapless_and_know_silence(store: FolderStore) -> None:
    speech = LocalSpeech(store).speak(TEXT, seed=1)
    notes = json.loads(store.path(speech.phonemes).read_text())
    entries = notes["phonemes"]
    assert store.made_from[speech.phonemes.id] == (speech.audio,)
    assert entries[0]["start"] == 0
    assert entries[-1]["end"] == pytest.approx(notes["seconds"])
    assert all(before["end"] == after["start"] for before, after in pairwise(entries))
    assert all(entry["end"] > entry["start"] for entry in entries)
    assert {entry["stress"] for entry in entries} == {0, 1, 2}
    assert entries[0]["symbol"] == entries[-1]["symbol"] == ""
    assert len([entry for entry in entries if entry["symbol"] == "" and entry["end"] - entry["start"] > 0.3]) >= 3


def test_silence_is_where_the_phonemes_say_so(store: FolderStore) -> None:
    speech = LocalSpeech(store).speak("Good morning, dear friends. This is a test.", seed=3)
    with wave.open(str(store.path(speech.audio))) as sound:
        wav = np.frombuffer(sound.readframes(-1), "<i2") / 32768
    quiet, loud = [], []
    for entry in json.loads(store.path(speech.phonemes).read_text())["phonemes"]:
        part = wav[round(entry["start"] * 24000) : round(entry["end"] * 24000)]
        (quiet if entry["symbol"] == "" else loud).append(float(np.sqrt((part**2).mean())))
    assert max(quiet) < 0.01 < np.median(loud)
    assert speech.words[0].start == pytest.approx(0.12, abs=0.03)
    assert speech.seconds - speech.words[-1].end < 0.3


def test_durations_come_from_the_net() -> None:
    assert voice().exact, "hibari-tts no longer tells its durations: pin the version that does"


def test_the_same_seed_gives_the_same_bytes(store: FolderStore) -> None:
    speech = LocalSpeech(store)
    first, again, other = (speech.speak("The same words.", seed=seed) for seed in (7, 7, 8))
    assert (first.audio.sha256, first.phonemes.sha256) == (again.audio.sha256, again.phonemes.sha256)
    assert other.audio.sha256 != first.audio.sha256


@pytest.mark.parametrize("text", ["", " \n", "😀 …", "世界 你好", "hello 世界", "привет", "x" * 70, "9" * 400])
def test_what_cannot_be_said_is_refused_with_a_remedy(store: FolderStore, text: str) -> None:
    with pytest.raises(TextNotSpeakable, match=r"Write"):
        LocalSpeech(store).speak(text, seed=1)
    assert not store.facts


def test_a_sentence_longer_than_the_net_takes_is_said_in_parts(store: FolderStore) -> None:
    text = " ".join(["and then the quiet river went on"] * 25) + "."
    speech = LocalSpeech(store).speak(text, seed=1)
    assert [word.text for word in speech.words] == text.split()
    assert 35 < speech.seconds < 90


# --- editing and finishing ---------------------------------------------------------------------------


def test_scenes_join_to_the_frame_and_stay_in_sync(store: FolderStore) -> None:
    texts = ["First scene.", "The second one is a little longer.", "Third."]
    speeches = [LocalSpeech(store).speak(text, seed=1) for text in texts]
    clips = [clip(store, speech) for speech in speeches]
    cut = LocalEditor(store).stitch(clips, speeches, frame=FRAME)
    made = ffmpeg.probe(store.path(cut.video))
    assert made.video
    assert made.audio
    assert cut.frames == made.video.frames == sum(scene.frames for scene in clips)
    assert made.video.even
    assert made.video.start == 0
    assert cut.seconds == cut.frames / FRAME.fps == pytest.approx(made.video.end)
    assert abs(made.audio.end - made.video.end) < 1 / FRAME.fps
    assert store.made_from[cut.video.id] == tuple(
        a for c, s in zip(clips, speeches, strict=True) for a in (c.video, s.audio)
    )
    # Each scene's first sound is heard where its first frame is shown.
    pcm = ffmpeg.run(["-i", store.path(cut.video), "-f", "s16le", "-ac", "1", "-ar", "24000", "-"]).out
    sound = np.frombuffer(pcm, "<i2") / 32768
    start = 0.0
    for scene, speech in zip(clips, speeches, strict=True):
        onset = np.argmax(np.abs(sound[round(start * 24000) :]) > 0.01) / 24000
        assert onset == pytest.approx(speech.words[0].start, abs=0.08)
        start += scene.seconds


def test_clips_that_are_not_what_they_say_are_refused(store: FolderStore) -> None:
    speech = LocalSpeech(store).speak("One scene.", seed=1)
    made = clip(store, speech)
    editor = LocalEditor(store)
    with pytest.raises(RenderFailed, match="frames"):
        editor.stitch([replace(made, frames=made.frames + 1)], [speech], frame=FRAME)
    with pytest.raises(RenderFailed, match="frames of"):
        editor.stitch([made], [speech], frame=Frame(640, 360, 25))
    with pytest.raises(RenderFailed, match="one speech for each clip"):
        editor.stitch([made], [], frame=FRAME)


@pytest.mark.parametrize(
    "text", ["Hi.", "A sentence that is long enough to be measured well, and one clause more for good measure."]
)
def test_a_finished_video_is_even_marked_and_ready_to_stream(store: FolderStore, text: str) -> None:
    speech = LocalSpeech(store).speak(text, seed=1)
    cut = LocalEditor(store).stitch([clip(store, speech)], [speech], frame=FRAME)
    done = LocalEnhancer(store).enhance(cut, frame=FRAME, marks=MARKS, thumbnail_at=0.5)
    file = store.path(done.video)
    again = measure(file)
    assert again.lufs == pytest.approx(-16, abs=1)
    assert again.peak <= -1
    assert (again.lufs, again.peak) == (done.loudness_lufs, done.true_peak_dbtp)
    made = ffmpeg.probe(file)
    assert made.video
    assert made.audio
    assert (made.video.codec, made.video.profile, made.video.pixels) == ("h264", "High", "yuv420p")
    assert "bt709" in made.video.colour
    assert "unknown" not in made.video.colour
    assert (made.audio.codec, made.audio.profile, made.audio.sample_rate, made.audio.channels) == (
        "aac",
        "LC",
        48000,
        "stereo",
    )
    assert made.video.frames == cut.frames
    assert done.seconds == cut.seconds
    assert abs(made.audio.end - made.video.end) < 1 / FRAME.fps
    assert boxes(file).index("moov") < boxes(file).index("mdat")
    told = ffmpeg.run(["-export_xmp", "1", "-i", file, "-f", "ffmetadata", "-"]).out.decode()
    assert "title=Ada: synthetic" in told
    assert "comment=AI-generated <& honest>" in told
    assert "description=digital_source_type: http://cv.iptc.org/x" in told
    assert "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/x</Iptc4xmpExt:DigitalSourceType>" in told
    assert store.path(done.thumbnail).read_bytes()[:3] == b"\xff\xd8\xff"
    assert store.facts[done.thumbnail.id]["luma"] > 24
    assert store.made_from[done.video.id] == (cut.video,)
    assert (
        LocalEnhancer(store).enhance(cut, frame=FRAME, marks=MARKS, thumbnail_at=0.5).video.sha256 == done.video.sha256
    )


def test_silence_and_darkness_are_finished_too(store: FolderStore) -> None:
    with store.scratch() as folder:
        file = folder / "cut.mp4"
        ffmpeg.run([
            "-f", "lavfi", "-i", "color=black:size=320x180:rate=25", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono",
            "-t", "1", *ffmpeg.video(25), *ffmpeg.AUDIO, file,
        ])  # fmt: skip
        cut = Footage(store.keep(file, kind="cut", media_type="video/mp4"), 25, 1.0)
    done = LocalEnhancer(store).enhance(cut, frame=FRAME, marks={}, thumbnail_at=5)
    assert done.loudness_lufs <= -60
    json.dumps(store.facts[done.video.id], allow_nan=False)


# --- captions and background ---------------------------------------------------------------------------


def test_the_voices_own_pace_makes_captions_that_can_be_read(store: FolderStore) -> None:
    speech = LocalSpeech(store).speak(PASSAGE, seed=3)
    captions = LocalCaptions(store).write(cues(speech.words, until=speech.seconds))
    for form, file in (("vtt", captions.vtt), ("srt", captions.srt)):
        text = store.path(file).read_text(encoding="utf-8")
        assert flaws(text, form, words=PASSAGE.split(), scenes=[speech.seconds]) == []
        assert max(speed(event) for event in pysubs2.SSAFile.from_string(text, format_=form)) <= READ_CPS


def test_captions_and_background_are_kept_with_facts(store: FolderStore) -> None:
    speech = LocalSpeech(store).speak(TEXT, seed=1)
    captions = LocalCaptions(store).write(cues(speech.words, until=speech.seconds), [speech.audio])
    assert store.made_from[captions.vtt.id] == store.made_from[captions.srt.id] == (speech.audio,)
    assert store.path(captions.vtt).read_text(encoding="utf-8").startswith("WEBVTT")
    assert (captions.vtt.media_type, captions.srt.media_type) == ("text/vtt", "application/x-subrip")
    first, again = (LocalBackground(store).paint("a bright office", width=320, height=180, seed=5) for _ in range(2))
    assert first.sha256 == again.sha256
    assert store.facts[first.id]["width"] == 320
