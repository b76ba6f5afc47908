"""`likeness doctor`: everything that is wrong at once, what to do about it, and no secret."""

import json
import socket
from pathlib import Path

import pytest

from pipeline.ports import CAPABILITIES
from tests.command import run

SIGNING_KEY = "a-signing-key-that-nobody-may-see-0123"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def healthy(database_url: str, broker_url: str, storage_url: str) -> dict[str, str]:
    return {
        "LIKENESS_DATABASE_URL": database_url,
        "LIKENESS_BROKER_URL": broker_url,
        "LIKENESS_STORAGE_URL": storage_url,
        "LIKENESS_SIGNING_KEY": SIGNING_KEY,
        "LIKENESS_PROVIDERS": json.dumps({name: ["tests.instant"] for name in CAPABILITIES}),
        "LIKENESS_CLIENTS": clients("https://127.0.0.1:9/hooks"),
        "LIKENESS_CALLBACK_ALLOW_PRIVATE": "1",
        "LIKENESS_PUBLIC_URL": "https://likeness.example",
    }


def clients(callback_url: str) -> str:
    entry = {"name": "shop", "token_sha256": ["0" * 64], "callback_url": callback_url, "callback_secrets": [SECRET]}
    return json.dumps([entry])


def test_a_healthy_installation_has_nothing_to_mend(healthy: dict[str, str]) -> None:
    result = run("doctor", env=healthy)
    assert result.exit_code == 0, result.output
    assert "nothing to mend" in result.stdout
    assert "mend  " not in result.stdout.replace("to mend", "")


def test_all_wrong_settings_are_said_at_once(healthy: dict[str, str]) -> None:
    wrong = healthy | {"LIKENESS_BROKER_URL": "", "LIKENESS_SIGNING_KEY": "", "LIKENESS_CLIENTS": "[{]"}
    result = run("doctor", env=wrong)
    assert result.exit_code == 1
    for name in ("LIKENESS_BROKER_URL", "LIKENESS_SIGNING_KEY", "LIKENESS_CLIENTS"):
        assert name in result.stdout


def test_every_dead_server_is_named_with_its_remedy(healthy: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        closed = held.getsockname()[1]
    (tmp_path / "file").write_text("")
    wrong = healthy | {
        "LIKENESS_DATABASE_URL": f"postgresql+psycopg2://user:pass-word@127.0.0.1:{closed}/x",
        "LIKENESS_BROKER_URL": f"amqp://user:pass-word@127.0.0.1:{closed}//",
        "LIKENESS_STORAGE_URL": str(tmp_path / "file"),
        "LIKENESS_PROVIDERS": json.dumps({name: ["tests.nobody"] for name in CAPABILITIES}),
        "LIKENESS_CLIENTS": clients("http://127.0.0.1:9/hooks"),
        "LIKENESS_CALLBACK_ALLOW_PRIVATE": "0",
    }
    result = run("doctor", env=wrong)
    assert result.exit_code == 1
    rows = [line.split(maxsplit=2)[:2] for line in result.stdout.splitlines()]
    for area in ("database", "broker", "storage", "providers", "clients"):
        assert ["mend", area] in rows, result.stdout
    for secret in ("pass-word", SIGNING_KEY, SECRET):
        assert secret not in result.output


def rows(healthy: dict[str, str], chosen: dict[str, list[str]], **vendor: str) -> tuple[int, str]:
    """Of a healthy installation with these families: the exit code, and what is said of the providers."""
    families = json.loads(healthy["LIKENESS_PROVIDERS"]) | chosen
    result = run("doctor", env=healthy | {"LIKENESS_PROVIDERS": json.dumps(families)} | vendor)
    assert not any(value in result.output for name, value in vendor.items() if name.endswith("KEY") and value)
    return result.exit_code, "\n".join(line for line in result.stdout.splitlines() if " providers " in line)


def test_a_vendor_that_is_set_up_is_ready_and_its_key_is_never_shown(healthy: dict[str, str]) -> None:
    key = {"FAL_KEY": "key-that-nobody-may-see", "FAL_CONCURRENCY": "4"}
    code, said = rows(healthy, {"background": ["fal", "tests.instant"]}, **key)
    assert code == 0
    assert "background: fal, then tests.instant" in said
    assert "fal: its settings are complete, at most 4 calls at once" in said


def test_a_vendor_without_its_key_is_passed_over_or_has_to_be_mended(healthy: dict[str, str]) -> None:
    code, said = rows(healthy, {"background": ["fal", "tests.instant"]}, FAL_KEY="")
    assert code == 0
    assert "background: fal (cannot), then tests.instant" in said
    assert "look  providers    fal cannot serve background: FAL_KEY not set" in said
    code, said = rows(healthy, {"background": ["fal"]}, FAL_KEY="")
    assert code == 1
    assert "mend  providers    fal cannot serve background: FAL_KEY not set" in said
    code, said = rows(healthy, {"background": ["fal", "nobody"]}, FAL_KEY="")
    assert code == 1
    assert "mend  providers    background: fal (cannot), then nobody (cannot)" in said


@pytest.mark.parametrize("url", ["http://fal.example", "https://user:secret-word@fal.example", "nonsense"])
def test_an_address_that_would_give_the_key_away_is_refused(healthy: dict[str, str], url: str) -> None:
    code, said = rows(healthy, {"background": ["fal"]}, FAL_KEY="key-that-nobody-may-see", FAL_BASE_URL=url)
    assert code == 1
    assert said.count("FAL_BASE_URL") == 1
    assert "secret-word" not in said


def test_webhooks_that_cannot_reach_us_are_worth_a_look(healthy: dict[str, str]) -> None:
    without = {name: value for name, value in healthy.items() if name != "LIKENESS_PUBLIC_URL"}
    _, said = rows(without, {"background": ["fal"]}, FAL_KEY="key-that-nobody-may-see")
    assert "look  providers    fal could tell us when its work is done, but LIKENESS_PUBLIC_URL is not set" in said


def test_an_old_schema_is_told_from_a_dead_database(healthy: dict[str, str]) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(healthy["LIKENESS_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    engine.dispose()
    result = run("doctor", env=healthy)
    assert result.exit_code == 1
    assert "python -m db upgrade" in result.stdout


def test_a_frozen_broker_does_not_hold_it(healthy: dict[str, str]) -> None:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"amqp://guest:guest@127.0.0.1:{frozen.getsockname()[1]}//"
        result = run("doctor", env=healthy | {"LIKENESS_BROKER_URL": url})
    assert result.exit_code == 1
    assert ["mend", "broker"] in [line.split(maxsplit=2)[:2] for line in result.stdout.splitlines()]
