"""The API on real PostgreSQL: one app for the tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import Api, serve
from tests.conftest import Servers


@pytest.fixture(scope="module")
def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    name = servers.databases.clone()
    folder: Path = tmp_path_factory.mktemp("assets")
    made = serve(servers.databases.url(name), folder.as_uri())
    yield made
    made.database.dispose()
    servers.databases.drop(name)
