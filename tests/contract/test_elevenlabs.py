"""ElevenLabs through the real adapter, against a server with books of its own: the wire, the words, and the money."""

import base64
import json
import wave
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from db.claims import Claim
from db.database import Database
from db.models import ProviderCall, Record
from pipeline.assets import Asset
from pipeline.calls import CallStatus, NotYet
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
    RateLimited,
    TextNotSpeakable,
    VendorBusy,
    VoiceElsewhere,
)
from pipeline.ports import ClonedVoice, Identity, Neutral, Utterance
from pipeline.settings import Settings, Vendor
from pipeline.snapshots import Setting
from pipeline.stages.script import Script
from pipeline.stages.storyboard import Line, Scene, Shot, Storyboard
from pipeline.timeline import cues
from providers.catalogue import Catalogue
from providers.elevenlabs import AddVoice, ElevenLabsSpeech, ElevenLabsVoices, Samples
from providers.fetch import MediaFetcher
from providers.local import visemes
from providers.storage import Storage
from schemas import records as codec
from schemas.links import Links
from tasks.house import House
from tasks.tools import Toolbox
from tests import inline
from tests.shelf import FolderStore
from tests.vendors.elevenlabs import KEY, RATE, VOICE, Charge, ElevenLabs, Voice, open_elevenlabs, problem, recite
from tests.vendors.memory_ledger import MemoryLedger
from tests.vendors.server import Reply

TEXT = "Hello — in 2026, about 25 % of “makers” smiled. Really?"


@pytest.fixture
def eleven() -> Iterator[ElevenLabs]:
    with open_elevenlabs() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def samples(store: FolderStore, tmp_path: Path) -> tuple[Asset, ...]:
    kept = []
    for name, media_type in (("a", "audio/mpeg"), ("b", "audio/wav")):
        file = tmp_path / name
        file.write_bytes(f"the voice, {name}".encode())
        kept.append(store.keep(file, kind="voice_sample", media_type=media_type))
    return tuple(kept)


def vendor(eleven: ElevenLabs, **more: str) -> Vendor:
    return Vendor("elevenlabs", {**eleven.variables, **more})


def speak(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, text: str = TEXT, **more: str) -> Utterance:
    return ElevenLabsSpeech(store, vendor(eleven, **more), ledger).speak(text, seed=7)


def clone(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]) -> ClonedVoice:
    return ElevenLabsVoices(store, vendor(eleven), ledger).clone(samples, name="Ada")


# --- speech on the wire ---------------------------------------------------------------------


