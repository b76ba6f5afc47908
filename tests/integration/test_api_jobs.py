"""Jobs as their clients see them."""

from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import opentimelineio
import pytest

from db import ids
from db.models import Event, Job, Record
from pipeline.disclosure import disclosure
from pipeline.frame import Frame
from pipeline.routes import plan
from tests import factories
from tests.api import SECRET, Api, code, flaws
from webapp.door import NAME
from webapp.otio import MEDIA_TYPE as OTIO

TIMELINE = b'{"version": 1, "fps": 25, "captions": [{"start_s": 0.12, "end_s": 0.9, "text": "Hello."}]}'


def stored(api: Api, tmp_path: Path, content: bytes, *, kind: str, media_type: str) -> dict[str, object]:
    """A file in the store, as a stage's output names it."""
    file = tmp_path / kind
    file.write_bytes(content)
    sha256, size = api.app.extensions[NAME].storage.put(file)
    return factories.asset_json(kind, media_type=media_type, sha256=sha256, size=size)


@pytest.fixture
def film(api: Api, tmp_path: Path) -> Job:
    """A completed output."""
    result = {
        "video": factories.asset_json("video", media_type="video/mp4"),
        "thumbnail": factories.asset_json("thumbnail", media_type="image/jpeg"),
        "captions": {
            "vtt": stored(api, tmp_path, b"WEBVTT\n", kind="vtt", media_type="text/vtt"),
            "srt": stored(api, tmp_path, b"1\n", kind="srt", media_type="application/x-subrip"),
        },
        "timeline": stored(api, tmp_path, TIMELINE, kind="timeline", media_type="application/json"),
        "duration_s": 4.2,
        "width": 1280,
        "height": 720,
        "fps": 25,
        "scenes": [
            {
                "index": 1,
                "start_s": 0.0,
                "end_s": 4.2,
                "transcript": "Hello.",
                "pose": None,
                "background": factories.asset_json("background"),
                "video": factories.asset_json("clip", media_type="video/mp4"),
            }
        ],
        "disclosure": asdict(disclosure(Frame(1280, 720, 25))),
    }
    job: Job = factories.JobFactory.build(status="completed", progress=1.0, result=result, scenes=1)
    api.add(job)
    return job


# --- one ----------------------------------------------------------------------------------


def test_a_running_job_tells_what_runs_waits_and_failed(api: Api) -> None:
    job = factories.JobFactory.build(progress=0.42, cost=Decimal("1.2345"))
    statuses = {
        "scene/1/speech": "running",
        "scene/2/speech": "waiting",
        "scene/1/lip_sync": "failed",
        "script": "succeeded",
    }
    steps = [
        factories.RecordFactory.build(
            job_id=job.id, step=step, stage=step.rpartition("/")[2], status=status, place=place
        )
        for place, (step, status) in enumerate(statuses.items())
    ]
    api.add(job, *steps)
    shown = api.product.get(f"/v1/jobs/{job.id}").get_json()
    assert shown["stages"] == {
        "running": ["scene/1/speech"],
        "waiting": ["scene/2/speech"],
        "failed": ["scene/1/lip_sync"],
        "stale": [],
    }
    assert (shown["progress"], shown["cost"]) == (0.42, {"amount": "1.2345", "currency": "USD"})


def test_a_job_says_which_of_its_steps_await_a_person(api: Api) -> None:
    shown = {}
    for status in ("running", "failed"):
        job = factories.JobFactory.build(status=status)
        waiting = {"job_id": job.id, "status": "waiting"}
        steps = [
            factories.RecordFactory.build(**waiting, step="scene/1/speech", awaits="person", why="A person decides."),
            factories.RecordFactory.build(**waiting, step="scene/2/speech", awaits="call", wake_at=factories.NOW),
            factories.RecordFactory.build(**waiting, step="scene/3/speech", awaits="person", wake_at=factories.NOW),
        ]
        api.add(job, *steps)
        shown[status] = api.product.get(f"/v1/jobs/{job.id}").get_json()["parked"]
    assert shown == {"running": [{"stage": "scene/1/speech", "why": "A person decides."}], "failed": []}


def test_a_completed_output_has_its_result_with_links(api: Api, film: Job) -> None:
    result = api.product.get(f"/v1/jobs/{film.id}").get_json()["result"]
    assert set(result["video"]) == {"id", "url", "media_type", "bytes", "sha256"}
    assert f"/v1/assets/{result['video']['id']}/content?expires=" in result["video"]["url"]
    assert set(result["scenes"][0]["background"]) == set(result["captions"]["vtt"]) == set(result["video"])
    assert (result["duration_s"], result["scenes"][0]["transcript"]) == (4.2, "Hello.")


