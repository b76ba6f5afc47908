"""ElevenLabs: speech with the moments of its characters, and voices cloned from samples.

What is on the wire is as in its OpenAPI description and error list of September 2026.
"""

import base64
import binascii
import json
import math
import re
import sys
import wave
from array import array
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from random import uniform
from typing import Any, ClassVar

from pipeline.assets import Asset
from pipeline.calls import Answered, Repeat, Running, Ticket
from pipeline.errors import (
    BadOutput,
    CallVanished,
    ConcurrencyLimited,
    InsufficientFunds,
    Moderated,
    ProviderAuth,
    ProviderError,
    ProviderMissing,
    ProviderRejected,
    TextNotSpeakable,
    VendorBusy,
    VoiceElsewhere,
)
from pipeline.ports import AssetStore, ClonedVoice, Utterance
from pipeline.settings import Vendor
from providers import letters
from providers.ledgered import Paid
from providers.operation import VendorOperation
from providers.wire import AUTH_PAUSE_S, FUNDS_PAUSE_S, MIB, Reply, Wire, base_url, facts, key, refusal, token

ADAPTERS = {
    "speech": "providers.elevenlabs:ElevenLabsSpeech",
    "voice_cloning": "providers.elevenlabs:ElevenLabsVoices",
}
OPERATIONS = {
    "text_to_speech": "providers.elevenlabs:TextToSpeech",
    "add_voice": "providers.elevenlabs:AddVoice",
}

API = "https://api.elevenlabs.io"
MODEL = "eleven_multilingual_v2"
RATE = 24_000
SEEDS = 2**32
SPEAK_S = 180.0  # minutes of speech are made at once, and a step of speech has five minutes
ADD_S = 50.0
FOUND_AFTER_S = 60.0  # nobody promises that the list of voices knows a new one at once
LONGEST_ANSWER = 256 * MIB  # 40,000 characters of speech are 45 minutes: 130 MB, a third more in base64
PAGES = 10

# elevenlabs.io/docs/overview/models, September 2026; of other models ElevenLabs knows the limit itself
CHARACTERS = {
    "eleven_v3": 5_000,
    "eleven_multilingual_v2": 10_000,
    "eleven_multilingual_v1": 10_000,
    "eleven_monolingual_v1": 10_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
}
# USD, elevenlabs.io/pricing/api, June 2026; plans bought before differ: ELEVENLABS_PRICE_PER_1000_CHARACTERS
PRICE_PER_1000_CHARACTERS = Decimal("0.10")
QUICK_PRICE_PER_1000_CHARACTERS = Decimal("0.05")
QUICK = re.compile(r"flash|turbo")
SETTINGS = {"STABILITY": (0.0, 1.0), "SIMILARITY_BOOST": (0.0, 1.0), "STYLE": (0.0, 1.0), "SPEED": (0.7, 1.2)}

# Their codes, of `detail.code` and of `detail.status`, which came before it: live answers have both, and often only
# the older one says what is the matter.
NO_MONEY = {"quota_exceeded", "insufficient_credits", "payment_required", "voice_limit_reached"}
NOT_ALLOWED = {"content_against_policy", "famous_voice_not_permitted", "voice_blocked_detected"}
NOT_TAKEN = {
    "voice_not_found", "invalid_voice_id", "voice_access_denied", "voice_not_fine_tuned", "invalid_voice_settings",
    "model_not_found", "model_access_denied", "unsupported_model", "max_character_limit_exceeded", "text_too_long",
    "voice_already_exists", "resource_already_exists",
}  # fmt: skip
NO_KEY = {"invalid_api_key", "missing_api_key", "needs_authorization", "workspace_not_found"}
CROWDED = {"too_many_concurrent_requests", "concurrent_limit_exceeded"}

# elevenlabs.io/docs/overview/models, September 2026: what these have in common; they tell the language from the text
MULTILINGUAL = {"eleven_v3", "eleven_multilingual_v2", "eleven_flash_v2_5", "eleven_turbo_v2_5"}
LANGUAGES = (
    "en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "it", "es", "id", "nl", "tr", "fil", "pl", "sv", "bg", "ro", "ar",
    "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "ru",
)  # fmt: skip


def languages(vendor: Vendor) -> tuple[str, ...]:
    """What its model can say; English where that is not known here."""
    return LANGUAGES if (vendor.variables.get("MODEL_ID") or MODEL) in MULTILINGUAL else ("en",)


