"""Monitoring events, for Flower: nobody waits for them, and they travel together.

The broker would confirm each of them, as it confirms steps; they take connections on which it does not.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher
from kombu import Connection
from kombu.asynchronous import Hub, get_event_loop
from kombu.pools import ProducerPool, producers

TOGETHER_S = 0.2


class Events(CeleryEvents):
    dispatcher_cls = "tasks.monitoring:Dispatcher"


class Dispatcher(EventDispatcher):
    """Of a worker's main process, which has a connection for events alone."""

    def __init__(
        self,
        connection: Connection | None = None,
        *args: Any,
        on_send_buffered: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        loop = get_event_loop()
        if on_send_buffered is not None and connection is not None and loop is not None:
            connection.connection.confirm_publish = False  # looked at when a channel is opened
            on_send_buffered = _together(on_send_buffered, loop)
        super().__init__(connection, *args, on_send_buffered=on_send_buffered, **options)


def _together(flush: Callable[[], None], loop: Hub) -> Callable[[], None]:
    """Called for each event; flushes once for all that come within the time."""
    waiting = False

    def due() -> None:
        nonlocal waiting
        waiting = False
        flush()

    def note() -> None:
        nonlocal waiting
        if not waiting:
            waiting = True
            loop.call_later(TOGETHER_S, due)

    return note


@cache
def unconfirmed() -> ProducerPool:
    """Producers whose messages the broker does not confirm. One pool per process; made after the fork."""
    from tasks.app import app

    connection = app.connection_for_write()
    connection.transport_options.pop("confirm_publish", None)
    return producers[connection]