def test_a_failed_job_says_where_and_why(api: Api) -> None:
    error = {
        "stage": "validate_images",
        "code": "no_face",
        "message": "No face was found.",
        "retryable": False,
        "attempts": 1,
        "provider": "local",
        "details": {"pointer": "/inputs/images/0"},
    }
    job = factories.JobFactory.build(kind="avatar", route="avatar_creation", status="failed", error=error)
    api.add(job)
    assert api.product.get(f"/v1/jobs/{job.id}").get_json()["error"] == error


def test_others_jobs_do_not_exist(api: Api, film: Job) -> None:
    for path in ("", "/stages", "/events", "/timeline"):
        response = api.other.get(f"/v1/jobs/{film.id}{path}")
        assert (response.status_code, code(response)) == (404, "not_found")
    assert api.other.post(f"/v1/jobs/{film.id}/cancel").status_code == 404


# --- many ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed(api: Api) -> list[str]:
    """The ids of another client's jobs, newest first: of these tests alone."""
    jobs = [
        factories.JobFactory.build(
            client="other",
            kind=("avatar", "output")[n % 2],
            route=("avatar_creation", "multi_scene")[n % 2],
            status=("completed", "failed", "completed")[n % 3],
            id=ids.new("job"),
        )
        for n in range(25)
    ]
    api.add(*jobs)
    return sorted((job.id for job in jobs), reverse=True)


def test_jobs_are_listed_newest_first_page_by_page(api: Api, listed: list[str]) -> None:
    seen: list[str] = []
    cursor, pages = "", 0
    while pages == 0 or cursor:
        page = api.other.get("/v1/jobs?limit=10" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += [job["id"] for job in page["jobs"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (seen, pages) == (listed, 3)


def test_a_full_last_page_has_no_next(api: Api, listed: list[str]) -> None:
    page = api.other.get(f"/v1/jobs?limit=25&cursor={ids.new('job')}").get_json()
    assert len(page["jobs"]) == 25
    assert page["next_cursor"] is None


def test_twenty_jobs_are_a_page_unless_said_otherwise(api: Api, listed: list[str]) -> None:
    page = api.other.get("/v1/jobs").get_json()
    assert len(page["jobs"]) == 20
    assert page["next_cursor"] == listed[19]


def test_jobs_are_listed_by_status_and_kind(api: Api, listed: list[str]) -> None:
    page = api.other.get("/v1/jobs?status=completed&kind=avatar&limit=100").get_json()
    assert {(job["status"], job["kind"]) for job in page["jobs"]} == {("completed", "avatar")}
    assert len(page["jobs"]) == len([n for n in range(25) if n % 3 != 1 and n % 2 == 0])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1e1", "limit"),
        ("limit=%00", "limit"),
        ("status=done", "status"),
        ("status=%00", "status"),
        ("kind=film", "kind"),
        ("cursor=abc", "cursor"),
        ("cursor=job_%00", "cursor"),
        ("cursor=", "cursor"),
        ("sort=asc", "sort"),
    ],
)
def test_a_parameter_that_is_not_valid_is_named(api: Api, query: str, parameter: str) -> None:
    response = api.product.get(f"/v1/jobs?{query}")
    assert (response.status_code, code(response)) == (422, "parameter_invalid")
    assert list(flaws(response)) == [parameter]


# --- stages and events --------------------------------------------------------------------


def test_every_stage_record_is_there_before_anything_ran(api: Api) -> None:
    job_id = api.product.post("/v1/outputs", api.output_payload()).get_json()["id"]
    stages = api.product.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]
    assert [stage["key"] for stage in stages] == list(plan("multi_scene").steps)
    assert {stage["status"] for stage in stages} == {"pending"}
    assert stages[1]["label"] == "Writing the script"


def test_a_stage_tells_its_tries_output_and_cost(api: Api) -> None:
    job = factories.JobFactory.build()
    image = factories.asset_json("background")
    error = {"code": "render_failed", "message": "It broke.", "retryable": True, "details": {}}
    step = {"job_id": job.id, "step": "scene/2/background", "stage": "background"}
    record = factories.RecordFactory.build(
        **step,
        scene=2,
        attempt=2,
        input={"setting": "storyboard/scenes/1/setting"},
        output={"image": image},
        provider="local",
        cost=Decimal("0.5"),
        started_at=factories.NOW,
        finished_at=factories.NOW,
    )
    tries = [
        factories.AttemptFactory.build(job_id=job.id, step=step["step"], attempt=1, outcome="again", error=error),
        factories.AttemptFactory.build(job_id=job.id, step=step["step"], attempt=2),
    ]
    api.add(job, record, *tries)
    (stage,) = api.product.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]
    assert (stage["key"], stage["name"], stage["scene"]) == ("scene/2/background", "background", 2)
    assert stage["label"] == "Painting background"
    assert (stage["attempts"], [each["outcome"] for each in stage["tries"]]) == (2, ["again", "done"])
    assert stage["tries"][0]["error"]["code"] == "render_failed"
    assert stage["input"] == {"setting": "storyboard/scenes/1/setting"}
    assert stage["output"]["image"]["url"].startswith("http")
    assert (stage["cost"], stage["provider"]) == ({"amount": "0.5000", "currency": "USD"}, "local")
    assert (stage["passed_over"], stage["why"], stage["awaits"]) == ([], None, None)
    assert stage["started_at"] == "2026-11-22T09:00:00Z"


