"""How a worker serves one message: claim, attempt, record, and on to the next light steps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from celery import signals, uuid
from celery.app.task import Task
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError
from kombu.utils.functional import LRUCache
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import claims, jobs, records
from db.claims import Claim, Hold, Message, Verdict
from db.database import DatabaseAway
from db.jobs import Launch, Move
from db.turns import Seen, Turn, turn
from pipeline.failpoints import failpoint
from pipeline.graph import EMPTY, Node, Step, first, prune, without
from pipeline.outcome import Again, Cancelled, Done, Failed, Outcome, Wait
from pipeline.routes import STAGES, Plan
from pipeline.stage import Stage
from pipeline.state import StepStatus
from tasks import canvas, stencils
from tasks.attempt import LeaseLost, attempt, crashed
from tasks.attempted import Attempted
from tasks.course import NOWHERE, Course, Next, Place
from tasks.hand import MOST, Hand, Tried, paces
from tasks.house import House, house
from tasks.launching import announce, launch, send
from tasks.posting import posted
from tasks.sightings import Sightings
from tasks.watch import Watched, watch

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
    """What is to be sent now, and what was claimed at once instead: the step of a message, or a hand."""

    move: Move
    messages: list[dict[str, Any]] = field(default_factory=list)
    entered: dict[str, Any] = field(default_factory=dict)
    claim: Claim | None = None
    hand: Hand | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    """Whether the attempt was in force, what was claimed after it, and whether a newer launch has taken over."""

    in_force: bool
    follow: Next | None = None
    then: Claim | Verdict | _Moved | None = None
    overtaken: bool = False


class _Run:
    """One message being served; its course moves on as steps are done."""

    def __init__(self, task: Task, house: House, job_id: str, number: int) -> None:
        self.task = task
        self.house = house
        self.job_id = job_id
        self.number = number
        self.step = ""
        self.owner: str = task.request.id
        self.course = Course(task)
        self.delivery = uuid4().hex[:8]
        self.sightings = Sightings(task)
        self.told: str | None = None
        self.moved = _Moved(Move())
        self.claims: Sequence[Claim] = ()
        self.lane: str = task.request.delivery_info["routing_key"].partition(".")[0]

    def serve(self, step: str) -> None:
        self.step = step
        with posted():
            try:
                self._serve(self._claim(self._message(step, self.course.place, self.number)))
            except (SystemExit, MemoryError, DatabaseAway, OperationalError):
                self._give_back(self.claims)  # this process is told to stop, or the message goes back
                raise
            finally:
                if self.told is not None:
                    announce(self.told, self.job_id)

    def _serve(self, held: Claim | Verdict | Hand | None) -> None:
        while held is not None:
            if held is Verdict.SATISFIED:
                held = self._follow()
            elif isinstance(held, Claim):
                held = self._work(held)
            elif isinstance(held, Hand):
                held = self._play(held)
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

    def _work(self, held: Claim) -> Claim | Verdict | Hand | None:
        """Attempt the step, record it, and claim the next light one in the same transaction."""
        self.claims = (held,)
        _plans[held.job_id] = held.plan
        tried, written = self._attempt(held)
        if not written.in_force:
            raise Ignore("a later attempt has the step")
        self._judge([tried.outcome], written)
        if not isinstance(tried.outcome, Done):
            raise Ignore("the step does not go on for now")
        return self._enter(written.follow, written.then)

    def _judge(self, outcomes: Iterable[Outcome], written: _Written) -> None:
        """Whether it goes on."""
        if written.overtaken:
            launch(self.job_id)  # the launch in force found us at work, and left what follows to us
            raise Ignore("another launch is in force")
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                raise StageFailed(f"{outcome.error.code}: {outcome.error.message}")

    def _attempt(self, held: Claim) -> tuple[Attempted, _Written]:
        with watch().over(held) as (watched,):
            if held.recovered:
                failpoint("in_recovery")
            try:
                tried = self._try(held, watched, self.course.place.owner)
            except LeaseLost:
                raise Ignore("somebody else has the step") from None
            follow = self._light() if isinstance(tried.outcome, Done) else None
            failpoint("before_record")
            written = self._write(held, tried, follow)
            self.claims = _claims_of(written.then)
            failpoint("after_record")
        return tried, written

    def _try(self, held: Claim, watched: Watched, task_id: str) -> Attempted:
        self.told = held.client
        self.sightings.start(task_id, held)
        begun = monotonic()
        tried = attempt(self.house, held, watched)
        paces().note(held.step.stage, monotonic() - begun)
        self.sightings.end(task_id, tried.outcome)
        return tried

    def _write(self, held: Claim, tried: Attempted, follow: Next | None, *, tree: Node | None = None) -> _Written:
        """Record the outcome, and claim what follows.

        Where it cannot be written with what follows, it is written alone (Celery sends the rest), or else as a crash.
        """
        broken = replace(tried, outcome=crashed(held), made=[])
        for outcome, claimed in ((tried, follow), (tried, None)) if follow else ((tried, None),):
            try:
                return self.house.database.in_turn(partial(self._record, held, outcome, claimed, tree))
            except DatabaseAway:
                raise
            except Exception as error:
                # the error's text may quote what was to be written, so the log has its name alone
                log.error("step not recorded", job=held.job_id, step=held.step.key, error=type(error).__name__)
        self.house.database.in_turn(partial(self._record, held, broken, None, tree))
        raise Ignore("the step's outcome could not be written")

    def _record(
        self, held: Claim, tried: Attempted, follow: Next | None, tree: Node | None, connection: Connection
    ) -> _Written:
        keep = self._keep(held, tried, tree)
        entered = follow.step if follow else None
        with turn(connection, self.job_id, held.step.key, entered=entered, made=held.plan) as job:
            if job is None:
                return _Written(in_force=False)
            in_force = self._note(job, held, tried, keep)
            then = self._onward(job, follow) if in_force and follow and isinstance(tried.outcome, Done) else None
            return _Written(in_force, follow, then, self._overtaken(job))

    def _note(self, job: Turn, held: Claim, tried: Attempted, keep: Mapping[str, Any] | None) -> bool:
        """Whether the attempt was in force."""
        in_force = records.write(
            job,
            held,
            tried.outcome,
            made_assets=tried.made,
            provider=tried.provider,
            passed_over=tried.passed_over,
            message=keep,
        )
        log.info("step recorded", job=held.job_id, step=held.step.key, outcome=type(tried.outcome).__name__)
        return in_force

    def _keep(self, held: Claim, tried: Attempted, tree: Node | None) -> Mapping[str, Any] | None:
        """The message that brings a waiting step back, with what follows it. `tree`: of the hand it was a part of."""
        if not isinstance(tried.outcome, Again | Wait):
            return None
        place = self.course.place
        if tree is not None:
            messages = stencils.messages(Launch(self.job_id, self.number, self.lane, tree))
            place = next(Place.of(message) for message in messages if message["args"][1] == held.step.key)
        return self._message(held.step.key, place, self.number).keep()

    def _overtaken(self, job: Turn) -> bool:
        return job.active and job.launch != self.number and not self._launched(job)

    def _play(self, hand: Hand) -> Claim | Verdict | Hand | None:
        """Do what is in hand, record all of it, and take what follows in the same transaction."""
        self.claims = hand.claims
        with watch().over(*hand.claims, hand=hand) as watched:
            self._try_all(hand, {each.held.step.key: each for each in watched})
            done = hand.done()
            failpoint("before_record")
            outcomes, written = self._write_hand(hand, done)
            self.claims = _claims_of(written.then)
            failpoint("after_record")
        self._judge(outcomes, written)
        return self._enter(None, written.then)

    def _try_all(self, hand: Hand, watched: Mapping[str, Watched]) -> None:
        for claim in hand:
            watch_of = watched[claim.step.key]
            if watch_of.hold is Hold.ENDED:
                hand.note(claim, Attempted(Cancelled()))
            elif watch_of.hold is Hold.KEPT:
                with suppress(LeaseLost):
                    hand.note(claim, self._try(claim, watch_of, uuid()))
            failpoint("in_hand")

    def _write_hand(self, hand: Hand, done: Sequence[Tried]) -> tuple[Sequence[Outcome], _Written]:
        """Record the outcomes together; where that cannot be, each alone."""
        try:
            return self.house.database.in_turn(partial(self._record_hand, hand, done))
        except DatabaseAway:
            raise
        except Exception as error:
            log.error("hand not recorded", job=self.job_id, error=type(error).__name__)
        self._write_each(hand.tree, done)
        launch(self.job_id)
        raise Ignore("the outcomes could not be written together")

    def _write_each(self, tree: Node, done: Sequence[Tried]) -> None:
        for held, tried in done:
            with suppress(Ignore):
                self._write(held, tried, None, tree=tree)

    def _record_hand(
        self, hand: Hand, done: Sequence[Tried], connection: Connection
    ) -> tuple[Sequence[Outcome], _Written]:
        """The outcomes that were in force, and what follows. May be run twice."""
        kept = [(held, tried, self._keep(held, tried, hand.tree)) for held, tried in done]
        keys = [held.step.key for held, _ in done]
        sought = _sought(hand.claims[0].plan, self._quick(prune(hand.tree, keys)))
        with turn(connection, self.job_id, *keys, *sought) as job:
            if job is None:
                return [], _Written(in_force=False)
            noted = [(held, tried) for held, tried, keep in kept if self._note(job, held, tried, keep)]
            satisfied = {held.step.key for held, tried in noted if isinstance(tried.outcome, Done)}
            # first without what others have, for what joins it with ours is left then
            left = prune(without(hand.tree, {claim.step.key for claim in hand.claims} - satisfied), satisfied)
            overtaken = self._overtaken(job)
            then = self._onto(job, left) if job.active and not overtaken else None
            failpoint("before_commit")
            return [tried.outcome for _, tried in noted], _Written(True, None, then, overtaken)

    def _onto(self, job: Turn, left: Node) -> _Moved:
        """What follows a hand: more of the tree that it came from, or else the next launch."""
        if self._launched(job) or left == EMPTY:
            return self._advance(job)
        return self._begin(job, Move(Launch(job.id, self.number, job.lane, left))) or self._advance(job)

    def _relieve(self, tree: Node, done: Sequence[Tried], rest: Sequence[Claim]) -> None:
        """A step in hand takes long: what was done before it is recorded, and all else is for others."""
        try:
            self._write_each(tree, done)
            if rest:
                self.house.database.in_turn(lambda connection: claims.let_go(connection, rest))
            launch(self.job_id)
        except (DatabaseAway, SQLAlchemyError) as error:
            log.warning("hand not relieved", job=self.job_id, error=type(error).__name__)

    def _follow(self) -> Claim | Verdict | Hand | None:
        """The step under way was done before: go on with what follows it."""
        follow = self._light()
        ask = partial(self.house.database.in_turn, partial(self._claim_next, follow))
        return self._enter(follow, _while_held(ask))

    def _claim_next(self, follow: Next | None, connection: Connection) -> Claim | Verdict | _Moved | None:
        with turn(connection, self.job_id) as job:
            return self._onward(job, follow) if job else Verdict.STALE

    def _light(self) -> Next | None:
        """What follows, if it may be done at once; what is heavy or has too little time left, Celery sends."""
        follow = self.course.next()
        if follow is None or follow.step is None:
            return follow
        return follow if self._bears(STAGES[follow.task]) else None

    def _bears(self, stage: Stage) -> bool:
        return not stage.heavy and stage.limit.total_seconds() <= self.course.seconds_left

    def _quick(self, tree: Node) -> list[Step]:
        """The steps at its beginning that one hand can hold; one that stands alone needs none."""
        ready = list(first(tree))
        if len(ready) < 2:
            return []
        quick = (step for step in ready if self._bears(step.stage) and paces().quick(step.stage))
        return list(islice(quick, MOST))

    def _onward(self, job: Turn, follow: Next | None) -> Claim | Verdict | _Moved | None:
        """Claim what follows, or advance; None where that is left to Celery."""
        if follow is None:
            return None
        if follow.step is None:
            return Verdict.EARLY if follow.joins and not jobs.segment_done(job, self.step) else self._advance(job)
        return claims.take(job, self._message(follow.step, self.course.after(follow), self.number, follows=True))

    def _advance(self, job: Turn) -> _Moved:
        """Begin what is launched. May be run twice."""
        if not self._launched(job):
            self.moved = self._move(job)
        return self.moved

    def _launched(self, job: Turn) -> bool:
        """Whether what we decided was committed, and the answer lost."""
        launched = self.moved.move.launch
        return launched is not None and launched.number == job.launch != self.number

    def _move(self, job: Turn) -> _Moved:
        move = jobs.move(job, launch=self.number)
        while move.launch is not None:
            if begun := self._begin(job, move):
                return begun
            move = jobs.move(job, launch=move.launch.number)
        return _Moved(move)

    def _begin(self, job: Turn, move: Move) -> _Moved | None:
        """Take what is quick in hand; else claim the first step if it is light, and have the others sent.

        None: all of it was there already, so that what comes after it can begin.
        """
        assert move.launch is not None
        number, tree = move.launch.number, move.launch.tree
        missing = False
        while ready := self._free(job, self._quick(tree)):
            taken = {
                step.key: claims.take(job, self._message(step.key, self._mine(), number, follows=True))
                for step in ready
            }
            mine = [claim for claim in taken.values() if isinstance(claim, Claim)]
            satisfied = {key for key, claim in taken.items() if claim is Verdict.SATISFIED}
            others = taken.keys() - satisfied - {claim.step.key for claim in mine}
            missing = missing or bool(others)
            tree = prune(without(tree, others), satisfied)
            if mine:
                return _Moved(move, hand=Hand(tree, mine, partial(self._relieve, tree)))
        if tree == EMPTY:
            return _Moved(move) if missing else None
        ahead, *beside = messages = stencils.messages(replace(move.launch, tree=tree))
        if self._bears(STAGES[ahead["name"]]):
            _, key, _ = ahead["args"]
            # under our own name, which is the same if this has to be done again
            claim = claims.take(job, self._message(key, self._mine(ahead), number, follows=True))
            if isinstance(claim, Claim):
                return _Moved(move, beside, ahead, claim)
            if claim is Verdict.EARLY:
                messages = beside  # whoever completes what it reads goes on with it
        return _Moved(move, messages)

    def _mine(self, message: Mapping[str, Any] | None = None) -> Place:
        """Of a step that we take without its message, in whose place we are then."""
        return replace(Place.of(message) if message else NOWHERE, owner=self.owner)

    def _free(self, job: Turn, steps: Sequence[Step]) -> Sequence[Step]:
        """Those that nobody has or had when they were lost."""
        ours = self._message("", self._mine(), self.number)

        def free(row: Seen) -> bool:
            taken = row.status in (StepStatus.RUNNING, StepStatus.WAITING, StepStatus.FAILED)
            return not taken or ours.holds(row)

        job.read(*_sought(job.plan, steps))
        return [step for step in steps if free(job.seen[step.key])]

    def _enter(self, follow: Next | None, then: Claim | Verdict | _Moved | None) -> Claim | Verdict | Hand | None:
        if then is None or then is Verdict.ALONE:
            return None
        if follow and follow.joins and then is Verdict.EARLY:
            self.course.stay()
            return None
        if isinstance(then, Verdict) and then is not Verdict.SATISFIED:
            return then
        self.claims = mine = _claims_of(then)
        if not mine:
            if not self._go(follow, then) or then is not Verdict.SATISFIED:
                return None
            self.step = (follow.step if follow else None) or self.step
            return then
        with watch().over(*mine) as watched:  # the broker may let us wait
            try:
                went = self._go(follow, then)
            except BaseException:
                self._give_back(mine)
                raise
        if not went:
            self._give_back(mine)
            return None
        if isinstance(then, _Moved) and then.hand is not None:
            return then.hand
        if watched[0].hold is Hold.LOST:
            raise Ignore("somebody else has the step")
        self.step = mine[0].step.key
        return mine[0]

    def _go(self, follow: Next | None, then: Claim | Verdict | _Moved) -> bool:
        """Send what stands beside what was claimed. False: the sweeper will, and what was claimed with it."""
        if follow is not None:
            stencils.send(self.task.app, self.course.enter(follow))
        if not isinstance(then, _Moved):
            return True
        if then.messages:
            failpoint("after_launch")
        if not send(self.job_id, then.move, then.messages):
            return False
        if _claims_of(then) and then.move.launch is not None:
            self.number = then.move.launch.number
            self.course.go(Place.of(then.entered) if then.entered else NOWHERE)
        return True

    def _give_back(self, mine: Sequence[Claim]) -> None:
        """So that whoever gets the message next can have the steps at once."""
        if not mine:
            return

        def give_back(session: Session) -> None:
            for each in mine:
                claims.give_back(session, each)

        try:
            self.house.database.patiently(give_back, patience_s=PUT_BACK_PAUSE_S)
        except (DatabaseAway, SQLAlchemyError) as error:
            log.warning("claim not given back", job=self.job_id, error=type(error).__name__)

    def _message(self, step: str, place: Place, number: int, *, follows: bool = False) -> Message:
        def keep() -> dict[str, Any]:
            stage = STAGES[step.rpartition("/")[2]]
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


def _claims_of(then: Claim | Verdict | _Moved | None) -> Sequence[Claim]:
    if isinstance(then, _Moved) and then.hand is not None:
        return then.hand.claims
    claim = then.claim if isinstance(then, _Moved) else then
    return (claim,) if isinstance(claim, Claim) else ()


def _sought(plan: Plan, steps: Iterable[Step]) -> list[str]:
    """These steps and what they read."""
    return list(dict.fromkeys(key for step in steps for key in (step.key, *plan.predecessors[step.key])))


def _while_held(ask: Callable[[], T]) -> T:
    """Ask again as long as whoever had this message may be dying."""
    end = monotonic() + DYING_S
    while (held := ask()) is Verdict.HELD and monotonic() < end:
        sleep(DYING_PAUSE_S)
    return held
