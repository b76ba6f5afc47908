"""Claim, attempt, record: what keeps a step from being run or recorded twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db import claims, jobs, records
from db.claims import Claim, Hold, Verdict
from db.database import Database
from db.events import story
from db.jobs import KeyReused, TooManyJobs, stuck
from pipeline.assets import Asset
from pipeline.outcome import Again, Done, Error, Failed
from pipeline.ports import Identity, Neutral, Utterance
from pipeline.stages.script import Script
from pipeline.stages.storyboard import Line, Scene, Setting, Shot, Storyboard
from tests import inline
from tests.instant import Instant

ASSET = Asset("ast_x", "any", "image/png", 3, "1" * 64)
NO_FACE = Error("no_face", "No face was found.", retryable=False)
BUSY = Error("fetch_failed", "The host is busy.", retryable=True)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.dispose()


@pytest.fixture
def job_id(database: Database) -> str:
    return inline.accept(database, inline.output_request("avt_x"))


def perform(held: Claim) -> Any:
    """Outputs of the right type, by stage."""
    scenes = tuple(Scene(n, Line(f"Line {n}."), Setting("office"), Shot("wide")) for n in (1, 2))
    made = {
        "load_identity": Identity("avt_x", 1, "Demo", Neutral(ASSET, None)),
        "script": Script("Line 1. Line 2.", "given"),
        "storyboard": Storyboard(scenes),
        "speech": Utterance(ASSET, ASSET, 2.0, ()),
    }
    return made.get(held.step.stage.name, Script("anything", "given"))


def begin(database: Database, job_id: str) -> int:
    """The number of the job's first launch."""
    launch = inline.advance(database, job_id).launch
    assert launch is not None
    return launch.number


def test_a_step_is_claimed_once(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    assert isinstance(inline.claim(database, job_id, "load_identity", number), Claim)
    assert inline.claim(database, job_id, "load_identity", number) is Verdict.STALE


def test_of_many_simultaneous_claims_one_wins(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: inline.claim(database, job_id, "load_identity", number), range(16)))
    assert sum(isinstance(each, Claim) for each in found) == 1


