"""The operator's contract: environment variables become Settings, or one clear message names all that is wrong."""

import base64
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pipeline.ports import CAPABILITIES
from pipeline.settings import Certificate, Client, Settings, Vendor
from schemas.problems import Flaw, flaws

LEAST_SECRET = 24  # bytes, as Standard Webhooks asks for
MOST_SECRET = 64
DRIVERS = ("postgresql", "postgresql+psycopg2")
STORES = ("file", "local", "s3", "s3a")
BROKERS = ("amqp", "amqps", "memory")


class SettingsInvalid(Exception):
    """The process must not start; the message has one line for each variable."""


def _signs(secret: str) -> None:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not LEAST_SECRET <= len(key) <= MOST_SECRET:
        raise ValidationError(f"must be whsec_ and the base64 of {LEAST_SECRET} to {MOST_SECRET} bytes")


class ClientSchema(Schema):
    name = fields.String(required=True, validate=validate.Regexp(r"^[A-Za-z0-9_.-]{1,64}$"))
    token_sha256 = fields.List(
        fields.String(validate=validate.Regexp(r"^[0-9a-f]{64}$", error="must be 64 lower-case hex digits")),
        required=True,
        validate=validate.Length(min=1),
    )
    callback_url = fields.Url(load_default=None, allow_none=True, require_tld=False, schemes={"http", "https"})
    callback_secrets = fields.List(fields.String(validate=_signs), load_default=list)
    max_active_jobs = fields.Integer(load_default=1000, validate=validate.Range(min=1))


