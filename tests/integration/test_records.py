"""Claim, attempt, record: what keeps a step from being run or recorded twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Event
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError

from db import assets, calls, claims, jobs, outbox, records, turns
from db.claims import Claim, Hold, Message, Verdict
from db.database import Database
from db.events import story
from db.jobs import KeyReused, NotFailed, TooManyJobs, stuck
from db.lives import Life
from db.overview import attempts
from db.schema import upgrade
from db.statements import Statement
from pipeline.assets import Asset
from pipeline.graph import steps
from pipeline.outcome import Again, Cancelled, Done, Error, Failed, Wait
from pipeline.ports import Identity, Neutral, Utterance
from pipeline.stages.background import Background
from pipeline.stages.script import Script
from pipeline.stages.storyboard import Line, Scene, Setting, Shot, Storyboard
from schemas import records as codec
from tests import inline
from tests.instant import Instant
from tests.processes import eventually
from tests.servers.postgres import PrivatePostgres

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


@contextmanager
def closing_server(server: PrivatePostgres) -> Iterator[PrivatePostgres]:
    try:
        yield server.start()
    finally:
        server.remove()


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


def test_a_request_of_an_older_version_lacks_what_was_added_since(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET request = (request::jsonb - 'poses' - 'b_roll')"))
    number = begin(database, job_id)
    for step in ("load_identity", "script"):
        held = inline.claim(database, job_id, step, number)
        assert isinstance(held, Claim)
        inline.record(database, held, Done(perform(held)))
    board = inline.claim(database, job_id, "storyboard", number)
    assert isinstance(board, Claim)
    assert (board.inputs["poses"], board.inputs["b_roll"]) == (None, None)


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


def test_a_failed_job_goes_on_from_where_it_failed_and_earlier_losses_are_forgotten(
    database: Database, job_id: str
) -> None:
    number = begin(database, job_id)
    for _ in range(claims.MOST_LOST + 1):
        inline.claim(database, job_id, "load_identity", number, owner="task-1", redelivered=True)
    with database.transaction() as session:
        jobs.resume(session, job_id)
    move = inline.advance(database, job_id)
    assert move.launch is not None
    assert move.launch.number == number + 1
    assert inline.claim(database, job_id, "load_identity", number, owner="task-1", redelivered=True) is Verdict.STALE
    verdicts = [
        inline.claim(database, job_id, "load_identity", number + 1, owner="task-2", redelivered=True)
        for _ in range(claims.MOST_LOST)
    ]
    assert all(isinstance(each, Claim) for each in verdicts)
    job = inline.job(database, job_id)
    assert (job.status, job.error, job.finished_at) == ("running", None, None)


def test_only_a_failed_job_is_resumed(database: Database, job_id: str) -> None:
    with database.transaction() as session, pytest.raises(NotFailed):
        jobs.resume(session, job_id)


def test_what_a_failed_job_left_waiting_is_sent_again_when_it_is_resumed(database: Database) -> None:
    job_id = inline.accept(database, inline.output_request("avt_x"))
    inline.run(database, job_id, perform, until="scene/1/speech")
    number = inline.job(database, job_id).launch
    waits = inline.claim(database, job_id, "scene/1/speech", number)
    fails = inline.claim(database, job_id, "scene/2/speech", number)
    assert isinstance(waits, Claim)
    assert isinstance(fails, Claim)
    inline.record(database, waits, Wait(timedelta(hours=1), "The provider works."), message={"task": "speech"})
    inline.record(database, fails, Failed(NO_FACE))
    with database.transaction() as session:
        jobs.resume(session, job_id)
    inline.run(database, job_id, perform)
    assert inline.job(database, job_id).status == "completed"


def test_a_live_holder_keeps_its_step_whatever_the_broker_gives_again(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    life = Life(database.engine)
    assert life.hold()
    asked = {"owner": "task-1", "redelivered": True}
    first = inline.claim(database, job_id, "load_identity", number, owner="task-1", life=life.number)
    assert isinstance(first, Claim)
    assert inline.claim(database, job_id, "load_identity", number, **asked) is Verdict.HELD
    assert inline.claim(database, job_id, "load_identity", number) is Verdict.STALE
    life.release()  # the server needs a moment to see it
    second = eventually(lambda: _claimed(database, job_id, number, asked), within=60, what="the step is free")
    assert (second.attempt, second.recovered) == (2, True)


def _claimed(database: Database, job_id: str, number: int, asked: dict[str, Any]) -> Claim | None:
    found = inline.claim(database, job_id, "load_identity", number, **asked)
    return found if isinstance(found, Claim) else None


def test_a_dead_holder_leaves_its_step_to_any_message(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    assert isinstance(inline.claim(database, job_id, "load_identity", number, life=Life(database.engine).number), Claim)
    assert isinstance(inline.claim(database, job_id, "load_identity", number), Claim)


def test_who_suspects_a_loss_sends_the_step_of_a_dead_holder_at_once(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    life = Life(database.engine)
    assert life.hold()
    assert isinstance(inline.claim(database, job_id, "load_identity", number, life=life.number), Claim)
    assert inline.advance(database, job_id).launch is None
    life.release()  # the server needs a moment to see it
    again = eventually(lambda: inline.advance(database, job_id).launch, within=60, what="the step is sent again")
    assert again is not None
    assert next(steps(again.tree)).key == "load_identity"


def test_a_claim_that_is_given_back_is_free_at_once_for_a_message_of_its_own(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    life = Life(database.engine)
    assert life.hold()
    held = inline.claim(database, job_id, "load_identity", number, life=life.number)
    assert isinstance(held, Claim)
    with database.transaction() as session:
        claims.give_back(session, held)
    assert inline.claim(database, job_id, "load_identity", number, follows=True) is Verdict.ALONE
    again = inline.claim(database, job_id, "load_identity", number, owner="task-2")
    assert isinstance(again, Claim)
    assert again.attempt == held.attempt + 1
    life.release()


def test_a_connection_that_has_prepared_something_else_is_not_used_again(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    with database.transaction() as session:
        session.connection().info["prepared"].clear()  # as after an interruption between the server's word and ours
    asked = Message(job_id, "load_identity", number, "task-1", "a", redelivered=False)
    assert isinstance(database.in_turn(lambda connection: claims.claim(connection, asked)), Claim)


def test_every_prepared_statement_means_something_to_the_server(database: Database) -> None:
    modules = (assets, calls, claims, jobs, outbox, records, turns)
    found = {each for module in modules for each in vars(module).values() if isinstance(each, Statement)}
    assert {"lock_job", "run_step", "succeed_step", "tell"} <= {each.name for each in found}
    assert len({each.name for each in found}) == len(found)
    with database.transaction() as session:
        for each in found:
            session.connection().exec_driver_sql(each.preparation)


def test_a_turn_sees_what_the_turn_that_it_waited_for_has_written(database: Database, job_id: str) -> None:
    begin(database, job_id)
    waiting = Event()

    def second(connection: Connection) -> str:
        waiting.set()
        with turns.turn(connection, job_id, "load_identity") as job:
            assert job is not None
            return f"{job.seen['load_identity'].status}, {job.progress}"

    def first(connection: Connection) -> str:
        with turns.turn(connection, job_id, "load_identity") as job:
            assert job is not None
            other = pool.submit(database.in_turn, second)
            assert waiting.wait(5)
            eventually(lambda: waiting_for_locks(database) == 1, within=60, what="the other waits for the lock")
            job.progress = 0.5
            job.touch()
            job.later("UPDATE records SET status = 'reused' WHERE step = 'load_identity'", {})
        return other.result()

    with ThreadPoolExecutor(1) as pool:
        assert database.in_turn(first) == "reused, 0.5"


def waiting_for_locks(database: Database) -> int:
    """How many connections to this database wait for a lock."""
    with database.transaction() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return session.scalar(text(query)) or 0


def test_a_turn_that_breaks_has_changed_nothing_and_holds_nothing(database: Database, job_id: str) -> None:
    before = inline.job(database, job_id)

    def broken(connection: Connection) -> None:
        with turns.turn(connection, job_id) as job:
            assert job is not None
            job.ask("UPDATE jobs SET progress = 0.5 WHERE id = %(job)s", {"job": job_id})
            job.later("SELECT 1 / 0", {})

    with pytest.raises(DataError):
        database.in_turn(broken)
    assert inline.job(database, job_id).progress == before.progress
    assert isinstance(inline.claim(database, job_id, "load_identity", begin(database, job_id)), Claim)


def test_a_step_that_was_lost_once_travels_alone(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    inline.claim(database, job_id, "load_identity", number, owner="task-1")
    again = {"owner": "task-1", "redelivered": True}
    assert inline.claim(database, job_id, "load_identity", number, follows=True, **again) is Verdict.ALONE
    assert isinstance(inline.claim(database, job_id, "load_identity", number, **again), Claim)


def test_after_the_server_was_started_anew_the_lease_decides() -> None:
    with closing_server(PrivatePostgres()) as server:
        upgrade(server.url)
        database = Database(server.url)
        job_id = inline.accept(database, inline.output_request("avt_x"))
        number = begin(database, job_id)
        life = Life(database.engine)
        assert life.hold()
        assert isinstance(inline.claim(database, job_id, "load_identity", number, owner="t", life=life.number), Claim)
        server.stop()
        server.start()
        database.engine.dispose()
        again = {"owner": "t", "redelivered": True}
        assert inline.claim(database, job_id, "load_identity", number, **again) is Verdict.HELD
        with database.transaction() as session:
            session.execute(text("UPDATE records SET lease_until = now() - interval '1 second'"))
        assert isinstance(inline.claim(database, job_id, "load_identity", number, **again), Claim)
        life.release()
        database.dispose()


def test_a_claim_that_always_breaks_fails_the_job(database: Database, job_id: str) -> None:
    asked = Message(job_id, "load_identity", begin(database, job_id), "task-1", "a", redelivered=False)
    for _ in range(3):
        database.in_turn(lambda connection: claims.stumble(connection, asked))
    job = inline.job(database, job_id)
    assert job.error is not None
    assert (job.status, job.error["code"], job.error["stage"]) == ("failed", "internal_error", "load_identity")


def test_who_works_for_a_cancelled_job_is_told(database: Database, job_id: str) -> None:
    held = inline.claim(database, job_id, "load_identity", begin(database, job_id))
    assert isinstance(held, Claim)
    with database.transaction() as session:
        assert claims.renew(session, held) is Hold.KEPT
    database.in_turn(lambda connection: jobs.cancel(connection, job_id, client=inline.CLIENT))
    with database.transaction() as session:
        assert claims.renew(session, held) is Hold.ENDED
    assert inline.record(database, held, Cancelled())
    assert inline.rows(database, job_id)["load_identity"].status == "cancelled"
    with database.transaction() as session:
        assert [each.outcome for each in attempts(session, job_id)["load_identity"]] == ["cancelled"]


def test_a_step_of_a_cancelled_job_does_not_seem_to_run_for_ever(database: Database, job_id: str) -> None:
    inline.claim(database, job_id, "load_identity", begin(database, job_id))
    database.in_turn(lambda connection: jobs.cancel(connection, job_id, client=inline.CLIENT))
    with database.transaction() as session:
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


def test_to_wait_is_no_try_and_leaves_no_attempt(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    for _ in range(5):
        held = inline.claim(database, job_id, "load_identity", number)
        assert isinstance(held, Claim)
        waits = Wait(timedelta(), "All places at acme are taken.", awaits="slot:acme", error=BUSY)
        inline.record(database, held, waits, message={"task": "load_identity"})
    row = inline.rows(database, job_id)["load_identity"]
    assert (row.status, row.awaits, row.why, row.attempt - row.waits) == (
        "waiting", "slot:acme", "All places at acme are taken.", 0,
    )  # fmt: skip
    assert row.error == {"code": "fetch_failed", "message": "The host is busy.", "retryable": True, "details": {}}
    with database.transaction() as session:
        assert attempts(session, job_id) == {}
    held = inline.claim(database, job_id, "load_identity", number)
    assert isinstance(held, Claim)
    row = inline.rows(database, job_id)["load_identity"]
    assert (row.awaits, row.why, row.error, held.tried) == (None, None, None, 0)
    inline.record(database, held, Failed(NO_FACE))
    assert (inline.job(database, job_id).error or {})["attempts"] == 1


def test_a_parked_step_sleeps_until_somebody_wakes_it(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    held = inline.claim(database, job_id, "load_identity", number)
    assert isinstance(held, Claim)
    inline.record(database, held, Wait(None, "A person decides.", awaits="person"), message={"task": "old"})
    with database.transaction() as session:
        assert records.wake(session) == []
    assert inline.claim(database, job_id, "load_identity", number, keep=lambda: {"task": "new"}) is Verdict.ASLEEP
    with database.transaction() as session:
        session.execute(text("UPDATE records SET wake_at = now() WHERE status = 'waiting'"))
    with database.transaction() as session:
        assert [each.message for each in records.wake(session)] == [{"task": "new"}]


def test_a_lost_message_is_found_although_a_sibling_waits(database: Database) -> None:
    job_id = inline.accept(database, inline.output_request("avt_x"))
    inline.run(database, job_id, perform, until="scene/1/speech")
    number = inline.job(database, job_id).launch
    held = inline.claim(database, job_id, "scene/1/speech", number)
    assert isinstance(held, Claim)
    inline.record(database, held, Wait(None, "A person decides.", awaits="person"))
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET nudge_at = now()"))
    with database.transaction() as session:
        assert stuck(session) == [job_id]
    launch = inline.advance(database, job_id).launch
    assert launch is not None
    assert launch.number == number
    sent = {step.key for step in steps(launch.tree)}
    assert {"scene/1/background", "scene/2/speech", "scene/2/lip_sync", "stitch"} <= sent
    assert "scene/1/speech" not in sent


def test_a_job_that_can_only_wait_is_looked_at_ever_more_rarely_and_nothing_is_sent(
    database: Database, job_id: str
) -> None:
    held = inline.claim(database, job_id, "load_identity", begin(database, job_id))
    assert isinstance(held, Claim)
    inline.record(database, held, Wait(None, "A person decides.", awaits="person"))
    pauses = []
    for _ in range(3):
        with database.transaction() as session:
            session.execute(text("UPDATE jobs SET nudge_at = now()"))
        with database.transaction() as session:
            assert stuck(session) == []
        with database.transaction() as session:
            pauses.append(session.scalar(text("SELECT nudge_at - now() FROM jobs")))
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]
    assert inline.advance(database, job_id).launch is None


def test_the_end_of_a_segment_does_not_fence_who_still_waits(database: Database, job_id: str) -> None:
    number = begin(database, job_id)
    held = inline.claim(database, job_id, "load_identity", number)
    assert isinstance(held, Claim)
    inline.record(database, held, Wait(None, "A person decides.", awaits="person"))
    assert inline.advance(database, job_id, launch=number).launch is None
    assert inline.job(database, job_id).launch == number


def test_thousands_of_waiting_steps_do_not_slow_the_sweeper(database: Database, job_id: str) -> None:
    """Compared with the same sweeps when nothing waits: the figures themselves depend on the machine."""

    def sweeps() -> float:
        taken = []
        for _ in range(20):
            start = perf_counter()
            for part in (records.wake, stuck, claims.abandon):
                with database.transaction() as session:
                    part(session)
            taken.append(perf_counter() - start)
        return min(taken)

    calm = sweeps()
    with database.transaction() as session:
        session.execute(text(
            "INSERT INTO jobs (id, client, kind, route, lane, snapshot, request, status, callbacks, nudge_at) "
            "SELECT 'job_' || n, 'acme', 'output', 'multi_scene', 'avatar', '{}', '{}', 'running', false, "
            "now() + interval '1 hour' FROM generate_series(1, 5000) n"
        ))  # fmt: skip
        session.execute(text(
            "INSERT INTO records (job_id, step, stage, place, status, wake_at) "
            "SELECT 'job_' || n, 'load_identity', 'load_identity', 0, 'waiting', "
            "CASE WHEN n % 2 = 0 THEN now() + interval '1 hour' END FROM generate_series(1, 5000) n"
        ))  # fmt: skip
        session.execute(text("ANALYZE jobs, records"))
    assert sweeps() < calm + 0.003


def test_a_job_runs_to_its_result(database: Database) -> None:
    job_id = inline.accept(database, inline.output_request("avt_x"))
    inline.run(database, job_id, perform)
    job = inline.job(database, job_id)
    assert (job.status, job.progress, job.scenes) == ("completed", 1.0, 2)
    assert {row.status for row in inline.rows(database, job_id).values()} == {"succeeded"}


def test_what_is_given_is_taken_and_not_made(database: Database) -> None:
    asked = inline.output_request("avt_x", text="Never spoken.")
    board = Storyboard(tuple(Scene(n, Line(f"Line {n}."), Setting("office"), Shot("wide")) for n in (1, 2)))
    given = {
        "script": Script("Line 1. Line 2.", "given"),
        "storyboard": board,
        "scene/2/background": Background(ASSET),
    }
    request = replace(asked, given={step: codec.dump(output) for step, output in given.items()})
    job_id = inline.accept(database, request)
    made: list[str] = []

    def noted(held: Claim) -> Any:
        made.append(held.step.key)
        return perform(held)

    inline.run(database, job_id, noted)
    rows = inline.rows(database, job_id)
    assert inline.job(database, job_id).status == "completed"
    assert {step: (rows[step].status, rows[step].attempt, rows[step].output) for step in given} == {
        step: ("skipped", 0, codec.dump(output)) for step, output in given.items()
    }
    assert rows["scene/2/background"].input == {"given": "snapshot/given/scene/2/background"}
    assert not given.keys() & set(made)
    assert {"scene/1/background", "scene/1/speech", "scene/2/speech", "scene/2/lip_sync", "publish"} <= set(made)


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
