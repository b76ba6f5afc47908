"""What can be wrong with a call, and how each is answered: RFC 9457 problems, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from db.database import DatabaseAway
from db.jobs import TooManyJobs
from db.keys import KeyReused
from pipeline.errors import AnimatedImage, AssetDamaged, ImageTooLarge, UnreadableImage, UnreadableVideo
from providers.storage import StorageUnusable
from schemas.canonical import NotJson
from schemas.problems import PayloadInvalid

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_S = "5"


class Refused(Exception):
    """A call that we do not serve. `facts` become members of the problem."""

    code = "bad_request"

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        self.facts = facts


class Unauthorized(Refused):
    code = "unauthorized"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class HookRefused(Refused):
    """A webhook that no vendor of ours has signed just now."""

    code = "hook_refused"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Signature"})


class LinkRefused(Refused):
    code = "link_refused"


class LinkExpired(Refused):
    code = "link_expired"


class NotFound(Refused):
    """There is none, or it is another client's: which of the two is not told."""

    code = "not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"There is no {what} {name}.")


class KeyMissing(Refused):
    code = "idempotency_key_missing"


class KeyMalformed(Refused):
    code = "idempotency_key_malformed"


class StateClash(Refused):
    """It cannot be asked of the job in its state."""

    code = "state_conflict"


class FileMissing(Refused):
    code = "file_missing"


class UnsupportedMedia(Refused):
    code = "unsupported_media"


class TooLarge(Refused):
    code = "payload_too_large"


class WrongMediaType(Refused):
    code = "unsupported_media_type"


class RangeUnsatisfiable(Refused):
    code = "range_not_satisfiable"


PROBLEMS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be understood"),
    "not_json": (400, "The body is not JSON"),
    "idempotency_key_missing": (400, "Idempotency-Key is required"),
    "idempotency_key_malformed": (400, "Idempotency-Key is malformed"),
    "unauthorized": (401, "A service token is required"),
    "hook_refused": (401, "The webhook is not the vendor's"),
    "forbidden": (403, "This is not allowed"),
    "link_refused": (403, "The link is not valid"),
    "link_expired": (403, "The link has expired"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "This method is not offered here"),
    "state_conflict": (409, "The job's state does not allow this"),
    "length_required": (411, "Content-Length is required"),
    "payload_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body has the wrong media type"),
    "range_not_satisfiable": (416, "There are no such bytes"),
    "validation_failed": (422, "The payload is not what the contract says"),
    "unknown_contract": (422, "The contract is not known"),
    "consent_missing": (422, "Consent is required"),
    "parameter_invalid": (422, "A query parameter is not valid"),
    "idempotency_key_reused": (422, "The Idempotency-Key was used for another payload"),
    "file_missing": (422, "The form has no file"),
    "unsupported_media": (422, "Files of this kind are not taken"),
    "unreadable_image": (422, "The picture cannot be read"),
    "unreadable_video": (422, "The video cannot be read"),
    "image_too_large": (422, "The picture has too many pixels"),
    "animated_image": (422, "The picture is an animation"),
    "too_many_jobs": (429, "Too many jobs are active"),
    "internal_error": (500, "Something went wrong on our side"),
    "asset_damaged": (500, "A stored file is gone or damaged"),
    "database_away": (503, "The database does not answer"),
    "storage_away": (503, "The asset store does not answer"),
}

CODES: dict[type[Exception], str] = {
    NotJson: "not_json",
    KeyReused: "idempotency_key_reused",
    TooManyJobs: "too_many_jobs",
    UnreadableImage: "unreadable_image",
    ImageTooLarge: "image_too_large",
    AnimatedImage: "animated_image",
    UnreadableVideo: "unreadable_video",
    AssetDamaged: "asset_damaged",
    DatabaseAway: "database_away",
    StorageUnusable: "storage_away",
}

HTTP_CODES = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    411: "length_required",
    413: "payload_too_large",
    415: "unsupported_media_type",
}

SAID = {404: "There is nothing at this address.", 405: "This address does not take this method: see Allow."}

DETAILS = {
    KeyReused: "This key already stands for another payload. Use a new key for a new request.",
    DatabaseAway: "The request was not served. Try again in a few seconds.",
    StorageUnusable: "The request was not served. Try again in a few seconds.",
    AssetDamaged: "The file cannot be given. Tell the operator the request id.",
}


def problem(
    code: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    **facts: Any,
) -> Response:
    """`facts` become members of their own; they cannot replace the standard ones."""
    status, title = PROBLEMS[code]
    body = {
        **facts,
        "type": f"/problems/{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": g.get("request_id", ""),
    }
    if errors:
        body["errors"] = list(errors)
    answer = Response(json.dumps(body, ensure_ascii=False), status, headers, content_type=MEDIA_TYPE)
    if status == 413:
        answer.headers["Connection"] = "close"  # the rest of the body was not read: nothing can follow it
    return answer


def register(app: Flask) -> None:
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(PayloadInvalid, _invalid)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)
    for kind in CODES:
        app.register_error_handler(kind, _fact)


def _refused(error: Refused) -> Response:
    return problem(error.code, str(error), headers=error.headers, **error.facts)


def _invalid(error: PayloadInvalid) -> Response:
    count = len(error.flaws)
    detail = "1 thing is" if count == 1 else f"{count} things are"
    errors = [{"pointer": flaw.pointer, "detail": flaw.detail} for flaw in error.flaws]
    return problem(error.code, f"{detail} wrong with the payload: {error}."[:1000], errors=errors)


def _fact(error: Exception) -> Response:
    kind = next(kind for kind in CODES if isinstance(error, kind))
    code = CODES[kind]
    status, _ = PROBLEMS[code]
    if status >= 500:
        log.error("request failed", code=code, error=str(error))
    headers = {"Retry-After": RETRY_S} if status in (429, 503) else {}
    return problem(code, DETAILS.get(kind) or _sentence(str(error)), headers=headers)


def _http(error: HTTPException) -> Response:
    """Flask's and Werkzeug's own refusals, and what webargs finds wrong with a query."""
    if query := (getattr(error, "data", None) or {}).get("messages", {}).get("query"):
        errors = [{"parameter": name, "detail": " ".join(details)} for name, details in query.items()]
        said = "; ".join(f"{each['parameter']}: {each['detail']}" for each in errors)
        return problem("parameter_invalid", f"{said}.", errors=errors)
    if error.code is None or error.code >= 500:
        return _unforeseen(error)
    code = HTTP_CODES.get(error.code, "bad_request")
    if error.code == 413:
        return problem(code, f"At most {request.max_content_length} bytes are taken here.")
    methods = getattr(error, "valid_methods", None)
    kept = {"Allow": ", ".join(sorted(methods))} if methods else {}
    return problem(code, SAID.get(error.code, error.description or PROBLEMS[code][1]), headers=kept)


def _unforeseen(error: Exception) -> Response:
    log.error("request crashed", error=type(error).__name__, exc_info=error)
    return problem("internal_error", "The request was not served. Tell the operator the request id.")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
