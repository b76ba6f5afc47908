"""`likeness clients`: credentials that the service takes, shown once, never given as arguments."""

import json
from hashlib import sha256

import pytest
from standardwebhooks import Webhook

from schemas import environment
from tests.command import run


def test_a_new_client_is_one_that_the_service_knows() -> None:
    result = run("clients", "new", "shop", "--callback-url", "https://shop.example/hooks", "--max-active-jobs", "5")
    token, secret, entry = result.stdout.splitlines()
    settings = environment.read({
        "LIKENESS_DATABASE_URL": "postgresql://", "LIKENESS_BROKER_URL": "memory://", "LIKENESS_SIGNING_KEY": "k" * 32,
        "LIKENESS_CLIENTS": f"[{entry}]",
    })  # fmt: skip
    (client,) = settings.clients
    assert client.token_sha256 == (sha256(token.encode()).hexdigest(),)
    assert (client.callback_url, client.max_active_jobs) == ("https://shop.example/hooks", 5)
    assert client.callback_secrets == (secret,)
    assert Webhook(secret)
    assert token not in entry
    assert "not shown again" in result.stderr


def test_two_clients_share_nothing() -> None:
    first, second = (run("clients", "new", "shop").stdout.splitlines() for _ in range(2))
    assert first[0] != second[0]
    assert "callback_secrets" not in json.loads(first[-1])


@pytest.mark.parametrize("arguments", [("no spaces allowed",), ("shop", "--callback-url", "ftp://shop.example")])
def test_what_the_service_would_refuse_is_refused_here(arguments: tuple[str, ...]) -> None:
    result = run("clients", "new", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_hash_is_of_the_token_alone() -> None:
    assert (
        run("clients", "hash", input="lkn_abcdefghijklmnopqrst\n").stdout
        == sha256(b"lkn_abcdefghijklmnopqrst").hexdigest() + "\n"
    )


@pytest.mark.parametrize("token", ["", "short", "a token with spaces in it"])
def test_what_is_no_token_has_no_hash(token: str) -> None:
    result = run("clients", "hash", input=token)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_token_is_never_an_argument() -> None:
    assert run("clients", "hash", "lkn_abcdefghijklmnopqrst").exit_code == 2
