"""Random walks of decisions, retries, cancels and crashes: no job gets stuck, no step runs twice for the same thing."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import text

from db.claims import Claim
from pipeline.graph import steps
from pipeline.outcome import Error, Failed
from pipeline.routes import GATES, plan
from pipeline.state import ACTIVE
from tasks.attempt import attempt
from tasks.watch import Watched
from tests import inline
from tests.api import Caller, payload, serve
from tests.conftest import Servers
from tests.workshop import Workshop

STORYBOARDS = ("One.\nTwo.", "Another.\nOf.\nThree.")
CHANCES = ("run", "run", "run", "crash", "fail", "decide", "decide", "retry", "retry", "cancel")


@pytest.fixture(scope="module")
def workshop(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    name = servers.databases.clone()
    api = serve(servers.databases.url(name), tmp_path_factory.mktemp("walk").as_uri())
    yield Workshop.of(api)
    api.database.dispose()
    servers.databases.drop(name)


@pytest.fixture(scope="module")
def avatar(workshop: Workshop) -> str:
    caller = workshop.api.product
    return workshop.avatar(caller, workshop.upload(caller))


class Walk:
    """A job, what happens to it, and what has been run for it."""

    def __init__(self, workshop: Workshop, avatar_id: str, data: some.DataObject) -> None:
        self.workshop, self.data = workshop, data
        gates = data.draw(some.lists(some.sampled_from(GATES), unique=True, max_size=3), label="gates")
        asked = payload(
            "output.generate/1", avatar_id=avatar_id, script={"text": STORYBOARDS[0]}, review={"gates": gates}
        )
        self.id = workshop.submit(self.caller, "outputs", asked)
        self.done: Counter[tuple[str, int, str]] = Counter()
        self.asked_for: Counter[str] = Counter()

    @property
    def caller(self) -> Caller:
        return self.workshop.api.product

    @property
    def status(self) -> str:
        return str(inline.job(self.workshop.house.database, self.id).status)

    def work(self, ending: str = "run") -> bool:
        """One step, if one can run: to its end, to its failure, or into a crash."""
        database = self.workshop.house.database
        move = inline.advance(database, self.id)
        if move.launch is None:
            return False
        for step in steps(move.launch.tree):
            held = inline.claim(database, self.id, step.key, move.launch.number)
            if isinstance(held, Claim):
                self._end(held, ending)
                return True
        return True

    def _end(self, held: Claim, ending: str) -> None:
        database = self.workshop.house.database
        if ending == "crash":
            with database.transaction() as session:
                session.execute(text("UPDATE records SET lease_until = now() WHERE job_id = :id AND step = :step"),
                                {"id": self.id, "step": held.step.key})  # fmt: skip
            return
        if ending == "fail":
            inline.record(database, held, Failed(Error("vendor_failed", "It failed.", True)))
            return
        tried = attempt(self.workshop.house, held, Watched(held))
        assert inline.record(database, held, tried.outcome, made_assets=tried.made)
        made = inline.rows(database, self.id)[held.step.key]
        self.done[held.step.key, made.variation, held.digest] += 1

    def decide(self) -> None:
        gate = self.caller.get(f"/v1/jobs/{self.id}").get_json()["gate"]
        if gate is None:
            return
        asked: dict[str, Any] = {"contract": "job.approve/1", "gate": gate["name"], "digest": gate["digest"]}
        asked["decision"] = self.data.draw(some.sampled_from(["approve", "approve", "revise"]), label="decision")
        if asked["decision"] == "approve" and gate["name"] == "script" and self.data.draw(some.booleans()):
            asked["edits"] = {"text": STORYBOARDS[1]}
        answer = self.caller.post(f"/v1/jobs/{self.id}/approvals", asked)
        assert answer.status_code == 202, answer.text

    def retry(self) -> None:
        job = inline.job(self.workshop.house.database, self.id)
        known = list(plan(job.route, job.scenes).steps)
        named = self.data.draw(some.sampled_from([None, *known]), label="from_stage")
        asked: dict[str, Any] = {"contract": "job.retry/1", "from_stage": named}
        if named is not None:
            asked["mode"] = self.data.draw(some.sampled_from(["downstream", "single"]), label="mode")
            asked["regenerate"] = self.data.draw(some.booleans(), label="regenerate")
        answer = self.caller.post(f"/v1/jobs/{self.id}/retries", asked)
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 202 and named is not None:
            self.asked_for[named] += 1

    def cancel(self) -> None:
        assert self.caller.post(f"/v1/jobs/{self.id}/cancel").status_code in (202, 409)

    def finish(self) -> None:
        """Whatever has happened, calls that anybody can make bring it to its end."""
        for _ in range(200):
            status = self.status
            if status in ACTIVE:
                self.work()
            elif status == "awaiting_approval":
                gate = self.caller.get(f"/v1/jobs/{self.id}").get_json()["gate"]
                said = {"contract": "job.approve/1", "gate": gate["name"], "decision": "approve"}
                assert self.caller.post(f"/v1/jobs/{self.id}/approvals", said).status_code == 202
            else:
                answer = self.caller.post(f"/v1/jobs/{self.id}/retries", {"contract": "job.retry/1"})
                if status == "completed" and answer.status_code == 409:
                    return
                assert answer.status_code == 202, answer.text
        raise AssertionError(f"still {self.status}")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=some.data())
def test_no_walk_ends_where_nothing_can_move_the_job(workshop: Workshop, avatar: str, data: some.DataObject) -> None:
    walk = Walk(workshop, avatar, data)
    for _ in range(data.draw(some.integers(4, 30), label="moves")):
        chance = data.draw(some.sampled_from(CHANCES), label="chance")
        if chance in ("run", "crash", "fail"):
            walk.work(chance)
        else:
            getattr(walk, chance)()
    walk.finish()
    job = walk.caller.get(f"/v1/jobs/{walk.id}").get_json()
    assert (job["status"], job["progress"], job["stages"]["stale"]) == ("completed", 1.0, [])
    told = walk.caller.get(f"/v1/jobs/{walk.id}/events").get_json()["events"]
    assert [event["sequence"] for event in told] == list(range(1, len(told) + 1))
    for (step, variation, digest), times in walk.done.items():
        assert times <= 1 + walk.asked_for[step], (step, variation, digest)
