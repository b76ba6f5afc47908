"""People decide, and have stages run again: over HTTP, with the Procfile's processes, on PostgreSQL and RabbitMQ."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from pipeline.ports import CAPABILITIES
from pipeline.state import FINAL
from providers.local import ffmpeg
from providers.local.sample import portrait
from tests.api import picture
from tests.conftest import Servers
from tests.fleet import Fleet, fleet
from tests.processes import eventually

Stages = Mapping[str, Mapping[str, Any]]

CLIENT = "shop"
LINES = "One.\nTwo.\nThree."
CROWD = 1_000
PROCESSES_HAVE = 50  # connections of their own, whatever there is to do
ROUNDS = 5
WIDTH, HEIGHT = 320, 320
PATIENCE_S = 100.0
LONG_S = 240.0  # a crowd, or real video on a busy machine
SPOKEN = "Hello, I am a synthetic demo.\nMaybe my lips move properly."
KEYS = map("review-{}".format, count())


@dataclass(frozen=True)
class Product:
    """The product's backend: it has an avatar, submits, looks, decides."""

    service: Fleet
    avatar: str
    patience_s: float = PATIENCE_S

    @classmethod
    def of(cls, service: Fleet, photo: bytes, patience_s: float) -> "Product":
        kept = service.call(CLIENT, "POST", "/v1/assets", files={"file": ("photo", photo)}).json()["id"]
        asked = service.avatar(CLIENT) | {"inputs": {"images": [{"asset_id": kept}]}}
        job = service.submit(CLIENT, "/v1/avatars", asked)
        found = cls(service, "", patience_s).at(job, "completed")
        return cls(service, found["result"]["avatar_id"], patience_s)

    def submit(self, words: str = LINES, *gates: str, **more: Any) -> str:
        """Nothing is taken from earlier jobs: what runs here is told by this job alone."""
        asked = self.service.output(self.avatar, words) | {"review": {"gates": list(gates)}, "reuse": False}
        return self.service.submit(CLIENT, "/v1/outputs", asked | more)

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.service.call(CLIENT, "GET", f"/v1/jobs/{job_id}").json()
        return found

    def at(self, job_id: str, status: str, gate: str | None = None, *, round: int = 1) -> dict[str, Any]:
        """The job once it is in this state, and at this gate."""

        def there() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["status"] == status or job["status"] not in FINAL, job["error"]
            opened = job["gate"] or {"name": None, "round": 1}
            return job if (job["status"], opened["name"], opened["round"]) == (status, gate, round) else None

        return eventually(there, within=self.patience_s, what=f"{job_id} is {status} at {gate}") or {}

    def stages(self, job_id: str) -> dict[str, dict[str, Any]]:
        found = self.service.call(CLIENT, "GET", f"/v1/jobs/{job_id}/stages").json()["stages"]
        return {each["key"]: each for each in found}

    def decide(self, job_id: str, gate: str, decision: str = "approve", **more: Any) -> requests.Response:
        asked = {"contract": "job.approve/1", "gate": gate, "decision": decision} | more
        return self._say(job_id, "approvals", asked)

    def retry(self, job_id: str, from_stage: str | None = None, **more: Any) -> requests.Response:
        return self._say(job_id, "retries", {"contract": "job.retry/1", "from_stage": from_stage} | more)

    def _say(self, job_id: str, call: str, asked: Mapping[str, Any]) -> requests.Response:
        headers = {"Idempotency-Key": next(KEYS)}
        return self.service.call(CLIENT, "POST", f"/v1/jobs/{job_id}/{call}", json=dict(asked), headers=headers)


@contextmanager
def product(
    servers: Servers, folder: Path, family: str, photo: bytes, *, patience_s: float = PATIENCE_S
) -> Iterator[Product]:
    providers = json.dumps({capability: [family] for capability in CAPABILITIES})
    with fleet(servers, folder, {CLIENT: None}, LIKENESS_PROVIDERS=providers) as service:
        yield Product.of(service, photo, patience_s)


