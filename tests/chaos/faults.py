"""What can happen to an installation, as verbs. Each returns when it is over; what it broke is coming back by then."""

import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import amqp
import psutil

from tests.chaos.stand import Stand

TAP = "tap"
RESTART_S = 3.0
LANES = ("avatar", "marketing")


# --- processes -----------------------------------------------------------------------------


def kill_child(stand: Stand, worker: str) -> None:
    """SIGKILL for a child of its pool, as the kernel does when memory is short."""
    children = stand.supervisor.children(worker)
    if children:
        with suppress(psutil.NoSuchProcess):
            random.choice(children).kill()


def kill_worker(stand: Stand, worker: str) -> None:
    """SIGKILL for the main process and its children, as when their machine is lost."""
    stand.supervisor.kill(worker)


def freeze_worker(stand: Stand, worker: str, seconds: float) -> None:
    """It is cut off, and comes back as if nothing had happened."""
    stand.supervisor.signal(worker, signal.SIGSTOP)
    time.sleep(seconds)
    stand.supervisor.signal(worker, signal.SIGCONT)


def rolling_restart(stand: Stand) -> None:
    """A deploy: every worker ends in order, one after the other."""
    stand.supervisor.roll(*(worker.name for worker in stand.workers))


# --- servers -------------------------------------------------------------------------------


def restart_broker(stand: Stand) -> None:
    """In order: its queues are on disk."""
    stand.rabbit.stop()
    stand.rabbit.start()


def kill_broker(stand: Stand) -> None:
    stand.rabbit.kill()
    stand.rabbit.start()


def freeze_broker(stand: Stand, seconds: float) -> None:
    """It takes connections and answers nothing."""
    stand.rabbit.freeze()
    time.sleep(seconds)
    stand.rabbit.thaw()


def wipe_broker(stand: Stand) -> None:
    """Every queue and message is gone, and every connection cut."""
    user = urlsplit(stand.rabbit.url).username
    every = ', <<".*">>' * 3
    stand.rabbit.ctl(
        "eval",
        'rabbit_vhost:delete(<<"/">>, <<"tests">>), rabbit_vhost:add(<<"/">>, <<"tests">>), '
        f'rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"/">>{every}, <<"tests">>).',
    )


def lose_broker(stand: Stand) -> None:
    """It dies and its disk with it; a new one starts."""
    stand.rabbit.kill()
    shutil.rmtree(stand.rabbit.folder / "data")
    stand.rabbit.start()


def restart_database(stand: Stand) -> None:
    """Every session is cut, and for some seconds nobody answers, as when a standby takes over."""
    database_away(stand, RESTART_S)


def kill_database(stand: Stand) -> None:
    stand.postgres.kill()
    stand.postgres.start()


def database_away(stand: Stand, seconds: float) -> None:
    stand.postgres.stop()
    time.sleep(seconds)
    stand.postgres.start()


# --- messages ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caught:
    """A message as it can be sent again."""

    routing_key: str
    body: Any
    properties: dict[str, Any]


@contextmanager
def line(stand: Stand) -> Iterator[Any]:
    """A channel to the broker."""
    parts = urlsplit(stand.rabbit.url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}", parts.username, parts.password, virtual_host="/", connect_timeout=10
    ) as connection:
        yield connection.channel()


def lose_message(stand: Stand, queue: str) -> bool:
    """Take one away that waits. Whether there was one."""
    with line(stand) as channel:
        return channel.basic_get(queue, no_ack=True) is not None


def purge(stand: Stand, queue: str) -> int:
    """Take all away that wait."""
    with line(stand) as channel:
        return int(channel.queue_purge(queue))


def double_message(stand: Stand, queue: str) -> bool:
    """Put two copies in the place of one that waits. Whether there was one."""
    with line(stand) as channel:
        message = channel.basic_get(queue)
        if message is None:
            return False
        for _ in range(2):
            _publish(channel, _caught(message))
        channel.basic_ack(message.delivery_tag)
        return True


def listen(stand: Stand, keys: Sequence[str] = ("avatar.#", "marketing.#")) -> None:
    """From now on, keep a copy of every message with these keys (until the broker is wiped)."""
    with line(stand) as channel:
        channel.queue_declare(TAP, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        for key in keys:
            channel.queue_bind(TAP, "likeness", key)


def heard(stand: Stand) -> list[Caught]:
    """The copies, in their order; they are kept no longer."""
    found = []
    with line(stand) as channel:
        while (message := channel.basic_get(TAP, no_ack=True)) is not None:
            found.append(_caught(message))
        channel.queue_delete(TAP)
    return found


def replay(stand: Stand, messages: Sequence[Caught]) -> None:
    """Send them again: they are late by then, or double."""
    with line(stand) as channel:
        for message in messages:
            _publish(channel, message)


def _caught(message: Any) -> Caught:
    return Caught(message.delivery_info["routing_key"], message.body, dict(message.properties))


def _publish(channel: Any, message: Caught) -> None:
    channel.basic_publish(amqp.Message(message.body, **message.properties), "likeness", message.routing_key)
