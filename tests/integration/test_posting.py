"""What is sent together is with the broker when `posted` ends, or the sender is told."""

from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue

from tasks import posting
from tasks.posting import Unconfirmed, posted
from tests.relay import Relay, relayed

QUEUE = Queue("posted", Exchange("posted", "topic"), "posted.#", queue_arguments={"x-queue-type": "quorum"})
MANY = 40


@pytest.fixture
def line(broker_url: str) -> Iterator[Relay]:
    with relayed(broker_url) as relay:
        yield relay


@pytest.fixture
def app(broker_url: str, line: Relay) -> Iterator[Celery]:
    with Connection(broker_url) as connection:
        queue = QUEUE.bind(connection.default_channel)
        queue.declare()
        queue.purge()
    made = Celery(broker=line.url, set_as_current=False)
    made.conf.task_queues = [QUEUE]
    made.conf.task_publish_retry_policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0.1}
    yield made
    made.close()


def send(app: Celery, count: int) -> None:
    for _ in range(count):
        app.send_task("any", queue="posted", routing_key="posted.any", producer=posting.producer(app))


def lose(app: Celery, line: Relay, *, and_fail: bool = False) -> None:
    send(app, MANY)
    line.cut()
    if and_fail:
        raise ValueError


def settle_what_is_lost(app: Celery, line: Relay) -> None:
    lose(app, line)
    posting.settle()


def waiting(broker_url: str) -> int:
    with Connection(broker_url) as connection:
        return int(QUEUE.bind(connection.default_channel).queue_declare(passive=True).message_count)


def test_at_the_end_the_broker_has_all(app: Celery, broker_url: str) -> None:
    with posted():
        send(app, MANY)
    assert waiting(broker_url) == MANY


def test_the_outermost_waits_and_who_must_know_sooner_can_ask(app: Celery, broker_url: str) -> None:
    with posted():
        with posted():
            send(app, MANY)
        posting.settle()
        assert waiting(broker_url) == MANY
        send(app, 1)
    assert waiting(broker_url) == MANY + 1


def test_who_sends_is_told_when_the_line_is_lost_before_the_broker_confirms(app: Celery, line: Relay) -> None:
    with posted():
        send(app, 1)
    line.hold_answers()
    with pytest.raises(Unconfirmed), posted():
        lose(app, line)


def test_a_failure_hides_no_message_that_is_not_confirmed(app: Celery, line: Relay) -> None:
    with posted():
        send(app, 1)
    line.hold_answers()
    with pytest.raises(Unconfirmed), posted():
        lose(app, line, and_fail=True)


def test_after_a_loss_that_was_noticed_what_follows_takes_a_new_line(app: Celery, line: Relay, broker_url: str) -> None:
    with posted():
        send(app, 1)
    line.hold_answers()
    with posted():
        with pytest.raises(Unconfirmed):
            settle_what_is_lost(app, line)
        send(app, 2)
    assert waiting(broker_url) >= 1 + 2


def test_a_line_that_was_lost_meanwhile_is_opened_anew(app: Celery, line: Relay, broker_url: str) -> None:
    with posted():
        send(app, 1)
    line.cut()
    with posted():
        send(app, MANY)
    assert waiting(broker_url) == 1 + MANY


def test_a_broker_that_has_nothing_to_confirm_is_served_as_well() -> None:
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.task_queues = [Queue("posted", Exchange("posted", "topic"), "posted.#")]
    with posted():
        send(app, 2)
    with app.connection() as connection:
        held = [QUEUE.bind(connection.default_channel).get(no_ack=True) for _ in range(3)]
    assert [message is not None for message in held] == [True, True, False]
    app.close()
