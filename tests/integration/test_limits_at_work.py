"""Budget, deadline and cancelling with workers, a sweeper and a broker: nobody but they moves the job."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests import processes
from tests.conftest import Servers
from tests.processes import eventually
from tests.shop import LATER, NEVER_S, STEP, Shop, open_shop

WITHIN_S = 60.0


@pytest.fixture
def shop(servers: Servers, broker_url: str, tmp_path: Path) -> Iterator[Shop]:
    name = servers.databases.clone()
    url, storage = servers.databases.url(name), (tmp_path / "assets").as_uri()
    with open_shop(url, storage, tmp_path) as opened:
        environment = {
            "LIKENESS_DATABASE_URL": url,
            "LIKENESS_BROKER_URL": broker_url,
            "LIKENESS_STORAGE_URL": storage,
            "LIKENESS_SIGNING_KEY": "k" * 40,
            "LIKENESS_PROVIDERS": json.dumps(opened.workshop.house.settings.providers),
            "PAID_BASE_URL": opened.vendor.url,
            "PAID_JOURNAL": str(tmp_path / "journal"),
        }
        steps = processes.worker("avatar,marketing,callback", environment, tmp_path)
        sweeper = processes.worker("maintenance", environment, tmp_path, processes=1, beat=True)
        try:
            for each in (steps, sweeper):
                eventually(lambda each=each: each.says("ready."), within=WITHIN_S, what="a worker is ready")
            yield opened
        finally:
            steps.stop()
            sweeper.stop()
    servers.databases.drop(name)


def seen(shop: Shop, job_id: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        job = shop.job(job_id)
        return job if what(job) else None

    return eventually(found, within=WITHIN_S, what=f"{job_id} gets there, {shop.job(job_id)}")


def test_a_job_asks_for_money_runs_out_of_time_is_cancelled_and_is_done_in_the_end(shop: Shop) -> None:
    shop.vendor.render_s = NEVER_S
    job_id = shop.submit(LATER["neither"], budget={"amount": "0"}, deadline_s=3600)
    job = seen(shop, job_id, lambda job: job["status"] == "awaiting_approval")
    assert (job["gate"]["name"], job["gate"]["stage"]) == ("budget", STEP)
    said = {"contract": "job.approve/1", "gate": "budget", "decision": "approve", "edits": {"budget": {"amount": "1"}}}
    assert shop.caller.post(f"/v1/jobs/{job_id}/approvals", said).status_code == 202

    seen(shop, job_id, lambda job: job["stages"]["waiting"] == [STEP] and shop.stages(job_id)[STEP]["awaits"] == "call")
    with shop.workshop.api.database.transaction() as session:
        session.execute(text("UPDATE jobs SET deadline_at = now() WHERE id = :job"), {"job": job_id})
    job = seen(shop, job_id, lambda job: job["status"] == "failed")
    assert (job["error"]["code"], job["error"]["stage"]) == ("deadline_exceeded", STEP)
    eventually(lambda: shop.vendor.books()[0].cancelled, within=WITHIN_S, what="the vendor is told to stop")

    shop.retry(job_id)
    eventually(lambda: len(shop.vendor.books()) == 2, within=WITHIN_S, what="the call is made anew")
    shop.cancel(job_id)
    eventually(lambda: shop.vendor.books()[1].cancelled, within=WITHIN_S, what="the vendor is told to stop")

    shop.vendor.render_s = 0.0
    shop.retry(job_id)
    seen(shop, job_id, lambda job: job["status"] == "completed")
    assert len(shop.vendor.books()) == 3
    types = [event["type"] for event in shop.caller.get(f"/v1/jobs/{job_id}/events").get_json()["events"]]
    assert [each for each in types if each not in ("job.started", "job.progress")] == [
        "job.accepted",
        "job.approval_required",
        "job.failed",
        "job.cancelled",
        "job.completed",
    ]
