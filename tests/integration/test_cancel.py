"""Cancelling at any point, and going on: what starts, what is stopped, what is paid; with a vendor that keeps books."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import deadlines
from db.claims import Claim
from db.models import AssetRow
from pipeline.state import StepStatus
from tests import inline
from tests.shop import LATER, NEVER_S, NOW, PRICE, STEP, Shop, open_shop
from tests.vendors.paid import Charge


@pytest.fixture
def shop(database_url: str, storage_url: str, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(database_url, storage_url, tmp_path) as opened:
        yield opened


@pytest.fixture(params=LATER)
def later(request: pytest.FixtureRequest) -> int:
    return LATER[request.param]


@pytest.fixture(params=NOW)
def now(request: pytest.FixtureRequest) -> int:
    return NOW[request.param]


def waiting_at_vendor(shop: Shop, counter: int, **more: Any) -> str:
    """A job whose vendor is at work, and will be."""
    shop.vendor.render_s = NEVER_S
    job_id = shop.submit(counter, **more)
    shop.workshop.run(job_id)
    assert shop.stages(job_id)[STEP]["awaits"] == "call"
    return job_id


@pytest.mark.parametrize("step", ["load_identity", "storyboard", STEP, "scene/1/lip_sync", "publish"])
def test_wherever_it_is_a_cancelled_job_starts_nothing_more_and_goes_on_from_there(shop: Shop, step: str) -> None:
    job_id = shop.submit(NOW["neither"])
    shop.workshop.run(job_id, until=step)
    launch = shop.workshop.run(job_id, until=step).launch
    charged = len(shop.vendor.books())
    shop.cancel(job_id)
    assert not isinstance(inline.claim(shop.workshop.api.database, job_id, step, launch), Claim)
    assert shop.workshop.run(job_id).status == "cancelled"
    before = shop.stages(job_id)
    assert {each["status"] for each in before.values()} <= {"succeeded", "cancelled"}
    assert len(shop.vendor.books()) == charged
    shop.retry(job_id)
    assert shop.workshop.run(job_id).status == "completed"
    after = shop.stages(job_id)
    assert all(after[key] == each for key, each in before.items() if each["status"] == "succeeded")
    assert len(shop.vendor.books()) == 1


def test_cancelling_stops_the_vendors_work_and_a_retry_has_it_done_anew(shop: Shop, later: int) -> None:
    job_id = waiting_at_vendor(shop, later)
    shop.cancel(job_id)
    assert shop.workshop.reclaim() == 1
    assert [charge.cancelled for charge in shop.vendor.books()] == [True]
    (call,) = shop.calls()
    assert (call.status, call.settled, call.wasted, call.reserved) == ("failed", 0, 0, 0)
    shop.retry(job_id)
    shop.workshop.run(job_id)
    assert [charge.cancelled for charge in shop.vendor.books()] == [True, False]
    shop.cancel(job_id)
    assert shop.workshop.reclaim() == 1
    assert [charge.cancelled for charge in shop.vendor.books()] == [True, True], "as often as it is cancelled"
    shop.retry(job_id)
    shop.vendor.render_s = 0.0
    assert shop.workshop.run(job_id).status == "completed"
    assert shop.cost(job_id) == PRICE


def test_a_job_out_of_time_stops_the_vendors_work_as_well(shop: Shop, later: int) -> None:
    job_id = waiting_at_vendor(shop, later, deadline_s=60)
    database = shop.workshop.api.database
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET deadline_at = now()"))
    assert database.in_turn(lambda connection: deadlines.fail(connection, job_id)) == "product"
    assert shop.job(job_id)["error"]["stage"] == STEP
    assert shop.workshop.reclaim() == 1
    assert [charge.cancelled for charge in shop.vendor.books()] == [True]
    shop.vendor.render_s = 0.0
    shop.retry(job_id)
    assert shop.workshop.run(job_id).status == "completed"


def test_what_could_not_be_stopped_is_kept_as_waste_until_a_retry_uses_it(shop: Shop, later: int) -> None:
    job_id = waiting_at_vendor(shop, later)
    shop.cancel(job_id)
    shop.vendor.render_s = 0.0
    assert shop.workshop.reclaim() == 1
    (call,) = shop.calls()
    assert (call.status, call.settled, call.wasted) == ("succeeded", PRICE, PRICE)
    assert shop.cost(job_id) == PRICE
    (brought,) = call.made or ()
    with shop.workshop.api.database.transaction() as session:
        assert session.get(AssetRow, brought["asset"]["id"]) is not None
    shop.retry(job_id)
    assert shop.workshop.run(job_id).status == "completed"
    assert len(shop.vendor.books()) == 1, "it is not paid again"
    assert shop.calls()[0].wasted == 0
    assert shop.cost(job_id) == PRICE
    assert shop.stages(job_id)[STEP]["output"]["audio"]["id"] == brought["asset"]["id"]


def test_an_answer_that_crosses_the_cancellation_is_kept_and_used_by_a_retry(shop: Shop, now: int) -> None:
    job_id = shop.submit(now)

    def cancel(_: Charge) -> bool:
        shop.cancel(job_id)
        return True

    shop.vendor.after_charge = cancel
    assert shop.workshop.run(job_id).status == "cancelled"
    assert (shop.calls()[0].status, shop.calls()[0].wasted) == ("succeeded", PRICE)
    kept = shop.stages(job_id)[STEP]
    assert kept["status"] == StepStatus.SUCCEEDED
    shop.retry(job_id)
    assert shop.workshop.run(job_id).status == "completed"
    assert len(shop.vendor.books()) == 1
    assert shop.calls()[0].wasted == 0
    assert shop.stages(job_id)[STEP] == kept


def test_another_variation_has_no_use_for_what_came_too_late(shop: Shop) -> None:
    job_id = waiting_at_vendor(shop, LATER["idempotent"])
    shop.cancel(job_id)
    shop.vendor.render_s = 0.0
    shop.workshop.reclaim()
    shop.retry(job_id, from_stage=STEP, regenerate=True)
    assert shop.workshop.run(job_id).status == "completed"
    assert [call.wasted for call in shop.calls()] == [PRICE, 0]
    assert shop.cost(job_id) == 2 * PRICE


def test_an_answer_that_never_came_is_asked_for_by_the_retry_and_not_bought_again(shop: Shop, now: int) -> None:
    job_id = shop.submit(now)

    def cancel(_: Charge) -> bool:
        shop.cancel(job_id)
        return False

    shop.vendor.after_charge = cancel
    shop.workshop.run(job_id)
    shop.vendor.calm()
    with shop.workshop.api.database.transaction() as session:
        session.execute(text("UPDATE provider_calls SET intended_at = intended_at - interval '1 minute'"))
    shop.retry(job_id)
    shop.workshop.run(job_id)
    job = shop.workshop.wake(job_id)
    assert len(shop.vendor.books()) == 1
    if now == NOW["neither"]:
        assert shop.job(job_id)["parked"] == [{"stage": STEP, "why": shop.stages(job_id)[STEP]["why"]}]
    else:
        assert job.status == "completed"
        assert shop.cost(job_id) == PRICE
