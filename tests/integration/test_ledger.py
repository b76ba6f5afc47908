"""The ledger: whatever dies between two lines, nothing is bought twice and nothing that was bought is forgotten."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from db import calls, jobs
from db.calls import NotUncertain
from db.claims import Claim
from db.database import Database
from db.models import AssetRow, Job, ProviderCall, Record
from pipeline.calls import Answered, CallStatus, NotYet, Repeat, Running, Ticket
from pipeline.errors import ConcurrencyLimited, OutcomeUnknown, ProviderTimeout, RateLimited, VendorBusy, VendorFailed
from pipeline.outcome import Cancelled, Done, Wait
from pipeline.settings import Settings, Vendor
from pipeline.state import JobStatus
from providers.catalogue import Catalogue
from providers.fetch import MediaFetcher
from providers.ledgered import perform
from providers.operation import VendorOperation
from providers.storage import Storage
from schemas.links import Links
from tasks.house import House
from tasks.ledger import StepLedger
from tasks.store import StepAssets
from tests import inline


class Died(BaseException):
    """The process is gone: nothing below this line of the stage ran."""


@dataclass(frozen=True, slots=True)
class Order:
    text: str


@dataclass(frozen=True, slots=True)
class Goods:
    text: str
    asset_id: str


@dataclass
class Shop:
    """A vendor that keeps its own books: the oracle."""

    charged: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    ready: bool = True
    cancelled: list[str] = field(default_factory=list)
    trouble: list[BaseException] = field(default_factory=list)
    troubled_after: list[BaseException] = field(default_factory=list)

    def take(self, text: str, reference: str, *, keyed: bool) -> str:
        if self.trouble:
            raise self.trouble.pop(0)
        if not (keyed and reference in self.known):
            self.charged.append(text)
            self.known[reference] = f"job-{len(self.charged)}"
        if self.troubled_after:
            raise self.troubled_after.pop(0)
        return self.known[reference]


SHOP = Shop()


class Buying(VendorOperation):
    """At once; the class of the operation is set by each test."""

    name = "buy"
    capability = "speech"
    repeat = Repeat.NEITHER
    action = Order
    answer = Goods

    def quote(self, action: Order) -> Decimal:
        return Decimal("0.25")

    def submit(self, action: Order, reference: str) -> Ticket | Answered[Goods]:
        SHOP.take(action.text, reference, keyed=self.repeat is Repeat.IDEMPOTENT)
        return self._deliver(action)

    def find(self, action: Order, reference: str) -> Answered[Goods] | None:
        return self._deliver(action) if reference in SHOP.known else None

    def _deliver(self, action: Order) -> Answered[Goods]:
        with self.assets.scratch() as folder:
            file = folder / "goods"
            file.write_text(action.text)
            kept = self.assets.keep(file, kind="goods", media_type="text/plain")
        return Answered(Goods(action.text, kept.id))


class Ordering(Buying):
    """Later: the shop gives an id, and the goods when they are ready."""

    name = "order"
    deadline = timedelta(minutes=5)

    def submit(self, action: Order, reference: str) -> Ticket | Answered[Goods]:
        return Ticket(SHOP.take(action.text, reference, keyed=False), {"status": "http://shop/1"})

    def poll(self, action: Order, ticket: Ticket) -> Running | Answered[Goods]:
        if SHOP.trouble:
            raise SHOP.trouble.pop(0)
        return self._deliver(action) if SHOP.ready else Running(timedelta(seconds=1))

    def cancel(self, ticket: Ticket) -> bool:
        SHOP.cancelled.append(ticket.external_id)
        return True

    def adopt(self, external_id: str) -> Ticket | None:
        return Ticket(external_id)


OPERATIONS = {"buy": f"{__name__}:Buying", "order": f"{__name__}:Ordering"}


@dataclass
class Bench:
    """A job whose speech step buys; each `enter` is a new attempt of that step, as after a crash."""

    house: House
    job_id: str
    launch: int
    step: str = "scene/1/speech"

    @property
    def database(self) -> Database:
        return self.house.database

    def claim(self) -> Claim:
        with self.database.transaction() as session:
            session.execute(update(Record).where(Record.step == self.step).values(lease_until=func.now()))
        held = inline.claim(self.database, self.job_id, self.step, self.launch)
        assert isinstance(held, Claim), held
        return held

    def enter(self, operation: type[Buying], text: str = "hello", *, held: Claim | None = None) -> Goods:
        held = held or self.claim()
        assets = StepAssets(self.house.storage)
        ledger = StepLedger(self.house, held, assets)
        goods: Goods = perform(ledger, operation(assets, Vendor("shop")), Order(text))
        assert goods.asset_id in {each.asset.id for each in assets.made}, "its file goes with the step's record"
        return goods

    def calls(self) -> list[ProviderCall]:
        with self.database.transaction() as session:
            return list(session.scalars(select(ProviderCall).order_by(ProviderCall.id)))

    def call(self) -> ProviderCall:
        (only,) = self.calls()
        return only

    def job(self) -> Job:
        return inline.job(self.database, self.job_id)

    def record(self) -> Record:
        return inline.rows(self.database, self.job_id)[self.step]

    def wait(self, held: Claim, wait: Wait) -> None:
        assert inline.record(self.database, held, wait, message={"task": "speech"})

    def cancel(self) -> None:
        self.database.in_turn(lambda connection: jobs.cancel(connection, self.job_id, client=inline.CLIENT))

    def decide(self, verb: Callable[..., None], *arguments: Any, **options: Any) -> None:
        with self.database.transaction() as session:
            verb(session, *arguments, **options)


@pytest.fixture
def bench(database_url: str, storage_url: str) -> Iterator[Bench]:
    global SHOP
    SHOP = Shop()
    settings = Settings(
        database_url, "memory://", storage_url, "k" * 40,
        providers={"speech": (__name__,)}, vendors={"shop": Vendor("shop", {}, concurrency=2)},
    )  # fmt: skip
    database = Database(database_url)
    house = House(settings, database, Storage(storage_url), Catalogue(settings), MediaFetcher(()), Links(settings))
    job_id = inline.accept(database, inline.output_request(saved_avatar(database)))
    inline.run(database, job_id, stage_output, until="scene/1/speech")
    yield Bench(house, job_id, inline.job(database, job_id).launch)
    database.dispose()


@pytest.fixture(params=[Repeat.IDEMPOTENT, Repeat.FINDABLE, Repeat.NEITHER])
def buying(request: pytest.FixtureRequest) -> type[Buying]:
    return type("Buying", (Buying,), {"repeat": request.param})


def saved_avatar(database: Database) -> str:
    return "avt_" + "0" * 26


def stage_output(held: Claim) -> Any:
    from pipeline.assets import Asset
    from pipeline.ports import Identity, Neutral
    from pipeline.snapshots import Setting
    from pipeline.stages.script import Script
    from pipeline.stages.storyboard import Line, Scene, Shot, Storyboard

    image = Asset("ast_1", "neutral", "image/png", 1, "0" * 64)
    return {
        "load_identity": Identity("avt_1", 1, "Demo", Neutral(image, None)),
        "script": Script("One. Two.", "given"),
        "storyboard": Storyboard(
            tuple(Scene(n, Line(f"Line {n}."), Setting("an office"), Shot("wide")) for n in (1, 2))
        ),
    }[held.step.stage.name]


def test_an_answer_is_bought_once_and_replayed_after_any_crash(bench: Bench, buying: type[Buying]) -> None:
    first = bench.enter(buying)
    assert bench.enter(buying) == first
    assert SHOP.charged == ["hello"]
    assert bench.call().status == CallStatus.SUCCEEDED
    assert bench.job().cost == bench.record().cost == Decimal("0.25")
    assert bench.call().reserved == 0


def test_another_request_of_the_same_step_is_another_call(bench: Bench) -> None:
    held = bench.claim()
    assert bench.enter(Buying, "one", held=held) != bench.enter(Buying, "two", held=held)
    assert bench.job().cost == Decimal("0.50")


def test_dying_before_the_answer_is_kept_never_buys_twice_by_itself(bench: Bench, buying: type[Buying]) -> None:
    SHOP.troubled_after.append(Died())
    with pytest.raises(Died):
        bench.enter(buying)
    assert bench.call().status == CallStatus.INTENDED
    if buying.repeat is Repeat.NEITHER:
        with pytest.raises(NotYet) as parked:
            bench.enter(buying)
        assert (parked.value.wait.after, parked.value.wait.awaits) == (None, "person")
        assert bench.call().status == CallStatus.UNCERTAIN
    else:
        assert bench.enter(buying).text == "hello"
    assert SHOP.charged == ["hello"]


def test_dying_before_anything_was_sent_costs_a_person_only_where_nobody_can_be_asked(
    bench: Bench, buying: type[Buying]
) -> None:
    SHOP.trouble.append(Died())
    with pytest.raises(Died):
        bench.enter(buying)
    if buying.repeat is Repeat.NEITHER:
        with pytest.raises(NotYet):
            bench.enter(buying)
        assert SHOP.charged == []
    else:
        assert bench.enter(buying).text == "hello"
        assert SHOP.charged == ["hello"]


def test_a_lost_reply_is_not_a_reason_to_pay_again(bench: Bench, buying: type[Buying]) -> None:
    SHOP.troubled_after.append(OutcomeUnknown("no answer"))
    with pytest.raises(NotYet) as waits:
        bench.enter(buying)
    if buying.repeat is Repeat.NEITHER:
        assert waits.value.wait.awaits == "person"
        assert waits.value.wait.error is not None
        assert waits.value.wait.error.code == "outcome_unknown"
    else:
        assert bench.enter(buying).text == "hello"
    assert SHOP.charged == ["hello"]


def test_what_may_not_be_visible_yet_is_looked_for_later(bench: Bench) -> None:
    slow = type("Slow", (Buying,), {"repeat": Repeat.FINDABLE, "settles_s": 60.0})
    SHOP.troubled_after.append(Died())
    with pytest.raises(Died):
        bench.enter(slow)
    with pytest.raises(NotYet) as waits:
        bench.enter(slow)
    assert timedelta(seconds=50) < waits.value.wait.after <= timedelta(seconds=60)
    assert SHOP.charged == ["hello"]


def test_what_was_not_taken_is_sent_again_in_the_same_call(bench: Bench, buying: type[Buying]) -> None:
    SHOP.trouble += [VendorBusy("not now"), RateLimited("later", pause_s=7), ConcurrencyLimited("full", pause_s=2)]
    for expected in (VendorBusy, RateLimited, ConcurrencyLimited):
        with pytest.raises(expected):
            bench.enter(buying)
        assert bench.call().status == CallStatus.FAILED
        assert bench.call().reserved == 0
    assert bench.enter(buying).text == "hello"
    assert (bench.call().tries, bench.call().round) == (4, 1)
    assert SHOP.charged == ["hello"]


def test_a_failure_that_was_charged_is_waste_and_the_next_try_a_new_round(bench: Bench) -> None:
    SHOP.trouble.append(VendorFailed("it broke", charged=True))
    with pytest.raises(VendorFailed) as failed:
        bench.enter(Buying)
    assert not failed.value.retryable
    assert bench.enter(Buying).text == "hello"
    assert [(row.round, row.settled, row.wasted) for row in bench.calls()] == [
        (1, Decimal("0.25"), Decimal("0.25")), (2, Decimal("0.25"), Decimal(0)),
    ]  # fmt: skip
    assert bench.job().cost == Decimal("0.50")


def test_the_vendors_work_is_followed_by_its_id_whoever_dies(bench: Bench) -> None:
    SHOP.ready = False
    with pytest.raises(NotYet) as waits:
        bench.enter(Ordering)
    assert waits.value.wait.awaits == "call"
    SHOP.trouble.append(VendorBusy("the status page is down"))
    with pytest.raises(NotYet):
        bench.enter(Ordering)
    assert bench.call().status == CallStatus.SUBMITTED
    SHOP.ready = True
    assert bench.enter(Ordering).text == "hello"
    assert SHOP.charged == ["hello"]


def test_work_that_outlasts_its_deadline_is_given_up_and_its_slot_kept_until_it_ends(bench: Bench) -> None:
    hasty = type("Hasty", (Ordering,), {"deadline": timedelta(0)})
    SHOP.ready = False
    with pytest.raises(ProviderTimeout):
        bench.enter(hasty)
    assert bench.call().status == CallStatus.SUBMITTED


def test_a_cancelled_job_sends_nothing_more(bench: Bench) -> None:
    held = bench.claim()
    bench.cancel()
    with pytest.raises(NotYet):
        bench.enter(Buying, held=held)
    assert SHOP.charged == []
    assert bench.calls() == []


def test_an_attempt_that_lost_its_step_sends_nothing_more(bench: Bench) -> None:
    late = bench.claim()
    bench.claim()
    with pytest.raises(NotYet):
        bench.enter(Buying, held=late)
    assert SHOP.charged == []


def test_a_late_answer_of_the_first_sender_ends_the_doubt(bench: Bench) -> None:
    first = bench.claim()
    assets = StepAssets(bench.house.storage)
    ledger = StepLedger(bench.house, first, assets)
    operation = Buying(assets, Vendor("shop"))
    call = ledger.open(operation, Order("hello"))
    second = bench.claim()
    with pytest.raises(NotYet) as parked:
        bench.enter(Buying, held=second)
    bench.wait(second, parked.value.wait)
    ledger.succeeded(call, operation.submit(Order("hello"), call.reference))
    assert bench.record().wake_at is not None, "the step goes on without a person"
    assert bench.call().status == CallStatus.SUCCEEDED


def test_a_late_success_of_a_cancelled_job_is_kept_and_booked_as_waste(bench: Bench) -> None:
    held = bench.claim()
    assets = StepAssets(bench.house.storage)
    ledger = StepLedger(bench.house, held, assets)
    operation = Buying(assets, Vendor("shop"))
    call = ledger.open(operation, Order("hello"))
    answer = operation.submit(Order("hello"), call.reference)
    bench.cancel()
    ledger.succeeded(call, answer)
    assert bench.call().wasted == bench.job().cost == Decimal("0.25")
    with bench.database.transaction() as session:
        assert session.get(AssetRow, answer.output.asset_id) is not None


def test_a_provider_takes_no_more_calls_than_it_has_places_and_the_longest_waiting_is_next(bench: Bench) -> None:
    SHOP.ready = False
    for said in ("one", "two"):
        with pytest.raises(NotYet):
            bench.enter(Ordering, said)
    held = bench.claim()
    with pytest.raises(NotYet) as waits:
        bench.enter(Ordering, "three", held=held)
    assert waits.value.wait.awaits == "slot:shop"
    assert SHOP.charged == ["one", "two"]
    bench.wait(held, waits.value.wait)
    with bench.database.transaction() as session:
        assert calls.free(session, {"shop": 2}) == 0
    SHOP.ready = True
    bench.decide(calls.succeed, bench.calls()[0].id, {}, [], cost=None)
    with bench.database.transaction() as session:
        assert calls.free(session, {"shop": 2}) == 1
    assert bench.enter(Ordering, "three").text == "three"


def park(bench: Bench, operation: type[Buying] = Buying) -> str:
    SHOP.troubled_after.append(OutcomeUnknown("no answer"))
    held = bench.claim()
    with pytest.raises(NotYet) as waits:
        bench.enter(operation, held=held)
    bench.wait(held, waits.value.wait)
    assert bench.record().wake_at is None
    return bench.call().id


def test_a_person_may_let_it_be_sent_again(bench: Bench) -> None:
    call_id = park(bench)
    bench.decide(calls.retry, call_id, charged=True)
    assert bench.record().wake_at is not None
    assert bench.enter(Buying).text == "hello"
    assert [row.wasted for row in bench.calls()] == [Decimal("0.25"), 0]
    assert SHOP.charged == ["hello", "hello"], "because a person said so"


def test_a_person_may_adopt_what_the_vendor_has(bench: Bench) -> None:
    call_id = park(bench, Ordering)
    bench.decide(calls.adopt, call_id, Ticket("job-1"))
    assert bench.enter(Ordering).text == "hello"
    assert SHOP.charged == ["hello"]


def test_a_person_may_give_it_up_and_the_job_says_why_it_failed(bench: Bench) -> None:
    call_id = park(bench)
    bench.decide(calls.drop, call_id, charged=False)
    job = bench.job()
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert (job.error["code"], job.error["stage"]) == ("outcome_unknown", bench.step)
    with pytest.raises(NotUncertain):
        bench.decide(calls.adopt, call_id, Ticket("job-1"))


def test_a_webhook_makes_the_waiting_step_due(bench: Bench) -> None:
    SHOP.ready = False
    held = bench.claim()
    with pytest.raises(NotYet) as waits:
        bench.enter(Ordering, held=held)
    bench.wait(held, waits.value.wait)
    with bench.database.transaction() as session:
        assert not calls.notice(session, "shop", "nobody")
        assert calls.notice(session, "shop", "job-1")
        assert session.scalar(select(Record.wake_at <= func.now()).where(Record.step == bench.step))


def test_calls_of_an_ended_job_are_found_once_their_sender_must_be_gone(bench: Bench) -> None:
    SHOP.ready = False
    held = bench.claim()
    with pytest.raises(NotYet) as waits:
        bench.enter(Ordering, held=held)
    bench.wait(held, waits.value.wait)
    with bench.database.transaction() as session:
        assert calls.orphans(session) == []
    bench.cancel()
    with bench.database.transaction() as session:
        (orphan,) = calls.orphans(session)
        assert orphan.ticket == Ticket("job-1", {"status": "http://shop/1"})
    with bench.database.transaction() as session:
        assert calls.orphans(session) == [], "not named again at once"


def test_the_call_of_a_step_that_ends_after_its_job_is_looked_at_soon(bench: Bench) -> None:
    held = bench.claim()
    assets = StepAssets(bench.house.storage)
    StepLedger(bench.house, held, assets).open(Ordering(assets, Vendor("shop")), Order("hello"))
    bench.cancel()
    with bench.database.transaction() as session:
        session.execute(text("UPDATE provider_calls SET look_at = now() + interval '1 hour'"))  # opened just before
    assert inline.record(bench.database, held, Cancelled())
    with bench.database.transaction() as session:
        assert session.scalar(text("SELECT look_at <= now() FROM provider_calls"))


def test_the_call_of_a_vendor_that_another_stood_in_for_is_found_at_once(bench: Bench) -> None:
    SHOP.ready = False
    held = bench.claim()
    with pytest.raises(NotYet):
        bench.enter(Ordering, held=held)
    assert inline.record(bench.database, held, Done(Order("hello")), passed_over=[{"provider": "shop", "why": "slow"}])
    with bench.database.transaction() as session:
        (orphan,) = calls.orphans(session)
        assert orphan.provider == "shop"


def test_only_the_attempt_in_force_may_say_that_a_call_failed(bench: Bench) -> None:
    keyed = type("Keyed", (Buying,), {"repeat": Repeat.IDEMPOTENT})
    first = bench.claim()
    assets = StepAssets(bench.house.storage)
    ledger = StepLedger(bench.house, first, assets)
    call = ledger.open(keyed(assets, Vendor("shop")), Order("hello"))
    bench.claim()
    ledger.failed(call, VendorBusy("the line was cut"))
    assert bench.call().status == CallStatus.INTENDED


def test_what_is_done_is_recorded_with_its_files(bench: Bench) -> None:
    held = bench.claim()
    assets = StepAssets(bench.house.storage)
    ledger = StepLedger(bench.house, held, assets)
    goods = perform(ledger, Buying(assets, Vendor("shop")), Order("hello"))
    again = StepAssets(bench.house.storage)
    second = bench.claim()
    assert perform(StepLedger(bench.house, second, again), Buying(again, Vendor("shop")), Order("hello")) == goods
    assert inline.record(bench.database, second, Done(goods), made_assets=again.made)
    with bench.database.transaction() as session:
        row = session.get_one(AssetRow, goods.asset_id)
        assert (row.job_id, row.step) == (bench.job_id, bench.step)
        with bench.house.storage.fetch(row.sha256) as file:
            assert Path(file).read_text() == "hello"
