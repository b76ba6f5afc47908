"""One attempt at a step: the only place that touches the world, never inside a transaction."""

import structlog
from billiard.common import terminate_handler_fired
from celery.exceptions import SoftTimeLimitExceeded

from db.claims import Claim, Hold
from db.database import DatabaseAway
from pipeline.calls import NotYet
from pipeline.errors import OutOfMemory, StageCrashed, StageError, TimeLimitExceeded
from pipeline.outcome import Cancelled, Done, Outcome, judge
from schemas.inputs import load
from tasks.attempted import Attempted
from tasks.house import House
from tasks.interrupt import interruptible
from tasks.tools import Toolbox
from tasks.watch import Watched

log = structlog.get_logger()


class LeaseLost(Exception):
    """Somebody else has the step: what came of this attempt is of no interest."""


def attempt(house: House, held: Claim, watched: Watched) -> Attempted:
    """Run the stage. Whatever it raises becomes data; raises DatabaseAway, LeaseLost: others see to that."""
    toolbox = Toolbox(house, held)
    outcome = _run(toolbox, held, watched)
    if not isinstance(outcome, Done):
        if watched.hold is Hold.LOST:
            raise LeaseLost
        if watched.hold is Hold.ENDED:
            outcome = Cancelled()
    made = toolbox.assets.made if isinstance(outcome, Done) else []
    return Attempted(outcome, made, toolbox.provider, toolbox.passed_over)


def _run(toolbox: Toolbox, held: Claim, watched: Watched) -> Outcome:
    stage = held.step.stage
    failure: StageError
    try:
        inputs = load(stage, held.inputs)
        with interruptible() as watched.body:
            return Done(stage.run(**inputs, **toolbox.tools()))
    except NotYet as pause:
        return pause.wait
    except DatabaseAway:
        raise
    except StageError as error:
        failure = error
    except SoftTimeLimitExceeded:
        failure = TimeLimitExceeded(f"{stage.label} took longer than {stage.limit}.")
    except MemoryError:
        # Celery would let it kill the worker, and the redelivered message the next one
        failure = OutOfMemory(f"{stage.label} needed more memory than this worker has.")
    except (Exception, SystemExit):
        if terminate_handler_fired():
            raise  # the process is told to stop: the message goes back, and the step has not failed
        log.exception("stage crashed", job=held.job_id, step=held.step.key, attempt=held.attempt)
        return crashed(held)
    return judge(failure, tried=held.tried + 1, tries=stage.tries)


def crashed(held: Claim) -> Outcome:
    """A fault of ours: the log has the trace, the caller a sentence."""
    failure = StageCrashed(f"{held.step.stage.label} failed for a reason of our own; it is in our log.")
    return judge(failure, tried=held.tried + 1, tries=held.step.stage.tries)
