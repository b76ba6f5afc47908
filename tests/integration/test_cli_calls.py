"""`likeness calls`: a person decides, once, and what follows from it happens."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import create_engine, func, select, text

from db.database import Database
from db.models import Event, Job, ProviderCall, Record
from tests import factories
from tests.command import run

STEP = "scene/1/speech"
SCRIPT = "words that stay between the caller and the vendor"


@dataclass
class Office:
    """The database of a service, and the command as its operator calls it."""

    database: Database
    environment: dict[str, str]

    def run(self, *words: str, **environment: str) -> Result:
        return run("calls", *words, env=self.environment | environment)

    def listed(self, *words: str) -> list[dict[str, Any]]:
        done = self.run("list", "--json", *words)
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def call(self, status: str = "uncertain", *, job: str = "running", **facts: Any) -> ProviderCall:
        """A call, and the step that is parked for it."""
        made = factories.JobFactory.build(status=job, scenes=1)
        facts = {"provider": "tests.paid", "operation": "speech_neither"} | facts
        call: ProviderCall = factories.CallFactory.build(
            job_id=made.id, step=STEP, status=status, request={"text": SCRIPT}, **facts
        )
        waits = {"status": "waiting", "awaits": "person", "why": "A person decides.", "attempt": 1, "waits": 1}
        record = factories.RecordFactory.build(job_id=made.id, step=STEP, stage="speech", scene=1, **waits)
        with self.database.transaction() as session:
            for row in (made, record, call):
                session.add(row)
                session.flush()
        return call

    def read(self, call: ProviderCall) -> tuple[ProviderCall, Record, Job]:
        with self.database.transaction() as session:
            record = session.get_one(Record, (call.job_id, call.step))
            return session.get_one(ProviderCall, call.id), record, session.get_one(Job, call.job_id)

    def due(self, call: ProviderCall) -> bool:
        """Whether the sweeper would wake the step now."""
        with self.database.transaction() as session:
            due = select(Record.wake_at <= func.now()).where(Record.job_id == call.job_id)
            return bool(session.scalar(due))


@pytest.fixture
def office(database_url: str, storage_url: str) -> Iterator[Office]:
    environment = {
        "LIKENESS_DATABASE_URL": database_url,
        "LIKENESS_BROKER_URL": "amqp://nobody:nothing@127.0.0.1:9//",
        "LIKENESS_STORAGE_URL": storage_url,
        "LIKENESS_SIGNING_KEY": "k" * 40,
        "LIKENESS_PROVIDERS": json.dumps({"speech": ["tests.paid", "elevenlabs"]}),
    }
    database = Database(database_url)
    yield Office(database, environment)
    database.dispose()


# --- list ---------------------------------------------------------------------------------


def test_what_waits_for_a_person_is_shown_newest_first(office: Office) -> None:
    older, _, newer = office.call(), office.call("succeeded"), office.call()
    assert [each["id"] for each in office.listed()] == [newer.id, older.id]
    shown = office.run("list").stdout
    for word in (older.id, older.job_id, STEP, "tests.paid", "speech_neither", "uncertain", "reserved 0.2500 USD"):
        assert word in shown
    assert "outcome_unknown" in shown
    assert SCRIPT not in shown + office.run("list", "--json").stdout


def test_calls_are_chosen_by_state_job_and_number(office: Office) -> None:
    error = {"code": "vendor_busy", "message": "Not taken.", "retryable": True, "details": {}}
    failed = office.call("failed", error=error, reserved=Decimal(0))
    paid = office.call("succeeded", settled=Decimal("0.25"), wasted=Decimal("0.25"), reserved=Decimal(0))
    office.call()
    assert [each["id"] for each in office.listed("--status", "failed", "--status", "succeeded")] == [paid.id, failed.id]
    (only,) = office.listed("--job", failed.job_id)
    assert only["error"] == {"code": "vendor_busy", "message": "Not taken."}
    assert only["intended_at"].endswith("Z")
    assert len(office.listed("--limit", "1")) == 1
    (waste,) = office.listed("--job", paid.job_id)
    assert waste["price"] == {"reserved": "0.0000", "settled": "0.2500", "wasted": "0.2500", "currency": "USD"}
    assert "vendor_busy: Not taken." in office.run("list", "--status", "failed").stdout


def test_when_there_is_none_it_says_so(office: Office) -> None:
    assert office.run("list").stdout == "No call is uncertain.\n"
    assert office.listed() == []


# --- decisions ----------------------------------------------------------------------------


def test_adopted_work_is_followed_by_its_id(office: Office) -> None:
    call = office.call()
    done = office.run("adopt", call.id, "--external-id", "vendor-7")
    assert done.exit_code == 0, done.output
    assert "its step asks for the answer" in done.stdout
    row, _, _ = office.read(call)
    assert (row.status, row.external_id) == ("submitted", "vendor-7")
    assert office.due(call)


def test_work_that_keeps_no_answer_cannot_be_adopted(office: Office) -> None:
    call = office.call(provider="elevenlabs", operation="text_to_speech")
    done = office.run("adopt", call.id, "--external-id", "x")
    assert done.exit_code == 1
    assert f"likeness calls retry {call.id}" in done.stderr
    assert f"likeness calls drop {call.id}" in done.stderr
    assert office.read(call)[0].status == "uncertain"
    assert not office.due(call)


@pytest.mark.parametrize(("words", "waste"), [((), "0.0000"), (("--charged",), "0.2500")])
def test_after_retry_the_step_may_call_again(office: Office, words: tuple[str, ...], waste: str) -> None:
    call = office.call()
    done = office.run("retry", call.id, *words)
    assert done.exit_code == 0, done.output
    assert "its step calls again" in done.stdout
    assert ("booked as waste" in done.stdout) == bool(words)
    row, _, job = office.read(call)
    assert (row.status, f"{row.wasted:.4f}", f"{job.cost:.4f}") == ("failed", waste, waste)
    assert office.due(call)


def test_a_dropped_call_fails_its_job_with_a_reason(office: Office) -> None:
    call = office.call()
    done = office.run("drop", call.id, "--charged")
    assert done.exit_code == 0, done.output
    assert f"its job {call.job_id} has failed" in done.stdout
    row, record, job = office.read(call)
    assert (row.status, record.status, job.status, f"{row.wasted:.4f}") == ("failed", "failed", "failed", "0.2500")
    assert job.error is not None
    assert (job.error["code"], job.error["stage"]) == ("outcome_unknown", STEP)
    with office.database.transaction() as session:
        assert session.scalars(select(Event.type).where(Event.job_id == job.id)).all() == ["job.failed"]


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_deciding_on_the_call_of_an_ended_job_moves_no_job(office: Office, verb: str) -> None:
    call = office.call(job="cancelled")
    done = office.run(verb, call.id)
    assert done.exit_code == 0, done.output
    assert {"retry": "no step waits for it", "drop": "had ended already"}[verb] in done.stdout
    row, _, job = office.read(call)
    assert (row.status, job.status) == ("failed", "cancelled")


@pytest.mark.parametrize("words", [("adopt", "--external-id", "x"), ("drop",)])
def test_one_decides_once(office: Office, words: tuple[str, ...]) -> None:
    call = office.call()
    verb, *options = words
    assert office.run("retry", call.id).exit_code == 0
    done = office.run(verb, call.id, *options)
    assert done.exit_code == 1
    assert "a person decides on one that is uncertain" in done.stderr
    assert office.read(call)[0].status == "failed"


def test_what_was_booked_when_it_failed_is_not_booked_again(office: Office) -> None:
    call = office.call("failed", reserved=Decimal(0))
    assert office.run("retry", call.id, "--charged").exit_code == 2
    assert office.run("retry", call.id).exit_code == 0
    assert office.read(call)[2].cost == 0


# --- what may be missing ------------------------------------------------------------------


def test_every_hindrance_is_one_line_that_says_what_to_do(office: Office) -> None:
    older = create_engine(office.environment["LIKENESS_DATABASE_URL"])
    away = "postgresql+psycopg2://user:pass-word@127.0.0.1:9/x"
    unknown = office.run("retry", "call_unknown")
    without = run("calls", "list", env={})
    gone = office.run("list", LIKENESS_DATABASE_URL=away)
    nobody = office.run("adopt", office.call(provider="nobody").id, "--external-id", "x")
    with older.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    older.dispose()
    for done, said in (
        (unknown, "there is no call call_unknown"),
        (without, "LIKENESS_DATABASE_URL is not set"),
        (gone, "the database could not be used"),
        (nobody, "nobody cannot be asked for it"),
        (office.run("list"), "python -m db upgrade"),
    ):
        assert done.exit_code == 1, done.output
        assert done.stderr.startswith("Error: ")
        assert said in done.stderr
        assert "Traceback" not in done.output
        assert "pass-word" not in done.output


def test_ages_are_told_in_the_largest_fitting_unit() -> None:
    from webapp.cli.operator import age

    spans = (timedelta(seconds=119), timedelta(minutes=119), timedelta(hours=47), timedelta(days=3))
    assert [age(span.total_seconds()) for span in spans] == ["119 s", "119 min", "47 h", "3 d"]
