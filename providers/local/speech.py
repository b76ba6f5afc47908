"""Speech by hibari-tts: a neural US English voice inside the wheel, with the durations of its phonemes."""

import functools
import json
import re
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from hibari import Hibari, dsp
from hibari.g2p.normalize import normalize

from pipeline.errors import TextNotSpeakable, VoiceElsewhere
from pipeline.ports import AssetStore, ClonedVoice, Utterance
from pipeline.sentences import sentences
from pipeline.timeline import Word
from providers.local import match as matching
from providers.local.alignment import PAUSES, Group, Phone, foreign, phones, place, said, score, settle
from providers.local.match import Match
from schemas import records as codec

RATE = dsp.SR
FRAME_S = dsp.HOP / RATE
LEAD_S = 0.12  # silence before the first sound
TAIL_S = 0.24  # of the voice's own fading after the last one
GAP_S = 0.12  # between sentences, besides lead and tail
FADE_S = 0.01
LOUD = 10 ** (-52 / 20)
PEAK = 0.89
LONGEST_CHUNK = 400  # symbols: what the net was trained on
LONGEST_WORD = 24  # letters or digits in a row: beyond, the spelling net cuts words off and numbers have no names
DURATIONS = "/Clip_output_0"  # the net's rounded durations: an inner value, one per symbol
UNIT_FRAMES = 2


