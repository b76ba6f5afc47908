"""How a worker serves one message: claim, attempt, record, and on to the next light step."""

from functools import partial
from typing import Any
from uuid import uuid4

import structlog
from celery.app.task import Task
from celery.exceptions import Ignore, Reject
from sqlalchemy.orm import Session

from db import claims, records
from db.claims import Claim, Message, Verdict
from db.database import DatabaseAway
from pipeline.outcome import Again, Done, Failed, Wait
from pipeline.routes import STAGES
from tasks import canvas, sightings
from tasks.attempt import Attempted, attempt, crashed, leased
from tasks.course import Course, Next, Place
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
    except MemoryError:
        # Celery would let it kill the worker, and the redelivered message the next one
        log.error("message put back", job=job_id, step=step, error="MemoryError")
        raise Reject("MemoryError", requeue=True) from None


class _Run:
    """One message being served; its course moves on as steps are done."""

    def __init__(self, task: Task, house: House, job_id: str, number: int) -> None:
        self.task = task
        self.house = house
        self.job_id = job_id
        self.number = number
        self.course = Course(task)
        self.delivery = uuid4().hex[:8]
        self.lane: str = task.request.delivery_info["routing_key"].partition(".")[0]

    def serve(self, step: str) -> None:
        message = self._message(step, self.course.place)
        held: Claim | Verdict | None = self.house.database.patiently(lambda session: claims.claim(session, message))
        while held is not None:
            if held is Verdict.SATISFIED:
                held = self._follow()
            elif isinstance(held, Claim):
                held = self._work(held)
            else:
                raise Ignore(held.value)

    def _work(self, held: Claim) -> Claim | Verdict | None:
        """Attempt the step, record it, and claim the next light one in the same transaction."""
        with leased(self.house, held), sightings.seen(self.task, self.course.place.owner, held) as sighting:
            tried = attempt(self.house, held)
            sighting.outcome = tried.outcome
            follow = self._light() if isinstance(tried.outcome, Done) else None
            recorded, follow, then = self._write(held, tried, follow)
        log.info("step recorded", job=held.job_id, step=held.step.key, outcome=type(tried.outcome).__name__)
        announce(held.client, self.job_id)
        if not recorded:
            raise Ignore("a later attempt has the step")
        if isinstance(tried.outcome, Failed):
            raise StageFailed(f"{tried.outcome.error.code}: {tried.outcome.error.message}")
        if not isinstance(tried.outcome, Done):
            raise Ignore("the step waits")
        return self._enter(follow, then)

    def _write(
        self, held: Claim, tried: Attempted, follow: Next | None
    ) -> tuple[bool, Next | None, Claim | Verdict | None]:
        """Whether the outcome was recorded, and what was claimed after it.

        Where it cannot be written with what follows, it is written alone (Celery sends the rest), or else as a crash.
        """
        broken = Attempted(crashed(held), [], tried.provider)
        for outcome, claimed in ((tried, follow), (tried, None)):
            try:
                recorded, then = self.house.database.patiently(partial(self._record, held, outcome, claimed))
                return recorded, claimed, then
            except DatabaseAway:
                raise
            except Exception as error:
                # the error's text may quote what was to be written, so the log has its name alone
                log.error("step not recorded", job=held.job_id, step=held.step.key, error=type(error).__name__)
        self.house.database.patiently(partial(self._record, held, broken, None))
        raise Ignore("the step's outcome could not be written")

    def _record(
        self, held: Claim, tried: Attempted, follow: Next | None, session: Session
    ) -> tuple[bool, Claim | Verdict | None]:
        waits = isinstance(tried.outcome, Again | Wait)
        keep = self._message(held.step.key, self.course.place).keep() if waits else None
        recorded = records.record(
            session, held, tried.outcome, made_assets=tried.made, provider=tried.provider, message=keep
        )
        return recorded, self._next(session, follow) if recorded else None

    def _follow(self) -> Claim | Verdict | None:
        """The step under way was done before: go on with what follows it."""
        follow = self._light()
        return self._enter(follow, self.house.database.patiently(lambda session: self._next(session, follow)))

    def _light(self) -> Next | None:
        """What follows, if it may be done at once; what is heavy or has too little time left, Celery sends."""
        follow = self.course.next()
        if follow is None or follow.step is None:
            return follow
        stage = STAGES[follow.task]
        return None if stage.heavy or stage.limit.total_seconds() > self.course.seconds_left else follow

    def _next(self, session: Session, follow: Next | None) -> Claim | Verdict | None:
        """Claim what follows; None where that is left to Celery, or is to advance and can be done."""
        if follow is None:
            return None
        if follow.step is None:
            return Verdict.EARLY if follow.joins and not records.ready(session, self.job_id, None) else None
        return claims.claim(session, self._message(follow.step, self.course.after(follow)))

    def _enter(self, follow: Next | None, then: Claim | Verdict | None) -> Claim | Verdict | None:
        if follow is None:
            return None
        if follow.joins and then is Verdict.EARLY:
            self.course.stay()
            return None
        self.course.enter(follow)
        if follow.step is None:
            launch(self.job_id, number=self.number)
            return None
        return then

    def _message(self, step: str, place: Place) -> Message:
        stage = STAGES[step.rpartition("/")[2]]

        def keep() -> dict[str, Any]:
            asked = canvas.step(self.task.app, stage, self.job_id, step, self.number, self.lane)
            return self.course.message(asked, place)

        return Message(self.job_id, step, self.number, place.owner, self.delivery, self.course.redelivered, keep)