def test_speech_is_asked_for_as_they_document_it(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    speak(eleven, store, ledger)
    (call,) = eleven.calls
    assert (call.method, call.path) == ("POST", f"/v1/text-to-speech/{VOICE}/with-timestamps")
    assert call.query == {"output_format": ["pcm_24000"]}
    assert call.headers["xi-api-key"] == KEY
    assert json.loads(call.body) == {"text": TEXT, "model_id": "eleven_multilingual_v2", "seed": 7}


def test_model_and_settings_are_the_operators(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    adapter = ElevenLabsSpeech(
        store, vendor(eleven, MODEL_ID="eleven_flash_v2_5", STABILITY="0.4", SPEED="1.1"), ledger
    )
    adapter.speak("Hello", seed=-1)
    asked = json.loads(eleven.calls[0].body)
    assert asked["model_id"] == "eleven_flash_v2_5"
    assert asked["voice_settings"] == {"stability": 0.4, "speed": 1.1}
    assert asked["seed"] == 4294967295
    assert ledger.only.reserved == Decimal("0.05") * 5 / 1000


@pytest.mark.parametrize("model", ["eleven_multilingual_v2", "eleven_flash_v2_5", "eleven_v3"])
@pytest.mark.parametrize(("language", "code"), [("de-AT", "de"), ("EN", "en"), ("fil", None), (None, None)])
def test_the_language_is_told_to_models_that_take_it(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, model: str, language: str | None, code: str | None
) -> None:
    adapter = ElevenLabsSpeech(store, vendor(eleven, MODEL_ID=model), ledger)
    adapter.speak("Guten Tag", seed=1, language=language)
    expected = None if model == "eleven_multilingual_v2" else code
    assert json.loads(eleven.calls[0].body).get("language_code") == expected


def test_a_different_model_or_seed_is_another_call(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger
) -> None:
    speak(eleven, store, ledger)
    speak(eleven, store, ledger, MODEL_ID="eleven_v3")
    ElevenLabsSpeech(store, vendor(eleven), ledger).speak(TEXT, seed=8)
    assert len(eleven.books) == len(ledger.rows) == 3


def test_a_missing_setting_is_named_and_no_value_shown(store: FolderStore, ledger: MemoryLedger) -> None:
    good = {"API_KEY": "sk_1", "VOICE_ID": VOICE}
    ElevenLabsSpeech.ready(Vendor("elevenlabs", good))
    for name, value in (
        ("API_KEY", ""), ("API_KEY", "sk 1"), ("VOICE_ID", ""), ("VOICE_ID", "../../x"), ("STABILITY", "2"),
        ("SPEED", "fast"), ("PRICE_PER_1000_CHARACTERS", "-1"), ("PRICE_PER_1000_CHARACTERS", "cheap"),
        ("BASE_URL", "http://api.elevenlabs.io"),
    ):  # fmt: skip
        with pytest.raises(ProviderMissing, match=f"ELEVENLABS_{name}") as told:
            ElevenLabsSpeech.ready(Vendor("elevenlabs", {**good, name: value}))
        assert not value or value not in str(told.value)


def test_the_family_is_in_the_catalogue(store: FolderStore, ledger: MemoryLedger) -> None:
    chosen = {"speech": ("elevenlabs",), "voice_cloning": ("elevenlabs",)}
    made = Vendor("elevenlabs", {"API_KEY": "sk_1", "VOICE_ID": VOICE})
    catalogue = Catalogue(
        Settings("postgresql://", "memory://", "var", "k" * 40, providers=chosen, vendors={"elevenlabs": made})
    )
    assert catalogue.problems() == {}
    assert [each.adapter().name for each in catalogue.candidates("speech", store, ledger)] == ["elevenlabs"]
    for name in ("text_to_speech", "add_voice"):
        assert catalogue.operation("elevenlabs", name, store).name == name


# --- what is made of the answer -------------------------------------------------------------


def test_an_utterance_is_what_the_rest_of_the_pipeline_needs(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger
) -> None:
    speech = speak(eleven, store, ledger)
    told = recite(TEXT)
    with wave.open(str(store.path(speech.audio))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
        assert sound.readframes(10**9) == base64.b64decode(told["audio_base64"])
        assert sound.getnframes() / RATE == speech.seconds
    assert (speech.audio.kind, speech.audio.media_type) == ("speech", "audio/wav")
    assert store.facts[speech.audio.id] == {
        "seconds": speech.seconds, "sample_rate": RATE, "channels": 1, "samples": round(speech.seconds * RATE),
        "peak_dbfs": -11.22, "words": 11, "timing": "exact",
    }  # fmt: skip
    assert [word.text for word in speech.words] == TEXT.split()
    assert all(before.end <= after.start for before, after in pairwise(speech.words))
    at = TEXT.index("smiled")
    starts, ends = (told["alignment"][f"character_{side}_times_seconds"] for side in ("start", "end"))
    smiled = next(word for word in speech.words if word.text == "smiled.")
    assert (smiled.start, smiled.end) == (pytest.approx(starts[at]), pytest.approx(ends[at + 5]))
    assert [cue.text.replace("\n", " ") for cue in cues(speech.words, until=speech.seconds)]


def test_the_local_lip_sync_can_show_it(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    text = "Mama, my bumblebee moves. Why?"
    speech = speak(eleven, store, ledger, text)
    notes = json.loads(store.path(speech.phonemes).read_text())
    entries = notes["phonemes"]
    assert store.made_from[speech.phonemes.id] == (speech.audio,)
    assert notes["seconds"] == pytest.approx(speech.seconds, abs=1e-4)
    assert [word["text"] for word in notes["words"]] == text.split()
    assert (entries[0]["start"], entries[-1]["end"]) == (0, notes["seconds"])
    assert all(before["end"] == after["start"] for before, after in pairwise(entries))
    assert {entry["symbol"] for entry in entries} <= {"", *visemes.SHAPES, *visemes.GLIDES}
    spoken = visemes.phonemes(notes)
    times = np.arange(round(speech.seconds * 25)) / 25
    opened = visemes.curves(spoken, times)[:, 0]
    assert opened.max() > 0.3
    for phoneme in spoken:
        if phoneme.symbol in visemes.CLOSED:
            near = np.abs(times + visemes.LEAD_S - (phoneme.start + phoneme.end) / 2) < 0.05
            assert opened[near].min() < 0.1


@pytest.mark.parametrize(
    "alignment",
    [
        None,
        {"characters": [], "character_start_times_seconds": [], "character_end_times_seconds": []},
        recite("Hello")["alignment"],
        recite(TEXT + " And more")["alignment"],
        {"characters": list(TEXT), "character_start_times_seconds": [0.0], "character_end_times_seconds": [1.0]},
    ],
)
def test_without_a_fitting_alignment_the_words_share_the_time(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, alignment: Any
) -> None:
    eleven.told = lambda told: told | {"alignment": alignment, "normalized_alignment": None}
    speech = speak(eleven, store, ledger)
    assert [word.text for word in speech.words] == TEXT.split()
    assert speech.words[-1].end <= speech.seconds
    assert all(word.end > word.start for word in speech.words)
    assert store.facts[speech.audio.id]["timing"] == "proportional"


@pytest.mark.parametrize("sound", [None, "", 5, "not base64!", base64.b64encode(b"odd").decode(), "AAAAAAAA"])
def test_sound_that_is_none_is_refused_and_had_to_be_paid(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, sound: Any
) -> None:
    eleven.told = lambda told: told | {"audio_base64": sound}
    with pytest.raises(BadOutput):
        speak(eleven, store, ledger)
    assert ledger.only.call.status is CallStatus.FAILED
    assert ledger.only.cost == eleven.books[0].usd > 0
    assert store.facts == {}


def test_full_scale_sound_is_measured_without_overflow(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger
) -> None:
    loud = base64.b64encode(array("h", [-32768, 100] * RATE).tobytes()).decode()
    eleven.told = lambda told: told | {"audio_base64": loud}
    speech = speak(eleven, store, ledger, "Hi")
    assert store.facts[speech.audio.id]["peak_dbfs"] == 0.0
    assert speech.seconds == 2.0


# --- money ----------------------------------------------------------------------------------


def test_what_was_said_is_paid_once_however_often_it_is_asked(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger
) -> None:
    first = speak(eleven, store, ledger)
    assert speak(eleven, store, ledger) == first
    (charge,) = eleven.books
    assert ledger.only.cost == charge.usd == Decimal("0.10") * len(TEXT) / 1000


def test_a_price_of_ones_own(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    speak(eleven, store, ledger, "x" * 500, PRICE_PER_1000_CHARACTERS="0.30")
    assert ledger.only.cost == Decimal("0.15")


@pytest.mark.parametrize("trouble", ["cut", "half", 500, 502, 504, "html"])
def test_an_answer_that_never_came_is_parked_and_never_sent_again(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, trouble: Any
) -> None:
    if trouble == "cut":
        eleven.after_taken = lambda charge: False
    else:
        broken = {"half": Reply(200, recite(TEXT), cut=2000), "html": Reply.html(200)}
        eleven.told = lambda told: broken.get(trouble) or Reply.html(trouble)
    for _ in range(3):
        with pytest.raises(NotYet) as told:
            speak(eleven, store, ledger)
        assert (told.value.wait.after, told.value.wait.awaits) == (None, "person")
        eleven.calm()
        eleven.told = None
    assert len(eleven.books) == 1
    assert ledger.only.call.status is CallStatus.UNCERTAIN


def test_the_vendors_own_500_is_not_believed_to_be_free(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger
) -> None:
    eleven.answers(problem(500, "internal_error", "internal_error"))
    with pytest.raises(NotYet):
        speak(eleven, store, ledger)
    assert ledger.only.call.status is CallStatus.UNCERTAIN


def test_a_vendor_that_is_away_is_asked_again(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    with open_elevenlabs() as gone:
        pass
    with pytest.raises(VendorBusy):
        speak(gone, store, ledger)
    eleven.answers(problem(503, "service_unavailable", "maintenance"), Reply.html(503))
    for _ in range(2):
        with pytest.raises(VendorBusy):
            speak(eleven, store, ledger)
    speak(eleven, store, ledger)
    assert len(eleven.books) == 1


def test_what_nobody_can_say_is_not_sent(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    for text in ("", "… — !", "😀"):
        with pytest.raises(TextNotSpeakable):
            speak(eleven, store, ledger, text)
    with pytest.raises(ProviderRejected) as told:
        speak(eleven, store, ledger, "x" * 10_001)
    assert told.value.details == {"characters": 10_001, "limit": 10_000}
    with pytest.raises(ProviderRejected):
        speak(eleven, store, ledger, "x" * 5_001, MODEL_ID="eleven_v3")
    assert (eleven.calls, ledger.rows) == ([], [])


# --- refusals -------------------------------------------------------------------------------

REFUSALS: list[tuple[Reply, type[ProviderError]]] = [
    (problem(401, "authentication_error", "unauthorized", status="quota_exceeded"), InsufficientFunds),
    (problem(402, "payment_required", "insufficient_credits"), InsufficientFunds),
    (Reply(402, {"detail": {"status": "quota_exceeded", "message": "Hello"}}), InsufficientFunds),
    (problem(401, "authentication_error", "unauthorized", status="invalid_api_key"), ProviderAuth),
    (Reply(400, {"detail": {"status": "invalid_api_key", "message": "Hello"}}), ProviderAuth),
    (problem(401, "authentication_error", "missing_api_key", status="needs_authorization"), ProviderAuth),
    (Reply(401, {"detail": {"status": "detected_unusual_activity", "message": "Hello"}}), ProviderAuth),
    (problem(403, "authorization_error", "subscription_required"), ProviderAuth),
    (problem(404, "not_found", "workspace_not_found"), ProviderAuth),
    (Reply(403, {"detail": {"status": "content_against_policy", "message": "Hello"}}), Moderated),
    (problem(404, "not_found", "voice_not_found"), ProviderRejected),
    (Reply(400, {"detail": {"status": "voice_not_found", "message": "Hello"}}), ProviderRejected),
    (problem(403, "authorization_error", "voice_access_denied"), ProviderRejected),
    (Reply(400, {"detail": {"status": "max_character_limit_exceeded", "message": "Hello"}}), ProviderRejected),
    (problem(400, "validation_error", "text_too_long"), ProviderRejected),
    (problem(409, "conflict", "already_running"), VendorBusy),
    (Reply(404, {"detail": "Not Found"}), ProviderRejected),
    (Reply(422, {"detail": [{"type": "missing", "loc": ["body", "text"], "msg": "Hello", "input": TEXT}]}),
     ProviderRejected),
    (Reply(422, {"detail": ["odd", {"loc": [TEXT]}, {"loc": 5}]}), ProviderRejected),
    (Reply.html(413), ProviderRejected),
    (Reply.html(451), Moderated),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "kind"), REFUSALS)
def test_a_refusal_says_what_to_do_in_our_own_words(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, reply: Reply, kind: type[ProviderError]
) -> None:
    eleven.answers(reply)
    with pytest.raises(kind) as told:
        speak(eleven, store, ledger)
    assert type(told.value) is kind
    assert told.value.pause_s == {ProviderAuth: 300, InsufficientFunds: 900}.get(kind)
    assert told.value.charged is False
    assert eleven.books == []
    seen = f"{told.value.message} {told.value.details}"
    assert not any(word in seen for word in ("Hello", "Prose", "nginx", KEY, eleven.url))
    speak(eleven, store, ledger)  # it was not taken, so that it may be sent again
    assert len(eleven.books) == 1


def test_a_422_names_the_field(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    eleven.answers(Reply(422, {"detail": [{"type": "x", "loc": ["body", "voice_settings", "style"], "msg": "Hello"}]}))
    with pytest.raises(ProviderRejected, match=r"body\.voice_settings\.style") as told:
        speak(eleven, store, ledger)
    assert told.value.details["fields"] == ["body.voice_settings.style"]


def test_the_vendors_id_of_the_request_is_kept(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger) -> None:
    with pytest.raises(ProviderRejected) as told:
        speak(eleven, store, ledger, VOICE_ID="nobody")
    assert told.value.details == {
        "status": 404, "vendor_code": "voice_not_found", "request_id": "3c807fc4c3a1705f9638ecc764a91c01",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["too_many_concurrent_requests", "concurrent_limit_exceeded"])
def test_our_own_crowd_is_waited_for(eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, word: str) -> None:
    eleven.answers(problem(429, "rate_limit_error", word, retry_after="60"))
    with pytest.raises(ConcurrencyLimited) as told:
        speak(eleven, store, ledger)
    assert 2 <= (told.value.pause_s or 0) <= 4


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, (5, 10)), ({"retry_after": "12"}, (12, 12)), ({"retry_after_ms": "1500"}, (1.5, 1.5)),
        ({"retry_after": lambda: formatdate(usegmt=True)}, (1, 1)), ({"retry_after": "9999"}, (900, 900)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("word", ["system_busy", "rate_limit_exceeded"])
def test_a_vendor_that_asks_for_a_pause_gets_it(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, word: str, headers: Any, pause: tuple[float, float]
) -> None:
    told_headers = {name: value() if callable(value) else value for name, value in headers.items()}
    eleven.answers(problem(429, "rate_limit_error", word, **told_headers))
    with pytest.raises(RateLimited) as told:
        speak(eleven, store, ledger)
    assert pause[0] <= (told.value.pause_s or 0) <= pause[1]
    assert not told.value.ends_call


# --- voices ---------------------------------------------------------------------------------


def test_a_voice_is_made_from_the_samples(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    made = clone(eleven, store, ledger, samples)
    (call,) = eleven.calls
    assert (call.method, call.path) == ("POST", "/v1/voices/add")
    assert call.headers["xi-api-key"] == KEY
    voice = eleven.voices[made.external_id]
    assert made.provider == "elevenlabs"
    assert voice.name.startswith("Ada")
    assert ledger.only.call.reference in (voice.description or "")
    assert voice.samples == [
        ("sample-1.mp3", "audio/mpeg", b"the voice, a"),
        ("sample-2.wav", "audio/wav", b"the voice, b"),
    ]
    assert clone(eleven, store, ledger, samples) == made
    assert len(eleven.books) == 1


def test_what_was_cloned_there_is_spoken_there(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    made = clone(eleven, store, ledger, samples)
    ElevenLabsSpeech(store, vendor(eleven), MemoryLedger()).speak(TEXT, made, seed=7)
    assert eleven.calls[-1].path == f"/v1/text-to-speech/{made.external_id}/with-timestamps"


def test_a_voice_of_another_family_is_not_asked_for(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger
) -> None:
    with pytest.raises(VoiceElsewhere, match="local"):
        ElevenLabsSpeech(store, vendor(eleven), ledger).speak(TEXT, ClonedVoice("local", "match-0"), seed=7)
    assert not eleven.calls


def test_two_voices_of_one_name_are_two(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    first, second = (clone(eleven, store, ledger, (sample,)) for sample in samples)
    assert first != second
    assert len({voice.name for voice in eleven.voices.values()}) == 3


@pytest.mark.parametrize("page", [100, 1])
def test_a_voice_whose_answer_was_lost_is_found_and_not_made_twice(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...], page: int
) -> None:
    eleven.page = page
    eleven.after_taken = lambda charge: False
    with pytest.raises(NotYet) as told:
        clone(eleven, store, ledger, samples)
    assert told.value.wait.awaits is None
    eleven.calm()
    with pytest.raises(NotYet):  # the list may not know it yet
        clone(eleven, store, ledger, samples)
    assert len(eleven.calls) == 1
    ledger.grow_old(61)
    made = clone(eleven, store, ledger, samples)
    assert made.external_id in eleven.voices
    assert len(eleven.books) == 1
    search = next(call for call in eleven.calls if call.path == "/v2/voices")
    assert search.query["search"] == [ledger.only.call.reference]


def test_a_voice_that_was_never_taken_is_asked_for_again(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    eleven.answers(Reply.html(502))
    with pytest.raises(NotYet):
        clone(eleven, store, ledger, samples)
    ledger.grow_old(61)
    eleven.answers(Reply.html(500), Reply(200, {"has_more": False}), Reply.html(429, **{"Retry-After": "3"}))
    for pause in (5, 5, 3):  # not to find it for such a reason would make it twice
        with pytest.raises(NotYet) as told:
            clone(eleven, store, ledger, samples)
        assert told.value.wait.after is not None
        assert told.value.wait.after.total_seconds() == pause
    clone(eleven, store, ledger, samples)
    assert len(eleven.books) == 1


def test_a_stranger_whose_name_has_our_word_is_not_taken_for_ours(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    eleven.answers(Reply.html(502))
    with pytest.raises(NotYet):
        clone(eleven, store, ledger, samples)
    reference = ledger.only.call.reference
    eleven.voices["other"] = Voice("other", f"not {reference}", f"likeness {reference}0")
    ledger.grow_old(61)
    assert clone(eleven, store, ledger, samples).external_id != "other"


def test_a_voice_that_must_be_verified_says_where(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    eleven.verifies = True
    with pytest.raises(ProviderRejected, match="verify") as told:
        clone(eleven, store, ledger, samples)
    assert told.value.details["external_id"] in eleven.voices
    operation = AddVoice(store, vendor(eleven))
    ticket = operation.adopt(told.value.details["external_id"])
    assert ticket is not None
    with pytest.raises(ProviderRejected):
        operation.poll(Samples("Ada", samples), ticket)
    eleven.voices[ticket.external_id].unverified = False
    answer = operation.poll(Samples("Ada", samples), ticket)
    assert answer.output == ClonedVoice("elevenlabs", ticket.external_id)  # type: ignore[union-attr]


def test_a_voice_that_a_person_found_can_be_adopted_and_one_that_is_gone_cannot(
    eleven: ElevenLabs, store: FolderStore, samples: tuple[Asset, ...]
) -> None:
    operation = AddVoice(store, vendor(eleven))
    ticket = operation.adopt(VOICE)
    assert ticket is not None
    assert operation.poll(Samples("Ada", samples), ticket).output.external_id == VOICE  # type: ignore[union-attr]
    gone = operation.adopt("gone")
    assert gone is not None
    with pytest.raises(CallVanished):
        operation.poll(Samples("Ada", samples), gone)
    assert operation.adopt("../../v1/user?x=") is None


def test_no_place_left_for_voices_is_a_matter_of_the_account(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    eleven.places = 0
    with pytest.raises(InsufficientFunds) as told:
        clone(eleven, store, ledger, samples)
    assert told.value.pause_s == 900


def test_what_is_no_sound_is_not_sent(
    eleven: ElevenLabs, store: FolderStore, ledger: MemoryLedger, samples: tuple[Asset, ...]
) -> None:
    picture = Asset("p", "photo", "image/png", 3, samples[0].sha256)
    for given in ((), (samples[0], picture)):
        with pytest.raises(ProviderRejected):
            clone(eleven, store, ledger, given)
    assert eleven.calls == []


# --- the books themselves -------------------------------------------------------------------


def test_the_books_tell_what_was_paid_twice(eleven: ElevenLabs, store: FolderStore) -> None:
    speak(eleven, store, MemoryLedger())
    assert eleven.doubled() == []
    speak(eleven, store, MemoryLedger())
    assert len(eleven.doubled()) == 1
    assert [type(charge) for charge in eleven.spoken(TEXT)] == [Charge, Charge]


def test_the_vendor_does_only_so_much_at_once(
    eleven: ElevenLabs, store: FolderStore, at_the_same_time: Callable[..., list[Any]]
) -> None:
    eleven.at_once, eleven.takes_s = 1, 0.5
    ended = at_the_same_time(3, lambda: speak(eleven, store, MemoryLedger(), "Hi"))
    assert sum(isinstance(each, Utterance) for each in ended) == len(eleven.books) >= 1
    assert any(isinstance(each, ConcurrencyLimited) for each in ended)


@pytest.fixture
def at_the_same_time() -> Callable[..., list[Any]]:
    def run(count: int, act: Callable[[], Any]) -> list[Any]:
        def one() -> Any:
            try:
                return act()
            except Exception as error:
                return error

        with ThreadPoolExecutor(count) as pool:
            return [each.result() for each in [pool.submit(one) for _ in range(count)]]

    return run


# --- through the real ledger ----------------------------------------------------------------


class Step:
    """The speech step of a job, entered as its workers do: each `toolbox` is a new attempt, as after a crash."""

    key = "scene/1/speech"

    def __init__(self, eleven: ElevenLabs, database_url: str, storage_url: str, **more: str) -> None:
        served = {"speech": ("elevenlabs",), "voice_cloning": ("elevenlabs",)}
        settings = Settings(
            database_url, "memory://", storage_url, "k" * 40,
            providers=served, vendors={"elevenlabs": replace(vendor(eleven, **more), concurrency=2)},
        )  # fmt: skip
        self.database = Database(database_url)
        self.house = House(
            settings, self.database, Storage(storage_url), Catalogue(settings), MediaFetcher(()), Links(settings)
        )
        self.job_id = inline.accept(self.database, inline.output_request("avt_" + "0" * 26))
        inline.run(self.database, self.job_id, _before_speech, until=self.key)
        self.launch = inline.job(self.database, self.job_id).launch

    def toolbox(self) -> Toolbox:
        with self.database.transaction() as session:
            session.execute(update(Record).where(Record.step == self.key).values(lease_until=func.now()))
        held = inline.claim(self.database, self.job_id, self.key, self.launch)
        assert isinstance(held, Claim), held
        return Toolbox(self.house, held)

    def run(self) -> Utterance:
        """As the stage runs, with what it reads of the job."""
        toolbox = self.toolbox()
        stage, inputs = toolbox._held.step.stage, toolbox._held.inputs
        utterance: Utterance = stage.run(
            **{read.name: codec.load(inputs[read.name], read.type) for read in stage.reads}, **toolbox.tools()
        )
        return utterance

    def speak(self) -> tuple[Utterance, Toolbox]:
        toolbox = self.toolbox()
        return toolbox.tools()["synthesizer"].speak(TEXT, seed=7), toolbox

    def call(self) -> ProviderCall:
        with self.database.transaction() as session:
            return session.scalars(select(ProviderCall)).one()


def _before_speech(held: Claim) -> Any:
    image = Asset("ast_1", "neutral", "image/png", 1, "0" * 64)
    scene = Scene(1, Line(TEXT), Setting("an office"), Shot("wide"))
    return {
        "load_identity": Identity("avt_1", 1, "Demo", Neutral(image, None)),
        "script": Script(TEXT, "given"),
        "storyboard": Storyboard((scene,)),
    }[held.step.stage.name]


@pytest.fixture
def step(eleven: ElevenLabs, database_url: str, storage_url: str) -> Iterator[Step]:
    made = Step(eleven, database_url, storage_url)
    yield made
    made.database.dispose()


def test_the_jobs_language_reaches_the_vendor(eleven: ElevenLabs, database_url: str, storage_url: str) -> None:
    step = Step(eleven, database_url, storage_url, MODEL_ID="eleven_flash_v2_5")
    assert step.run().seconds > 1
    assert json.loads(eleven.calls[0].body)["language_code"] == "en"
    assert step.call().request["language_code"] == "en"
    step.database.dispose()


def test_a_step_that_is_run_again_brings_the_same_files_and_pays_once(eleven: ElevenLabs, step: Step) -> None:
    first, _ = step.speak()
    again, toolbox = step.speak()
    assert again == first
    assert toolbox.provider == "elevenlabs"
    assert {made.asset for made in toolbox.assets.made} == {first.audio, first.phonemes}
    (charge,) = eleven.books
    call = step.call()
    assert (call.status, call.settled) == (CallStatus.SUCCEEDED, charge.usd)
    assert inline.job(step.database, step.job_id).cost == charge.usd


def test_a_lost_answer_waits_for_a_person_in_the_ledger_too(eleven: ElevenLabs, step: Step) -> None:
    eleven.after_taken = lambda charge: False
    for _ in range(2):
        with pytest.raises(NotYet) as told:
            step.speak()
        assert told.value.wait.awaits == "person"
    assert step.call().status == CallStatus.UNCERTAIN
    assert len(eleven.books) == 1


def test_an_account_without_money_makes_the_step_wait(eleven: ElevenLabs, step: Step) -> None:
    eleven.quota = 3
    with pytest.raises(NotYet) as told:
        step.speak()
    assert told.value.wait.after is not None
    assert told.value.wait.after.total_seconds() == 900
    assert told.value.wait.error is not None
    assert told.value.wait.error.code == "insufficient_funds"
    eleven.quota = 10_000
    step.speak()
    assert step.call().status == CallStatus.SUCCEEDED


def test_a_voice_whose_maker_died_is_found_by_our_reference(eleven: ElevenLabs, step: Step, tmp_path: Path) -> None:
    def clone(toolbox: Toolbox) -> ClonedVoice:
        sample = toolbox.assets.keep(file, kind="voice_sample", media_type="audio/mpeg")
        (candidate,) = step.house.catalogue.candidates("voice_cloning", toolbox.assets, toolbox.ledger)
        made: ClonedVoice = candidate.adapter().clone([sample], name="Ada")
        return made

    file = tmp_path / "sample.mp3"
    file.write_bytes(b"the voice")
    eleven.after_taken = lambda charge: False
    with pytest.raises(NotYet):
        clone(step.toolbox())
    eleven.calm()
    with step.database.transaction() as session:
        session.execute(update(ProviderCall).values(intended_at=func.now() - timedelta(seconds=61)))
    made = clone(step.toolbox())
    assert made.external_id in eleven.voices
    assert len(eleven.books) == 1
    assert step.call().status == CallStatus.SUCCEEDED
