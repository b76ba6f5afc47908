"""fal's webhooks: signed with Ed25519 by keys that fal publishes and may change at any time."""

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

import requests
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.errors import ProviderMissing
from pipeline.settings import Vendor
from providers.fal.queue import REQUEST_ID
from providers.hooks import NotGenuine

KEYS_URL = "https://rest.fal.ai/.well-known/jwks.json"
KEYS_LAST_S = 24 * 3600.0  # fal asks for no longer
KEYS_PAUSE_S = 60.0  # anybody can send a bad signature: that must not make us call fal again and again
KEYS_TIMEOUT_S = (3.0, 5.0)
KEYS_BYTES = 64 * 1024
MOST_KEYS = 20
DRIFT_S = 300.0
PREFIX = "x-fal-webhook-"
SHAPES = {
    "request-id": re.compile(r"[\x21-\x7e]{1,128}"),
    "user-id": re.compile(r"[\x21-\x7e]{1,128}"),
    "timestamp": re.compile(r"[0-9]{1,12}"),
    "signature": re.compile(r"[0-9a-fA-F]{128}"),
}

log = structlog.get_logger()


def read(headers: Mapping[str, str], raw: bytes, vendor: Vendor) -> str:
    """The id of the request that fal tells of. Raises NotGenuine, ProviderMissing.

    The same webhook again within five minutes is as good as the first, since fal itself sends it up to ten times.
    """
    if not vendor.variables.get("KEY"):
        raise ProviderMissing(f"{vendor.variable('KEY')} not set")
    said = {name: headers.get(PREFIX + name, "") for name in SHAPES}
    if not all(shape.fullmatch(said[name]) for name, shape in SHAPES.items()):
        raise NotGenuine("This webhook is not signed as fal does it.")
    if abs(time.time() - int(said["timestamp"])) > DRIFT_S:
        raise NotGenuine("This webhook was signed too long ago, or by a clock that is wrong.")
    signed = (said["request-id"], said["user-id"], said["timestamp"], sha256(raw).hexdigest())
    keys = _keys(vendor.variables.get("JWKS_URL") or KEYS_URL)
    if not keys.verify(bytes.fromhex(said["signature"]), "\n".join(signed).encode()):
        raise NotGenuine("The signature is not fal's.")
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    # the header has the id of one try of several, where fal had to try again; the body has the queue's
    request_id = body.get("request_id") if isinstance(body, dict) else None
    if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
        raise NotGenuine("This webhook names no request.")
    return request_id


class Keys:
    """fal's public keys: fetched when first needed, when they are old, and when a signature fits none of them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._fetched_at = self._asked_at = float("-inf")

    def verify(self, signature: bytes, message: bytes) -> bool:
        known = self._current()
        if _fits(known, signature, message):
            return True
        with self._lock:  # who comes meanwhile waits for the one answer
            if self._keys is known or not self._current():
                self._renew()
            renewed = self._current()
        return renewed is not known and _fits(renewed, signature, message)

    def _current(self) -> tuple[Ed25519PublicKey, ...]:
        return self._keys if time.monotonic() - self._fetched_at < KEYS_LAST_S else ()

    def _renew(self) -> None:
        if time.monotonic() - self._asked_at < KEYS_PAUSE_S:
            return
        self._asked_at = time.monotonic()
        try:
            self._keys = _fetch(self._url)
            self._fetched_at = self._asked_at
        except (requests.RequestException, ValueError) as error:
            log.warning("webhook keys not fetched", provider="fal", error=type(error).__name__)


@cache
def _keys(url: str) -> Keys:
    """One ring for all requests of this process."""
    return Keys(url)


def _fits(keys: tuple[Ed25519PublicKey, ...], signature: bytes, message: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False


def _fetch(url: str) -> tuple[Ed25519PublicKey, ...]:
    """Raises RequestException, ValueError."""
    with requests.get(url, timeout=KEYS_TIMEOUT_S, allow_redirects=False, stream=True) as answer:
        if answer.status_code != requests.codes.ok:
            raise ValueError(answer.status_code)
        data = answer.raw.read(KEYS_BYTES, decode_content=True)
    told = json.loads(data)
    keys = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no keys")
    return tuple(key for each in keys[:MOST_KEYS] if (key := _key(each)) is not None)


def _key(jwk: Any) -> Ed25519PublicKey | None:
    """None for a key of another kind."""
    try:
        if (jwk["kty"], jwk["crv"]) != ("OKP", "Ed25519"):
            return None
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "=="))
    except (KeyError, TypeError, ValueError):
        return None
