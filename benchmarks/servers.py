"""The servers of a comparison: the machine's where they answer, private ones where they do not."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import psycopg2
from kombu import Connection

from benchmarks.meter import listener
from tests.conftest import Servers
from tests.servers.postgres import PrivatePostgres, machine_postgres

REDIS_URL = "redis://127.0.0.1:6379/0"
REDIS_SETTING = "LIKENESS_BENCH_REDIS_URL"


class DurablePostgres(PrivatePostgres):
    """What is measured here must survive a power cut: unlike in the tests, commits reach the disk."""

    SETTINGS = ("max_connections=200", "log_min_messages=warning")  # type: ignore[assignment]


class BenchServers(Servers):
    def postgres_url(self) -> str:
        return machine_postgres() or self.private_postgres(DurablePostgres).url

    @cached_property
    def redis_url(self) -> str | None:
        """A Redis on loopback, if one answers."""
        if find_spec("redis") is None:
            return None
        import redis

        url = os.environ.get(REDIS_SETTING, REDIS_URL)
        try:
            redis.Redis.from_url(url, socket_connect_timeout=1).ping()
        except redis.RedisError:
            return None
        return url

    @contextmanager
    def fresh(self) -> Iterator[dict[str, Any]]:
        """A database and a virtual host that nobody used, and by name the processes that serve them."""
        name = self.databases.clone()
        database, broker = self.databases.url(name), self.vhosts.make()
        urls = {"postgresql": database, "rabbitmq": broker} | ({"redis": self.redis_url} if self.redis_url else {})
        pids = {server: pid for server, url in urls.items() if (pid := listener(url)) is not None}
        try:
            yield {"database_url": database, "broker_url": broker, "redis_url": self.redis_url, "servers": pids}
        finally:
            self.databases.drop(name)

    def facts(self) -> dict[str, str]:
        """What a reader must know of the servers to judge the figures."""
        url = self.databases.url("postgres").replace("+psycopg2", "")
        with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            shown = {}
            for name in ("server_version", "fsync", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                shown[name] = str((cursor.fetchone() or ["?"])[0])
        with Connection(self.vhosts.make()) as broker:
            rabbit = broker.connection.server_properties["version"]
        return {
            "PostgreSQL": shown["server_version"].partition(" ")[0],
            "fsync": shown["fsync"],
            "synchronous_commit": shown["synchronous_commit"],
            "RabbitMQ": str(rabbit),
        }
