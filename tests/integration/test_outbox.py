"""What is due, for whom, and whose turn comes next: on a database, without workers."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import null, text
from sqlalchemy.orm import Session

from db import events, jobs, outbox
from db.database import Database
from db.outbox import Answer, Letter
from db.statements import Statement, run
from pipeline.state import EventType
from tests import factories
from tests.processes import eventually

TAKEN = Answer(204, 3, "")
REFUSED = Answer(503, 3, "busy")
GONE = Answer(410, 3, "gone")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.dispose()


def tell(database: Database, client: str, *, times: int, job_id: str | None = None) -> str:
    """A job with so many more events."""
    with database.transaction() as session:
        if job_id is None:
            made = factories.JobFactory.build(client=client)
            session.add(made)
            session.flush()
            job_id = made.id
        job = jobs.lock(session, job_id)
        assert job is not None
        for _ in range(times):
            events.tell(session, job, EventType.PROGRESS)
        return job_id


def take(database: Database, client: str) -> Letter:
    with database.transaction() as session:
        letter = outbox.take(session, client)
        assert letter is not None
        return letter


def nothing_due(database: Database, client: str) -> bool:
    with database.transaction() as session:
        return outbox.take(session, client) is None


def settle(database: Database, letter: Letter, answer: Answer, schedule: tuple[float, ...] = (60.0,)) -> bool:
    with database.transaction() as session:
        return outbox.settle(session, letter, answer, schedule=schedule)


def overdue(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(outbox.overdue(session))


def sequence(letter: Letter) -> int:
    return int(letter.body["data"]["sequence"])


def test_of_a_job_one_event_at_a_time_is_due(database: Database) -> None:
    tell(database, "shop", times=3)
    for expected in (1, 2, 3):
        letter = take(database, "shop")
        assert sequence(letter) == expected
        assert nothing_due(database, "shop")
        assert settle(database, letter, TAKEN)
    assert nothing_due(database, "shop")


def test_an_event_that_is_told_during_a_delivery_waits_for_it_and_is_then_due(database: Database) -> None:
    job_id = tell(database, "shop", times=1)
    letter = take(database, "shop")
    tell(database, "shop", times=1, job_id=job_id)
    assert nothing_due(database, "shop")
    settle(database, letter, TAKEN)
    assert sequence(take(database, "shop")) == 2


def test_an_event_that_is_told_in_the_moment_of_settling_is_not_forgotten(database: Database) -> None:
    job_id = tell(database, "shop", times=1)
    letter = take(database, "shop")
    settling = threading.Thread(target=settle, args=(database, letter, TAKEN))
    with database.transaction() as session:
        job = jobs.lock(session, job_id)
        assert job is not None
        events.tell(session, job, EventType.PROGRESS)  # sees the first one as pending
        session.flush()
        settling.start()
        eventually(lambda: waits_for_a_lock(database), within=60, what="who settles waits for who tells")
    settling.join()
    assert sequence(take(database, "shop")) == 2


def waits_for_a_lock(database: Database) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.transaction() as session:
        return bool(session.scalar(text(waiting)))


def test_while_an_event_waits_for_its_next_attempt_no_later_one_is_due(database: Database) -> None:
    tell(database, "shop", times=2)
    settle(database, take(database, "shop"), REFUSED)
    assert nothing_due(database, "shop")
    assert overdue(database) == []


def test_after_a_dead_event_the_next_one_is_due(database: Database) -> None:
    tell(database, "shop", times=2)
    settle(database, take(database, "shop"), REFUSED, schedule=())
    assert sequence(take(database, "shop")) == 2


def test_gone_ends_all_of_the_job(database: Database) -> None:
    job_id = tell(database, "shop", times=2)
    settle(database, take(database, "shop"), GONE)
    assert nothing_due(database, "shop")
    tell(database, "shop", times=1, job_id=job_id)
    assert nothing_due(database, "shop")


def test_an_event_whose_delivery_was_cut_is_due_again_when_its_lease_ends(database: Database) -> None:
    tell(database, "shop", times=2)
    cut = take(database, "shop")
    assert overdue(database) == []
    with database.transaction() as session:
        session.execute(text("UPDATE events SET due_at = now(), lease_until = now() WHERE id = :id"),
                        {"id": cut.event_id})  # fmt: skip
    assert overdue(database) == ["shop"]
    again = take(database, "shop")
    assert again.event_id == cut.event_id
    assert not settle(database, cut, REFUSED)  # the answer that came too late decides nothing
    assert settle(database, again, TAKEN)
    with database.transaction() as session:
        assert [each.status for each in outbox.deliveries(session, cut.event_id)] == [503, 204]


def test_a_redelivered_event_goes_before_the_later_ones(database: Database) -> None:
    tell(database, "shop", times=3)
    first = take(database, "shop")
    settle(database, first, TAKEN)
    with database.transaction() as session:
        assert outbox.redeliver(session, first.event_id, client="shop")
    for expected in (1, 2, 3):
        letter = take(database, "shop")
        assert sequence(letter) == expected
        settle(database, letter, TAKEN)


def test_two_that_settle_events_of_a_job_at_once_leave_the_next_one_due(database: Database) -> None:
    tell(database, "shop", times=3)
    first = take(database, "shop")
    settle(database, first, TAKEN)
    second = take(database, "shop")
    with database.transaction() as session:
        assert outbox.redeliver(session, first.event_id, client="shop")
    again = take(database, "shop")  # both are on their way now
    other = threading.Thread(target=settle, args=(database, second, TAKEN))
    with database.transaction() as session:
        outbox.settle(session, again, TAKEN, schedule=())
        other.start()
        eventually(lambda: waits_for_a_lock(database), within=60, what="one settles after the other")
    other.join()
    assert sequence(take(database, "shop")) == 3


def test_redelivering_what_is_on_its_way_does_not_send_it_twice(database: Database) -> None:
    tell(database, "shop", times=1)
    letter = take(database, "shop")
    with database.transaction() as session:
        assert outbox.redeliver(session, letter.event_id, client="shop")
    assert nothing_due(database, "shop")
    assert settle(database, letter, TAKEN)


def test_overdue_names_each_client_once_however_much_waits(database: Database) -> None:
    for client, count in (("a", 30), ("b", 1), ("c", 2)):
        for _ in range(count):
            tell(database, client, times=2)
    settle(database, take(database, "b"), REFUSED)
    assert overdue(database) == ["a", "c"]


def test_what_the_sweeper_reads_does_not_grow_with_what_is_pending(database: Database) -> None:
    with database.transaction() as session:
        pending(session, "dead", jobs=400, events=4)
        pending(session, "shop", jobs=1, events=1)
    with database.transaction() as session:
        session.execute(text("ANALYZE"))
    read = rows_read(database, outbox.OVERDUE)
    assert read < 50


def pending(session: Session, client: str, *, jobs: int, events: int) -> None:
    made = [factories.JobFactory.build(client=client) for _ in range(jobs)]
    session.add_all(made)
    session.flush()
    session.add_all(
        factories.EventFactory.build(
            job_id=job.id, client=client, sequence=number, state="pending", data={},
            **({} if number == 1 else {"due_at": null()}),
        )
        for job in made
        for number in range(1, events + 1)
    )  # fmt: skip


def rows_read(database: Database, statement: Statement) -> int:
    """How many rows the nodes of the statement's plan gave, all together."""

    def total(node: dict[str, Any]) -> int:
        own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return int(own) + sum(map(total, node.get("Plans", ())))

    with database.transaction() as session:
        run(session.connection(), [(statement, {})])  # prepares it, on this connection alone
        ((explained,),) = run(session.connection(), [(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.call('')}", {})])
    return total(explained[0]["Plan"])
