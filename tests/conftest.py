"""Servers for every test: one PostgreSQL and one RabbitMQ a process, a database of its own for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers.postgres import Databases, PrivatePostgres, machine_postgres, named_postgres
from tests.servers.process import ServerMissing
from tests.servers.rabbit import Broker, PrivateRabbit, VirtualHosts, machine_rabbit

# What an example may take depends on what else the machine does.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@dataclass
class Servers:
    """What the tests of this process use. Each is started when the first test asks for it."""

    _stack: ExitStack
    _databases: Databases | None = None
    _vhosts: VirtualHosts | None = None

    @property
    def databases(self) -> Databases:
        if self._databases is None:
            self._databases = Databases(self.postgres_url())
            self._stack.callback(self._databases.close)
            _migrate(self._databases.url(self._databases.template))
        return self._databases

    @property
    def vhosts(self) -> VirtualHosts:
        if self._vhosts is None:
            broker: Broker = machine_rabbit() or self.private_rabbit()
            self._vhosts = VirtualHosts(broker)
            self._stack.callback(self._vhosts.close)
        return self._vhosts

    def postgres_url(self) -> str:
        """A private server rather than the machine's: without fsync, a database a test is made and dropped at once."""
        if named := named_postgres():
            return named
        try:
            return self.private_postgres(PrivatePostgres).url
        except ServerMissing:
            if found := machine_postgres():
                return found
            raise

    def private_postgres(self, kind: type[PrivatePostgres]) -> PrivatePostgres:
        server = kind()
        self._stack.callback(server.remove)
        return server.start()

    def private_rabbit(self) -> PrivateRabbit:
        server = PrivateRabbit()
        self._stack.callback(server.remove)
        return server.start()


def _migrate(url: str) -> None:
    from db.schema import upgrade  # only where a database is used: unit tests need none

    upgrade(url)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def new_database(servers: Servers) -> Iterator[Callable[[], str]]:
    """Makes databases with the newest schema and no rows; answers their URLs."""
    made: list[str] = []

    def make() -> str:
        made.append(servers.databases.clone())
        return servers.databases.url(made[-1])

    yield make
    for name in made:
        servers.databases.drop(name)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def broker_url(servers: Servers) -> Iterator[str]:
    """A virtual host for the tests of one file."""
    url = servers.vhosts.make()
    yield url
    servers.vhosts.give_back(url)


@pytest.fixture(scope="module")
def private_rabbit(servers: Servers) -> Iterator[PrivateRabbit]:
    """A broker that may be stopped, killed and frozen: takes 5 to 30 s to start."""
    server = servers.private_rabbit()
    yield server
    server.remove()


@pytest.fixture
def storage_url(tmp_path: Path) -> str:
    return (tmp_path / "assets").as_uri()
