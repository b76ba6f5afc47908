"""Webhooks of vendors, on the real API and database: they hasten, and they can do nothing else."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, select, update

from db import jobs, records
from db.claims import Claim
from db.models import ProviderCall, Record
from pipeline.assets import Asset
from pipeline.calls import NotYet
from pipeline.outcome import Wait
from pipeline.settings import Vendor
from pipeline.state import StepStatus
from providers.catalogue import Catalogue
from providers.fal import hook
from providers.fal.background import FalBackground
from providers.fetch import MediaFetcher
from providers.storage import Storage
from schemas import environment
from schemas.links import Links
from tasks.house import House
from tasks.ledger import StepLedger
from tasks.store import StepAssets
from tests import inline
from tests.api import Api, code, listening, serve
from tests.integration.test_ledger import saved_avatar, stage_output
from tests.processes import eventually
from tests.vendors.fal import Fal, open_fal

STEP = "scene/1/background"
LATER = timedelta(minutes=10)


@pytest.fixture
def fal() -> Iterator[Fal]:
    hook._keys.cache_clear()
    with open_fal() as running:
        running.work_s = 3600.0
        yield running


@dataclass
class Bench:
    """A job whose background is painted at fal, and the API that fal's webhooks come to."""

    fal: Fal
    api: Api
    house: House
    job_id: str
    launch: int

    def enter(self) -> Asset:
        """A new attempt of the step; if it has to wait, its record says so, and for long."""
        with self.api.database.transaction() as session:
            session.execute(update(Record).where(Record.step == STEP).values(lease_until=func.now()))
        held = inline.claim(self.api.database, self.job_id, STEP, self.launch)
        assert isinstance(held, Claim), held
        assets = StepAssets(self.house.storage)
        adapter = FalBackground(assets, self.house.settings.vendor("fal"), StepLedger(self.house, held, assets))
        try:
            return adapter.paint("an office", width=320, height=180, seed=7)
        except NotYet as pause:
            wait = Wait(LATER, pause.wait.why, pause.wait.awaits)
            assert inline.record(self.api.database, held, wait, message={"task": "background"})
            raise

    def wait(self) -> str:
        """Enter the step while fal is at work: the id of its request."""
        with pytest.raises(NotYet):
            self.enter()
        return self.call().external_id or ""

    def call(self) -> ProviderCall:
        with self.api.database.transaction() as session:
            return session.scalars(select(ProviderCall)).one()

    def due(self) -> bool:
        """Whether the sweeper would send the step now."""
        with self.api.database.transaction() as session:
            due = select(Record.step).where(Record.status == StepStatus.WAITING, Record.wake_at <= func.now())
            return session.scalars(due).all() == [STEP]

    def wake(self) -> None:
        with self.api.database.transaction() as session:
            assert [each.step for each in records.wake(session)] == [STEP]

    def post(self, sent: tuple[dict[str, str], bytes], path: str = "/hooks/fal") -> Any:
        headers, raw = sent
        return self.api.app.test_client().post(path, data=raw, headers=headers, buffered=True)


@pytest.fixture
def bench(fal: Fal, database_url: str, storage_url: str) -> Iterator[Bench]:
    chosen = {"providers": {"background": ("fal", "local")}}
    api = serve(database_url, storage_url, **chosen, vendors={"fal": Vendor("fal", fal.variables)})
    with listening(api.app) as url:
        inside = serve(
            database_url, storage_url, **chosen, vendors={"fal": Vendor("fal", fal.variables, hook=f"{url}/hooks/fal")}
        )
        settings, database = inside.settings, inside.database
        house = House(settings, database, Storage(storage_url), Catalogue(settings), MediaFetcher(()), Links(settings))
        job_id = inline.accept(database, inline.output_request(saved_avatar(database)))
        inline.run(database, job_id, stage_output, until="scene/1/speech")
        yield Bench(fal, api, house, job_id, inline.job(database, job_id).launch)
    for each in (inside, api):
        each.database.dispose()


# --- what they do -------------------------------------------------------------------------


def test_a_webhook_makes_the_waiting_step_due_and_its_result_is_fetched_from_fal(bench: Bench) -> None:
    request_id = bench.wait()
    assert not bench.due()
    bench.fal.finish(request_id)
    eventually(bench.due, within=60, what="fal's webhook has come")
    eventually(lambda: bench.fal.hooks_answered == [200], within=60)
    bench.wake()
    assert bench.enter().kind == "background"
    assert [charge.usd for charge in bench.fal.books] == [bench.call().settled] == [Decimal("0.025")]


def test_webhooks_sent_twice_are_taken_twice_and_paid_once(bench: Bench) -> None:
    bench.fal.hooks = ("genuine", "genuine")
    bench.fal.finish(bench.wait())
    eventually(lambda: bench.fal.hooks_answered == [200, 200], within=60)
    bench.wake()
    bench.enter()
    assert len(bench.fal.books) == 1


def test_a_webhook_that_comes_after_the_end_changes_nothing(bench: Bench) -> None:
    bench.fal.hooks = ()
    request_id = bench.wait()
    bench.fal.finish(request_id)
    bench.post(bench.fal.hook(request_id))
    bench.wake()
    bench.enter()
    assert bench.post(bench.fal.hook(request_id)).status_code == 200
    assert not bench.due()
    assert bench.call().status == "succeeded"