# elevenlabs.io/docs/api-reference/text-to-speech: these keep to a language that they are told; others refuse the field
OBEDIENT = {"eleven_v3", "eleven_flash_v2_5", "eleven_turbo_v2_5"}


def explain(reply: Reply) -> ProviderError | None:
    """What ElevenLabs says of a refusal, by its codes alone; None where the status says it all."""
    detail = reply.object().get("detail")
    if isinstance(detail, list) and 400 <= reply.status < 500:
        places = [each.get("loc") for each in detail if isinstance(each, dict)]
        fields = [".".join(map(str, place)) for place in places if isinstance(place, list)]
        named = [name for name in map(token, fields) if name]
        return ProviderRejected(f"elevenlabs does not take {', '.join(named) or 'this'}.", **facts(reply, fields=named))
    if not isinstance(detail, dict):
        return None
    codes = [each for each in (token(detail.get("status")), token(detail.get("code"))) if each]
    if not codes:
        return None
    said, request_id = codes[0], token(detail.get("request_id"))
    known = facts(reply, vendor_code=said) | ({"request_id": request_id} if request_id else {})
    found = set(codes)
    if found & NO_MONEY:
        why = "all its places for voices are taken" if "voice_limit_reached" in found else "no money is left"
        return InsufficientFunds(f"Our account at elevenlabs: {why} ({said}).", pause_s=FUNDS_PAUSE_S, **known)
    if found & CROWDED:
        return ConcurrencyLimited(f"elevenlabs is at work on others of ours ({said}).", pause_s=uniform(2, 4), **known)
    if found & NOT_ALLOWED:
        return Moderated(f"elevenlabs does not allow this content ({said}).", **known)
    if found & NOT_TAKEN:
        return ProviderRejected(f"elevenlabs does not take this ({said}).", **known)
    if found & NO_KEY:
        return ProviderAuth(f"elevenlabs does not accept our key ({said}).", pause_s=AUTH_PAUSE_S, **known)
    return refusal("elevenlabs", reply, said=said)


def wire(vendor: Vendor) -> Wire:
    """Raises ProviderMissing."""
    return Wire(vendor, base=base_url(vendor, API), auth=("xi-api-key", key(vendor, "API_KEY")), explain=explain)


# --- speech --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """What is said, by whom and how."""

    text: str
    voice_id: str
    model_id: str
    seed: int
    settings: Mapping[str, float]
    language_code: str | None = None


class TextToSpeech(VendorOperation):
    """One request, one answer; it keeps nothing that could be asked for later."""

    name = "text_to_speech"
    capability = "speech"
    repeat = Repeat.NEITHER
    action: type = Script
    answer: type[Utterance] = Utterance

    def quote(self, action: Script) -> Decimal:
        return price(self.vendor, action.model_id) * len(action.text) / 1000

    def submit(self, action: Script, reference: str) -> Answered[Utterance]:
        body = {"text": action.text, "model_id": action.model_id, "seed": action.seed}
        if action.settings:
            body["voice_settings"] = dict(action.settings)
        if action.language_code:
            body["language_code"] = action.language_code
        reply = wire(self.vendor).pay(
            f"/v1/text-to-speech/{action.voice_id}/with-timestamps",
            params={"output_format": f"pcm_{RATE}"},
            json=body,
            seconds=SPEAK_S,
            max_bytes=LONGEST_ANSWER,
        )
        return Answered(utterance(self.assets, action.text, reply))


class ElevenLabsSpeech(Paid):
    """Its own clones, and else one voice for all: `ELEVENLABS_VOICE_ID`."""

    name: ClassVar[str] = "elevenlabs"
    requires = ("API_KEY", "VOICE_ID")

    @classmethod
    def ready(cls, vendor: Vendor) -> None:
        super().ready(vendor)
        wire(vendor)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", vendor.variables["VOICE_ID"]):
            raise ProviderMissing(f"{vendor.variable('VOICE_ID')} is no voice's id")
        settings(vendor)
        price(vendor, MODEL)

    def speak(
        self, text: str, voice: ClonedVoice | None = None, *, seed: int, language: str | None = None
    ) -> Utterance:
        """Mono 16-bit WAV at 24 kHz. Raises TextNotSpeakable, ProviderRejected for more than the model can say."""
        model = self.vendor.variables.get("MODEL_ID") or MODEL
        most = CHARACTERS.get(model)
        if not any(map(str.isalnum, text)):
            raise TextNotSpeakable("There is nothing to say in this text.")
        if most is not None and len(text) > most:
            raise ProviderRejected(
                f"{model} says at most {most} characters at once. Split the scene.", characters=len(text), limit=most
            )
        if voice is not None and voice.provider != self.name:
            raise VoiceElsewhere(f"{self.name} cannot speak with a voice of {voice.provider}.", provider=voice.provider)
        voice_id = voice.external_id if voice else self.vendor.variables["VOICE_ID"]
        script = Script(
            text, voice_id, model, seed % SEEDS, settings(self.vendor), code(model, language) if language else None
        )
        return self.once(TextToSpeech(self.assets, self.vendor), script)