LONGEST_PAUSE_S = 30 * 86400.0
# Who serves where nothing is set.
LOCAL: dict[str, tuple[str, ...]] = dict.fromkeys(CAPABILITIES, ("local",))
REQUIRED = ("LIKENESS_DATABASE_URL", "LIKENESS_BROKER_URL", "LIKENESS_SIGNING_KEY")


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsInvalid, which names every missing or malformed variable and no value."""
    problems = [f"{name} is not set" for name in REQUIRED if not environ.get(name)]

    defaults = {each.name: each.default for each in fields_of(Settings)}

    def parse(name: str, convert: Callable[[str], Any], default: Any) -> Any:
        text = environ.get(name)
        if not text:
            return default
        try:
            return convert(text)
        except (ValueError, TypeError, ValidationError) as error:
            found = flaws(error.messages) if isinstance(error, ValidationError) else [Flaw("", "is malformed")]
            problems.append(f"{name} " + "; ".join(f"{flaw.pointer} {flaw.detail}".strip() for flaw in found))
            return default

    parse("LIKENESS_DATABASE_URL", _database, None)
    parse("LIKENESS_BROKER_URL", _broker, None)
    values = {
        "storage_url": parse("LIKENESS_STORAGE_URL", _storage, "var/assets"),
        "clients": parse("LIKENESS_CLIENTS", _clients, ()),
        "providers": parse("LIKENESS_PROVIDERS", _providers, LOCAL),
        "media_hosts": parse("LIKENESS_MEDIA_HOSTS", _words, ()),
        "callback_allow_private": parse("LIKENESS_CALLBACK_ALLOW_PRIVATE", _switch, False),
        "callback_schedule_s": parse("LIKENESS_CALLBACK_SCHEDULE_S", _pauses, defaults["callback_schedule_s"]),
        "max_upload_bytes": parse("LIKENESS_MAX_UPLOAD_BYTES", _count, defaults["max_upload_bytes"]),
        "url_lifetime_s": parse("LIKENESS_URL_LIFETIME_S", _count, defaults["url_lifetime_s"]),
        "public_url": parse("LIKENESS_PUBLIC_URL", _public, None),
        "certificate": _certificate(environ, problems),
        "failpoints": environ.get("LIKENESS_FAILPOINTS") or None,
    }
    families = {family for chosen in values["providers"].values() for family in chosen} - {"local"}
    values["vendors"] = {name: _vendor(name, environ, parse) for name in sorted(families)}
    key = environ.get("LIKENESS_SIGNING_KEY", "")
    if key and len(key) < 32:
        problems.append("LIKENESS_SIGNING_KEY must have at least 32 characters")
    if problems:
        raise SettingsInvalid("\n".join(problems))
    return Settings(
        database_url=environ["LIKENESS_DATABASE_URL"],
        broker_url=environ["LIKENESS_BROKER_URL"],
        signing_key=key,
        **values,
    )


def _clients(text: str) -> tuple[Client, ...]:
    loaded = ClientSchema(many=True).load(_json(text, list))
    names = [each["name"] for each in loaded]
    if len(set(names)) < len(names):
        raise ValidationError("names a client twice")
    for each in loaded:
        if each["callback_url"] and not each["callback_secrets"]:
            raise ValidationError(f"client {each['name']} has a callback_url but no callback_secrets to sign with")
    return tuple(_client(each) for each in loaded)


def _client(loaded: dict[str, Any]) -> Client:
    lists = {name: tuple(loaded[name]) for name in ("token_sha256", "callback_secrets")}
    return Client(**{**loaded, **lists})


def _providers(text: str) -> dict[str, tuple[str, ...]]:
    chosen = _json(text, dict)
    if unknown := sorted(set(chosen) - set(CAPABILITIES)):
        raise ValidationError(f"names unknown capabilities {unknown}; known are {sorted(CAPABILITIES)}")
    for capability, names in chosen.items():
        if not (
            isinstance(names, list)
            and names
            and all(isinstance(name, str) and all(map(str.isidentifier, name.split("."))) for name in names)
        ):
            raise ValidationError(f"must map {capability} to a list of adapter names")
    return {name: tuple(chosen.get(name, LOCAL[name])) for name in CAPABILITIES}


def _vendor(family: str, environ: Mapping[str, str], parse: Callable[[str, Callable[[str], Any], Any], Any]) -> Vendor:
    prefix = Vendor(family).variable("")
    variables = {name.removeprefix(prefix): value for name, value in environ.items() if name.startswith(prefix)}
    base = (environ.get("LIKENESS_PUBLIC_URL") or "").rstrip("/")
    hook = f"{base}/hooks/{family}" if base else None
    return Vendor(family, variables, concurrency=parse(f"{prefix}CONCURRENCY", _count, None), hook=hook)


def _certificate(environ: Mapping[str, str], problems: list[str]) -> Certificate | None:
    """Both files or none. That they fit each other is seen when the first video is signed."""
    names = ("LIKENESS_C2PA_CERTIFICATE", "LIKENESS_C2PA_KEY")
    files = [environ.get(name, "") for name in names]
    if not any(files):
        return None
    for name, file in zip(names, files, strict=True):
        if not file:
            problems.append(f"{name} is not set, and the other of the two is")
        elif not os.access(file, os.R_OK):
            problems.append(f"{name} names a file that cannot be read")
    return Certificate(*files)


def _json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValidationError(f"is not JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(value, kind):
        raise ValidationError(f"must be a JSON {'list' if kind is list else 'object'}")
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())


def _switch(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValidationError("must be on or off")


def _pauses(text: str) -> tuple[float, ...]:
    pauses = tuple(_positive(float(word)) for word in text.split(","))
    if max(pauses) > LONGEST_PAUSE_S:
        raise ValidationError("has a pause of more than 30 days")
    return pauses


def _count(text: str) -> int:
    return int(_positive(int(text)))


def _positive(number: float) -> float:
    if not 0 < number <= sys.maxsize:
        raise ValidationError("must be above zero")
    return number


def _database(text: str) -> None:
    try:
        driver = make_url(text).drivername
    except (ArgumentError, ValueError):
        driver = ""
    if driver not in DRIVERS:
        raise ValidationError("must be an SQLAlchemy URL that begins with postgresql+psycopg2://")


def _broker(text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in BROKERS or not (parts.hostname or parts.scheme == "memory"):
        raise ValidationError("must be a URL that begins with amqp:// and names a host")


def _storage(text: str) -> str:
    if "://" in text and text.partition("://")[0] not in STORES:
        raise ValidationError("must be a folder, file:///… or s3://bucket/prefix")
    return text


def _public(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValidationError("must begin with https:// and name a host")
    return text
