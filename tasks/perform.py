"""How a worker serves one message: claim, attempt, record, and on to the next light step."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from celery import signals
from celery.app.task import Task
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError
from kombu.utils.functional import LRUCache
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from db import claims, jobs, records
from db.claims import Claim, Hold, Message, Verdict
from db.database import DatabaseAway
from db.jobs import Move
from db.turns import Turn, turn
from pipeline.failpoints import failpoint
from pipeline.outcome import Again, Done, Failed, Wait
from pipeline.routes import STAGES
from pipeline.stage import Stage
from tasks import canvas, stencils
from tasks.attempt import Attempted, LeaseLost, attempt, crashed
from tasks.course import Course, Next, Place
from tasks.house import House, house
from tasks.launching import announce, launch, send
from tasks.posting import posted
from tasks.sightings import Sightings
from tasks.watch import watch

T = TypeVar("T")

DYING_S = 3.0  # a process that was killed is gone sooner, and with it its proof of life
DYING_PAUSE_S = 0.05
PUT_BACK_PAUSE_S = 1.0

log = structlog.get_logger()
_plans = LRUCache(512)  # of the jobs that were served here, as they were last


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
    except OperationalError as error:
        # what follows may not be with the broker: this message comes again, and sends it again
        log.warning("message put back", job=job_id, step=step, error=str(error))
        sleep(PUT_BACK_PAUSE_S)  # it must not be given back ten times while the broker has its bad moment
        raise Reject("not confirmed", requeue=True) from None
    except MemoryError:
        # Celery would let it kill the worker, and the redelivered message the next one
        log.error("message put back", job=job_id, step=step, error="MemoryError")
        raise Reject("MemoryError", requeue=True) from None


@signals.task_postrun.connect
def served(task: Task, **_: object) -> None:
    """Everything is done, and what follows is sent; the broker does not know it yet."""
    if task.name in STAGES:
        failpoint("before_ack")


@dataclass(frozen=True, slots=True)
class _Moved:
    """The job has advanced: what is to be sent, and what was claimed at once instead."""

    move: Move
    messages: list[dict[str, Any]] = field(default_factory=list)
    entered: dict[str, Any] = field(default_factory=dict)
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class _Beside:
    """A step of another branch, whose message was kept back."""

    message: dict[str, Any]
    claim: Claim | Verdict


@dataclass(frozen=True, slots=True)
class _Written:
    """Whether the attempt was in force, what was claimed after it, and whether a newer launch has taken over."""

    in_force: bool
    follow: Next | None = None
    then: Claim | Verdict | _Moved | _Beside | None = None
    overtaken: bool = False


class _Run:
    """One message being served; its course moves on as steps are done."""

    def __init__(self, task: Task, house: House, job_id: str, number: int) -> None:
        self.task = task
        self.house = house
        self.job_id = job_id
        self.number = number
        self.step = ""
        self.course = Course(task)
        self.delivery = uuid4().hex[:8]
        self.sightings = Sightings(task)
        self.told: str | None = None
        self.moved = _Moved(Move())
        self.held: Claim | None = None
        self.kept: list[dict[str, Any]] = []
        self.lane: str = task.request.delivery_info["routing_key"].partition(".")[0]

    def serve(self, step: str) -> None:
        self.step = step
        with posted():
            try:
                self._serve(self._claim(self._message(step, self.course.place, self.number)))
                self._let_go()
            except (DatabaseAway, OperationalError, MemoryError):
                raise  # the message comes again, and with it what was kept back
            except Exception:
                self._let_go()
                raise
            except SystemExit:
                self._give_back(self.held)  # this process is told to stop
                raise
            finally:
                if self.told is not None:
                    announce(self.told, self.job_id)

    def _serve(self, held: Claim | Verdict | None) -> None:
        while held is not None:
            if held is Verdict.SATISFIED:
                held = self._follow()
            elif isinstance(held, Claim):
                held = self._work(held)
            elif held is Verdict.POISON:
                log.error("message is poison", job=self.job_id)
                raise Reject(held.value, requeue=False)
            else:
                if self.course.redelivered and held is Verdict.STALE:
                    self._suspect()
                raise Ignore(held.value)

    def _suspect(self) -> None:
        """Who had the message before may have launched what follows, and not have sent it."""
        sleep(DYING_PAUSE_S * 4)  # its proof of life goes a moment after it
        launch(self.job_id)

    def _claim(self, message: Message) -> Claim | Verdict | None:
        return _while_held(lambda: self._claim_once(message))

    def _claim_once(self, message: Message) -> Claim | Verdict:
        try:
            made = _plans.get(message.job_id)
            return self.house.database.in_turn(lambda connection: claims.claim(connection, message, made=made))
        except (DatabaseAway, SQLAlchemyError, MemoryError):
            raise
        except Exception:
            log.exception("step cannot begin", job=message.job_id, step=message.step)
            self.house.database.in_turn(lambda connection: claims.stumble(connection, message))
            raise

    def _work(self, held: Claim) -> Claim | Verdict | None:
        """Attempt the step, record it, and claim the next light one in the same transaction."""
        self.held = held
        _plans[held.job_id] = held.plan
        tried, written = self._attempt(held)
        log.info("step recorded", job=held.job_id, step=held.step.key, outcome=type(tried.outcome).__name__)
        if not written.in_force:
            raise Ignore("a later attempt has the step")
        if written.overtaken:
            launch(self.job_id)  # the launch in force found us at work, and left what follows to us
            raise Ignore("another launch is in force")
        if isinstance(tried.outcome, Failed):
            raise StageFailed(f"{tried.outcome.error.code}: {tried.outcome.error.message}")
        if not isinstance(tried.outcome, Done):
            raise Ignore("the step does not go on for now")
        return self._enter(written.follow, written.then)

    def _attempt(self, held: Claim) -> tuple[Attempted, _Written]:
        self.told = held.client
        self.sightings.start(self.course.place.owner, held)
        with watch().over(held) as watched:
            if held.recovered:
                failpoint("in_recovery")
            try:
                tried = attempt(self.house, held, watched)
            except LeaseLost:
                raise Ignore("somebody else has the step") from None
            self.sightings.end(self.course.place.owner, tried.outcome)
            follow = self._light() if isinstance(tried.outcome, Done) else None
            failpoint("before_record")
            written = self._write(held, tried, follow)
            self.held = _claimed(written.then)
            failpoint("after_record")
        return tried, written

    def _write(self, held: Claim, tried: Attempted, follow: Next | None) -> _Written:
        """Record the outcome, and claim what follows.

        Where it cannot be written with what follows, it is written alone (Celery sends the rest), or else as a crash.
        """
        broken = replace(tried, outcome=crashed(held), made=[])
        for outcome, claimed in ((tried, follow), (tried, None)):
            try:
                return self.house.database.in_turn(partial(self._record, held, outcome, claimed))
            except DatabaseAway:
                raise
            except Exception as error:
                # the error's text may quote what was to be written, so the log has its name alone
                log.error("step not recorded", job=held.job_id, step=held.step.key, error=type(error).__name__)
        self.house.database.in_turn(partial(self._record, held, broken, None))
        raise Ignore("the step's outcome could not be written")

    def _record(self, held: Claim, tried: Attempted, follow: Next | None, connection: Connection) -> _Written:
        waits = isinstance(tried.outcome, Again | Wait)
        keep = self._message(held.step.key, self.course.place, self.number).keep() if waits else None
        entered = follow.step if follow else None
        with turn(connection, self.job_id, held.step.key, entered=entered, made=held.plan) as job:
            if job is None:
                return _Written(in_force=False)
            in_force = records.write(
                job,
                held,
                tried.outcome,
                made_assets=tried.made,
                provider=tried.provider,
                passed_over=tried.passed_over,
                message=keep,
            )
            overtaken = job.active and job.launch != self.number and not self._launched(job)
            then = self._next(job, follow) if in_force and isinstance(tried.outcome, Done) else None
            return _Written(in_force, follow, then, overtaken)

    def _follow(self) -> Claim | Verdict | None:
        """The step under way was done before: go on with what follows it."""
        follow = self._light()
        ask = partial(self.house.database.in_turn, partial(self._claim_next, follow))
        return self._enter(follow, _while_held(ask))

    def _claim_next(self, follow: Next | None, connection: Connection) -> Claim | Verdict | _Moved | _Beside | None:
        with turn(connection, self.job_id) as job:
            return self._next(job, follow) if job else Verdict.STALE

    def _light(self) -> Next | None:
        """What follows, if it may be done at once; what is heavy or has too little time left, Celery sends."""
        follow = self.course.next()
        if follow is None or follow.step is None:
            return follow
        return follow if self._bears(STAGES[follow.task]) else None

    def _bears(self, stage: Stage) -> bool:
        return not stage.heavy and stage.limit.total_seconds() <= self.course.seconds_left

    def _next(self, job: Turn, follow: Next | None) -> Claim | Verdict | _Moved | _Beside | None:
        """Claim what follows or stands beside it, or advance; None where that is left to Celery."""
        then = self._onward(job, follow)
        if self.kept and self.course.ends and (then is None or then is Verdict.EARLY):
            name, (_, step, number) = self.kept[0]["name"], self.kept[0]["args"]
            if self._bears(STAGES[name]):
                place = Place.of(self.kept[0])
                return _Beside(self.kept[0], claims.take(job, self._message(step, place, number, follows=True)))
        return then

    def _onward(self, job: Turn, follow: Next | None) -> Claim | Verdict | _Moved | None:
        if follow is None:
            return None
        if follow.step is None:
            return Verdict.EARLY if follow.joins and not jobs.segment_done(job, self.step) else self._advance(job)
        return claims.take(job, self._message(follow.step, self.course.after(follow), self.number, follows=True))

    def _advance(self, job: Turn) -> _Moved:
        """Claim the first of the steps that are launched, if it is light. May be run twice."""
        if not self._launched(job):
            self.moved = self._move(job)
        return self.moved

    def _launched(self, job: Turn) -> bool:
        """Whether what we decided was committed, and the answer lost."""
        launched = self.moved.move.launch
        return launched is not None and launched.number == job.launch != self.number

    def _move(self, job: Turn) -> _Moved:
        move = jobs.move(job, launch=self.number)
        if move.launch is None:
            return _Moved(move)
        first, *others = messages = stencils.messages(move.launch)
        if self._bears(STAGES[first["name"]]):
            _, step, number = first["args"]
            claim = claims.take(job, self._message(step, Place.of(first), number, follows=True))
            if isinstance(claim, Claim):
                return _Moved(move, others, first, claim)
        return _Moved(move, messages)

    def _enter(self, follow: Next | None, then: Claim | Verdict | _Moved | _Beside | None) -> Claim | Verdict | None:
        if isinstance(then, _Beside):
            return self._turn_to(then)
        if follow is None or then is None or then is Verdict.ALONE:
            return None
        if follow.joins and then is Verdict.EARLY:
            self.course.stay()
            return None
        if isinstance(then, Verdict) and then is not Verdict.SATISFIED:
            return then
        self.held = claim = _claimed(then)
        if claim is None:
            if not self._go(follow, then) or then is not Verdict.SATISFIED:
                return None
            self.step = follow.step or self.step
            return then
        with watch().over(claim) as watched:  # the broker may let us wait
            try:
                went = self._go(follow, then)
            except BaseException:
                self._give_back(claim)
                raise
        if not went:
            self._give_back(claim)
            return None
        if watched.hold is Hold.LOST:
            raise Ignore("somebody else has the step")
        self.step = claim.step.key
        return claim

    def _turn_to(self, beside: _Beside) -> Claim | Verdict | None:
        """The branch under way has ended: go on with the one that was kept back. What is not free travels alone."""
        if not isinstance(beside.claim, Claim) and beside.claim is not Verdict.SATISFIED:
            return None
        self.kept.remove(beside.message)
        _, self.step, _ = beside.message["args"]
        self.course.go(Place.of(beside.message))
        self.held = _claimed(beside.claim)
        return beside.claim

    def _let_go(self) -> None:
        """Send what was kept back and not done here."""
        stencils.send(self.task.app, self.kept)
        self.kept = []

    def _keep_back(self, beside: list[dict[str, Any]], step: str | None) -> list[dict[str, Any]]:
        """Keep a scene's light branches for ourselves while every worker is busy; what is to be sent is answered.

        A message for each would only lie in the queue. A scene's alone: other scenes are for whoever is free next.
        """
        scene = (step or "").rpartition("/")[0]

        def light(message: dict[str, Any]) -> bool:
            return message["args"][1].rpartition("/")[0] == scene and self._bears(STAGES[message["name"]])

        if not self.course.crowded or not scene:
            return beside
        self.kept = [*filter(light, beside), *self.kept]
        return [message for message in beside if not light(message)]

    def _go(self, follow: Next, then: Claim | Verdict | _Moved) -> bool:
        """Send what stands beside what was claimed. False: the sweeper will, and what was claimed with it."""
        stencils.send(self.task.app, self._keep_back(self.course.enter(follow), follow.step))
        if not isinstance(then, _Moved):
            return True
        messages = then.messages
        if then.claim is not None:
            messages = self._keep_back(messages, then.claim.step.key)
        if messages:
            failpoint("after_launch")
        if not send(self.job_id, then.move, messages):
            return False
        if then.claim is not None:
            _, _, self.number = then.entered["args"]
            self.course.go(Place.of(then.entered))
        return True

    def _give_back(self, claim: Claim | None) -> None:
        """So that whoever gets the message next can have the step at once."""
        if claim is None:
            return
        try:
            self.house.database.patiently(lambda session: claims.give_back(session, claim), patience_s=PUT_BACK_PAUSE_S)
        except (DatabaseAway, SQLAlchemyError) as error:
            log.warning("claim not given back", job=self.job_id, step=claim.step.key, error=type(error).__name__)

    def _message(self, step: str, place: Place, number: int, *, follows: bool = False) -> Message:
        stage = STAGES[step.rpartition("/")[2]]

        def keep() -> dict[str, Any]:
            asked = canvas.step(self.task.app, stage, self.job_id, step, number, self.lane)
            return self.course.message(asked, place)

        return Message(
            self.job_id,
            step,
            number,
            place.owner,
            self.delivery,
            self.course.redelivered,
            keep,
            watch().life(),
            follows,
            self.house.makers,
        )


def _claimed(then: Claim | Verdict | _Moved | _Beside | None) -> Claim | None:
    claim = then.claim if isinstance(then, _Moved | _Beside) else then
    return claim if isinstance(claim, Claim) else None


def _while_held(ask: Callable[[], T]) -> T:
    """Ask again as long as whoever had this message may be dying."""
    end = monotonic() + DYING_S
    while (held := ask()) is Verdict.HELD and monotonic() < end:
        sleep(DYING_PAUSE_S)
    return held
