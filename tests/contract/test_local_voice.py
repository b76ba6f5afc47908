"""The offline checks of a sample, and the approximate voice match: what is refused, and how near it comes."""

import functools
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.assets import Asset
from pipeline.errors import (
    ClippedSample,
    NoisySample,
    NoSpeech,
    RenderFailed,
    SampleTooLong,
    SampleTooShort,
    SilentSample,
    StageError,
    TruncatedSound,
    UnreadableSound,
    VoiceElsewhere,
)
from pipeline.ports import ClonedVoice, VoiceTraits
from providers.local.sound import RATE, decode
from providers.local.speech import LocalSpeech
from providers.local.traits import Measured, measure
from providers.local.voice_sample import LocalSample
from providers.local.voices import LocalVoices
from tests.recordings import SAID, WORDS_OF_A_JOB, person, recorded, stock
from tests.shelf import FolderStore

# Who is to be matched: semitones and pace against the stock voice.
PEOPLE = {"low and slow": (-7, 0.85), "high and quick": (4, 1.15), "a little lower": (-3, 1.0)}
FORMATS = {"wav": "audio/wav", "mp3": "audio/mpeg", "m4a": "audio/mp4", "ogg": "audio/ogg", "webm": "audio/webm"}


@dataclass(frozen=True)
class Person:
    """What was measured on a sample, and what was made of it."""

    traits: VoiceTraits
    voice: ClonedVoice


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def kept(store: FolderStore, file: Path) -> Asset:
    return store.keep(file, kind="voice_sample", media_type=FORMATS.get(file.suffix[1:], "audio/wav"))


def refused(store: FolderStore, file: Path) -> StageError:
    with pytest.raises(StageError) as caught:
        LocalSample(store).listen(kept(store, file))
    assert not caught.value.retryable
    assert not isinstance(caught.value, RenderFailed)
    assert str(file.parent) not in caught.value.message
    return caught.value


# --- samples --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_that_is_taken_at_the_door_is_measured_alike(
    store: FolderStore, tmp_path: Path, suffix: str
) -> None:
    report = LocalSample(store).listen(kept(store, recorded(tmp_path / f"sample.{suffix}", stock())))
    assert report.seconds == pytest.approx(len(stock()) / RATE, abs=0.15)
    assert (report.channels, report.clipped) == (1, pytest.approx(0, abs=0.0005))
    assert report.snr_db > 30
    assert report.traits.pitch_hz == pytest.approx(measure(stock(), RATE).pitch_hz, rel=0.01)
    assert report.traits.syllables_per_s == pytest.approx(measure(stock(), RATE).syllables_per_s, rel=0.05)


def test_one_channel_is_enough(store: FolderStore, tmp_path: Path) -> None:
    one = recorded(tmp_path / "one.wav", stock(), "pan=stereo|c0=0*c0|c1=c0")
    report = LocalSample(store).listen(kept(store, one))
    assert report.channels == 2
    assert report.traits.pitch_hz == pytest.approx(measure(stock(), RATE).pitch_hz, rel=0.01)


def test_a_few_minutes_are_taken(store: FolderStore, tmp_path: Path) -> None:
    file = recorded(tmp_path / "long.m4a", np.tile(stock(), 20)[: 299 * RATE])
    assert LocalSample(store).listen(kept(store, file)).seconds == pytest.approx(299, abs=0.2)


