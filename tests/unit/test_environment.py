"""Settings: all that is wrong at once, and never a value."""

import json
from pathlib import Path

import pytest

from pipeline.settings import Certificate
from schemas.environment import SettingsInvalid, read

KEY = "k" * 40
GOOD = {
    "LIKENESS_DATABASE_URL": "postgresql+psycopg2://u:hunter2@db/likeness",
    "LIKENESS_BROKER_URL": "amqp://guest:hunter2@mq",
    "LIKENESS_SIGNING_KEY": KEY,
}
CLIENT = {"name": "shop", "token_sha256": ["0" * 64]}


def test_what_is_not_set_has_its_default() -> None:
    settings = read(GOOD)
    assert settings.storage_url == "var/assets"
    assert settings.providers["speech"] == ("local",)
    assert settings.clients == ()


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsInvalid) as found:
        read({})
    assert [line.split()[0] for line in str(found.value).splitlines()] == [
        "LIKENESS_DATABASE_URL", "LIKENESS_BROKER_URL", "LIKENESS_SIGNING_KEY",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIKENESS_CLIENTS", "{hunter2"),
        ("LIKENESS_CLIENTS", '{"name": "hunter2"}'),
        ("LIKENESS_CLIENTS", json.dumps([{**CLIENT, "token_sha256": ["hunter2"]}])),
        ("LIKENESS_CLIENTS", json.dumps([{**CLIENT, "callback_url": "https://shop.example/hook"}])),
        ("LIKENESS_CLIENTS", json.dumps([{**CLIENT, "callback_secrets": ["hunter2"]}])),
        ("LIKENESS_CLIENTS", json.dumps([CLIENT, CLIENT])),
        ("LIKENESS_PROVIDERS", '{"speach": ["local"]}'),
        ("LIKENESS_PROVIDERS", '{"speech": "hunter2"}'),
        ("LIKENESS_PROVIDERS", '{"speech": ["../hunter2"]}'),
        ("LIKENESS_CALLBACK_ALLOW_PRIVATE", "hunter2"),
        ("LIKENESS_CALLBACK_SCHEDULE_S", "5,-1"),
        ("LIKENESS_CALLBACK_SCHEDULE_S", "nan"),
        ("LIKENESS_CALLBACK_SCHEDULE_S", "inf,5"),
        ("LIKENESS_CLIENTS", json.dumps([{**CLIENT, "callback_secrets": ["whsec_" + "=" * 32]}])),
        ("LIKENESS_CLIENTS", json.dumps([{**CLIENT, "callback_secrets": ["whsec_" + "a" * 25]}])),
        ("LIKENESS_DATABASE_URL", "mysql://u:hunter2@db/likeness"),
        ("LIKENESS_DATABASE_URL", "hunter2"),
        ("LIKENESS_DATABASE_URL", "postgresql+asyncpg://u:hunter2@db/likeness"),
        ("LIKENESS_STORAGE_URL", "ftp://u:hunter2@files/x"),
        ("LIKENESS_PUBLIC_URL", "hunter2.example"),
        ("LIKENESS_BROKER_URL", "hunter2"),
        ("LIKENESS_BROKER_URL", "redis://:hunter2@mq"),
        ("LIKENESS_MAX_UPLOAD_BYTES", "hunter2"),
        ("LIKENESS_SIGNING_KEY", "hunter2"),
    ],
)
def test_what_is_malformed_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid) as found:
        read({**GOOD, name: value})
    (line,) = str(found.value).splitlines()
    assert line.startswith(name)
    assert "hunter2" not in line


def test_no_secret_shows_in_the_settings() -> None:
    client = {**CLIENT, "callback_url": "https://shop.example/hook", "callback_secrets": ["whsec_" + "hunter2x" * 5]}
    shown = repr(read({**GOOD, "LIKENESS_CLIENTS": json.dumps([client])}))
    assert "hunter2" not in shown
    assert KEY not in shown
    assert "0" * 64 not in shown


def test_hosts_are_compared_in_lower_case() -> None:
    assert read({**GOOD, "LIKENESS_MEDIA_HOSTS": "CDN.example, *"}).media_hosts == ("cdn.example", "*")


def test_a_certificate_to_sign_with_is_two_files_that_can_be_read(tmp_path: Path) -> None:
    names = ("LIKENESS_C2PA_CERTIFICATE", "LIKENESS_C2PA_KEY")
    files = {name: str(tmp_path / name) for name in names}
    assert read(GOOD).certificate is None
    with pytest.raises(SettingsInvalid) as found:
        read(GOOD | files)
    assert [line.split()[0] for line in str(found.value).splitlines()] == list(names)
    for file in files.values():
        Path(file).write_text("-----BEGIN")
    assert read(GOOD | files).certificate == Certificate(*files.values())
    with pytest.raises(SettingsInvalid, match="LIKENESS_C2PA_KEY is not set"):
        read(GOOD | {names[0]: files[names[0]]})
