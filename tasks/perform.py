"""How a worker serves one message: claim, attempt, record, and on to the next light step."""

from typing import Any

import structlog
from celery.app.task import Task
from celery.exceptions import Ignore, Reject
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import records
from db.database import DatabaseAway
from db.records import Claim, Message, Verdict
from pipeline.outcome import Again, Done, Failed, Wait
from pipeline.routes import STAGES
from tasks import sightings
from tasks.attempt import Attempted, attempt, crashed
from tasks.course import Course, Next
from tasks.house import House, house
from tasks.launching import announce, launch

log = structlog.get_logger()


class StageFailed(Exception):
    """The step is recorded as failed; raised so that Flower and Celery see it as well."""


def perform(task: Task, job_id: str, step: str, number: int) -> None:
    """Serve the message `(job, step, launch)` and the light steps that follow it."""
    try:
        _Run(task, house(), job_id, number).serve(step)
    except DatabaseAway as away:
        # not the stage's failure: the message goes back, and with it the step
        log.error("message put back", job=job_id, step=step, error=str(away))
        raise Reject(str(away), requeue=True) from None


class _Run:
    """One message being served; the course moves on as steps are done."""

    def __init__(self, task: Task, house: House, job_id: str, number: int) -> None:
        self.task = task
        self.house = house
        self.job_id = job_id
        self.number = number
        self.course = Course(task)

    def serve(self, step: str) -> None:
        held: Claim | Verdict | None = self._claim(step, self.course.owner)
        while held is not None:
            if held is Verdict.SATISFIED:
                held = self._follow()
            elif isinstance(held, Claim):
                held = self._work(held)
            else:
                raise Ignore(held.value)

    def _work(self, held: Claim) -> Claim | Verdict | None:
        """Attempt the step, record it, and claim the next light one in the same transaction."""
        with sightings.seen(self.task, self.course.owner, held) as sighting:
            tried = attempt(self.house, held)
            sighting.outcome = tried.outcome
        follow = self._light() if isinstance(tried.outcome, Done) else None
        try:
            recorded, then = self.house.database.patiently(lambda session: self._record(session, held, tried, follow))
        except DBAPIError:
            # an output that cannot be written must end the job, not vanish with its message
            log.exception("step not recorded", job=held.job_id, step=held.step.key)
            tried = Attempted(crashed(held), [], tried.provider)
            recorded, then = self.house.database.patiently(lambda session: self._record(session, held, tried, None))
        announce(held.client, self.job_id)
        if not recorded:
            raise Ignore("a later attempt has the step")
        if isinstance(tried.outcome, Failed):
            raise StageFailed(f"{tried.outcome.error.code}: {tried.outcome.error.message}")
        if not isinstance(tried.outcome, Done):
            raise Ignore("the step waits")
        return self._enter(follow, then)

    def _record(
        self, session: Session, held: Claim, tried: Attempted, follow: Next | None
    ) -> tuple[bool, Claim | Verdict | None]:
        keep = self._keep(held.step.key) if isinstance(tried.outcome, Again | Wait) else None
        recorded = records.record(
            session, held, tried.outcome, made_assets=tried.made, provider=tried.provider, message=keep
        )
        return recorded, self._next(session, follow) if recorded else None

    def _follow(self) -> Claim | Verdict | None:
        """The step under way was done before: go on with what follows it."""
        follow = self._light()
        return self._enter(follow, self.house.database.patiently(lambda session: self._next(session, follow)))

    def _light(self) -> Next | None:
        """What follows, unless it is heavy: that travels in a message of its own, which Celery sends."""
        follow = self.course.next()
        heavy = follow is not None and follow.step is not None and STAGES[follow.task].heavy
        return None if heavy else follow

    def _next(self, session: Session, follow: Next | None) -> Claim | Verdict | None:
        """Claim what follows; None where that is left to Celery, or is to advance and can be done."""
        if follow is None:
            return None
        if follow.step is None:
            return Verdict.STALE if follow.joins and not records.ready(session, self.job_id, None) else None
        return records.claim(session, self._message(follow.step, follow.task_id))

    def _enter(self, follow: Next | None, then: Claim | Verdict | None) -> Claim | Verdict | None:
        if follow is None:
            return None
        if follow.joins and then is Verdict.STALE:
            self.course.stay()
            return None
        self.course.enter(follow)
        if follow.step is None:
            launch(self.job_id, number=self.number)
            return None
        return then

    def _claim(self, step: str, owner: str) -> Claim | Verdict:
        return self.house.database.patiently(lambda session: records.claim(session, self._message(step, owner)))

    def _message(self, step: str, owner: str) -> Message:
        return Message(self.job_id, step, self.number, owner, self.course.redelivered, lambda: self._keep(step))

    def _keep(self, step: str) -> dict[str, Any]:
        lane = self.task.request.delivery_info["routing_key"].partition(".")[0]
        return self.course.message(step.rpartition("/")[2], self.job_id, step, self.number, lane)
