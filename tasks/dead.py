"""Messages that the broker gave up: they lie in the queue `dead` until a person decides about each.

Who looks at them holds them without acknowledging: however the channel ends, the broker has them back. A message is
acknowledged only when what replaces it is committed, or confirmed by the broker.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from kombu import Message, Producer
from kombu.exceptions import ContentDisallowed, DecodeError
from sqlalchemy.orm import Session

from celeryconfig import DEAD
from db import jobs
from pipeline.routes import STAGES
from pipeline.state import ACTIVE, JobStatus
from tasks.app import app
from tasks.house import house
from tasks.launching import launch

PATIENCE_S = 10.0
WORN = 10  # newer brokers drop what was given back twenty times: a message is put in anew before
BROKERS_OWN = ("x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-acquired-count")


class NothingToDo(Exception):
    """There is no work that this message could still ask for; the message says why."""


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead message. `queue` gave it up `count` times for `reason`, at last `at`; None where it does not say."""

    id: str
    task: str | None
    job_id: str | None
    step: str | None
    queue: str | None
    reason: str | None
    count: int
    at: datetime | None
    message: Message = field(repr=False)

    def drop(self) -> None:
        self.message.ack()


class Held:
    """What was in the queue when it was held; what is held goes back when it is closed."""

    def __init__(self, queue: Any, waiting: int) -> None:
        self._queue = queue
        self._held: list[Dead] = []
        self._returned: list[Exception] = []
        queue.channel.events["basic_return"].add(lambda error, *_: self._returned.append(error))
        self.waiting = waiting

    def __iter__(self) -> Iterator[Dead]:
        """Oldest first; what is put in meanwhile is not met."""
        for _ in range(self.waiting):
            message = self._queue.get(accept=["json"])
            if message is None:
                return
            self._held.append(_read(message))
            yield self._held[-1]

    def requeue(self, dead: Dead) -> str:
        """Have the work done that the message asked for; answers how, in words. Raises NothingToDo.

        A step's message is not sent again: its job knows better what is left, and in which launch.
        """
        how = _go_on(dead.job_id, dead.step) if dead.job_id and dead.step else self._send_back(dead)
        dead.message.ack()
        return how

    def renew(self) -> None:
        """Put in anew what was given back too often by those who only looked."""
        for dead in self._held:
            if not dead.message.acknowledged and dead.message.headers.get("x-delivery-count", 0) >= WORN:
                self._publish(dead.message, dead.message.headers, exchange="", routing_key=DEAD.name)
                dead.message.ack()

    def _send_back(self, dead: Dead) -> str:
        death = _death(dead.message)
        if not death.get("routing-keys"):
            raise NothingToDo("it does not say where it came from")
        headers = {name: value for name, value in dead.message.headers.items() if not name.startswith(BROKERS_OWN)}
        self._publish(dead.message, headers, exchange=death["exchange"], routing_key=death["routing-keys"][0])
        return f"sent again to {dead.queue}"

    def _publish(self, message: Message, headers: Mapping[str, Any], *, exchange: str, routing_key: str) -> None:
        """Returns when the broker has it in a queue. Raises NothingToDo where none takes it."""
        properties = {name: message.properties.get(name) for name in ("correlation_id", "reply_to")}
        Producer(self._queue.channel, auto_declare=False).publish(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=dict(headers),
            exchange=exchange,
            routing_key=routing_key,
            delivery_mode="persistent",
            mandatory=True,
            **{name: value for name, value in properties.items() if value},
        )
        if self._returned:  # the broker says so before it confirms
            self._returned.clear()
            raise NothingToDo(f"no queue takes {routing_key} at {exchange or 'the broker'}")


@contextmanager
def hold() -> Iterator[Held]:
    """Raises the transport's errors (`app.connection().connection_errors`, `channel_errors`)."""
    with app.connection_for_write() as connection:
        queue = DEAD.bind(connection.default_channel)
        queue.declare()
        found = queue.queue_declare(passive=True)
        held = Held(queue, found.message_count)
        yield held
        held.renew()


def _read(message: Message) -> Dead:
    death = _death(message)
    task = message.headers.get("task")
    args = _args(message)
    job_id = args[0] if args and isinstance(args[0], str) and args[0].startswith("job_") else None
    at = death.get("time")
    return Dead(
        id=message.headers.get("id") or _fingerprint(message.body),
        task=task,
        job_id=job_id,
        step=args[1] if job_id and task in STAGES and len(args) > 1 else None,
        queue=death.get("queue"),
        reason=death.get("reason"),
        count=int(death.get("count", 0)),
        at=at.replace(tzinfo=UTC) if at else None,
        message=message,
    )


def _fingerprint(body: str | bytes) -> str:
    """Names a message that Celery did not make."""
    return sha256(body.encode() if isinstance(body, str) else body).hexdigest()[:32]


def _death(message: Message) -> Mapping[str, Any]:
    """The broker's last word on it: x-death has the newest first."""
    deaths = message.headers.get("x-death") or [{}]
    found: Mapping[str, Any] = deaths[0]
    return found


def _args(message: Message) -> list[Any]:
    """A Celery message's body is (args, kwargs, what follows)."""
    try:
        args, *_ = message.payload
        return list(args)
    except (ContentDisallowed, DecodeError, TypeError, ValueError):
        return []


def _go_on(job_id: str, step: str) -> str:
    resumed = house().database.patiently(lambda session: _revive(session, job_id, step), patience_s=PATIENCE_S)
    launch(job_id)
    return f"job {job_id} goes on from {step}" if resumed else f"job {job_id} is launched again"


def _revive(session: Session, job_id: str, step: str) -> bool:
    """Whether the job had failed with this step, and is active again. Raises NothingToDo."""
    job = jobs.lock(session, job_id)
    if job is None:
        raise NothingToDo(f"there is no job {job_id} any more")
    if job.status in ACTIVE:
        return False
    failed_here = job.status == JobStatus.FAILED and (job.error or {}).get("stage") == step
    if not failed_here:
        raise NothingToDo(f"job {job_id} is {job.status}")
    jobs.resume(session, job_id)
    return True