class LocalSpeech:
    """English only."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def speak(
        self, text: str, voice: ClonedVoice | None = None, *, seed: int, language: str | None = None
    ) -> Utterance:
        """Mono 16-bit WAV at 24 kHz. `words` are the text's own tokens between spaces, in order, whatever is said for
        them. The same text, voice and seed give the same bytes. Raises TextNotSpeakable, VoiceElsewhere."""
        if voice is not None and voice.provider != self.name:
            raise VoiceElsewhere(f"{self.name} cannot speak with a voice of {voice.provider}.", provider=voice.provider)
        sound, heard, words = recite(text, seed, codec.load(dict(voice.settings), Match) if voice else None)
        seconds = len(sound) / RATE
        with self.assets.scratch() as folder:
            file = write_wav(folder / "speech.wav", sound)
            audio = self.assets.keep(
                file, kind="speech", media_type="audio/wav",
                facts={"seconds": seconds, "sample_rate": RATE, "channels": 1, "samples": len(sound),
                       "peak_dbfs": round(20 * float(np.log10(max(np.abs(sound).max(), 1e-6))), 2),
                       "words": len(words), "timing": _timing(),
                       "voice": voice.method if voice else "stock"},
                made_from=voice.samples if voice else (),
            )  # fmt: skip
            notes = folder / "phonemes.json"
            notes.write_text(json.dumps(score(heard, words, seconds), ensure_ascii=False), encoding="utf-8")
            phonemes = self.assets.keep(
                notes, kind="phonemes", media_type="application/json",
                facts={"seconds": seconds, "phonemes": len(heard)}, made_from=[audio],
            )  # fmt: skip
        return Utterance(audio, phonemes, seconds, tuple(words))


def _timing() -> str:
    return "exact" if voice().exact else "proportional"


def recite(text: str, seed: int, match: Match | None = None) -> tuple[np.ndarray, list[Phone], list[Word]]:
    """The samples (float32, 24 kHz), and phones and words on their clock. Raises TextNotSpeakable."""
    random = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    heard: list[Phone] = []
    words: list[Word] = []
    samples = 0
    for sentence in sentences(text):
        written = sentence.split()
        pieces = [(piece, index) for index, word in enumerate(written) for piece in said(word).split()]
        _refuse(word for word in written if foreign(word) or _endless(word))
        groups = voice().read(" ".join(piece for piece, _ in pieces))
        _refuse(group.text for group in groups if _mute(group) or len(group.phonemes) > LONGEST_CHUNK)
        in_sentence: list[Phone] = []
        for chunk in chunks(groups):
            if parts:
                parts.append(np.zeros(round(GAP_S * RATE), np.float32))
                samples += len(parts[-1])
            sound, said_phones = _utter(chunk, random, match)
            clock = samples / RATE
            in_sentence += [replace(phone, start=phone.start + clock, end=phone.end + clock) for phone in said_phones]
            parts.append(sound)
            samples += len(sound)
        words += place(written, pieces, groups, _spans(in_sentence, len(groups)), words[-1].end if words else 0.0)
        heard += in_sentence
    if not heard:
        raise TextNotSpeakable("There is nothing to say in this text. Write at least one English word.")
    sound = np.concatenate(parts)
    return sound * min(1.0, PEAK / float(np.abs(sound).max())), heard, words


def _refuse(words: Iterable[str]) -> None:
    """A word that would be shown but not heard is refused, never dropped; emoji and marks may stay silent."""
    found = list(dict.fromkeys(words))
    if found:
        shown = ", ".join(f"“{word[:30]}…”" if len(word) > 30 else f"“{word}”" for word in found[:5])
        raise TextNotSpeakable(
            f"This voice reads English only and cannot say {shown}. Write it in English words or set up another voice.",
            words=[word[:60] for word in found[:20]],
        )


def _endless(word: str) -> bool:
    return any(len(run) > LONGEST_WORD for run in re.findall(r"[^\W\d_]+|\d+", word))


def _mute(group: Group) -> bool:
    return any(map(str.isalnum, group.text)) and not any(map(str.isalpha, group.phonemes))


def chunks(groups: Sequence[Group]) -> Iterator[list[tuple[str, int]]]:
    """(symbol, group index) pairs of at most 400 symbols, cut after a mark where there is one."""
    chunk: list[tuple[str, int]] = []
    resting = 0
    for index, group in enumerate(groups):
        if not group.phonemes:
            continue
        symbols = [(" ", index)] * bool(chunk) + [(symbol, index) for symbol in group.phonemes]
        if len(chunk) + len(symbols) > LONGEST_CHUNK:
            cut = resting or len(chunk)
            yield chunk[:cut]
            chunk = chunk[cut:]
            resting = 0
            while chunk and chunk[0][0] == " ":
                chunk.pop(0)
        chunk += symbols if chunk else symbols[symbols[0][0] == " " :]
        if group.phonemes[-1] in PAUSES:
            resting = len(chunk)
    if any(symbol.isalpha() for symbol, _ in chunk):
        yield chunk


def _utter(
    chunk: Sequence[tuple[str, int]], random: np.random.Generator, match: Match | None
) -> tuple[np.ndarray, list[Phone]]:
    """The sound from `LEAD_S` before the first phone to `TAIL_S` after the last, and the phones on its clock."""
    sound, ends = voice().say("".join(symbol for symbol, _ in chunk), random, match)
    energy = np.sqrt((sound.reshape(-1, dsp.HOP) ** 2).mean(axis=1))
    found = settle(phones(chunk, ends[:-2], ends[1:-1]), (energy > LOUD).tolist(), FRAME_S)
    first = max(round((found[0].start - LEAD_S) * RATE), 0)
    padding = np.zeros(max(round((LEAD_S - found[0].start) * RATE), 0), np.float32)
    last = min(round((found[-1].end + TAIL_S) * RATE), len(sound))
    kept = sound[first:last].copy()
    fade = np.linspace(0, 1, round(FADE_S * RATE), dtype=np.float32)
    kept[: len(fade)] *= fade[: len(kept)]
    kept[-len(fade) :] *= fade[::-1][-len(kept) :]
    shift = (len(padding) - first) / RATE
    return np.concatenate([padding, kept]), [
        replace(phone, start=phone.start + shift, end=phone.end + shift) for phone in found
    ]


def _spans(heard: Sequence[Phone], count: int) -> list[tuple[float, float] | None]:
    spans: list[tuple[float, float] | None] = [None] * count
    for phone in heard:
        known = spans[phone.group]
        spans[phone.group] = (known[0] if known else phone.start, phone.end)
    return spans


def write_wav(file: Path, sound: np.ndarray) -> Path:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return file


class Voice:
    """The nets, loaded once per process: 200 MB, 1 CPU-s."""

    def __init__(self) -> None:
        self._hibari = Hibari()
        quiet = onnxruntime.SessionOptions()
        quiet.intra_op_num_threads = quiet.inter_op_num_threads = 1
        quiet.log_severity_level = 3
        try:
            model = Path(self._hibari.model_path).read_bytes() + _as_output(DURATIONS)
            self._net = onnxruntime.InferenceSession(model, quiet, providers=["CPUExecutionProvider"])
            self.exact = self._adds_up("həlˈO ðˈɛɹ.")
        except Exception:  # any other release of the net: it still speaks, only its durations are unknown
            self.exact = False
        if not self.exact:
            self._net = self._hibari.sess

    def read(self, text: str) -> list[Group]:
        """The text's words after normalisation, each with its phonemes in symbols that the net knows."""
        g2p = self._hibari.g2p
        groups: list[Group] = []
        open_group = False
        try:
            tokens = g2p.phonemize_tokens(g2p.tokenize(normalize(text)))
        except (LookupError, ValueError) as odd:  # what its rules did not foresee
            problem = f"The voice cannot read “{text[:60]}”. Write its numbers and marks in words."
            raise TextNotSpeakable(problem) from odd
        for token in tokens:
            known = "".join(symbol for symbol in token.phonemes or "" if symbol in self._hibari.vocab)
            if open_group:
                before = groups.pop()
                groups.append(Group(before.text + token.text, before.phonemes + known))
            else:
                groups.append(Group(token.text, known))
            open_group = not token.whitespace
        return [Group(group.text, group.phonemes.strip()) for group in groups]

    def say(
        self, symbols: str, random: np.random.Generator, match: Match | None = None
    ) -> tuple[np.ndarray, list[float]]:
        """The samples, and the seconds at which the leading pad, each symbol and the closing pad end."""
        ids = self._hibari.ids(symbols)
        outputs = [value[0] for value in self._run(ids)]
        frames = outputs[5].size
        parameters = matching.apply(match, outputs[:6]) if match else outputs[:6]
        sound = dsp.synth(*parameters, random)
        weights = outputs[6].ravel() * UNIT_FRAMES if self.exact else _guessed(symbols, frames)
        weights = weights * (parameters[5].size / frames)
        return sound, (np.cumsum(weights) * FRAME_S).tolist()

    def _run(self, ids: Sequence[int]) -> list[np.ndarray]:
        answer: list[np.ndarray] = self._net.run(
            None, {"ids": np.asarray([ids], np.int64), "speed": np.asarray([1.0], np.float32)}
        )
        if len(answer) > 6:
            answer[6] = np.asarray(answer[6]).reshape(1, -1)
        return answer

    def _adds_up(self, symbols: str) -> bool:
        ids = self._hibari.ids(symbols)
        *_, f0, durations = self._run(ids)
        return durations.size == len(ids) and int(durations.sum()) * UNIT_FRAMES == f0.shape[-1]


@functools.cache
def voice() -> Voice:
    return Voice()


def _as_output(name: str) -> bytes:
    """A partial ONNX ModelProto that declares an inner float tensor as an output: protobuf merges what is appended.

    ModelProto.graph is field 7, GraphProto.output 12, ValueInfoProto.name 1 and .type 2, TypeProto.tensor_type 1.
    """

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    return field(7, field(12, field(1, name.encode()) + field(2, field(1, bytes([1 << 3, 1])))))


def _guessed(symbols: str, frames: int) -> np.ndarray:
    """Durations without the net's own: pads and marks are long, vowels twice a consonant."""
    weight = {" ": 1.5, "ˈ": 1.0, "ˌ": 1.0, **dict.fromkeys("AIOWYaeiouæɑɔəɛɜɪʊʌᵊᵻ", 3.0), **dict.fromkeys(PAUSES, 5.0)}
    weights = np.array([14.0, *(weight.get(symbol, 2.0) for symbol in symbols), 4.0])
    return weights / weights.sum() * frames
