"""What nothing durable can be faster than here: bare commits and bare messages. `python -m benchmarks.floor`."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg2
from kombu import Connection, Exchange, Queue

from benchmarks.servers import BenchServers
from benchmarks.size import FULL

AT_ONCE = 8
TEXT = "x" * 300


def measure(database_url: str, broker_url: str, *, times: int) -> dict[str, float]:
    """Each a rate per second. `commits` and `updates` on one connection, the others on eight at once."""
    url = database_url.replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE floor (id bigserial PRIMARY KEY, body text, done boolean DEFAULT false)")
    return {
        "commits": _rate(url, _insert, times=times, at_once=1),
        "commits_at_once": _rate(url, _insert, times=times, at_once=AT_ONCE),
        "updates": _rate(url, _insert_and_update, times=times, at_once=1),
        "updates_at_once": _rate(url, _insert_and_update, times=times, at_once=AT_ONCE),
        **_messages(broker_url, times=times),
    }


def step_s(floor: dict[str, float]) -> float:
    """The least that a durable step may cost: its claim and its record are commits, and its message is confirmed."""
    return 2 / floor["commits"] + 1 / floor["publishes"]


def _insert(cursor: Any) -> None:
    cursor.execute("INSERT INTO floor (body) VALUES (%s)", (TEXT,))


def _insert_and_update(cursor: Any) -> None:
    cursor.execute("INSERT INTO floor (body) VALUES (%s) RETURNING id", (TEXT,))
    cursor.execute("UPDATE floor SET done = true WHERE id = %s", cursor.fetchone())


def _rate(url: str, work: Callable[[Any], None], *, times: int, at_once: int) -> float:
    def some(connection: Any) -> None:
        with connection.cursor() as cursor:
            for _ in range(times):
                work(cursor)
                connection.commit()

    with ExitStack() as stack, ThreadPoolExecutor(at_once) as threads:
        connections = [stack.enter_context(closing(psycopg2.connect(url))) for _ in range(at_once)]
        start = time.perf_counter()
        list(threads.map(some, connections))
        return at_once * times / (time.perf_counter() - start)


def _messages(url: str, *, times: int) -> dict[str, float]:
    """To a queue of the service's kind: one by one, each confirmed; the same, and each taken and acknowledged."""
    with _quorum_queue(url) as (connection, queue):
        producer = connection.Producer(serializer="json")

        def publish() -> None:
            producer.publish({"body": TEXT}, exchange=queue.exchange.name, routing_key="floor.x", delivery_mode=2)

        taken: list[Any] = []

        def pass_on() -> None:
            """The message may come while its own confirmation is awaited."""
            publish()
            while not taken:
                connection.drain_events(timeout=10)
            taken.pop().ack()

        rates = {"publishes": _repeat(publish, times)}
        queue.purge()
        with connection.Consumer([queue], callbacks=[lambda _, message: taken.append(message)], prefetch_count=1):
            rates["passed_on"] = _repeat(pass_on, times)
        return rates


def _repeat(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return times / (time.perf_counter() - start)


@contextmanager
def _quorum_queue(url: str) -> Any:
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        exchange = Exchange("floor", type="topic", durable=True)
        made = Queue("floor", exchange, routing_key="floor.#", queue_arguments={"x-queue-type": "quorum"})
        queue = made.bind(connection.default_channel)
        queue.declare()
        yield connection, queue
        queue.delete()


def main() -> None:
    with ExitStack() as stack, BenchServers(stack).fresh() as given:
        for name, rate in measure(given["database_url"], given["broker_url"], times=FULL.floor).items():
            print(f"{name:16} {rate:8.0f} a second")


if __name__ == "__main__":
    main()