def code(model: str, language: str) -> str | None:
    """ISO 639-1, as `language_code` is; None where the model does not take it, or the language has none."""
    found = language.partition("-")[0].lower()
    return found if model in OBEDIENT and len(found) == 2 else None


def price(vendor: Vendor, model: str) -> Decimal:
    """USD for 1000 characters. Raises ProviderMissing."""
    told = vendor.variables.get("PRICE_PER_1000_CHARACTERS")
    if not told:
        return QUICK_PRICE_PER_1000_CHARACTERS if QUICK.search(model) else PRICE_PER_1000_CHARACTERS
    try:
        found = Decimal(told)
    except InvalidOperation:
        found = Decimal(-1)
    if not (found.is_finite() and found >= 0):
        raise ProviderMissing(f"{vendor.variable('PRICE_PER_1000_CHARACTERS')} is a number of USD")
    return found


def settings(vendor: Vendor) -> dict[str, float]:
    """How the voice speaks, where the operator wants it otherwise than it was set at ElevenLabs."""
    found = {}
    for name, (least, most) in SETTINGS.items():
        told = vendor.variables.get(name)
        if told:
            try:
                value = float(told)
            except ValueError:
                value = math.nan
            if not least <= value <= most:
                raise ProviderMissing(f"{vendor.variable(name)} is a number from {least:g} to {most:g}")
            found[name.lower()] = value
    return found


def utterance(assets: AssetStore, text: str, reply: Reply) -> Utterance:
    """The answer as the pipeline has speech, kept. Raises BadOutput."""
    told = reply.object()
    sound = pcm(told.get("audio_base64"), reply)
    seconds = len(sound) / RATE
    spelled, exact = letters.spell(text, [told.get("alignment"), told.get("normalized_alignment")], seconds)
    words = letters.words(spelled)
    entries = letters.mouth(spelled, seconds)
    listed = [{"text": word.text, "start": word.start, "end": word.end} for word in words]
    peak = max(-min(sound), max(sound))
    with assets.scratch() as folder:
        audio = assets.keep(
            write_wav(folder / "speech.wav", sound), kind="speech", media_type="audio/wav",
            facts={"seconds": seconds, "sample_rate": RATE, "channels": 1, "samples": len(sound),
                   "peak_dbfs": round(20 * math.log10(peak / 32768), 2), "words": len(words),
                   "timing": "exact" if exact else "proportional"},
        )  # fmt: skip
        notes = folder / "phonemes.json"
        score = {"seconds": round(seconds, 4), "phonemes": entries, "words": listed}
        notes.write_text(json.dumps(score, ensure_ascii=False), encoding="utf-8")
        phonemes = assets.keep(
            notes, kind="phonemes", media_type="application/json",
            facts={"seconds": seconds, "phonemes": sum(entry["symbol"] != letters.SILENT for entry in entries)},
            made_from=[audio],
        )  # fmt: skip
    return Utterance(audio, phonemes, seconds, words)


def pcm(encoded: object, reply: Reply) -> "array[int]":
    """The samples. Raises BadOutput: this had to be paid."""
    try:
        data = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except binascii.Error:
        raise BadOutput("elevenlabs gave sound that cannot be decoded.", **facts(reply)) from None
    if not data or len(data) % 2:
        raise BadOutput("elevenlabs gave no whole samples of sound.", bytes=len(data), **facts(reply))
    sound = array("h", data)
    if sys.byteorder == "big":
        sound.byteswap()
    if not any(sound):
        raise BadOutput("elevenlabs gave silence for speech.", samples=len(sound), **facts(reply))
    return sound


def write_wav(file: Path, sound: "array[int]") -> Path:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(sound)
    return file


# --- voices --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Samples:
    """A voice that is to be made."""

    name: str
    sounds: tuple[Asset, ...]


