"""`likeness doctor`: is everything there that a process of this service needs, and if not, what to mend."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.settings import Client, Settings, Vendor
from webapp.cli.patience import within

PATIENCE_S = 8.0
NOTES = {"ok": "[green]ok[/]", "warn": "[yellow]look[/]", "fail": "[red]mend[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is `ok`, `warn` (works, but look) or `fail`; `mend` says what to do about it."""

    state: str
    what: str
    mend: str = ""


Found = list[Finding]
Row = tuple[str, Finding]


@click.command(short_help="Check all that the service needs, and say what to mend.")
def doctor() -> None:
    """Check settings, database, broker, storage, providers and callback targets.

    Reads the environment as the service does (`honcho run likeness doctor` reads .env as well). Exits 1 if something
    has to be mended.
    """
    from schemas import environment

    try:
        settings = environment.read()
    except environment.SettingsInvalid as error:
        rows = [("settings", Finding("fail", line, "see .env.example")) for line in str(error).splitlines()]
        rows.append(("all else", Finding("warn", "not checked: it depends on the settings")))
        secrets: list[str] = []
    else:
        rows = list(examine(settings))
        secrets = secrets_of(settings)
    _print(rows, secrets)
    raise SystemExit(any(finding.state == "fail" for _, finding in rows))


def examine(settings: Settings) -> Iterator[Row]:
    """Every check, one after the other; each takes a few seconds at most, whatever the other side does."""
    yield "settings", Finding("ok", "complete and well formed")
    for area, check in CHECKS.items():
        try:
            found = within(PATIENCE_S, check, settings)
        except TimeoutError:
            mend = "is the server frozen, or a firewall between?"
            found = [Finding("fail", f"no answer within {PATIENCE_S:g} s", mend)]
        except Exception as error:  # client libraries have kinds of their own; one check must not end the others
            found = [Finding("fail", f"{type(error).__name__}: {_first(error)}")]
        yield from ((area, finding) for finding in found)


def _database(settings: Settings) -> Found:
    from sqlalchemy.exc import SQLAlchemyError

    from db.database import Database
    from db.schema import current

    try:
        database = Database(settings.database_url)
    except (SQLAlchemyError, ImportError, ValueError):
        mend = "LIKENESS_DATABASE_URL=postgresql+psycopg2://…"
        return [Finding("fail", "the URL is none that SQLAlchemy knows", mend)]
    try:
        database.ping()
        newest = current(database.engine)
    except SQLAlchemyError as error:
        said = _first(getattr(error, "orig", None) or error)
        return [Finding("fail", f"does not answer: {said}", "start it, or correct LIKENESS_DATABASE_URL")]
    finally:
        database.dispose()
    if not newest:
        return [Finding("fail", "answers, but its schema is not the newest", "python -m db upgrade")]
    return [Finding("ok", "answers; its schema is the newest")]


def _broker(settings: Settings) -> Found:
    from kombu import Connection

    if settings.broker_url.startswith("memory://"):
        return [Finding("warn", "in memory: only for one process, as in the demo", "LIKENESS_BROKER_URL=amqp://…")]
    try:
        with Connection(settings.broker_url, connect_timeout=2, heartbeat=0) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2)
    except Exception as error:  # each transport has errors of its own kinds
        return [Finding("fail", f"cannot be used: {_first(error)}", "start it, or correct LIKENESS_BROKER_URL")]
    return [Finding("ok", "answers")]


def _storage(settings: Settings) -> Found:
    from providers.storage import Storage, StorageUnusable

    try:
        Storage(settings.storage_url).check()
    except ImportError as error:
        return [Finding("fail", f"a package is missing: {error.name}", "pip install '.[s3]'")]
    except (ValueError, StorageUnusable) as error:
        return [Finding("fail", _first(error), "LIKENESS_STORAGE_URL: what may be written")]
    return [Finding("ok", f"wrote, read and removed a file ({urlsplit(settings.storage_url).scheme or 'a folder'})")]


def _providers(settings: Settings) -> Found:
    """Every family that the settings name, and who serves what; nothing is called, so nothing is paid."""
    from providers.catalogue import Catalogue

    missing: dict[str, dict[str, str]] = {}  # by family, by capability: why it cannot serve
    found = []
    for capability, families in settings.providers.items():
        for family in families:
            only = replace(settings, providers={capability: (family,)})
            if reason := Catalogue(only).problems().get(capability):
                missing.setdefault(family, {})[capability] = reason.removeprefix(f"{family}: ")
        usable = [family for family in families if capability not in missing.get(family, {})]
        if len(families) > 1:
            order = ", then ".join(f"{family}{'' if family in usable else ' (cannot)'}" for family in families)
            mend = "" if usable else "one of them at least: what is missing is said below"
            found.append(Finding("ok" if usable else "fail", f"{capability}: {order}", mend))
    for family, reasons in missing.items():
        alone = any(settings.providers[capability] == (family,) for capability in reasons)
        mend = "pip install '.[local]'" if family == "local" else "set what is missing, or correct LIKENESS_PROVIDERS"
        for reason in dict.fromkeys(reasons.values()):
            for_what = ", ".join(name for name, said in reasons.items() if said == reason)
            found.append(Finding("fail" if alone else "warn", f"{family} cannot serve {for_what}: {reason}", mend))
    for family, vendor in settings.vendors.items():
        found += _vendor(settings, vendor, set(missing.get(family, {}).values()))
    if not missing:
        used = ", ".join(sorted({family for chosen in settings.providers.values() for family in chosen}))
        served = sum(map(bool, settings.providers.values()))
        found.insert(0, Finding("ok", f"all {served} capabilities that are set up ({used})"))
    return found


