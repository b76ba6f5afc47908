"""The tables are what the models say."""

from db.database import Database
from db.schema import check, current, upgrade


def test_models_and_migrations_agree(database_url: str) -> None:
    check(database_url)


def test_upgrading_twice_is_harmless(database_url: str) -> None:
    upgrade(database_url)
    database = Database(database_url)
    assert current(database.engine)
    database.dispose()
