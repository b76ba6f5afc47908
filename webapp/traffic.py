"""Each request: its id, its line in the log, its headers on the way out."""

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from webapp.door import door

SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

log = structlog.get_logger()


def register(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(end)


def begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if SANE.fullmatch(given) else uuid.uuid4().hex
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def end(response: Response) -> Response:
    """The log has the path without its query: signatures of links stand there."""
    seconds = time.perf_counter() - g.began
    route = request.url_rule.rule if request.url_rule else "none"
    door().metrics.served(request.method, route, response.status_code, seconds)
    response.headers["X-Request-Id"] = g.request_id
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    log.info(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        ms=round(seconds * 1000, 1),
        bytes_in=request.content_length or 0,
    )
    return response
