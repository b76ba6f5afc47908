"""What a caller meets at the door: tokens, keys, payloads; and that nothing is stored half."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests
from sqlalchemy import delete
from werkzeug.test import TestResponse

from db.models import AvatarRow, Event, Job
from tests import factories
from tests.api import Api, Caller, code, flaws, listening, payload
from webapp.door import NAME
from webapp.handoff import Handoff

LONG = "a" * 100_000


# --- tokens -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic cHJvZHVjdDp0b2tlbg==", "product token", "Bearer p\xe9"],
)
def test_without_a_known_token_nothing_under_v1_answers(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/outputs"), ("GET", "/v1/unheard-of"), ("GET", "/v1")):
        response = api.app.test_client().open(path, method=method, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert code(response) == "unauthorized"


def test_every_token_of_a_client_opens_the_door_while_one_is_replaced(api: Api) -> None:
    for token in ("old product token", "product token"):
        assert Caller(api.app, token).get("/v1/jobs").status_code == 200


def test_the_scheme_is_not_a_matter_of_case(api: Api) -> None:
    response = api.app.test_client().get("/v1/jobs", headers={"Authorization": "bearer product token"})
    assert response.status_code == 200


# --- idempotency --------------------------------------------------------------------------


def test_a_first_call_is_accepted_and_handed_on(api: Api) -> None:
    response = api.product.post("/v1/outputs", api.output_payload(metadata={"user": "u_1"}))
    job = response.get_json()
    assert response.status_code == 202
    assert "Idempotent-Replayed" not in response.headers
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["route"], job["lane"], job["status"]) == ("output", "multi_scene", "marketing", "accepted")
    assert (job["progress"], job["gate"], job["error"], job["result"]) == (0, None, None, None)
    assert job["cost"] == {"amount": "0.0000", "currency": "USD"}
    assert job["metadata"] == {"user": "u_1"}
    assert job["created_at"].endswith("Z")
    assert job["links"]["stages"].endswith(f"/v1/jobs/{job['id']}/stages")
    wait(lambda: job["id"] in api.launched)


def test_what_came_is_stored_as_it_came(api: Api) -> None:
    sent = api.output_payload(script={"text": "  Grüße — 你好 \U0001f600!\n"}, metadata={"b": 1.5, "a": [None, True]})
    job_id = api.product.post("/v1/outputs", sent).get_json()["id"]
    with api.database.transaction() as session:
        job = session.get_one(Job, job_id)
        assert job.snapshot == sent
        assert list(job.snapshot["metadata"]) == ["b", "a"]
        assert job.request["script"]["text"] == sent["script"]["text"]


def test_the_same_call_again_gives_the_same_job_whatever_state_it_is_in(api: Api) -> None:
    sent = api.output_payload()
    first = api.product.post("/v1/outputs", sent, key="again").get_json()
    api.product.post(f"/v1/jobs/{first['id']}/cancel")
    turned = dict(reversed(sent.items()))
    again = api.product.post("/v1/outputs", turned, key="again")
    assert again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == f"/v1/jobs/{first['id']}"
    assert (again.get_json()["id"], again.get_json()["status"]) == (first["id"], "cancelled")


def test_a_replay_is_answered_even_when_what_it_names_is_gone(api: Api) -> None:
    sent = api.output_payload()
    first = api.product.post("/v1/outputs", sent, key="gone").get_json()
    with api.database.transaction() as session:
        session.execute(_delete_avatar(sent["avatar_id"]))
    assert api.product.post("/v1/outputs", sent, key="gone").get_json()["id"] == first["id"]
    assert api.product.post("/v1/outputs", sent, key="new").status_code == 422


def test_the_same_key_with_another_payload_is_refused(api: Api) -> None:
    sent = api.output_payload()
    api.product.post("/v1/outputs", sent, key="reused")
    before = api.rows()
    response = api.product.post("/v1/outputs", sent | {"seed": 8}, key="reused")
    assert (response.status_code, code(response)) == (422, "idempotency_key_reused")
    assert api.rows() == before


def test_the_same_key_at_another_address_is_another_payload(api: Api) -> None:
    api.product.post("/v1/outputs", api.output_payload(), key="elsewhere")
    response = api.product.post("/v1/avatars", api.avatar_payload(), key="elsewhere")
    assert code(response) == "idempotency_key_reused"


def test_keys_of_two_clients_do_not_meet(api: Api) -> None:
    mine = api.product.post("/v1/outputs", api.output_payload(), key="shared").get_json()
    theirs = api.other.post(
        "/v1/outputs", payload("output.generate/1", avatar_id=api.avatar("other").id), key="shared"
    ).get_json()
    assert mine["id"] != theirs["id"]


def test_without_a_key_no_job(api: Api) -> None:
    sent = api.output_payload()
    response = api.app.test_client().post("/v1/outputs", json=sent, headers={"Authorization": "Bearer product token"})
    assert (response.status_code, code(response)) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["", " ", "é", "a\tb", "k" * 256])
def test_a_malformed_key_is_refused(api: Api, key: str) -> None:
    headers = {"Authorization": "Bearer product token", "Idempotency-Key": key}
    response = api.app.test_client().post("/v1/outputs", json=payload("output.generate/1"), headers=headers)
    assert (response.status_code, code(response)) == (400, "idempotency_key_malformed")


def test_a_key_of_255_characters_is_taken(api: Api) -> None:
    assert api.product.post("/v1/outputs", api.output_payload(), key="~" * 255).status_code == 202


def test_simultaneous_first_calls_make_one_job(api: Api) -> None:
    sent = api.output_payload()
    before = api.rows()
    answers = at_once(8, lambda n: api.product.post("/v1/outputs", sent, key="race"))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    after = api.rows()
    assert after["jobs"] == before["jobs"] + 1
    assert after["events"] == before["events"] + 1
    assert after["idempotency_keys"] == before["idempotency_keys"] + 1


def test_of_simultaneous_calls_with_different_payloads_one_wins(api: Api) -> None:
    sent = api.output_payload()
    answers = at_once(6, lambda n: api.product.post("/v1/outputs", sent | {"seed": n}, key="contest"))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 5
    assert {code(answer) for answer in answers if answer.status_code == 422} == {"idempotency_key_reused"}


def test_a_client_has_so_many_active_jobs_and_no_more(api: Api) -> None:
    sent = payload("output.generate/1", avatar_id=api.avatar("other").id)
    codes = [api.other.post("/v1/outputs", sent, key=f"limit-{n}").status_code for n in range(4)]
    assert 429 in codes
    refused = api.other.post("/v1/outputs", sent, key="limit-last")
    assert (refused.status_code, code(refused)) == (429, "too_many_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    replayed = api.other.post("/v1/outputs", sent, key="limit-0")
    assert replayed.status_code == 200


# --- payloads -----------------------------------------------------------------------------

CLIP_FACTS = {"width": 1280, "height": 720, "fps": 25, "frames": 50, "seconds": 2.0}
OUTPUT_FLAWS: list[tuple[dict[str, Any], str, str]] = [
    ({"avatar_id": "avt_unknown"}, "/avatar_id", "there is no avatar avt_unknown"),
    ({"avatar_id": 7}, "/avatar_id", "must be a string"),
    ({"avatar_id": None}, "/avatar_id", "must not be null"),
    ({"script": None}, "/script", "must not be null"),
    ({"script": "Hello."}, "/script", "must be an object"),
    ({"script": {}}, "/script", "exactly one of text, brief"),
    ({"script": {"text": "a", "brief": "b"}}, "/script", "exactly one of text, brief"),
    ({"script": {"text": ""}}, "/script/text", "blank"),
    ({"script": {"text": " \n\t "}}, "/script/text", "blank"),
    ({"script": {"text": "…!\U0001f600"}}, "/script/text", "nothing to say"),
    ({"script": {"text": LONG}}, "/script/text", "has 100000 characters; at most 20000"),
    ({"script": {"text": "bell\x07"}}, "/script/text", "U+0007 at position 4"),
    ({"script": {"text": "nul\x00"}}, "/script/text", "U+0000"),
    ({"script": {"text": ["a"]}}, "/script/text", "must be a string"),
    ({"script": {"text": "a", "tone": "warm"}}, "/script/tone", "belongs to a brief"),
    ({"script": {"brief": "a" * 2001}}, "/script/brief", "has 2001 characters"),
    ({"script": {"brief": "Tea", "duration_s": 4.9}}, "/script/duration_s", "between 5 and 300"),
    ({"script": {"brief": "Tea", "duration_s": "30"}}, "/script/duration_s", "must be a number"),
    ({"script": {"text": "Hallo.", "language": "de"}}, "/script/language", "de is not spoken here; known are en"),
    ({"script": {"text": "Hello.", "language": "English"}}, "/script/language", "a BCP 47 tag such as en"),
    ({"script": {"text": "Hello.", "language": None}}, "/script/language", "must not be null"),
    ({"scenes": {"mode": "both"}}, "/scenes/mode", '"multi", "single"'),
    ({"scenes": {"max": 0}}, "/scenes/max", "between 1 and 50"),
    ({"scenes": {"max": 51}}, "/scenes/max", "between 1 and 50"),
    ({"scenes": {"max": "8"}}, "/scenes/max", "whole number"),
    ({"scenes": {"max": True}}, "/scenes/max", "whole number"),
    ({"output": {"width": 1281}}, "/output/width", "even"),
    ({"output": {"width": 318}}, "/output/width", "between 320 and 1920"),
    ({"output": {"height": 1922}}, "/output/height", "between 320 and 1920"),
    ({"output": {"width": 1920, "height": 320}}, "/output", "21:9"),
    ({"output": {"fps": 60}}, "/output/fps", "24, 25, 30"),
    ({"output": {"fps": 25.0}}, "/output/fps", "24, 25, 30"),
    ({"output": {"captions": "loud"}}, "/output/captions", '"burned", "sidecar", "none"'),
    ({"output": {"background": "b" * 501}}, "/output/background", "has 501 characters"),
    ({"output": {"label": "l" * 41}}, "/output/label", "has 41 characters"),
    ({"output": {"label": "two\nlines"}}, "/output/label", "U+000A"),
    ({"seed": -1}, "/seed", "between 0 and 2147483647"),
    ({"seed": 2**31}, "/seed", "between 0 and 2147483647"),
    ({"seed": 1.5}, "/seed", "whole number"),
    ({"seed": 10**40}, "/seed", "must lie between"),
    ({"lane": "express"}, "/lane", '"avatar", "marketing"'),
    ({"metadata": []}, "/metadata", "must be an object"),
    ({"metadata": {"note": "n" * 16384}}, "/metadata", "at most 16384"),
    ({"metadata": {"deep": {"half": "\ud800"}}}, "/metadata/deep/half", "surrogate"),
    ({"colour": "red"}, "/colour", "not a field"),
    ({"a/b~c": 1}, "/a~1b~0c", "not a field"),
    ({"contract": "output.generate/2"}, "/contract", "known: output.generate/1"),
    ({"contract": "avatar.create/1"}, "/contract", "known: output.generate/1"),
    ({"contract": 1}, "/contract", "known here: output.generate/1"),
]

AVATAR_FLAWS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "/name", "blank"),
    ({"name": "n" * 81}, "/name", "has 81 characters"),
    ({"inputs": {}}, "/inputs/images", "required"),
    ({"inputs": {"images": []}}, "/inputs/images", "1 to 8"),
    ({"inputs": {"images": [{"asset_id": "ast_1"}] * 9}}, "/inputs/images", "1 to 8"),
    ({"inputs": {"images": [{}]}}, "/inputs/images/0", "exactly one of asset_id, url"),
    ({"inputs": {"images": [{"asset_id": "ast_unknown"}]}}, "/inputs/images/0/asset_id", "no asset ast_unknown"),
    ({"inputs": {"images": [{"url": "http://media.example/a"}]}}, "/inputs/images/0/url", "https://"),
    ({"inputs": {"images": [{"url": "file:///etc/passwd"}]}}, "/inputs/images/0/url", "https://"),
    ({"inputs": {"images": [{"url": "https://elsewhere.example/a"}]}}, "/inputs/images/0/url", "elsewhere.example:443"),
    ({"inputs": {"images": [{"url": "https://media.example:8443/a"}]}}, "/inputs/images/0/url", "media.example:8443"),
    ({"inputs": {"images": [{"url": "https://media.example@evil.example/"}]}}, "/inputs/images/0/url", "no user"),
    ({"inputs": {"images": [{"url": "https://[::1"}]}}, "/inputs/images/0/url", "cannot be understood"),
    (
        {"inputs": {"images": [{"url": "https://media.example:9e9/a"}]}},
        "/inputs/images/0/url",
        "cannot be understood",
    ),
    ({"style": {"look": "noir"}}, "/style/look", '"studio"'),
    ({"style": {"background": "blue"}}, "/style/background", "#20242c"),
    ({"consent": {"statement": "Yes.", "subject": "Ada"}}, "/consent/granted_at", "required"),
    (
        {"consent": {"statement": "Yes.", "subject": "Ada", "granted_at": "soon"}},
        "/consent/granted_at",
        "such as",
    ),
    (
        {"consent": {"statement": "Yes.", "subject": "Ada", "granted_at": "2026-11-01T09:00:00"}},
        "/consent/granted_at",
        "offset",
    ),
    (
        {"consent": {"statement": "Yes.", "subject": "Ada", "granted_at": "2999-01-01T00:00:00Z"}},
        "/consent/granted_at",
        "future",
    ),
]


@pytest.mark.parametrize(("changes", "pointer", "words"), OUTPUT_FLAWS, ids=lambda value: str(value)[:40])
def test_a_flaw_of_an_output_is_told_at_its_place(api: Api, changes: dict[str, Any], pointer: str, words: str) -> None:
    sent = api.output_payload(**changes)
    before = api.rows()
    response = api.product.post("/v1/outputs", sent)
    assert response.status_code == 422, response.text
    found = flaws(response)
    assert list(found) == [pointer]
    assert words in found[pointer]
    assert api.rows() == before


@pytest.mark.parametrize(("changes", "pointer", "words"), AVATAR_FLAWS, ids=lambda value: str(value)[:40])
def test_a_flaw_of_an_avatar_is_told_at_its_place(api: Api, changes: dict[str, Any], pointer: str, words: str) -> None:
    sent = api.avatar_payload(**changes)
    before = api.rows()
    response = api.product.post("/v1/avatars", sent)
    assert response.status_code == 422, response.text
    found = flaws(response)
    assert list(found) == [pointer]
    assert words in found[pointer]
    assert api.rows() == before


def test_an_unknown_contract_has_a_code_of_its_own(api: Api) -> None:
    response = api.product.post("/v1/outputs", api.output_payload(contract="output.generate/99"))
    assert code(response) == "unknown_contract"


@pytest.mark.parametrize("consent", ["absent", None])
def test_no_avatar_without_consent(api: Api, consent: Any) -> None:
    sent = api.avatar_payload(consent=consent)
    if consent == "absent":
        del sent["consent"]
    response = api.product.post("/v1/avatars", sent)
    assert (response.status_code, code(response)) == (422, "consent_missing")
    assert list(flaws(response)) == ["/consent"]


def test_assets_and_avatars_of_others_do_not_exist(api: Api) -> None:
    theirs = api.photo("other").id
    response = api.product.post("/v1/avatars", api.avatar_payload(inputs={"images": [{"asset_id": theirs}]}))
    assert flaws(response) == {"/inputs/images/0/asset_id": f"there is no asset {theirs}"}
    avatar = api.avatar("other").id
    response = api.product.post("/v1/outputs", payload("output.generate/1", avatar_id=avatar))
    assert flaws(response) == {"/avatar_id": f"there is no avatar {avatar}"}


def test_an_approved_asset_stands_for_what_its_step_would_make(api: Api) -> None:
    picture = api.photo()
    clip = api.asset(kind="clip", media_type="video/mp4", facts=CLIP_FACTS)
    approved = {"scene/2/background": picture.id, "scene/1/lip_sync": clip.id}
    response = api.product.post("/v1/outputs", api.output_payload(approved_assets=approved))
    assert response.status_code == 202
    with api.database.transaction() as session:
        given = session.get_one(Job, response.json["id"]).request["given"]
    assert given["scene/2/background"]["image"]["sha256"] == picture.sha256
    footage = given["scene/1/lip_sync"]["footage"]
    assert (footage["video"]["id"], footage["frames"], footage["seconds"]) == (clip.id, 50, 2.0)


def test_an_approved_asset_must_be_there_and_fit(api: Api) -> None:
    theirs, sample = api.photo("other"), api.asset(kind="voice_sample", media_type="audio/wav")
    small = api.asset(kind="clip", media_type="video/mp4", facts=CLIP_FACTS | {"width": 640, "height": 360})
    approved = {
        "scene/1/background": theirs.id,
        "scene/2/background": sample.id,
        "scene/3/lip_sync": small.id,
        "scene/4/lip_sync": sample.id,
        "scene/5/lip_sync": api.asset(kind="clip", media_type="video/mp4", facts={}).id,
    }
    sent = api.output_payload(approved_assets=approved)
    before = api.rows()
    response = api.product.post("/v1/outputs", sent)
    assert flaws(response) == {
        "/approved_assets/scene~11~1background": f"there is no asset {theirs.id}",
        "/approved_assets/scene~12~1background": f"{sample.id} is a voice_sample; a background is a picture",
        "/approved_assets/scene~13~1lip_sync": f"{small.id} is 640×360 at 25 fps; the output is 1280×720 at 25",
        "/approved_assets/scene~14~1lip_sync": (
            f"{sample.id} is a voice_sample; a scene's video is a clip that an earlier job made"
        ),
        "/approved_assets/scene~15~1lip_sync": (
            f"{approved['scene/5/lip_sync']} was never measured; take a clip that an earlier job made"
        ),
    }
    assert api.rows() == before


def test_a_voice_sample_is_no_photo(api: Api) -> None:
    sample = factories.AssetFactory.build(kind="voice_sample", media_type="audio/wav")
    photo = api.photo()
    api.add(sample)
    images = [{"asset_id": photo.id}, {"asset_id": sample.id}]
    response = api.product.post("/v1/avatars", api.avatar_payload(inputs={"images": images}))
    assert flaws(response) == {"/inputs/images/1/asset_id": f"{sample.id} is a voice_sample, not a photo"}


def test_photos_may_come_from_listed_hosts(api: Api) -> None:
    urls = ("https://media.example/a.jpg?x=1", "https://cdn.example:8443/b.png", "https://MEDIA.example/c.webp")
    sent = api.avatar_payload(inputs={"images": [{"url": url} for url in urls]})
    assert api.product.post("/v1/avatars", sent).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b"\xff", 400, "not_json"),
        (b'{"seed": NaN}', 400, "not_json"),
        (b'{"a": 1, "a": 2}', 400, "not_json"),
        (b"[" * 50_000, 400, "not_json"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, 400, "not_json"),
        (b"[]", 422, "validation_failed"),
        (b'"text"', 422, "validation_failed"),
        (b"null", 422, "validation_failed"),
        (b"{}", 422, "validation_failed"),
        (b'{"contract": "output.generate/1", "seed": ' + b"9" * 20 + b"}", 422, "validation_failed"),
        (rb'{"contract": "output.generate/1", "\ud800": 1}', 422, "validation_failed"),
        (b'{"contract": "' + b"x" * 2**20 + b'"}', 413, "payload_too_large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_is_no_payload(api: Api, body: bytes, status: int, expected: str) -> None:
    before = api.rows()
    response = api.product.raw("/v1/outputs", body)
    assert (response.status_code, code(response)) == (status, expected)
    assert api.rows() == before


def test_only_json_is_taken(api: Api) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = api.product.raw("/v1/outputs", b"{}", media_type=media_type)
        assert (response.status_code, code(response)) == (415, "unsupported_media_type")


# --- what must not hold a request ---------------------------------------------------------


def test_a_broker_that_never_answers_holds_no_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launch hangs; calls are answered, and the job is there for the sweeper."""
    thawed = threading.Event()
    launching_by(api, monkeypatch, lambda job_id: not thawed.wait(20))
    sent = api.output_payload()
    try:
        for _ in range(5):  # more than there is room for
            response, seconds = timed(lambda: api.product.post("/v1/outputs", sent))
            assert response.status_code == 202
            assert seconds < 1
    finally:
        thawed.set()


