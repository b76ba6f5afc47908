"""Messages whose confirmations are awaited together.

The broker confirms each message that it has safely; to wait for one after the other is most of the time that sending
takes. What is sent within `posted` is on its way at once, and known to be safe when that ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from amqp.exceptions import RecoverableConnectionError
from celery import Celery
from kombu import Producer
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool, connections

CONFIRMED_S = 20.0  # less than a lease


class Unconfirmed(OperationalError):
    """The broker may not have all that was sent."""


class Tally:
    """What was sent on a channel and is not confirmed. The broker numbers what comes, from one on."""

    def __init__(self, channel: Any) -> None:
        self._sent = 0
        self._refused = False
        self.open: set[int] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._confirm)
        channel.events["basic_nack"].add(self._refuse)

    def send(self) -> None:
        self._sent += 1
        self.open.add(self._sent)

    def settle(self, channel: Any) -> None:
        """Wait until nothing is open. Raises Unconfirmed, and whatever the connection raises."""
        end = monotonic() + CONFIRMED_S
        if self.open and channel.connection is None:
            raise Unconfirmed("the connection was lost before the broker confirmed what was sent")
        while self.open and not self._refused:
            channel.connection.drain_events(timeout=max(end - monotonic(), 0.001))
        if self._refused:
            self._refused = False
            raise Unconfirmed("the broker refused a message")

    def _confirm(self, tag: int, multiple: bool) -> None:
        self.open = {number for number in self.open if number > tag} if multiple else self.open - {tag}

    def _refuse(self, tag: int, multiple: bool) -> None:
        self._confirm(tag, multiple)
        self._refused = True


class PostingProducer(Producer):
    """Sends without waiting. A channel on which something is open belongs to it alone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._used: dict[Any, Tally] = {}
        self._lost = False
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]

    def _publish(self, *args: Any, **options: Any) -> Any:
        channel = self.channel
        if not hasattr(channel, "confirm_select"):  # the embedded broker confirms nothing
            return super()._publish(*args, **options)  # type: ignore[no-untyped-call]
        try:
            if channel not in self._used:
                _look(channel)
                self._used[channel] = _tallies.get(channel) or _tallies.setdefault(channel, Tally(channel))
            self._used[channel].send()
            return super()._publish(*args, **options)  # type: ignore[no-untyped-call]
        except BaseException:
            self._forget(channel)
            raise

    def settle(self) -> None:
        """Raises Unconfirmed."""
        lost, self._lost = self._lost, False
        try:
            for channel, tally in self._used.items():
                tally.settle(channel)
            self._used.clear()
        except (OSError, *self.connection.connection_errors, *self.connection.channel_errors) as error:
            self.drop()
            raise Unconfirmed(f"the broker did not confirm what was sent ({type(error).__name__})") from error
        if lost:
            raise Unconfirmed("the channel was lost before the broker confirmed what was sent")

    def drop(self) -> None:
        """Give up the line, and what is open on it: what is sent next takes a new one."""
        if any(tally.open for tally in self._used.values()):
            connection = self.connection
            connection.collect()
            self.revive(connection)  # type: ignore[no-untyped-call]
        self._used.clear()

    def _forget(self, channel: Any) -> None:
        """After a failure nobody knows which number the broker gives to what comes next."""
        tally = self._used.pop(channel, None)
        _tallies.pop(channel, None)
        self._lost = self._lost or (tally is not None and len(tally.open) > 1)


def _look(channel: Any) -> None:
    """Whether the broker has hung up meanwhile: to write would not show it. Raises what the connection raises."""
    if channel.connection is None:
        raise RecoverableConnectionError("the connection was lost")
    with suppress(TimeoutError):
        channel.connection.drain_events(timeout=0)


_tallies: WeakKeyDictionary[Any, Tally] = WeakKeyDictionary()


class _Post:
    """What is sent within one `posted`; the producer is taken when the first message is."""

    def __init__(self) -> None:
        self._producer: PostingProducer | None = None
        self._pool: ProducerPool | None = None

    def producer(self, app: Celery) -> PostingProducer:
        if self._producer is None:
            self._pool = _pool(app)
            self._producer = self._pool.acquire(block=True)
        return self._producer

    def settle(self) -> None:
        if self._producer is not None:
            self._producer.settle()

    def close(self) -> None:
        if self._pool is not None and self._producer is not None:
            self._producer.drop()
            self._pool.release(self._producer)


_post: ContextVar[_Post | None] = ContextVar("post", default=None)


@contextmanager
def posted() -> Iterator[None]:
    """What is sent within is confirmed at the end. Within another it is a part of that. Raises Unconfirmed."""
    if _post.get() is not None:
        yield
        return
    post = _Post()
    token = _post.set(post)
    try:
        try:
            yield
        except Exception:
            post.settle()
            raise
        post.settle()
    finally:
        _post.reset(token)
        post.close()


def settle() -> None:
    """Wait for what was sent up to now. Raises Unconfirmed."""
    if (post := _post.get()) is not None:
        post.settle()


def producer(app: Celery) -> PostingProducer | None:
    """With which to send within `posted`; elsewhere None: Celery takes one of its own, and waits."""
    post = _post.get()
    return None if post is None else post.producer(app)


@cache
def _pool(app: Celery) -> ProducerPool:
    """One per process, made after the fork. On its connections nobody else sends: the tallies are right."""
    connection = app.connection_for_write(transport_options={"confirm_publish": False})
    return ProducerPool(connections[connection], limit=app.pool.limit, Producer=PostingProducer)