def test_a_step_waits_for_what_it_reads(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    assert inline.claim(database, job_id, "storyboard", number) is Verdict.EARLY


def test_a_redelivered_message_takes_over_at_once_and_the_late_loser_changes_nothing(
    database: Database, job_id: str
) -> None:
    number = begin(database, job_id)
    first = inline.claim(database, job_id, "load_identity", number, owner="task-1")
    second = inline.claim(database, job_id, "load_identity", number, owner="task-1", redelivered=True)
    assert isinstance(first, Claim)
    assert isinstance(second, Claim)
    assert inline.record(database, second, Done(perform(second)))
    assert not inline.record(database, first, Failed(NO_FACE))
    row = inline.rows(database, job_id)["load_identity"]
    assert (row.status, row.attempt) == ("succeeded", 2)
    assert inline.job(database, job_id).status == "running"


def test_a_double_message_of_the_same_task_does_not_take_over(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    inline.claim(database, job_id, "load_identity", number, owner="task-1")
    assert inline.claim(database, job_id, "load_identity", number, owner="task-1") is Verdict.STALE


def test_an_ended_lease_frees_the_step_for_anyone(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    lost = inline.claim(database, job_id, "load_identity", number)
    with database.transaction() as session:
        session.execute(text("UPDATE records SET lease_until = now() - interval '1 second'"))
    assert isinstance(inline.claim(database, job_id, "load_identity", number), Claim)
    assert isinstance(lost, Claim)
    with database.transaction() as session:
        assert claims.renew(session, lost) is Hold.LOST


def test_recording_twice_says_that_it_is_recorded(database: Database, job_id: str) -> None:
    """A lost answer to a commit makes the worker record again."""
    held = inline.claim(database, job_id, "load_identity", begin(database, job_id))
    assert isinstance(held, Claim)
    assert inline.record(database, held, Done(perform(held)))
    assert inline.record(database, held, Done(perform(held)))


def test_an_older_launch_is_fenced(database: Database, job_id: str) -> None:
    old = begin(database, job_id)
    move = inline.advance(database, job_id, launch=old)
    assert move.launch is not None
    new = move.launch.number
    assert inline.claim(database, job_id, "load_identity", old) is Verdict.STALE
    assert isinstance(inline.claim(database, job_id, "load_identity", new), Claim)
    assert inline.advance(database, job_id, launch=old).launch is None


def test_who_only_suspects_a_loss_fences_nothing(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    again = inline.advance(database, job_id).launch
    assert again is not None
    assert again.number == number
    held = inline.claim(database, job_id, "load_identity", number)
    assert isinstance(held, Claim)
    assert inline.claim(database, job_id, "load_identity", number) is Verdict.STALE


def test_a_late_first_launch_does_not_fence_the_sweepers(database: Database, job_id: str) -> None:
    swept = begin(database, job_id)
    assert inline.advance(database, job_id, launch=0).launch is None
    assert isinstance(inline.claim(database, job_id, "load_identity", swept), Claim)


def test_a_lost_answer_to_a_claim_leaves_the_step_to_the_same_delivery(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    first = inline.claim(database, job_id, "load_identity", number, owner="task-1", delivery="a")
    again = inline.claim(database, job_id, "load_identity", number, owner="task-1", delivery="a")
    assert isinstance(first, Claim)
    assert isinstance(again, Claim)


def test_a_step_that_loses_its_worker_each_time_fails_the_job(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    verdicts = [
        inline.claim(database, job_id, "load_identity", number, owner="task-1", redelivered=True)
        for _ in range(claims.MOST_LOST + 1)
    ]
    assert all(isinstance(each, Claim) for each in verdicts[:-1])
    assert verdicts[-1] is Verdict.POISON
    job = inline.job(database, job_id)
    assert job.error is not None
    assert (job.status, job.error["code"], job.error["stage"]) == ("failed", "worker_lost", "load_identity")


def test_a_step_of_a_cancelled_job_does_not_seem_to_run_for_ever(database: Database, job_id: str) -> None:
    inline.claim(database, job_id, "load_identity", begin(database, job_id))
    with database.transaction() as session:
        jobs.cancel(session, job_id, client=inline.CLIENT)
        assert claims.abandon(session) == 0
        session.execute(text("UPDATE records SET lease_until = now() - interval '1 second' WHERE status = 'running'"))
    with database.transaction() as session:
        assert claims.abandon(session) == 1
    assert {row.status for row in inline.rows(database, job_id).values()} == {"cancelled"}


def test_a_failure_ends_the_job_and_siblings_start_nothing(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    held = inline.claim(database, job_id, "load_identity", number)
    assert isinstance(held, Claim)
    inline.record(database, held, Failed(NO_FACE), provider="local")
    job = inline.job(database, job_id)
    assert job.status == "failed"
    assert job.error == {
        "stage": "load_identity",
        "code": "no_face",
        "message": "No face was found.",
        "retryable": False,
        "attempts": 1,
        "provider": "local",
        "details": {},
    }
    assert inline.claim(database, job_id, "script", number) is Verdict.STALE


def test_a_step_that_may_succeed_later_keeps_its_message_and_sleeps(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    held = inline.claim(database, job_id, "load_identity", number)
    assert isinstance(held, Claim)
    inline.record(database, held, Again(timedelta(hours=1), BUSY), message={"task": "load_identity"})
    assert inline.job(database, job_id).status == "running"
    asleep = inline.claim(database, job_id, "load_identity", number, keep=lambda: {"task": "newer"})
    assert asleep is Verdict.ASLEEP
    with database.transaction() as session:
        assert records.wake(session) == []
        session.execute(text("UPDATE records SET wake_at = now() WHERE status = 'waiting'"))
    with database.transaction() as session:
        (woken,) = records.wake(session)
        assert woken.message == {"task": "newer"}
    with database.transaction() as session:
        assert stuck(session) == []
    assert isinstance(inline.claim(database, job_id, "load_identity", number), Claim)


def test_a_job_runs_to_its_result(database: Database) -> None:
    job_id = inline.accept(database, inline.output_request("avt_x"))
    inline.run(database, job_id, perform)
    job = inline.job(database, job_id)
    assert (job.status, job.progress, job.scenes) == ("completed", 1.0, 2)
    assert {row.status for row in inline.rows(database, job_id).values()} == {"succeeded"}


def test_a_job_resumes_where_its_records_end(database: Database, job_id: str) -> None:
    inline.run(database, job_id, perform, until="scene/2/lip_sync")
    before = {key: row.finished_at for key, row in inline.rows(database, job_id).items() if row.status == "succeeded"}
    inline.run(database, job_id, perform)
    after = inline.rows(database, job_id)
    assert inline.job(database, job_id).status == "completed"
    assert before
    assert all(after[key].finished_at == moment and after[key].attempt == 1 for key, moment in before.items())


def test_the_story_is_told_without_gaps(database: Database, job_id: str) -> None:
    inline.run(database, job_id, perform)
    with database.transaction() as session:
        told = [event for event, _ in story(session, job_id)]
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert [event.type for event in told[:3]] == ["job.accepted", "job.started", "job.progress"]
    assert told[-1].type == "job.completed"
    assert [event.data["progress"] for event in told] == sorted(event.data["progress"] for event in told)
    assert all(event.data["metadata"] == {"user": "u_1"} for event in told)


def test_the_same_key_brings_the_same_job(database: Database) -> None:
    request = inline.output_request("avt_x")
    assert inline.accept(database, request, key="k") == inline.accept(database, request, key="k")


def test_the_same_key_with_another_payload_is_refused(database: Database) -> None:
    inline.accept(database, inline.output_request("avt_x"), key="k")
    with pytest.raises(KeyReused):
        inline.accept(database, inline.output_request("avt_x", text="Other."), key="k")


def test_simultaneous_first_calls_make_one_job(database: Database) -> None:
    request = inline.output_request("avt_x")
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: inline.accept(database, request, key="k"), range(16)))
    assert len(made) == 1
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs")) == 1
        assert session.scalar(text("SELECT count(*) FROM events")) == 1


def test_a_client_has_no_more_active_jobs_than_its_limit(database: Database) -> None:
    inline.accept(database, inline.output_request("avt_x"), most_active=1)
    with pytest.raises(TooManyJobs):
        inline.accept(database, inline.output_request("avt_x"), most_active=1)


def test_many_calls_at_once_do_not_pass_the_limit(database: Database) -> None:
    def attempt(_: int) -> bool:
        try:
            inline.accept(database, inline.output_request("avt_x"), most_active=3)
        except TooManyJobs:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 3


def test_the_sweeper_finds_a_job_that_nothing_moves_and_then_leaves_it_time(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        assert stuck(session) == []
        session.execute(text("UPDATE jobs SET nudge_at = now()"))
    with database.transaction() as session:
        assert stuck(session) == [job_id]
    with database.transaction() as session:
        assert stuck(session) == []


def test_the_sweeper_leaves_alone_what_is_being_worked_on(database: Database, job_id: str) -> None:
    inline.claim(database, job_id, "load_identity", begin(database, job_id))
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET nudge_at = now()"))
        assert stuck(session) == []
        session.execute(text("UPDATE records SET lease_until = now() WHERE status = 'running'"))
    with database.transaction() as session:
        assert stuck(session) == [job_id]


def test_two_sweepers_do_not_take_the_same_job(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET nudge_at = now()"))
    with database.transaction() as one, database.transaction() as other:
        assert stuck(one) == [job_id]
        assert stuck(other) == []


def test_the_instant_family_serves_every_capability() -> None:
    from pipeline.ports import CAPABILITIES
    from tests.instant import ADAPTERS

    assert set(ADAPTERS) == set(CAPABILITIES)
    for protocol in CAPABILITIES.values():
        methods = [name for name in vars(protocol) if not name.startswith("_")]
        assert all(hasattr(Instant, name) for name in methods)