def test_a_stage_that_waits_says_for_what_and_its_looks_are_no_tries(api: Api) -> None:
    job = factories.JobFactory.build()
    passed = [{"provider": "elevenlabs", "code": "insufficient_funds", "message": "No money is left."}]
    step = {"job_id": job.id, "step": "scene/1/speech", "stage": "speech"}
    # the second try: it has been entered five times, and waits for the fourth
    record = factories.RecordFactory.build(
        **step, status="waiting", attempt=5, waits=4, awaits="call", why="fal is at work.", provider="fal",
        passed_over=passed, wake_at=factories.NOW,
    )  # fmt: skip
    again = factories.AttemptFactory.build(job_id=job.id, step=step["step"], attempt=3, outcome="again")
    api.add(job, record, again)

    def shown() -> dict[str, Any]:
        (stage,) = api.product.get(f"/v1/jobs/{job.id}/stages").get_json()["stages"]
        return dict(stage)

    stage = shown()
    assert (stage["why"], stage["awaits"], stage["wake_at"]) == ("fal is at work.", "call", "2026-11-22T09:00:00Z")
    assert (stage["provider"], stage["passed_over"]) == ("fal", passed)
    assert (stage["attempts"], [each["attempt"] for each in stage["tries"]]) == (2, [1])
    with api.database.transaction() as session:  # it is entered once more
        row = session.get_one(Record, (job.id, step["step"]))
        row.status, row.attempt, row.awaits, row.why = "running", 6, None, None
    stage = shown()
    assert (stage["attempts"], stage["why"], stage["awaits"]) == (2, None, None)


def test_every_event_with_its_deliveries_in_order(api: Api) -> None:
    job_id = api.product.post("/v1/outputs", api.output_payload(metadata={"k": 1})).get_json()["id"]
    api.product.post(f"/v1/jobs/{job_id}/cancel")
    first = api.product.get(f"/v1/jobs/{job_id}/events").get_json()["events"][0]["id"]
    for status in (500, None, 200):
        api.add(factories.DeliveryFactory.build(event_id=first, status=status))

    events = api.product.get(f"/v1/jobs/{job_id}/events").get_json()["events"]
    assert [(event["sequence"], event["type"]) for event in events] == [(1, "job.accepted"), (2, "job.cancelled")]
    assert [each["status"] for each in events[0]["deliveries"]] == [500, None, 200]
    assert events[0]["data"]["metadata"] == {"k": 1}
    assert events[0]["state"] == "pending"


def test_an_event_can_be_sent_again(api: Api) -> None:
    job_id = api.product.post("/v1/outputs", api.output_payload()).get_json()["id"]
    event_id = api.product.get(f"/v1/jobs/{job_id}/events").get_json()["events"][0]["id"]
    with api.database.transaction() as session:
        event = session.get_one(Event, event_id)
        event.state, event.attempts = "dead", 8
    response = api.product.post(f"/v1/events/{event_id}/redeliver")
    assert response.status_code == 202
    assert (response.get_json()["state"], response.get_json()["attempts"]) == ("pending", 0)


def test_an_event_of_others_cannot_be_sent_again_nor_one_without_a_receiver(api: Api) -> None:
    assert api.product.post("/v1/events/evt_unknown/redeliver").status_code == 404
    response = api.other.post("/v1/events/evt_unknown/redeliver")
    assert (response.status_code, code(response)) == (409, "state_conflict")


def test_events_of_a_client_without_a_receiver_are_kept_and_not_sent(api: Api) -> None:
    avatar = api.avatar("other").id
    job = api.other.post("/v1/outputs", api.output_payload(avatar_id=avatar)).get_json()
    (event,) = api.other.get(f"/v1/jobs/{job['id']}/events").get_json()["events"]
    assert event["state"] == "unwanted"
    api.other.post(f"/v1/jobs/{job['id']}/cancel")


# --- cancel -------------------------------------------------------------------------------


