"""What a job may cost: asked before each paid call, raised by a person; with a vendor that keeps books."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import jobs
from db.claims import Claim
from tasks.attempt import attempt
from tasks.watch import Watched
from tests import inline
from tests.api import flaws
from tests.shop import LATER, NEVER_S, NOW, PRICE, STEP, Shop, open_shop
from tests.vendors import paid as vendor

KEYED = NOW["idempotent"]


@pytest.fixture
def shop(database_url: str, storage_url: str, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(database_url, storage_url, tmp_path) as opened:
        yield opened


def lines(count: int) -> str:
    """So many scenes, of which none says what another does."""
    return "\n".join(f"Line {number}." for number in range(1, count + 1))


def submit(shop: Shop, budget: str, scenes: int = 3, counter: int = KEYED, **more: Any) -> str:
    return shop.submit(counter, lines(scenes), budget={"amount": budget}, **more)


def say(shop: Shop, job_id: str, decision: str = "approve", gate: str = "budget", **more: Any) -> Any:
    said = {"contract": "job.approve/1", "gate": gate, "decision": decision} | more
    return shop.caller.post(f"/v1/jobs/{job_id}/approvals", said)


def speeches(*scenes: int) -> list[str]:
    return [f"scene/{scene}/speech" for scene in scenes]


def asking(shop: Shop, job_id: str) -> list[str]:
    """The stages whose calls the job asks for."""
    gate = shop.job(job_id)["gate"]
    assert gate["name"] == "budget"
    return [item["stage"] for item in gate["items"]]


def test_a_call_beyond_the_budget_is_not_made_and_the_job_asks(shop: Shop) -> None:
    job_id = submit(shop, "0.12")
    shop.workshop.run(job_id)
    job = shop.job(job_id)
    assert (job["status"], job["budget"]) == ("awaiting_approval", {"amount": "0.1200", "currency": "USD"})
    assert (job["gate"]["name"], job["gate"]["stage"], job["gate"]["round"]) == ("budget", "scene/3/speech", 1)
    (item,) = job["gate"]["items"]
    assert (item["stage"], item["scene"]) == ("scene/3/speech", 3)
    assert item["output"] == {"quote": "0.0500", "spent": "0.1000", "budget": "0.1200", "provider": "tests.paid"}
    assert len(shop.vendor.books()) == 2
    told = shop.caller.get(f"/v1/jobs/{job_id}/events").get_json()["events"][-1]
    assert (told["type"], told["data"]["gate"]["digest"]) == ("job.approval_required", job["gate"]["digest"])
    stage = shop.stages(job_id)["scene/3/speech"]
    assert (stage["status"], stage["awaits"], stage["error"]["code"]) == ("waiting", "budget", "over_budget")
    assert shop.stages(job_id)["scene/2/lip_sync"]["status"] == "succeeded", "what needs no money goes on"


def test_an_approval_allows_just_what_was_asked_for(shop: Shop) -> None:
    job_id = submit(shop, "0.07")
    shop.workshop.run(job_id)
    assert asking(shop, job_id) == speeches(2, 3)
    assert say(shop, job_id, digest=shop.job(job_id)["gate"]["digest"]).status_code == 202
    assert shop.job(job_id)["budget"]["amount"] == "0.1500"
    assert shop.workshop.run(job_id).status == "completed"
    assert shop.cost(job_id) == 3 * PRICE == len(shop.vendor.books()) * PRICE
    assert say(shop, job_id).status_code == 200, "to approve twice is harmless"
    (said,) = shop.caller.get(f"/v1/jobs/{job_id}/approvals").get_json()["approvals"]
    assert (said["gate"], said["decision"], said["in_force"]) == ("budget", "approve", True)


def test_a_raised_budget_holds_until_it_is_used_up(shop: Shop) -> None:
    job_id = submit(shop, "0")
    shop.workshop.run(job_id)
    assert shop.vendor.books() == []
    assert say(shop, job_id, edits={"budget": {"amount": "0.10"}}).status_code == 202
    shop.workshop.run(job_id)
    assert asking(shop, job_id) == speeches(3)
    gate = shop.job(job_id)["gate"]
    assert gate["round"] == 2
    assert (gate["items"][0]["output"]["spent"], gate["items"][0]["output"]["budget"]) == ("0.1000", "0.1000")
    assert say(shop, job_id, edits={"budget": {"amount": "5.00"}}).status_code == 202
    assert shop.workshop.run(job_id).status == "completed"
    assert len(shop.vendor.books()) == 3


def test_a_decision_that_makes_no_sense_is_refused_where_it_is_wrong(shop: Shop) -> None:
    job_id = submit(shop, "0.12")
    shop.workshop.run(job_id)
    assert "0.1500" in flaws(say(shop, job_id, edits={"budget": {"amount": "0.14"}}))["/edits/budget/amount"]
    assert list(flaws(say(shop, job_id, "revise"))) == ["/decision"]
    assert list(flaws(say(shop, job_id, edits={"text": "Hello."}))) == ["/edits/text"]
    assert list(flaws(say(shop, job_id, edits={"budget": {"amount": "five"}}))) == ["/edits/budget/amount"]
    assert shop.job(job_id)["status"] == "awaiting_approval"


def test_a_rejection_ends_the_job_and_a_retry_asks_again(shop: Shop) -> None:
    job_id = submit(shop, "0.12")
    shop.workshop.run(job_id)
    assert say(shop, job_id, "reject").get_json()["status"] == "cancelled"
    assert shop.workshop.run(job_id).status == "cancelled"
    assert say(shop, job_id).status_code == 409
    shop.retry(job_id)
    shop.workshop.run(job_id)
    assert asking(shop, job_id) == speeches(3)
    assert len(shop.vendor.books()) == 2


def test_of_many_calls_at_once_no_more_are_made_than_there_is_money_for(shop: Shop) -> None:
    job_id = submit(shop, "0.22", scenes=8)
    database = shop.workshop.api.database
    launch = shop.workshop.run(job_id, until=STEP).launch
    held = [inline.claim(database, job_id, step, launch) for step in speeches(*range(1, 9))]

    def work(claim: Any) -> bool:
        tried = attempt(shop.workshop.house, claim, Watched(claim))
        return inline.record(database, claim, tried.outcome, made_assets=tried.made)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, held))
    assert len(shop.vendor.books()) == 4
    shop.workshop.run(job_id)
    assert len(asking(shop, job_id)) == 4
    assert len(shop.vendor.books()) == 4
    assert say(shop, job_id).status_code == 202
    assert shop.workshop.run(job_id).status == "completed"
    assert len(shop.vendor.books()) == 8


def test_a_provider_at_work_is_let_end_before_anybody_is_asked(shop: Shop) -> None:
    shop.vendor.render_s = NEVER_S
    job_id = submit(shop, "0.07", scenes=2, counter=LATER["findable"])
    shop.workshop.run(job_id)
    stages = shop.stages(job_id)
    assert [stages[step]["awaits"] for step in speeches(1, 2)] == ["call", "budget"]
    assert shop.job(job_id)["status"] == "running"
    assert shop.workshop.reclaim() == 0
    shop.vendor.render_s = 0.0
    shop.workshop.wake(job_id)
    assert asking(shop, job_id) == speeches(2)
    assert shop.stages(job_id)["scene/1/lip_sync"]["status"] == "succeeded"
    assert [charge.cancelled for charge in shop.vendor.books()] == [False]
    assert say(shop, job_id).status_code == 202
    assert shop.workshop.wake(job_id).status == "completed"


def test_what_a_call_did_not_cost_after_all_is_there_for_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "PRICE_USD", 0.01)
    shop.vendor.render_s = NEVER_S
    job_id = submit(shop, "0.07", scenes=2, counter=LATER["findable"])
    shop.workshop.run(job_id)
    assert shop.stages(job_id)["scene/2/speech"]["awaits"] == "budget"
    shop.vendor.render_s = 0.0
    shop.workshop.wake(job_id)
    assert shop.workshop.wake(job_id).status == "completed", "nobody was asked"
    assert shop.cost(job_id) == Decimal("0.02")


def test_a_worker_that_dies_before_it_says_so_loses_nothing(shop: Shop) -> None:
    job_id = submit(shop, "0", scenes=1)
    database = shop.workshop.api.database
    launch = shop.workshop.run(job_id, until=STEP).launch
    held = inline.claim(database, job_id, STEP, launch)
    assert isinstance(held, Claim)
    attempt(shop.workshop.house, held, Watched(held))  # and what came of it is never written
    with database.transaction() as session:
        session.execute(text("UPDATE records SET lease_until = now() - interval '1 second' WHERE status = 'running'"))
    shop.workshop.run(job_id)
    assert asking(shop, job_id) == speeches(1)
    assert say(shop, job_id).status_code == 202
    assert shop.workshop.run(job_id).status == "completed"
    assert len(shop.vendor.books()) == 1


def test_the_sweeper_asks_where_nobody_else_came_to_it(shop: Shop) -> None:
    job_id = submit(shop, "0", scenes=1)
    database = shop.workshop.api.database
    shop.workshop.run(job_id)
    with database.transaction() as session:  # as if the gate had not been opened
        session.execute(text("UPDATE jobs SET status = 'running', gate = NULL, nudge_at = now()"))
        session.execute(text("UPDATE jobs SET status = 'completed' WHERE kind = 'avatar'"))
    with database.transaction() as session:
        assert jobs.stuck(session) == [job_id]
    inline.advance(database, job_id)
    assert asking(shop, job_id) == speeches(1)


def test_a_gate_of_the_route_and_the_budget_open_one_after_the_other(shop: Shop) -> None:
    job_id = submit(shop, "0.05", scenes=2, review={"gates": ["background"]})
    shop.workshop.run(job_id)
    assert say(shop, job_id, gate="background").status_code == 202
    shop.workshop.run(job_id)
    assert asking(shop, job_id) == speeches(2)
    assert say(shop, job_id).status_code == 202
    assert shop.workshop.run(job_id).status == "completed"


def test_a_gate_that_the_route_does_not_have_is_not_open(shop: Shop) -> None:
    job_id = submit(shop, "5.00")
    for gate in ("script", "budget"):
        assert say(shop, job_id, gate=gate).status_code == 409
    assert shop.workshop.run(job_id).status == "completed"


@pytest.mark.parametrize("amount", ["five", "-1", "1e3", "01", "5.00001", "", 5, 5.0, None])
def test_an_amount_is_a_decimal_string(shop: Shop, amount: Any) -> None:
    asked = {"contract": "output.generate/1", "avatar_id": shop.avatar, "script": {"text": "Hello."}}
    refused = shop.caller.post("/v1/outputs", asked | {"budget": {"amount": amount}})
    assert refused.status_code == 422
    assert list(flaws(refused)) == ["/budget/amount"]
