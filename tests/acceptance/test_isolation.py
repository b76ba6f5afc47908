"""One client, or one lane, does not hold up the others."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from uuid import uuid4

import pytest
from sqlalchemy import null, text

from db.database import Database
from tests import factories
from tests.endpoints import Endpoint, black_hole, taking
from tests.fleet import Fleet, fleet
from tests.processes import eventually

FLOOD = 120
EVENTS = 4
DEAD = ("dead-1", "dead-2", "dead-3")
LONG_S = 15.0  # an attempt at an endpoint that does not answer


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with taking() as found:
        yield found


@pytest.fixture(scope="module")
def service(servers, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:  # type: ignore[no-untyped-def]
    with ExitStack() as stack:
        callbacks = {"shop": endpoint.url, "quiet": endpoint.url, "crowd": None}
        callbacks |= {name: stack.enter_context(black_hole()) for name in DEAD}
        yield stack.enter_context(fleet(servers, tmp_path_factory.mktemp("fleet"), callbacks))


def pending(database: Database, client: str, *, jobs: int) -> list[str]:
    """Jobs whose events were told, and nobody was asked to deliver them."""
    made = [factories.JobFactory.build(client=client, status="completed", sequence=EVENTS) for _ in range(jobs)]
    with database.transaction() as session:
        session.add_all(made)
        session.flush()
        for job in made:
            session.add_all(
                factories.EventFactory.build(
                    id=f"evt_{uuid4()}", job_id=job.id, client=client, sequence=number, state="pending",
                    data={"job_id": job.id, "sequence": number, "result": None},
                    **({} if number == 1 else {"due_at": null()}),
                )
                for number in range(1, EVENTS + 1)
            )  # fmt: skip
        return [job.id for job in made]


def status(service: Fleet, job_id: str) -> str:
    with service.database.transaction() as session:
        return str(session.scalar(text("SELECT status FROM jobs WHERE id = :id"), {"id": job_id}))


def story(endpoint: Endpoint, job_id: str) -> list[int]:
    return [letter.body["data"]["sequence"] for letter in endpoint.about(job_id)]


def test_events_pass_by_endpoints_that_never_answer(service: Fleet, endpoint: Endpoint) -> None:
    for client in DEAD:
        pending(service.database, client, jobs=100)
    due = text("SELECT count(DISTINCT client) FROM events WHERE lease_until > now()")

    def held() -> bool:
        with service.database.transaction() as session:
            return session.scalar(due) == len(DEAD)

    eventually(held, within=30, what="a letter to each of them is on its way")
    job = service.submit("shop", "/v1/avatars", service.avatar("shop"))
    eventually(lambda: "job.completed" in {each.body["type"] for each in endpoint.about(job)}, within=60)
    late = [each.at - datetime.fromisoformat(each.body["timestamp"]).timestamp() for each in endpoint.about(job)]
    assert max(late) < LONG_S, "an event waited for endpoints that do not answer"
    assert story(endpoint, job) == list(range(1, len(story(endpoint, job)) + 1))


def test_a_client_with_much_to_hear_hears_it_at_once_and_in_order(service: Fleet, endpoint: Endpoint) -> None:
    before = len(endpoint.letters)
    jobs = pending(service.database, "shop", jobs=200)
    eventually(lambda: len(endpoint.letters) - before >= EVENTS * len(jobs), within=60, what="all events arrive")
    assert {job: story(endpoint, job) for job in jobs} == {job: list(range(1, EVENTS + 1)) for job in jobs}


def test_a_flood_in_one_lane_holds_up_neither_the_other_nor_events_nor_the_sweeper(
    service: Fleet, endpoint: Endpoint
) -> None:
    made = service.submit("crowd", "/v1/avatars", service.avatar("crowd"))
    eventually(lambda: status(service, made) == "completed", within=60, what="an avatar")
    avatar = service.call("crowd", "GET", f"/v1/jobs/{made}").json()["result"]["avatar_id"]
    flood = [service.submit("crowd", "/v1/outputs", service.output(avatar, "sleep")) for _ in range(FLOOD)]
    job = service.submit("shop", "/v1/avatars", service.avatar("shop"))
    lost = pending(service.database, "quiet", jobs=1)[0]
    eventually(lambda: "job.completed" in {each.body["type"] for each in endpoint.about(job)}, within=60)
    eventually(lambda: story(endpoint, lost) == list(range(1, EVENTS + 1)), within=60, what="the sweeper finds them")
    ended = sum(status(service, each) == "completed" for each in flood)
    assert ended < FLOOD / 4


def test_a_part_of_the_sweeper_that_hangs_holds_up_no_other(service: Fleet, endpoint: Endpoint) -> None:
    with service.database.transaction() as session:
        session.execute(text("LOCK TABLE records IN ACCESS EXCLUSIVE MODE"))  # nobody wakes a step now
        lost = pending(service.database, "quiet", jobs=1)[0]
        eventually(
            lambda: story(endpoint, lost) == list(range(1, EVENTS + 1)), within=20, what="the sweeper finds them"
        )
