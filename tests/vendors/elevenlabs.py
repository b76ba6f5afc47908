"""ElevenLabs as its clients see it: speech charged by the character, voices that take places, and books of both.

`python -m tests.vendors.elevenlabs --port 9202` runs it alone.
"""

import base64
import hashlib
import json
import math
import re
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from email import message_from_bytes
from http import HTTPStatus
from typing import Any

from tests.vendors.server import Call, FakeVendor, Reply, alone, serving

KEY = "sk_0123456789abcdef"
VOICE = "21m00Tcm4TlvDq8ikWAM"
RATE = 24_000
LETTER_S, MARK_S = 0.07, 0.25
LIMITS = {"eleven_multilingual_v2": 10_000, "eleven_flash_v2_5": 40_000, "eleven_v3": 5_000}
DEAF = {"eleven_multilingual_v2"}  # to a language that it is told
LANGUAGE = re.compile(r"[a-z]{2}")
SPEAKS = re.compile(r"/v1/text-to-speech/(?P<voice>[^/]+)/with-timestamps")
FORMATS = {"pcm_24000", "pcm_16000", "mp3_44100_128"}
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "model_id": str,
    "seed": int,
    "voice_settings": dict,
    "language_code": str,
    "previous_text": str,
    "next_text": str,
    "apply_text_normalization": str,
}


@dataclass(frozen=True, slots=True)
class Charge:
    """What was taken: speech of so many characters, or a place for a voice (of none)."""

    kind: str
    what: str
    asked: Mapping[str, Any]
    characters: int
    usd: Decimal
    at: float


@dataclass
class Voice:
    voice_id: str
    name: str
    description: str | None = None
    category: str = "cloned"
    samples: list[tuple[str, str, bytes]] = field(default_factory=list)
    unverified: bool = False

    def told(self) -> dict[str, Any]:
        return {
            "voice_id": self.voice_id,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "labels": {},
            "samples": [
                {"sample_id": f"s{number}", "file_name": name, "mime_type": kind, "size_bytes": len(data)}
                for number, (name, kind, data) in enumerate(self.samples)
            ],
            "voice_verification": {"requires_verification": self.unverified, "is_verified": False},
            "available_for_tiers": [],
            "high_quality_base_model_ids": [],
        }


