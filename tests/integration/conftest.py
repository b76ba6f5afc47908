"""The API on real PostgreSQL: one app for the tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import Api, Caller, serve
from tests.conftest import Servers
from tests.workshop import Workshop


@pytest.fixture(scope="module")
def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    name = servers.databases.clone()
    folder: Path = tmp_path_factory.mktemp("assets")
    made = serve(servers.databases.url(name), folder.as_uri())
    yield made
    made.database.dispose()
    servers.databases.drop(name)


@pytest.fixture
def workshop(database_url: str, storage_url: str) -> Iterator[Workshop]:
    """On a database of the test's own."""
    api = serve(database_url, storage_url)
    yield Workshop.of(api)
    api.database.dispose()


@pytest.fixture
def caller(workshop: Workshop) -> Caller:
    return workshop.api.product


@pytest.fixture
def avatar(workshop: Workshop, caller: Caller) -> str:
    return workshop.avatar(caller, workshop.upload(caller))