class AddVoice(VendorOperation):
    """An instant clone: it can speak at once. Our reference stands in its description, where their search looks."""

    name = "add_voice"
    capability = "voice_cloning"
    repeat = Repeat.FINDABLE
    action: type = Samples
    answer: type[ClonedVoice] = ClonedVoice
    settles_s = FOUND_AFTER_S

    def quote(self, action: Samples) -> Decimal:
        return Decimal(0)  # it takes one of the plan's places for voices

    def submit(self, action: Samples, reference: str) -> Answered[ClonedVoice]:
        with ExitStack() as opened:
            files = []
            for number, sound in enumerate(action.sounds, start=1):
                data = opened.enter_context(self.assets.open(sound)).read_bytes()
                files.append(("files", (f"sample-{number}{_suffix(sound)}", data, sound.media_type)))
            # a name of a voice may be taken once
            fields = {"name": f"{action.name[:60]} ({reference[-8:]})", "description": f"likeness {reference}"}
            reply = wire(self.vendor).pay("/v1/voices/add", data=fields, files=files, seconds=ADD_S)
        told = reply.object()
        return self._voice(told.get("voice_id"), told.get("requires_verification"), reply)

    def find(self, action: Samples, reference: str) -> Ticket | None:
        told = wire(self.vendor)
        asked: dict[str, str | int] = {"search": reference, "page_size": 100}
        for _ in range(PAGES):
            reply = told.ask("GET", "/v2/voices", params=asked)
            page = reply.object()
            for voice in _voices(page, reply):
                voice_id = token(voice.get("voice_id"))
                if voice_id and reference in str(voice.get("description")).split():
                    return Ticket(voice_id)
            following = page.get("next_page_token")
            if not page.get("has_more") or not isinstance(following, str):
                return None
            asked["next_page_token"] = following
        raise VendorBusy("elevenlabs lists more voices than could be looked through.")

    def poll(self, action: Samples, ticket: Ticket) -> Running | Answered[ClonedVoice]:
        reply = wire(self.vendor).ask("GET", f"/v1/voices/{ticket.external_id}", expect=(400, 404))
        if not reply.ok:
            raise CallVanished("elevenlabs does not know this voice any more.", **facts(reply))
        told = reply.object()
        check = told.get("voice_verification")
        check = check if isinstance(check, dict) else {}
        return self._voice(
            told.get("voice_id"), check.get("requires_verification") and not check.get("is_verified"), reply
        )

    def adopt(self, external_id: str) -> Ticket | None:
        return Ticket(external_id) if token(external_id) else None

    def _voice(self, voice_id: object, unverified: object, reply: Reply) -> Answered[ClonedVoice]:
        found = token(voice_id)
        if found is None:
            raise BadOutput("elevenlabs gave a voice without an id.", **facts(reply))
        if unverified:
            raise ProviderRejected(
                f"elevenlabs asks its owner to verify the voice {found} before it may speak. Verify it there, or clone"
                " from other samples.",
                **facts(reply, external_id=found),
            )
        return Answered(ClonedVoice(self.provider, found))


class ElevenLabsVoices(Paid):
    """Voices for `ElevenLabsSpeech`."""

    name: ClassVar[str] = "elevenlabs"
    requires = ("API_KEY",)

    @classmethod
    def ready(cls, vendor: Vendor) -> None:
        super().ready(vendor)
        wire(vendor)

    def clone(self, samples: Sequence[Asset], *, name: str) -> ClonedVoice:
        """A voice at once. A minute or two of one clean speaker are enough. Raises ProviderRejected."""
        if not samples or not all(sample.media_type.startswith("audio/") for sample in samples):
            raise ProviderRejected("A voice is made from sounds: give at least one, and nothing else.")
        return self.once(AddVoice(self.assets, self.vendor), Samples(name, tuple(samples)))


SUFFIXES: Mapping[str, str] = {
    "audio/mpeg": ".mp3", "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/mp4": ".m4a", "audio/ogg": ".ogg",
    "audio/flac": ".flac", "audio/webm": ".webm",
}  # fmt: skip


def _suffix(sound: Asset) -> str:
    return SUFFIXES.get(sound.media_type, "")


def _voices(page: Mapping[str, Any], reply: Reply) -> list[Mapping[str, Any]]:
    """Of a page of the list; not to find what may be there would make it twice. Raises VendorBusy."""
    found = page.get("voices")
    if not isinstance(found, list):
        raise VendorBusy("elevenlabs gave no list of voices.", **facts(reply))
    return [each for each in found if isinstance(each, dict)]