def test_a_webhook_is_not_believed_about_the_result(bench: Bench) -> None:
    bench.fal.hooks = ()
    request_id = bench.wait()
    lie = {"request_id": request_id, "status": "ERROR", "payload": {"images": [{"url": "https://evil.example/x.png"}]}}
    raw = json.dumps(lie).encode()
    assert bench.post((bench.fal.keys[0].headers(raw, request_id, at=time.time()), raw)).status_code == 200
    bench.wake()
    bench.fal.finish(request_id)
    assert bench.enter().kind == "background"


def test_a_request_that_nobody_knows_is_answered_quietly(bench: Bench) -> None:
    bench.wait()
    assert bench.post(bench.fal.hook("0b9ac9a4-7b27-41f5-a7f0-7d2a9e7b2a11")).status_code == 200
    assert not bench.due()


def test_a_job_that_was_cancelled_stays_so(bench: Bench) -> None:
    request_id = bench.wait()
    bench.api.database.in_turn(lambda connection: jobs.cancel(connection, bench.job_id, client=inline.CLIENT))
    assert bench.post(bench.fal.hook(request_id)).status_code == 200
    assert not bench.due()


# --- who may send them --------------------------------------------------------------------


def test_what_fal_did_not_sign_just_now_is_refused_and_does_nothing(bench: Bench) -> None:
    bench.fal.hooks = ("forged", "stale")
    request_id = bench.wait()
    bench.fal.finish(request_id)
    eventually(lambda: len(bench.fal.hooks_answered) == 2, within=60)
    assert bench.fal.hooks_answered == [401, 401]
    headers, raw = bench.fal.hook(request_id)
    unsigned = bench.post(({"Authorization": "Bearer product token"}, raw))
    assert (unsigned.status_code, code(unsigned)) == (401, "hook_refused")
    assert unsigned.headers["WWW-Authenticate"]
    assert bench.post((headers, raw + b" ")).status_code == 401
    assert not bench.due()


def test_a_webhook_that_somebody_kept_and_sends_again_later_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = bench.fal.hook(bench.wait())
    now = time.time
    monkeypatch.setattr(hook.time, "time", lambda: now() + 301)
    assert bench.post(kept).status_code == 401
    assert not bench.due()


@pytest.mark.parametrize("family", ["local", "providers.fal", "tests.instant", "unheard_of", "", "fal/", "a%2Fb"])
def test_there_are_no_webhooks_but_of_chosen_vendors(bench: Bench, family: str) -> None:
    assert bench.post(bench.fal.hook("r-1"), f"/hooks/{family}").status_code == 404


def test_without_a_key_there_are_no_webhooks(fal: Fal, database_url: str, storage_url: str) -> None:
    api = serve(database_url, storage_url, vendors={"fal": Vendor("fal", fal.variables | {"KEY": ""})})
    headers, raw = fal.hook("r-1")
    answer = api.app.test_client().post("/hooks/fal", data=raw, headers=headers, buffered=True)
    api.database.dispose()
    assert (answer.status_code, code(answer)) == (404, "not_found")
    assert fal.key_calls == 0


def test_a_body_that_is_too_large_is_not_read(bench: Bench) -> None:
    answer = bench.post((bench.fal.hook("r-1")[0], b"x" * (2**20 + 1)))
    assert (answer.status_code, code(answer)) == (413, "payload_too_large")


def test_with_the_database_away_fal_is_asked_to_come_again(fal: Fal, tmp_path: Path) -> None:
    api = serve(
        "postgresql+psycopg2://nobody@127.0.0.1:1/none",
        tmp_path.as_uri(),
        vendors={"fal": Vendor("fal", fal.variables)},
    )
    headers, raw = fal.hook("r-1")
    answer = api.app.test_client().post("/hooks/fal", data=raw, headers=headers, buffered=True)
    api.database.dispose()
    assert (answer.status_code, code(answer)) == (503, "database_away")


def test_callers_of_the_api_are_not_told_of_them(bench: Bench) -> None:
    assert "/hooks" not in bench.api.nobody.get("/openapi.json").text
    assert bench.api.app.test_client().get("/hooks/fal").status_code == 405


# --- any vendor ---------------------------------------------------------------------------


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A vendor's family in a file that nothing of ours knows."""
    (tmp_path / "hooked").mkdir()
    (tmp_path / "hooked" / "acme.py").write_text(
        "from providers.hooks import NotGenuine\n"
        "WEBHOOK = 'hooked.acme:read'\n"
        "def read(headers, raw, vendor):\n"
        "    if headers.get('x-acme-secret') != vendor.variables['SECRET']:\n"
        "        raise NotGenuine('This is not from Acme.')\n"
        "    return raw.decode()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "hooked.acme"
    for name in ("hooked", "hooked.acme"):
        sys.modules.pop(name, None)


def test_a_new_vendors_webhooks_are_one_file_and_one_setting(acme: str, database_url: str, storage_url: str) -> None:
    settings = environment.read(
        {
            "LIKENESS_DATABASE_URL": database_url,
            "LIKENESS_BROKER_URL": "memory://",
            "LIKENESS_SIGNING_KEY": "k" * 40,
            "LIKENESS_PROVIDERS": json.dumps({"background": [acme]}),
            "LIKENESS_PUBLIC_URL": "https://likeness.example/",
            "ACME_SECRET": "s",
        }
    )
    assert settings.vendor(acme).hook == f"https://likeness.example/hooks/{acme}"
    api = serve(database_url, storage_url, vendors=settings.vendors)
    with listening(api.app) as url:
        answers = [
            requests.post(f"{url}/hooks/{acme}", data=b"r-1", headers={"X-Acme-Secret": secret}, timeout=10).status_code
            for secret in ("s", "t")
        ]
    api.database.dispose()
    assert answers == [200, 401]