WRONG: dict[str, tuple[type[StageError], Callable[[Path], Path]]] = {
    "silent": (SilentSample, lambda at: recorded(at / "a.wav", np.zeros(12 * RATE))),
    "a hiss of nothing": (SilentSample, lambda at: recorded(at / "a.wav", noise(12, 1e-4))),
    "too short": (SampleTooShort, lambda at: recorded(at / "a.mp3", stock()[: 9 * RATE])),
    "too long": (SampleTooLong, lambda at: recorded(at / "a.mp3", np.tile(stock(), 20)[: 302 * RATE])),
    "clipped": (ClippedSample, lambda at: recorded(at / "a.wav", loud(6))),
    "clipped, then turned down": (ClippedSample, lambda at: recorded(at / "a.wav", 0.5 * loud(6))),
    "noisy": (NoisySample, lambda at: recorded(at / "a.wav", stock() + noise(len(stock()) / RATE, 0.02))),
    "noise alone": (NoSpeech, lambda at: recorded(at / "a.wav", noise(15, 0.1))),
    "a tone": (NoSpeech, lambda at: recorded(at / "a.wav", tone(15))),
    "little speech": (NoSpeech, lambda at: recorded(at / "a.wav", np.pad(stock()[: 4 * RATE], (0, 10 * RATE)))),
    "no sound": (UnreadableSound, lambda at: written(at / "a.wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 100)),
    "a text": (UnreadableSound, lambda at: written(at / "a.wav", b"This is not a sound. " * 100)),
    "nothing": (UnreadableSound, lambda at: written(at / "a.wav", b"")),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_sample_that_will_not_do_says_why_and_what_to_do(store: FolderStore, tmp_path: Path, name: str) -> None:
    kind, make = WRONG[name]
    error = refused(store, make(tmp_path))
    assert type(error) is kind, error.message
    assert any(word in error.message for word in ("Record", "Send", "Turn", "Check", "is plenty"))


def test_every_fault_of_a_sample_has_a_code_of_its_own() -> None:
    codes = {kind.code for kind, _ in WRONG.values()} | {TruncatedSound.code}
    assert codes == {
        "silent_sample", "sample_too_short", "sample_too_long", "clipped_sample", "noisy_sample", "no_speech",
        "unreadable_sound", "truncated_sound",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_broke_off_is_told_from_a_short_one(store: FolderStore, tmp_path: Path, suffix: str) -> None:
    whole = recorded(tmp_path / f"whole.{suffix}", stock()).read_bytes()
    error = refused(store, written(tmp_path / f"cut.{suffix}", whole[: round(len(whole) * 0.8) // 2 * 2 + 1]))
    assert isinstance(error, TruncatedSound)
    assert "Upload it again" in error.message


def test_a_loud_but_clean_recording_is_no_clipped_one(store: FolderStore, tmp_path: Path) -> None:
    normal = stock() / np.abs(stock()).max()
    assert LocalSample(store).listen(kept(store, recorded(tmp_path / "a.wav", normal))).peak_dbfs > -0.1


def test_a_playlist_opens_no_other_file(store: FolderStore, tmp_path: Path) -> None:
    """What comes from a URL is whatever its server likes to send."""
    other = recorded(tmp_path / "private.wav", stock())
    for text in (f"ffconcat version 1.0\nfile '{other}'\n", f"#EXTM3U\n#EXTINF:30,\n{other}\n#EXT-X-ENDLIST\n"):
        error = refused(store, written(tmp_path / "list.wav", text.encode()))
        assert isinstance(error, UnreadableSound)


# --- the match ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def meet(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Person]:
    """Each is recorded and matched once."""
    folder = tmp_path_factory.mktemp("people")
    store = FolderStore(folder / "store")

    @functools.cache
    def meet(name: str) -> Person:
        semitones, pace = PEOPLE[name]
        sample = kept(store, person(folder / f"{name}.wav", semitones=semitones, pace=pace))
        wanted = LocalSample(store).listen(sample).traits
        return Person(wanted, LocalVoices(store).clone([sample], name=name))

    return meet


@pytest.mark.parametrize("name", PEOPLE)
def test_a_matched_voice_is_measurably_nearer_to_the_sample(
    store: FolderStore, meet: Callable[[str], Person], name: str
) -> None:
    """The sample's own words are said, so that the figures compare voices and not texts."""
    wanted, voice = meet(name).traits, meet(name).voice
    assert (voice.provider, voice.method) == ("local", "approximate voice match")
    heard, plain = spoken(store, SAID, voice), spoken(store, SAID, None)
    assert heard.pitch_hz == pytest.approx(wanted.pitch_hz, rel=0.1)
    assert heard.syllables_per_s == pytest.approx(wanted.syllables_per_s, rel=0.1)
    assert heard.pitch_spread_st == pytest.approx(wanted.pitch_spread_st, rel=0.25)
    assert abs(heard.pitch_hz - wanted.pitch_hz) < 0.4 * abs(plain.pitch_hz - wanted.pitch_hz)
    assert apart(heard, wanted) < 0.75 * apart(plain, wanted)


@pytest.mark.parametrize("name", PEOPLE)
def test_other_words_take_as_long_as_the_person_needs(
    store: FolderStore, tmp_path: Path, meet: Callable[[str], Person], name: str
) -> None:
    """Pace without counting syllables: by the clock, pauses and all."""
    semitones, pace = PEOPLE[name]
    file = person(tmp_path / "other.wav", semitones=semitones, pace=pace, text=WORDS_OF_A_JOB)
    theirs = measure(decode(file, most_s=300).voice, RATE)
    heard = spoken(store, WORDS_OF_A_JOB, meet(name).voice)
    assert len(heard.level_db) == pytest.approx(len(theirs.level_db), rel=0.1)
    assert heard.pitch_hz == pytest.approx(theirs.pitch_hz, rel=0.1)


def test_a_voice_is_made_alike_again_and_speaks_alike_again(
    store: FolderStore, tmp_path: Path, meet: Callable[[str], Person]
) -> None:
    semitones, pace = PEOPLE["low and slow"]
    voice = meet("low and slow").voice
    sample = kept(store, person(tmp_path / "sample.wav", semitones=semitones, pace=pace))
    assert LocalVoices(store).clone([sample], name="Ada") == voice
    one, two = (LocalSpeech(store).speak("The same words.", voice, seed=7) for _ in range(2))
    assert one.audio.sha256 == two.audio.sha256
    assert one.audio.sha256 != LocalSpeech(store).speak("The same words.", seed=7).audio.sha256
    assert store.facts[one.audio.id]["voice"] == "approximate voice match"


def test_words_and_phonemes_keep_to_the_sound_of_a_slower_voice(
    store: FolderStore, meet: Callable[[str], Person]
) -> None:
    voice = meet("low and slow").voice
    text = "Good morning, dear friends. This is a test."
    slow, plain = LocalSpeech(store).speak(text, voice, seed=3), LocalSpeech(store).speak(text, seed=3)
    assert slow.seconds > 1.05 * plain.seconds
    assert [word.text for word in slow.words] == text.split()
    with wave.open(str(store.path(slow.audio))) as sound:
        assert sound.getnframes() / RATE == slow.seconds
        wav = np.frombuffer(sound.readframes(-1), "<i2") / 32768
    for word in slow.words:
        part = wav[round(word.start * RATE) : round(word.end * RATE)]
        assert np.sqrt((part**2).mean()) > 0.005, word
    assert slow.words[0].start == pytest.approx(0.12, abs=0.04)
    assert slow.seconds - slow.words[-1].end < 0.35


def test_a_matched_voice_is_neither_clipped_nor_much_softer(store: FolderStore, meet: Callable[[str], Person]) -> None:
    for each in map(meet, PEOPLE):
        peak = store.facts[LocalSpeech(store).speak(WORDS_OF_A_JOB, each.voice, seed=1).audio.id]["peak_dbfs"]
        assert -16 < peak < -0.9  # the finished video is evened out to -16 LUFS


def test_a_voice_of_another_family_is_not_spoken(store: FolderStore) -> None:
    with pytest.raises(VoiceElsewhere, match="elevenlabs"):
        LocalSpeech(store).speak("Hello.", ClonedVoice("elevenlabs", "abc"), seed=1)
    assert not store.facts


def spoken(store: FolderStore, text: str, voice: ClonedVoice | None) -> Measured:
    said = LocalSpeech(store).speak(text, voice, seed=5)
    with store.open(said.audio) as file:
        return measure(decode(file, most_s=300).voice, RATE)


def apart(heard: Measured, wanted: VoiceTraits) -> float:
    """dB between two envelopes, root mean square."""
    return float(np.sqrt(np.mean((heard.envelope_db - np.array(wanted.envelope_db)) ** 2)))


def noise(seconds: float, level: float) -> np.ndarray:
    return np.random.default_rng(9).normal(0, level, round(seconds * RATE)).astype(np.float32)


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loud(times: float) -> np.ndarray:
    return np.clip(times * stock() / np.abs(stock()).max(), -1, 1)


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file
