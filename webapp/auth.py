"""Who calls: a bearer token names a client. Everything under /v1 is closed unless it says otherwise.

Open to anybody are what webapp/operations.py offers, which tells of no client, and /hooks, where each webhook is
checked by its vendor's signature (webapp/api/hooks.py).
"""

import hmac
from hashlib import sha256

import structlog
from flask import Flask, g, request

from pipeline.settings import Client, Settings
from webapp.door import door, links
from webapp.errors import LinkExpired, LinkRefused, Unauthorized

CLOSED = "/v1"
BY_LINK = "assets.content"


def register(app: Flask) -> None:
    app.before_request(authenticate)


def authenticate() -> None:
    """Sets `g.client`, or `g.link` where a signed link is enough. Raises Unauthorized, LinkRefused, LinkExpired."""
    if request.path != CLOSED and not request.path.startswith(f"{CLOSED}/"):
        return
    header = request.headers.get("Authorization")
    if header is None and request.endpoint == BY_LINK and "signature" in request.args:
        _check_link((request.view_args or {})["asset_id"])
        g.link = True
        return
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("Send `Authorization: Bearer <service token>`.")
    found = known(door().settings, token.strip())
    if found is None:
        raise Unauthorized("This token is not known.")
    g.client = found
    structlog.contextvars.bind_contextvars(client=found.name)


def known(settings: Settings, token: str) -> Client | None:
    """The token's client. Each digest is compared, found or not: the time tells nothing."""
    digest = sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
    found = None
    for client in settings.clients:
        for mine in client.token_sha256:
            if hmac.compare_digest(mine, digest):
                found = client
    return found


def _check_link(asset_id: str) -> None:
    expires, signature = request.args.get("expires", ""), request.args["signature"]
    if not links().opens(asset_id, expires, signature):
        raise LinkRefused("The signature does not belong to this asset and time.")
    if links().expired(expires):
        raise LinkExpired("Ask for the asset again: its `url` is a new link.")
