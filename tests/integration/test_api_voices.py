"""Voices from the call to the sound: what is taken, what is made of it, and who speaks with it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db.claims import Claim
from db.models import AvatarRow, Job, VoiceRow
from pipeline.errors import StageError
from pipeline.graph import steps
from pipeline.outcome import Done, Outcome, judge
from pipeline.ports import CAPABILITIES, Utterance
from pipeline.settings import Vendor
from providers.catalogue import Catalogue
from providers.fetch import MediaFetcher
from providers.local.sound import RATE, decode
from providers.local.traits import Measured, measure
from providers.storage import Storage
from schemas import records as codec
from schemas.inputs import load
from schemas.links import Links
from tasks.house import House
from tasks.tools import Toolbox
from tests import factories, inline
from tests.api import Api, code, flaws, payload
from tests.recordings import SAID, person

INSTANT = dict.fromkeys(CAPABILITIES, ("tests.instant",))
LOCAL_VOICES = INSTANT | dict.fromkeys(("speech", "voice_sample", "voice_cloning"), ("local",))
SEMITONES, PACE = -6, 0.88


def voice_payload(api: Api, **changes: Any) -> dict[str, Any]:
    return payload("voice.clone/1", inputs={"voice_sample": {"asset_id": sample(api)}}) | changes


def sample(api: Api, client: str = "product") -> str:
    row = factories.AssetFactory.build(client=client, kind="voice_sample", media_type="audio/wav")
    api.add(row)
    return str(row.id)


def voice(api: Api, client: str = "product", **changes: Any) -> VoiceRow:
    job = factories.JobFactory.build(client=client, kind="voice", route="voice_cloning", status="completed")
    row: VoiceRow = factories.VoiceFactory.build(client=client, job_id=job.id, **changes)
    api.add(job, row)
    return row


def run(api: Api, job_id: str, providers: Mapping[str, tuple[str, ...]] = INSTANT) -> Job:
    """As workers do, in this process and without a broker."""
    settings = replace(api.settings, providers=providers, vendors={"elevenlabs": Vendor("elevenlabs")})
    house = House(
        settings, api.database, Storage(settings.storage_url), Catalogue(settings), MediaFetcher(()), Links(settings)
    )
    while (move := inline.advance(api.database, job_id)).launch is not None:
        for step in steps(move.launch.tree):
            held = inline.claim(api.database, job_id, step.key, move.launch.number)
            if isinstance(held, Claim):
                perform(house, held)
    return inline.job(api.database, job_id)


def perform(house: House, held: Claim) -> None:
    toolbox, stage = Toolbox(house, held), held.step.stage
    outcome: Outcome
    try:
        inputs = load(stage, held.inputs)
        outcome = Done(stage.run(**inputs, **toolbox.tools()))
    except StageError as error:
        outcome = judge(error, tried=stage.tries, tries=stage.tries)
    told = {"provider": toolbox.provider, "passed_over": toolbox.passed_over}
    made = toolbox.assets.made if isinstance(outcome, Done) else []
    assert inline.record(house.database, held, outcome, made_assets=made, **told)


def heard(api: Api, job: Job) -> Measured:
    """What the first scene of an output sounds like."""
    spoken = codec.load(inline.rows(api.database, job.id)["scene/1/speech"].output, Utterance)
    with Storage(api.settings.storage_url).fetch(spoken.audio.sha256) as file:
        return measure(decode(file, most_s=300).voice, RATE)


# --- at the door ----------------------------------------------------------------------------


def test_a_voice_job_is_accepted_once_and_handed_on(api: Api) -> None:
    sent = voice_payload(api, metadata={"user": "u_1"})
    response = api.product.post("/v1/voices", sent, key="voice")
    job = response.get_json()
    assert response.status_code == 202, response.text
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["route"], job["lane"], job["metadata"]) == (
        "voice",
        "voice_cloning",
        "avatar",
        {"user": "u_1"},
    )
    again = api.product.post("/v1/voices", dict(reversed(sent.items())), key="voice")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.get_json()["id"] == job["id"]
    assert code(api.product.post("/v1/voices", sent | {"name": "Bob"}, key="voice")) == "idempotency_key_reused"
    listed = api.product.get("/v1/jobs?kind=voice").get_json()["jobs"]
    assert job["id"] in [each["id"] for each in listed]


@pytest.mark.parametrize("consent", ["absent", None])
def test_no_voice_without_consent(api: Api, consent: Any) -> None:
    sent = voice_payload(api, consent=consent)
    if consent == "absent":
        del sent["consent"]
    before = api.rows()
    response = api.product.post("/v1/voices", sent)
    assert (response.status_code, code(response)) == (422, "consent_missing")
    assert list(flaws(response)) == ["/consent"]
    assert api.rows() == before


@pytest.mark.parametrize(
    ("inputs", "pointer", "words"),
    [
        ({}, "/inputs/voice_sample", "required"),
        ({"voice_sample": None}, "/inputs/voice_sample", "must not be null"),
        ({"voice_sample": {}}, "/inputs/voice_sample", "exactly one of asset_id, url"),
        ({"voice_sample": {"asset_id": "ast_no"}}, "/inputs/voice_sample/asset_id", "there is no asset ast_no"),
        ({"voice_sample": {"url": "http://media.example/a"}}, "/inputs/voice_sample/url", "https://"),
        ({"voice_sample": {"url": "https://elsewhere.example/a"}}, "/inputs/voice_sample/url", "upload the file"),
        ({"voice_sample": {"asset_id": "ast_no", "text": 1}}, "/inputs/voice_sample/text", "not a field"),
    ],
    ids=str,
)
def test_a_flaw_of_a_voice_is_told_at_its_place(api: Api, inputs: dict[str, Any], pointer: str, words: str) -> None:
    response = api.product.post("/v1/voices", voice_payload(api, inputs=inputs))
    assert response.status_code == 422, response.text
    assert list(flaws(response)) == [pointer]
    assert words in flaws(response)[pointer]


def test_a_photo_is_no_voice_sample_and_anothers_sample_does_not_exist(api: Api) -> None:
    photo, theirs = api.photo().id, sample(api, "other")
    for call, sent in (("voices", voice_payload(api)), ("avatars", api.avatar_payload())):
        for asset_id, said in ((photo, f"{photo} is a photo, not a voice_sample"), (theirs, f"no asset {theirs}")):
            inputs = sent["inputs"] | {"voice_sample": {"asset_id": asset_id}}
            response = api.product.post(f"/v1/{call}", sent | {"inputs": inputs})
            assert response.status_code == 422
            assert said in flaws(response)["/inputs/voice_sample/asset_id"]


def test_a_voice_shows_its_figures_its_method_and_its_consent_to_its_client_alone(api: Api) -> None:
    row = voice(api)
    shown = api.product.get(f"/v1/voices/{row.id}").get_json()
    assert (shown["name"], shown["version"], shown["job_id"]) == ("Ada", 1, row.job_id)
    assert (shown["provider"], shown["method"]) == ("local", "approximate voice match")
    assert shown["traits"]["pitch_hz"] == 120
    assert shown["consent"] == row.consent
    assert set(shown["preview"]) == {"id", "url", "media_type", "bytes", "sha256"}
    assert "settings" not in str(shown)
    response = api.other.get(f"/v1/voices/{row.id}")
    assert (response.status_code, code(response)) == (404, "not_found")
    assert api.product.get("/v1/voices/voc_none").status_code == 404


def test_an_output_names_a_voice_of_its_client(api: Api) -> None:
    theirs = voice(api, "other").id
    for named in (theirs, "voc_none"):
        response = api.product.post("/v1/outputs", api.output_payload(voice_id=named))
        assert (response.status_code, code(response)) == (422, "validation_failed")
        assert flaws(response) == {"/voice_id": f"there is no voice {named}"}
    mine = voice(api).id
    assert api.product.post("/v1/outputs", api.output_payload(voice_id=mine)).status_code == 202
    assert api.product.post("/v1/outputs", api.output_payload(voice_id=None)).status_code == 202


# --- from the sample to the sound -----------------------------------------------------------


def test_a_job_sounds_nearer_to_the_sample_than_the_stock_voice(api: Api, tmp_path: Path) -> None:
    """F0 and pace within a tenth of the sample's, by the real voice; the pictures are the instant family's."""
    file = person(tmp_path / "sample.mp3", semitones=SEMITONES, pace=PACE)
    uploaded = api.product.upload(file.read_bytes(), "sample.mp3").get_json()
    assert uploaded["kind"] == "voice_sample"
    inputs = {"voice_sample": {"asset_id": uploaded["id"]}}
    accepted = api.product.post("/v1/voices", payload("voice.clone/1", inputs=inputs)).get_json()
    job = run(api, accepted["id"], LOCAL_VOICES)
    assert job.status == "completed", job.error
    assert list(inline.rows(api.database, job.id)) == ["validate_voice", "clone_voice", "persist_voice"]
    result = api.product.get(f"/v1/jobs/{job.id}").get_json()["result"]
    assert result["method"] == "approximate voice match"
    stages = api.product.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]
    assert stages[1]["output"]["voice"]["method"] == "approximate voice match"

    shown = api.product.get(f"/v1/voices/{result['voice_id']}").get_json()
    preview = api.product.get(f"/v1/assets/{shown['preview']['id']}").get_json()
    assert preview["made_from"] == [uploaded["id"]]
    assert 2 < preview["facts"]["seconds"] < 10
    assert api.product.get(f"/v1/assets/{shown['preview']['id']}/content").data[:4] == b"RIFF"

    wanted = measure(decode(file, most_s=300).voice, RATE)
    assert shown["traits"]["pitch_hz"] == pytest.approx(wanted.pitch_hz, rel=0.01)
    script = {"script": {"text": SAID}, "scenes": {"mode": "single"}}
    sounds = {}
    for name, voice_id in (("matched", result["voice_id"]), ("stock", None)):
        sent = api.output_payload(voice_id=voice_id, **script)
        output = run(api, api.product.post("/v1/outputs", sent).get_json()["id"], LOCAL_VOICES)
        assert output.status == "completed", output.error
        sounds[name] = heard(api, output)
    matched, stock = sounds["matched"], sounds["stock"]
    assert matched.pitch_hz == pytest.approx(wanted.pitch_hz, rel=0.1)
    assert matched.syllables_per_s == pytest.approx(wanted.syllables_per_s, rel=0.1)
    assert matched.speech_s == pytest.approx(wanted.speech_s, rel=0.1)
    assert stock.pitch_hz > 1.3 * wanted.pitch_hz
    assert stock.speech_s < 0.9 * wanted.speech_s


def test_a_sample_that_will_not_do_fails_the_job_at_its_place(api: Api, tmp_path: Path) -> None:
    file = person(tmp_path / "sample.mp3", semitones=0, pace=1.0, text="This is much too short.")
    uploaded = api.product.upload(file.read_bytes(), "sample.mp3").get_json()
    sent = payload("voice.clone/1", inputs={"voice_sample": {"asset_id": uploaded["id"]}})
    job = run(api, api.product.post("/v1/voices", sent).get_json()["id"], LOCAL_VOICES)
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error["stage"], job.error["code"], job.error["retryable"]) == (
        "validate_voice",
        "sample_too_short",
        False,
    )
    assert job.error["details"]["pointer"] == "/inputs/voice_sample"
    assert job.error["details"]["limit"] == 10


def test_an_avatar_with_a_sample_speaks_with_its_own_voice(api: Api) -> None:
    sent = api.avatar_payload()
    sent["inputs"]["voice_sample"] = {"asset_id": sample(api)}
    accepted = api.product.post("/v1/avatars", sent).get_json()
    assert accepted["route"] == "avatar_with_voice"
    job = run(api, accepted["id"])
    assert job.status == "completed", job.error
    assert job.result is not None
    avatar_id, own = job.result["avatar_id"], job.result["voice_id"]
    assert "clone_voice" in inline.rows(api.database, job.id)
    assert api.product.get(f"/v1/avatars/{avatar_id}").get_json()["voice_id"] == own
    assert api.product.get(f"/v1/voices/{own}").get_json()["consent"] == sent["consent"]

    other = voice(api, model={"provider": "tests.instant", "external_id": "another", "method": "m", "settings": {}}).id
    spoken = {}
    for name, changes in {"own": {}, "named": {"voice_id": own}, "other": {"voice_id": other}}.items():
        asked = api.output_payload(avatar_id=avatar_id, **changes)
        output = run(api, api.product.post("/v1/outputs", asked).get_json()["id"])
        assert output.status == "completed", output.error
        spoken[name] = inline.rows(api.database, output.id)["scene/1/speech"].output
    assert spoken["own"] == spoken["named"] != spoken["other"]


def test_an_avatar_without_a_sample_has_no_voice_of_its_own(api: Api) -> None:
    job = run(api, api.product.post("/v1/avatars", api.avatar_payload()).get_json()["id"])
    assert job.route == "avatar_creation"
    assert job.result is not None
    assert job.result["voice_id"] is None
    with api.database.transaction() as session:
        assert session.get_one(AvatarRow, job.result["avatar_id"]).voice_id is None


def test_a_cloned_voice_is_spoken_by_its_vendor_or_not_at_all(api: Api) -> None:
    """Never by the next adapter in another voice, and without a word."""
    cloned = voice(api, model={"provider": "elevenlabs", "external_id": "abc", "method": "m", "settings": {}}).id
    sent = api.output_payload(voice_id=cloned)
    job = run(api, api.product.post("/v1/outputs", sent).get_json()["id"])
    assert job.error is not None
    assert (job.error["stage"], job.error["code"]) == ("scene/1/speech", "voice_elsewhere")
    assert "elevenlabs" in job.error["message"]
    assert not job.error["retryable"]

    own = voice(api, model={"provider": "tests.instant", "external_id": "abc", "method": "m", "settings": {}}).id
    both = INSTANT | {"speech": ("local", "tests.instant")}
    job = run(api, api.product.post("/v1/outputs", api.output_payload(voice_id=own)).get_json()["id"], both)
    assert job.status == "completed", job.error
    row = inline.rows(api.database, job.id)["scene/1/speech"]
    assert row.provider == "tests.instant"
    assert [(each["provider"], each["code"]) for each in row.passed_over or []] == [("local", "voice_elsewhere")]


def test_a_voice_that_was_deleted_meanwhile_is_named(api: Api) -> None:
    row = voice(api)
    accepted = api.product.post("/v1/outputs", api.output_payload(voice_id=row.id)).get_json()
    with api.database.transaction() as session:
        session.delete(session.get_one(VoiceRow, row.id))
    job = run(api, accepted["id"])
    assert job.error is not None
    assert (job.error["stage"], job.error["code"]) == ("load_identity", "voice_missing")
    assert row.id in job.error["message"]