@pytest.fixture(scope="module")
def quick(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """With adapters that make small files at once."""
    with product(servers, tmp_path_factory.mktemp("quick"), "tests.filed", picture()) as found:
        yield found


def ran(before: Stages, after: Stages) -> set[str]:
    """The steps with an attempt more. Of all others no attempt and no time has changed, and no output but by hand."""
    more = {key for key, step in after.items() if step["attempts"] > before.get(key, {"attempts": 0})["attempts"]}
    for key in before.keys() - more:
        assert (after[key]["attempts"], after[key]["started_at"]) == (
            before[key]["attempts"],
            before[key]["started_at"],
        )
        if after[key]["origin"] != "human":
            assert after[key]["finished_at"] == before[key]["finished_at"], key
            assert sha256(after[key]["output"]) == sha256(before[key]["output"]), key
    return more


def sha256(output: Any) -> str:
    """Of an output, whatever links to its files are shown just now."""

    def content(value: Any) -> Any:
        if isinstance(value, dict):
            return value["sha256"] if "url" in value else {name: content(inner) for name, inner in value.items()}
        return [content(inner) for inner in value] if isinstance(value, list) else value

    return hashlib.sha256(json.dumps(content(output), sort_keys=True).encode()).hexdigest()


def unmade(scenes: int) -> set[str]:
    """What is left when all scenes' backgrounds are there."""
    parts = {f"scene/{scene}/{stage}" for scene in range(1, scenes + 1) for stage in STAGES - {"background"}}
    return parts | {"stitch", "enhance", "publish"}


STAGES = {"speech", "background", "lip_sync", "pose", "b_roll"}


# --- the seven -----------------------------------------------------------------------------


def test_full_generation(quick: Product) -> None:
    job = quick.at(quick.submit(), "completed")
    stages = quick.stages(job["id"])
    assert (job["progress"], job["route"], len(job["result"]["scenes"])) == (1.0, "multi_scene", 3)
    assert {(step["attempts"], step["status"]) for step in stages.values()} == {(1, "succeeded")}
    assert set(stages) == {"load_identity", "script", "storyboard", "stitch", "enhance", "publish"} | {
        f"scene/{scene}/{stage}" for scene in (1, 2, 3) for stage in ("speech", "background", "lip_sync")
    }


def test_retry_from_a_failed_stage(quick: Product) -> None:
    job = quick.submit("One.\nraise TextNotSpeakable\nThree.")
    eventually(lambda: quick.job(job)["status"] == "failed", within=60, what="it fails")
    eventually(lambda: not quick.job(job)["stages"]["running"], within=30, what="its siblings end")
    before = quick.stages(job)
    done = {key for key, step in before.items() if step["status"] == "succeeded"}
    asked = {"overrides": {"text": "Two."}, "regenerate": True}
    plan = quick.retry(job, "scene/2/speech", dry_run=True, **asked).json()
    assert set(plan["run"]).isdisjoint(done)
    assert quick.retry(job, "scene/2/speech", digest=plan["digest"], **asked).status_code == 202
    result = quick.at(job, "completed")["result"]
    assert [scene["transcript"] for scene in result["scenes"]] == ["One.", "Two.", "Three."]
    after = quick.stages(job)
    assert ran(before, after) == after.keys() - done
    assert after["storyboard"]["origin"] == "human"


def test_script_approval(quick: Product) -> None:
    job = quick.submit(LINES, "script")
    gate = quick.at(job, "awaiting_approval", "script")["gate"]
    before = quick.stages(job)
    assert {key for key, step in before.items() if step["attempts"]} == {"load_identity", "script"}
    assert gate["items"][0]["output"]["text"] == LINES
    edits = {"text": "Other words.\nAnd more."}
    assert quick.decide(job, "script", edits=edits, digest=gate["digest"], reviewer="Ana").status_code == 202
    result = quick.at(job, "completed")["result"]
    after = quick.stages(job)
    assert [scene["transcript"] for scene in result["scenes"]] == ["Other words.", "And more."]
    assert (after["script"]["origin"], after["script"]["attempts"]) == ("human", 1)
    assert {step["attempts"] for step in after.values()} == {1}
    assert after["load_identity"]["started_at"] == before["load_identity"]["started_at"]


def test_background_regeneration(quick: Product) -> None:
    job = quick.at(quick.submit(), "completed")
    before = quick.stages(job["id"])
    assert quick.retry(job["id"], "scene/2/background", regenerate=True).status_code == 202
    made = quick.at(job["id"], "completed")
    expected = {"scene/2/background", "scene/2/lip_sync", "stitch", "enhance", "publish"}
    assert ran(before, quick.stages(job["id"])) == expected
    assert made["result"]["video"]["sha256"] != job["result"]["video"]["sha256"]
    was, now = (each["result"]["scenes"] for each in (job, made))
    assert [a["video"]["sha256"] == b["video"]["sha256"] for a, b in zip(was, now, strict=True)] == [True, False, True]


def test_background_approval(quick: Product) -> None:
    job = quick.submit(LINES, "background")
    gate = quick.at(job, "awaiting_approval", "background")["gate"]
    before = quick.stages(job)
    asked = {"scenes": [2], "notes": "brighter", "digest": gate["digest"]}
    assert quick.decide(job, "background", "revise", **asked).status_code == 202
    again = quick.at(job, "awaiting_approval", "background", round=2)["gate"]
    middle = quick.stages(job)
    assert ran(before, middle) == {"scene/2/background"}
    assert quick.decide(job, "background", digest=gate["digest"]).status_code == 409
    assert quick.decide(job, "background", digest=again["digest"]).status_code == 202
    quick.at(job, "completed")
    assert ran(middle, quick.stages(job)) == unmade(3)


def test_storyboard_approval(quick: Product) -> None:
    job = quick.submit(LINES, "storyboard")
    gate = quick.at(job, "awaiting_approval", "storyboard")["gate"]
    before = quick.stages(job)
    assert {key for key, step in before.items() if step["attempts"]} == {"load_identity", "script", "storyboard"}
    scenes = [{"transcript": "First.", "shot": "close"}, {"transcript": "Second.", "background": "a park"}]
    assert quick.decide(job, "storyboard", edits={"scenes": scenes}, digest=gate["digest"]).status_code == 202
    result = quick.at(job, "completed")["result"]
    assert [scene["transcript"] for scene in result["scenes"]] == ["First.", "Second."]
    after = quick.stages(job)
    assert after["storyboard"]["origin"] == "human"
    unused = {key for key, step in after.items() if step["scene"] == 3}
    assert ran(before, after) == after.keys() - {"load_identity", "script", "storyboard"} - unused
    assert {after[key]["status"] for key in unused} <= {"cancelled"}


def test_video_asset_approval(quick: Product) -> None:
    job = quick.submit(LINES, "video_asset")
    gate = quick.at(job, "awaiting_approval", "video_asset")["gate"]
    before = quick.stages(job)
    assert quick.decide(job, "video_asset", "revise", scenes=[1, 3], digest=gate["digest"]).status_code == 202
    again = quick.at(job, "awaiting_approval", "video_asset", round=2)["gate"]
    middle = quick.stages(job)
    assert ran(before, middle) == {"scene/1/lip_sync", "scene/3/lip_sync"}
    assert quick.decide(job, "video_asset", digest=again["digest"]).status_code == 202
    quick.at(job, "completed")
    assert ran(middle, quick.stages(job)) == {"stitch", "enhance", "publish"}


def test_a_single_stage_makes_stale_what_uses_it_and_not_itself(quick: Product) -> None:
    job = quick.at(quick.submit(), "completed")["id"]
    before = quick.stages(job)
    asked = {"mode": "single", "overrides": {"prompt": "a quiet library"}}
    assert quick.retry(job, "scene/2/background", **asked).status_code == 202
    stale = ["scene/2/lip_sync", "stitch", "enhance", "publish"]
    eventually(lambda: quick.at(job, "completed")["stages"]["stale"] == stale, within=60, what="it rests again")
    middle = quick.stages(job)
    assert ran(before, middle) == {"scene/2/background"}
    told = quick.service.call(CLIENT, "GET", f"/v1/jobs/{job}/explain").json()
    roots = {each["from"] for one in told["stale"] for each in one["because"] if each["reason"] == "replaced"}
    assert roots == {"scene/2/background/image", "storyboard/scenes/1/setting/prompt"}
    (possible,) = told["possible"]
    headers = {"Idempotency-Key": next(KEYS)}
    method, _, path = possible["call"].partition(" ")
    assert quick.service.call(CLIENT, method, path, json=possible["body"], headers=headers).status_code == 202
    eventually(lambda: quick.at(job, "completed")["stages"]["stale"] == [], within=60, what="all is up to date")
    assert ran(middle, quick.stages(job)) == set(stale)


# --- real video ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_video_is_judged_clip_by_clip_and_given_another_background(servers: Servers, tmp_path: Path) -> None:
    output = {"width": WIDTH, "height": HEIGHT, "captions": "none", "background": "a quiet library"}
    with product(servers, tmp_path, "local", portrait().read_bytes(), patience_s=LONG_S) as studio:
        job = studio.submit(SPOKEN, "video_asset", output=output)
        gate = studio.at(job, "awaiting_approval", "video_asset")["gate"]
        for item in gate["items"]:
            clip = item["output"]["footage"]
            file = fetched(clip["video"], tmp_path / "clip.mp4")
            assert ffmpeg.probe(file).seconds == pytest.approx(clip["seconds"], abs=0.05)
        before = studio.stages(job)
        assert studio.decide(job, "video_asset", "revise", scenes=[2], digest=gate["digest"]).status_code == 202
        again = studio.at(job, "awaiting_approval", "video_asset", round=2)["gate"]
        middle = studio.stages(job)
        assert ran(before, middle) == {"scene/2/lip_sync"}
        assert sha256(middle["scene/2/lip_sync"]["output"]) != sha256(before["scene/2/lip_sync"]["output"])
        assert studio.decide(job, "video_asset", digest=again["digest"]).status_code == 202
        first = studio.at(job, "completed")
        fit(first, tmp_path / "first.mp4")
        made = studio.stages(job)
        assert ran(middle, made) == {"stitch", "enhance", "publish"}

        asked = {"regenerate": True, "overrides": {"prompt": "a sunny park"}}
        assert studio.retry(job, "scene/1/background", **asked).status_code == 202
        third = studio.at(job, "awaiting_approval", "video_asset", round=3)["gate"]
        assert studio.decide(job, "video_asset", digest=third["digest"]).status_code == 202
        second = studio.at(job, "completed")
        fit(second, tmp_path / "second.mp4")
        assert ran(made, studio.stages(job)) == {
            "scene/1/background", "scene/1/lip_sync", "stitch", "enhance", "publish"
        }  # fmt: skip
        assert second["result"]["video"]["sha256"] != first["result"]["video"]["sha256"]


def fetched(asset: Mapping[str, Any], into: Path) -> Path:
    """By its link alone, as a reviewer's browser opens it."""
    into.write_bytes(requests.get(asset["url"], timeout=30).content)
    assert hashlib.sha256(into.read_bytes()).hexdigest() == asset["sha256"]
    return into


def fit(job: Mapping[str, Any], file: Path) -> None:
    result = job["result"]
    facts = ffmpeg.probe(fetched(result["video"], file))
    assert facts.video is not None
    assert (facts.video.width, facts.video.height) == (WIDTH, HEIGHT)
    assert facts.seconds == pytest.approx(result["duration_s"], abs=0.05)
    assert len(result["scenes"]) == 2


# --- many people, many jobs ----------------------------------------------------------------


def test_of_two_reviewers_at_once_one_decides_and_the_other_learns_who(quick: Product) -> None:
    jobs = [quick.submit(LINES, "script") for _ in range(ROUNDS)]
    for job in jobs:
        digest = quick.at(job, "awaiting_approval", "script")["gate"]["digest"]
        start = threading.Barrier(2)

        def judge(who: str, decision: str, job: str = job, digest: str = digest, start: Any = start) -> Any:
            start.wait(10)
            return quick.decide(job, "script", decision, reviewer=who, digest=digest)

        with ThreadPoolExecutor(2) as people:
            answers = dict(zip(("Ana", "Ben"), people.map(judge, ("Ana", "Ben"), ("approve", "reject")), strict=True))
        assert sorted(answer.status_code for answer in answers.values()) == [202, 409]
        winner = next(who for who, answer in answers.items() if answer.status_code == 202)
        loser = next(answer for answer in answers.values() if answer.status_code == 409)
        decision = {"Ana": "approve", "Ben": "reject"}[winner]
        assert f"It was last decided by {winner}: {decision}." in loser.json()["detail"]
        told = quick.service.call(CLIENT, "GET", f"/v1/jobs/{job}/approvals").json()["approvals"]
        assert [(each["reviewer"], each["decision"]) for each in told] == [(winner, decision)]
        quick.at(job, "completed" if winner == "Ana" else "cancelled")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_jobs_at_a_gate_hold_no_message_no_transaction_and_no_connection(
    quick: Product, servers: Servers
) -> None:
    vhost = quick.service.environment["LIKENESS_BROKER_URL"]
    eventually(lambda: servers.vhosts.messages(vhost) == 0, within=60, what="nothing is under way")
    with ThreadPoolExecutor(4) as callers:
        jobs = list(callers.map(lambda _: quick.submit(LINES, "script"), range(CROWD)))
    database = quick.service.database
    waiting = "SELECT count(*) FROM jobs WHERE id = ANY(:jobs) AND status = 'awaiting_approval'"
    eventually(lambda: number(database, waiting, jobs=jobs) == CROWD, within=LONG_S, what="all are at their gate")

    eventually(lambda: servers.vhosts.messages(vhost) == 0, within=30, what="no message in any queue")
    assert servers.vhosts.connections(vhost) <= PROCESSES_HAVE
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    eventually(lambda: number(database, f"{busy} AND state <> 'idle'") == 0, within=30, what="no transaction is open")
    assert number(database, busy) <= PROCESSES_HAVE
    held = "SELECT count(*) FROM records WHERE job_id = ANY(:jobs) AND (owner IS NOT NULL OR message IS NOT NULL)"
    assert number(database, held, jobs=jobs) == 0
    due = "SELECT count(*) FROM jobs WHERE status IN ('accepted', 'running')"
    assert number(database, due) == 0, "the sweeper has nothing to look at"

    job = jobs[CROWD // 2]
    assert quick.decide(job, "script").status_code == 202
    quick.at(job, "completed")
    assert number(database, waiting, jobs=jobs) == CROWD - 1


def number(database: Any, query: str, **values: Any) -> int:
    with database.transaction() as session:
        return int(session.scalar(text(query), values) or 0)