def test_a_launch_that_fails_is_nobodys_problem_and_the_next_is_launched(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def launch(job_id: str) -> None:
        tried.append(job_id)
        if len(tried) == 1:
            raise ConnectionRefusedError

    launching_by(api, monkeypatch, launch)
    made = [api.product.post("/v1/outputs", api.output_payload()).get_json()["id"] for _ in range(2)]
    wait(lambda: tried == made)


def test_an_accepted_job_has_its_first_event_with_it(api: Api) -> None:
    job_id = api.product.post("/v1/outputs", api.output_payload(metadata={"k": "v"})).get_json()["id"]
    with api.database.transaction() as session:
        event = session.query(Event).filter_by(job_id=job_id).one()
        assert (event.sequence, event.type, event.state) == (1, "job.accepted", "pending")
        assert event.data["metadata"] == {"k": "v"}


def test_the_race_is_also_won_over_real_sockets(api: Api) -> None:
    sent = api.output_payload()
    headers = {"Authorization": "Bearer product token", "Idempotency-Key": "sockets"}
    with listening(api.app) as url:
        answers = at_once(6, lambda n: requests.post(f"{url}/v1/outputs", json=sent, headers=headers, timeout=10))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1


def launching_by(api: Api, monkeypatch: pytest.MonkeyPatch, launch: Callable[[str], Any]) -> None:
    door = replace(api.app.extensions[NAME], handoff=Handoff(launch, room=2))
    monkeypatch.setitem(api.app.extensions, NAME, door)


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """The answers of calls that start together."""
    gate = threading.Barrier(count)
    answers: list[Any] = [None] * count

    def run(number: int) -> None:
        gate.wait()
        answers[number] = call(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def timed(call: Callable[[], TestResponse]) -> tuple[TestResponse, float]:
    began = time.perf_counter()
    response = call()
    return response, time.perf_counter() - began


def wait(predicate: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def _delete_avatar(avatar_id: str) -> Any:
    return delete(AvatarRow).where(AvatarRow.id == avatar_id)