def test_a_job_is_cancelled_once_and_asking_again_is_harmless(api: Api) -> None:
    job_id = api.product.post("/v1/outputs", api.output_payload()).get_json()["id"]
    for _ in range(2):
        response = api.product.post(f"/v1/jobs/{job_id}/cancel")
        assert response.status_code == 202
        assert response.get_json()["status"] == "cancelled"
        assert response.get_json()["finished_at"] is not None
    stages = api.product.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]
    assert {stage["status"] for stage in stages} == {"cancelled"}
    assert len(api.product.get(f"/v1/jobs/{job_id}/events").get_json()["events"]) == 2


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_job_that_ended_cannot_be_cancelled(api: Api, status: str) -> None:
    job = factories.JobFactory.build(status=status)
    api.add(job)
    response = api.product.post(f"/v1/jobs/{job.id}/cancel")
    assert (response.status_code, code(response)) == (409, "state_conflict")
    body = response.get_json(force=True)
    assert body["job_status"] == status
    assert body["possible"] == ["accepted", "running", "awaiting_approval"]
    assert f"The job is {status}" in body["detail"]


# --- timeline and avatars -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "content", "media_type"),
    [
        ("", TIMELINE, "application/json"),
        ("?format=json", TIMELINE, "application/json"),
        ("?format=vtt", b"WEBVTT\n", "text/vtt; charset=utf-8"),
        ("?format=srt", b"1\n", "application/x-subrip"),
    ],
    ids=["default", "json", "vtt", "srt"],
)
def test_the_timeline_in_each_format(api: Api, film: Job, query: str, content: bytes, media_type: str) -> None:
    response = api.product.get(f"/v1/jobs/{film.id}/timeline{query}")
    assert (response.status_code, response.data) == (200, content)
    assert response.headers["Content-Type"] == media_type


def test_an_editing_program_gets_addresses_that_stay_true_and_open_nothing(api: Api, film: Job) -> None:
    response = api.product.get(f"/v1/jobs/{film.id}/timeline?format=otio")
    assert (response.status_code, response.headers["Content-Type"]) == (200, OTIO)
    assert f'filename="{film.id}.otio"' in response.headers["Content-Disposition"]
    [picture, sound] = opentimelineio.adapters.read_from_string(response.text, "otio_json").tracks
    [clip] = picture
    assert (clip.duration().to_frames(), len(sound)) == (105, 1)
    address = clip.media_reference.target_url
    assert address == f"http://localhost/v1/assets/{(film.result or {})['scenes'][0]['video']['id']}/content"
    assert "signature" not in response.text
    tag = {"If-None-Match": response.headers["ETag"]}
    assert api.product.get(f"/v1/jobs/{film.id}/timeline?format=otio", headers=tag).status_code == 304
    assert api.other.get(f"/v1/jobs/{film.id}/timeline?format=otio").status_code == 404


def test_a_format_that_is_not_offered(api: Api, film: Job) -> None:
    response = api.product.get(f"/v1/jobs/{film.id}/timeline?format=edl")
    assert (response.status_code, code(response)) == (422, "parameter_invalid")
    assert flaws(response) == {"format": 'must be one of "json", "otio", "vtt", "srt"'}


def test_no_timeline_before_the_end(api: Api) -> None:
    job = factories.JobFactory.build()
    api.add(job)
    response = api.product.get(f"/v1/jobs/{job.id}/timeline")
    assert (response.status_code, code(response)) == (409, "state_conflict")
    assert response.get_json(force=True)["job_status"] == "running"


def test_no_caption_files_where_none_were_asked_for(api: Api, film: Job) -> None:
    silent = factories.JobFactory.build(status="completed", result={**(film.result or {}), "captions": None})
    api.add(silent)
    assert api.product.get(f"/v1/jobs/{silent.id}/timeline").status_code == 200
    response = api.product.get(f"/v1/jobs/{silent.id}/timeline?format=vtt")
    assert (response.status_code, code(response)) == (404, "not_found")


def test_an_avatar_shows_its_pictures_and_its_consent(api: Api) -> None:
    row = api.avatar()
    shown: dict[str, Any] = api.product.get(f"/v1/avatars/{row.id}").get_json()
    assert (shown["name"], shown["version"], shown["job_id"]) == ("Ada", 1, row.job_id)
    assert shown["consent"] == {"statement": "I agree.", "subject": "Ada Example", "granted_at": "2026-11-01T09:00:00Z"}
    for picture in ("neutral_image", "character_sheet"):
        assert set(shown[picture]) == {"id", "url", "media_type", "bytes", "sha256"}
    assert api.other.get(f"/v1/avatars/{row.id}").status_code == 404


def test_no_secret_is_in_any_answer(api: Api, film: Job) -> None:
    for path in ("", "/stages", "/events"):
        text = api.product.get(f"/v1/jobs/{film.id}{path}").text
        assert SECRET not in text
        assert api.settings.signing_key not in text