@dataclass
class ElevenLabs(FakeVendor):
    """`quota` is how many characters are left, `places` how many voices may be made, `at_once` how many requests for
    speech it does together. `told` changes an answer with speech before it is sent; `takes_s` is how long that is made.
    `verifies`: new voices have to be verified. `page` is the most voices of a page.
    """

    key: str = KEY
    quota: int = 10**9
    places: int = 10
    at_once: int = 10
    takes_s: float = 0.0
    verifies: bool = False
    page: int = 100
    told: Any = None
    voices: dict[str, Voice] = field(default_factory=lambda: {VOICE: Voice(VOICE, "Rachel", category="premade")})
    most_at_once: int = 0
    _speaking: int = 0

    @property
    def variables(self) -> dict[str, str]:
        """The settings of a service that is to use it, without the `ELEVENLABS_`."""
        return {"API_KEY": self.key, "BASE_URL": self.url, "VOICE_ID": VOICE}

    def spoken(self, text: str) -> list[Charge]:
        with self.lock:
            return [charge for charge in self.books if charge.asked.get("text") == text]

    def doubled(self) -> list[str]:
        """What was charged more than once, by the digest of what was asked."""
        with self.lock:
            found = [charge.what for charge in self.books]
        return sorted({what for what in found if found.count(what) > 1})

    def answer(self, call: Call) -> Reply:
        if call.method == "POST" and (speaks := SPEAKS.fullmatch(call.path)):
            return self._speech(call, speaks["voice"])
        if call.method == "POST" and call.path == "/v1/voices/add":
            return self._add(call)
        if call.method == "GET" and call.path == "/v2/voices":
            return self._denied(call) or self._list(call)
        if call.method in ("GET", "DELETE") and call.path.startswith("/v1/voices/"):
            return self._denied(call) or self._voice(call)
        return Reply(404, {"detail": "Not Found"})

    # --- speech ----------------------------------------------------------------------------

    def _speech(self, call: Call, voice: str) -> Reply:
        asked, wrong = _body(call)
        if wrong:
            return invalid(*wrong)
        if denied := self._denied(call):
            return denied
        if set(call.query) - {"output_format", "enable_logging"}:
            return problem(400, "invalid_request", "bad_request")
        form = call.query.get("output_format", ["mp3_44100_128"])[0]
        if form not in FORMATS:
            return problem(400, "validation_error", "invalid_output_format")
        if voice not in self.voices:
            return problem(404, "not_found", "voice_not_found")
        text, model = asked["text"], asked.get("model_id", "eleven_multilingual_v2")
        if model not in LIMITS:
            return problem(404, "not_found", "model_not_found")
        if len(text) > LIMITS[model]:
            return problem(400, "validation_error", "text_too_long", status="max_character_limit_exceeded")
        if not LANGUAGE.fullmatch(asked.get("language_code", "en")) or (model in DEAF and "language_code" in asked):
            return problem(400, "validation_error", "unsupported_language", param="language_code")
        with self._at_work() as crowd:
            if crowd > self.at_once:
                return problem(429, "rate_limit_error", "concurrent_limit_exceeded",
                               status="too_many_concurrent_requests")  # fmt: skip
            with self.lock:
                if self.quota < len(text):
                    return problem(401, "authentication_error", "unauthorized", status="quota_exceeded")
                self.quota -= len(text)
            content = json.dumps([voice, form, asked], sort_keys=True)
            what = hashlib.sha256(content.encode()).hexdigest()
            usd = Decimal("0.10") * len(text) / 1000
            self.charge(Charge("speech", what, asked, len(text), usd, time.monotonic()))
            time.sleep(self.takes_s)
            told = recite(text)
        told = self.told(told) if self.told else told
        headers = {"request-id": f"req{len(self.books)}", "character-cost": str(len(text))}
        return told if isinstance(told, Reply) else Reply(200, told, headers)

    @contextmanager
    def _at_work(self) -> Iterator[int]:
        with self.lock:
            self._speaking += 1
            crowd = self._speaking
            self.most_at_once = max(self.most_at_once, min(crowd, self.at_once))
        try:
            yield crowd
        finally:
            with self.lock:
                self._speaking -= 1

    # --- voices ----------------------------------------------------------------------------

    def _add(self, call: Call) -> Reply:
        fields, files = _form(call)
        missing = [name for name, there in (("name", fields.get("name")), ("files", files)) if not there]
        if missing:
            return invalid(*((("body", name), "missing") for name in missing))
        if denied := self._denied(call):
            return denied
        if set(fields) - {"name", "description", "labels", "remove_background_noise"}:
            return problem(400, "invalid_request", "bad_request")
        if any(not kind.startswith("audio/") for _, kind, _ in files):
            return problem(400, "validation_error", "invalid_file_type", param="files")
        with self.lock:
            if any(voice.name == fields["name"] for voice in self.voices.values()):
                return problem(409, "conflict", "voice_already_exists")
            if sum(voice.category == "cloned" for voice in self.voices.values()) >= self.places:
                return problem(400, "invalid_request", "bad_request", status="voice_limit_reached")
            made = Voice(f"voice{len(self.voices):015d}", fields["name"], fields.get("description"), "cloned", files)
            made.unverified = self.verifies
            self.voices[made.voice_id] = made
        what = hashlib.sha256(b"".join(data for _, _, data in files)).hexdigest()
        self.charge(Charge("voice", what, fields, 0, Decimal(0), time.monotonic()))
        return Reply(200, {"voice_id": made.voice_id, "requires_verification": self.verifies})

    def _list(self, call: Call) -> Reply:
        if set(call.query) - {"search", "page_size", "next_page_token"}:
            return invalid((("query",), "extra_forbidden"))
        size = int(call.query.get("page_size", ["10"])[0])
        if not 1 <= size <= 100:
            return invalid((("query", "page_size"), "less_than_equal"))
        word, start = call.query.get("search", [""])[0], int(call.query.get("next_page_token", ["0"])[0])
        with self.lock:
            voices = list(self.voices.values())
        # the first page may also have voices that everybody has
        found = [v for v in voices if v.category == "premade" or word in f"{v.name} {v.description} {v.category}"]
        end = start + min(size, self.page)
        more = end < len(found)
        page = [voice.told() for voice in found[start:end]]
        token = str(end) if more else None
        return Reply(200, {"voices": page, "has_more": more, "total_count": len(found), "next_page_token": token})

    def _voice(self, call: Call) -> Reply:
        voice_id = call.path.rsplit("/", 1)[1]
        with self.lock:
            voice = self.voices.get(voice_id)
            if voice is not None and call.method == "DELETE":
                del self.voices[voice_id]
                return Reply(200, {"status": "ok"})
        return Reply(200, voice.told()) if voice else problem(404, "not_found", "voice_not_found")

    def _denied(self, call: Call) -> Reply | None:
        given = call.headers.get("xi-api-key")
        if given == self.key:
            return None
        status = "needs_authorization" if given is None else "invalid_api_key"
        return problem(401, "authentication_error", "unauthorized", status=status)


