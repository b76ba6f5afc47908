"""What a dry run says that a retry will cost: the providers' prices, asked without any work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shop import LATER, NOW, STEP, Shop, open_shop
from tests.vendors import paid as vendor


@pytest.fixture
def shop(database_url: str, storage_url: str, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(database_url, storage_url, tmp_path) as opened:
        yield opened


def told(shop: Shop, job_id: str, **asked: Any) -> str:
    """The cost, in USD; and nothing was done to tell it."""
    before = (len(shop.vendor.books()), len(shop.calls()), shop.workshop.files())
    answer = shop.caller.post(f"/v1/jobs/{job_id}/retries", {"contract": "job.retry/1", "dry_run": True} | asked)
    assert answer.status_code == 200, answer.text
    assert (len(shop.vendor.books()), len(shop.calls()), shop.workshop.files()) == before
    amount: str = answer.get_json()["estimate"]["cost"]["amount"]
    return amount


def done(shop: Shop, text: str) -> str:
    job_id = shop.submit(NOW["idempotent"], text)
    assert shop.workshop.run(job_id).status == "completed"
    return job_id


def test_what_is_paid_is_quoted_and_not_what_was_paid_before(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "PRICE_USD", 0.01)
    job_id = done(shop, "One.\nTwo.\nThree.")
    assert told(shop, job_id, from_stage=STEP, regenerate=True) == "0.0500"
    assert told(shop, job_id, from_stage="script", overrides={"text": "A.\nB.\nC."}) == "0.1500"


def test_what_is_free_costs_nothing_and_is_not_made(shop: Shop) -> None:
    job_id = done(shop, "One.")
    assert told(shop, job_id, from_stage="scene/1/background", regenerate=True) == "0.0000"


def test_what_was_answered_already_is_not_paid_again(shop: Shop) -> None:
    shop.vendor.render_s = 3600.0
    job_id = shop.submit(LATER["neither"])
    shop.workshop.run(job_id)
    shop.cancel(job_id)
    assert told(shop, job_id) == "0.0500"
    shop.vendor.render_s = 0.0
    shop.workshop.reclaim()
    assert told(shop, job_id) == "0.0000"
