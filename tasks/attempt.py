"""One attempt at a step: the only place that touches the world, never inside a transaction."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from db import claims
from db.assets import NewAsset
from db.claims import Claim
from db.database import DatabaseAway
from pipeline.errors import OutOfMemory, StageCrashed, StageError, TimeLimitExceeded
from pipeline.outcome import Done, Outcome, judge
from pipeline.stage import Read
from schemas import records as codec
from tasks.house import House
from tasks.tools import Toolbox

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempted:
    outcome: Outcome
    made: list[NewAsset]
    provider: str | None


def attempt(house: House, held: Claim) -> Attempted:
    """Run the stage. Whatever it raises becomes data; only a lost database is somebody else's matter (DatabaseAway)."""
    toolbox = Toolbox(house, held)
    stage = held.step.stage
    try:
        inputs = {read.name: _input(read, held.inputs[read.name]) for read in stage.reads}
        output = stage.run(**inputs, **toolbox.tools())
        return Attempted(Done(output), toolbox.assets.made, toolbox.provider)
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
        log.exception("stage crashed", job=held.job_id, step=held.step.key, attempt=held.attempt)
        return Attempted(crashed(held), [], toolbox.provider)
    outcome = judge(failure, tried=held.tried + 1, tries=stage.tries)
    return Attempted(outcome, [], toolbox.provider)


def crashed(held: Claim) -> Outcome:
    """A fault of ours: the log has the trace, the caller a sentence."""
    failure = StageCrashed(f"{held.step.stage.label} failed for a reason of our own; it is in our log.")
    return judge(failure, tried=held.tried + 1, tries=held.step.stage.tries)


def _input(read: Read, data: Any) -> Any:
    if data is None:
        return None
    return tuple(codec.load(each, read.type) for each in data) if read.many else codec.load(data, read.type)


@contextmanager
def leased(house: House, held: Claim) -> Iterator[None]:
    """Hold the step's lease until its outcome is written, however long the database keeps us waiting."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(claims.RENEWAL_S):
            try:
                with house.database.transaction() as session:
                    if not claims.renew(session, held):
                        log.warning("lease lost", job=held.job_id, step=held.step.key, attempt=held.attempt)
                        return
            except Exception as error:
                # the next renewal may come in time; if none does, the lease is there to end
                log.warning("lease not renewed", job=held.job_id, step=held.step.key, error=type(error).__name__)

    thread = threading.Thread(target=renew, name=f"lease {held.step.key}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