def problem(
    code: int, kind: str, word: str, *, status: str | None = None, param: str | None = None, **headers: str
) -> Reply:
    """An error in their words; `message` is prose that nobody may repeat. Header names have _ for -."""
    detail = {"type": kind, "code": word, "message": f"Prose about {HTTPStatus(code).phrase}, and your text: Hello",
              "status": status or word, "request_id": "3c807fc4c3a1705f9638ecc764a91c01"}  # fmt: skip
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(code, {"detail": detail | ({"param": param} if param else {})}, named)


def invalid(*wrong: tuple[Sequence[str], str]) -> Reply:
    detail = [{"type": kind, "loc": list(place), "msg": "Prose", "input": "Hello"} for place, kind in wrong]
    return Reply(422, {"detail": detail})


def recite(text: str) -> dict[str, Any]:
    """A hum of a tone for each letter, silence for the rest, and the moments of both."""
    sound = array("h")
    starts, ends = [], []
    for character in text:
        length = round((MARK_S if character in ".,;:!?" else LETTER_S) * RATE)
        starts.append(round(len(sound) / RATE, 3))
        step = 2 * math.pi * (120 + ord(character) % 40 * 5) / RATE
        loud = 9000 if character.isalnum() else 0
        sound.extend(round(loud * math.sin(step * at)) for at in range(length))
        ends.append(round(len(sound) / RATE, 3))
    times = {"character_start_times_seconds": starts, "character_end_times_seconds": ends}
    alignment = {"characters": list(text), **times}
    return {
        "audio_base64": base64.b64encode(sound.tobytes()).decode(),
        "alignment": alignment,
        "normalized_alignment": alignment,
    }


def _body(call: Call) -> tuple[dict[str, Any], list[tuple[Sequence[str], str]]]:
    """The body, and what is wrong with it: looked at before the key."""
    try:
        asked = json.loads(call.body) if call.headers.get("content-type") == "application/json" else None
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        return {}, [(("body",), "model_attributes_type")]
    wrong: list[tuple[Sequence[str], str]] = [] if "text" in asked else [(("body", "text"), "missing")]
    for name, value in asked.items():
        if name not in FIELDS:
            wrong.append((("body", name), "extra_forbidden"))
        elif not isinstance(value, FIELDS[name]) or (name == "seed" and not 0 <= value < 2**32):
            wrong.append((("body", name), "type_error"))
    for name, value in asked.get("voice_settings", {}).items():
        if name != "speed" and not 0 <= value <= 1:
            wrong.append((("body", "voice_settings", name), "less_than_equal"))
    return asked, wrong


def _form(call: Call) -> tuple[dict[str, str], list[tuple[str, str, bytes]]]:
    head = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
    message = message_from_bytes(head + call.body)
    fields, files = {}, []
    for part in message.get_payload() if message.is_multipart() else []:
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if part.get_filename() is None:
            fields[name] = data.decode()
        elif name == "files":
            files.append((part.get_filename(), part.get_content_type(), data))
    return fields, files


def open_elevenlabs(port: int = 0) -> AbstractContextManager[ElevenLabs]:
    return serving(ElevenLabs(), port)


if __name__ == "__main__":
    running = ElevenLabs()
    alone(running, lambda: {f"ELEVENLABS_{name}": value for name, value in running.variables.items()})