def _vendor(settings: Settings, vendor: Vendor, told: set[str]) -> Found:
    """What is set for one vendor, as far as it can be told without calling: never a value, which may be a key."""
    from pipeline.errors import ProviderMissing
    from providers import hooks, wire

    found = []
    for name in sorted(vendor.variables):
        if not name.endswith("URL") or not vendor.variables[name]:
            continue
        try:
            wire.base_url(vendor, "", name)
        except ProviderMissing as error:
            if str(error) not in told:
                found.append(Finding("fail", str(error), "correct it, or leave it out for the vendor's own"))
    if hooks.reader(settings, vendor.name) and settings.public_url is None:
        what = f"{vendor.name} could tell us when its work is done, but LIKENESS_PUBLIC_URL is not set"
        found.append(Finding("warn", what, "without it the vendor is asked again and again: slower, and works"))
    if not (told or found):
        most = f", at most {vendor.concurrency} calls at once" if vendor.concurrency else ""
        found.append(Finding("ok", f"{vendor.name}: its settings are complete{most}; its key was not tried"))
    return found


def _local_media(settings: Settings) -> Found:
    """The files beside the packages: ffmpeg, models, and the sample, which only the demo needs."""
    if not any("local" in chosen for chosen in settings.providers.values()):
        return [Finding("ok", "not used")]
    try:
        from providers.local import ffmpeg, models, sample
        from providers.local.distribution import SetupIncomplete
    except ImportError as error:
        return [Finding("fail", f"a package is missing: {error.name}", "pip install '.[local]'")]
    from pipeline.errors import StageError

    found = []
    try:
        for name in models.MEMBERS:
            models.model(name)
    except StageError as error:
        found.append(Finding("fail", error.message, "python -m providers.local.models"))
    try:
        ffmpeg.run(["-version"], timeout=5)
    except (StageError, OSError, RuntimeError) as error:
        found.append(Finding("fail", f"ffmpeg: {_first(error)}", "pip install --force-reinstall imageio-ffmpeg"))
    try:
        sample.portrait()
    except SetupIncomplete:
        found.append(Finding("warn", "the demo's sample portrait is missing", "python -m providers.local.sample"))
    return found or [Finding("ok", "face models, ffmpeg and the sample are there")]


def _clients(settings: Settings) -> Found:
    if not settings.clients:
        return [Finding("warn", "there are none: nobody can call", "likeness clients new NAME")]
    found = [finding for client in settings.clients for finding in _target(client, settings)]
    if settings.public_url is None and any(client.callback_url for client in settings.clients):
        what = "LIKENESS_PUBLIC_URL is not set: links in events are paths without a host"
        found.append(Finding("warn", what, "set it to this service's address, as product backends see it"))
    return found


def _target(client: Client, settings: Settings) -> Found:
    """Whether events would reach this client, as far as it can be told without calling."""
    from providers.line import is_public

    if client.callback_url is None:
        return [Finding("ok", f"{client.name}: has no callback_url, so it is told of nothing")]
    parts = urlsplit(client.callback_url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not settings.callback_allow_private:
        what = f"{client.name}: {parts.scheme}://{host} is never called: it is not https"
        return [Finding("fail", what, "an https:// callback_url, or LIKENESS_CALLBACK_ALLOW_PRIVATE=1")]
    try:
        addresses = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError:
        return [Finding("warn", f"{client.name}: {host} has no address here", "correct its callback_url")]
    if not settings.callback_allow_private and not all(is_public(str(each[4][0])) for each in addresses):
        what = f"{client.name}: {host} leads to an address that is not public, so it is never called"
        return [Finding("fail", what, "a public address, or LIKENESS_CALLBACK_ALLOW_PRIVATE=1")]
    return [
        Finding("ok", f"{client.name}: {parts.scheme}://{host}, signed with {len(client.callback_secrets)} secret(s)")
    ]


CHECKS: dict[str, Callable[[Settings], Found]] = {
    "database": _database,
    "broker": _broker,
    "storage": _storage,
    "providers": _providers,
    "local media": _local_media,
    "clients": _clients,
}


def secrets_of(settings: Settings) -> list[str]:
    """What must not be printed, whatever an error message contains."""
    found = [settings.signing_key]
    for url in (settings.database_url, settings.broker_url, settings.storage_url):
        with suppress(ValueError):
            password = urlsplit(url).password
            found += [password, unquote(password)] if password else []
    found += [secret for client in settings.clients for secret in client.callback_secrets]
    found += [value for name, value in os.environ.items() if value and name.endswith(("_KEY", "_SECRET", "_TOKEN"))]
    return [each for each in found if each]


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _print(rows: list[Row], secrets: list[str]) -> None:
    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "…")
        return escape(text)

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "area", "found", "to mend"):
        table.add_column(column, overflow="fold")
    for area, finding in rows:
        table.add_row(NOTES[finding.state], area, clean(finding.what), clean(finding.mend))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: no words are broken for it
    console.print(table)
    broken = sum(finding.state == "fail" for _, finding in rows)
    console.print(f"{broken} to mend" if broken else "nothing to mend")
