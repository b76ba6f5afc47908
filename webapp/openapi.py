"""OpenAPI 3.1, made from the schemas that the calls are checked and answered with."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask
from flask_smorest import Api
from werkzeug.routing import BaseConverter

from schemas.assets import AvatarSchema, VoiceSchema
from schemas.contracts import CONTRACTS, JOB_CONTRACTS
from schemas.events import EventBody
from schemas.jobs import EXAMPLE, AvatarResult, OutputResult, VoiceResult
from schemas.problems import ProblemSchema
from schemas.review import PlanSchema
from webapp.errors import MEDIA_TYPE, PROBLEMS

VERSION = "1.0.0"
DESCRIPTION = """A photo and a script become a talking video.

Every call carries a service token. Calls that make a job carry an `Idempotency-Key`: the same key and payload give
the same job.
What goes wrong is answered as `application/problem+json` with a stable `code`.
"""
KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "New for each new request; the same when a request is repeated.",
}
REPLAYED = {
    "Idempotent-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "An earlier call made this job.",
    }
}
LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The job."}}
FILE = {"type": "string", "format": "binary"}
ROUTE = {"avatars": "avatar_creation", "voices": "voice_cloning", "outputs": "multi_scene"}
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
                }
            }
        },
    },
    "responses": {
        code: {"$ref": f"#/components/responses/{name}"} for code, name in ((413, "TooLarge"), (422, "Invalid"))
    },
}
WEBHOOK = {
    "post": {
        "summary": "A lifecycle event",
        "description": "Posted to the client's callback URL, signed as Standard Webhooks (`webhook-id`,"
        " `webhook-timestamp`, `webhook-signature`). Answer 2xx within 15 s; 410 switches callbacks off for the job.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EventBody"}}},
        },
        "responses": {"2XX": {"description": "Delivered."}},
    }
}


class IdConverter(BaseConverter):
    """Only what an id can be reaches a view."""

    regex = "[0-9A-Za-z_]{1,40}"


class ProblemApi(Api):
    """flask-smorest, with our own problems instead of its errors."""

    def _register_error_handlers(self) -> None:
        """webapp/errors.py has the one table."""

    def _register_responses(self) -> None:
        for name, statuses in {
            "DEFAULT_ERROR": None,
            "Unauthorized": 401,
            "NotFound": 404,
            "Conflict": 409,
            "TooLarge": 413,
            "Invalid": 422,
            "TooMany": 429,
        }.items():
            codes = [code for code, (status, _) in PROBLEMS.items() if statuses in (None, status)]
            said = HTTPStatus(statuses).phrase if statuses else "Any problem"
            response = {
                "description": f"{said}. `code`: {', '.join(f'`{code}`' for code in codes)}.",
                "content": {MEDIA_TYPE: {"schema": ProblemSchema}},
            }
            self.spec.components.response(name, response)
        # flask-smorest names every status of HTTP; those are asked for by its own decorators only
        for status in HTTPStatus:
            problem = {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": ProblemSchema}}}
            self.spec.components.response(status.name, problem, lazy=True)

    def _register_pagination_header(self) -> None:
        """Pages are told by `next_cursor`."""


def accepting(call: str) -> dict[str, Any]:
    """What a call that makes a job says of itself."""
    contracts = [contract for contract in CONTRACTS.values() if contract.call == call]
    examples = {contract.name: {"value": dict(contract.example)} for contract in contracts}
    schemas = [{"$ref": f"#/components/schemas/{contract.schema.__name__}"} for contract in contracts]
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    replay = {
        "description": "The same key and payload were sent before: this is that call's job, as it is now.",
        "headers": REPLAYED | LOCATION,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}},
    }
    problems = {401: "Unauthorized", 413: "TooLarge", 422: "Invalid", 429: "TooMany"}
    return {
        "parameters": [KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}},
        "responses": {200: replay}
        | {status: {"$ref": f"#/components/responses/{name}"} for status, name in problems.items()},
    }


def about_job(call: str) -> dict[str, Any]:
    """What a call says of itself that has a contract of its own about a job."""
    name, schema, example = next((n, s, e) for n, (where, s, e) in JOB_CONTRACTS.items() if where == call)
    body = {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}, "examples": {name: {"value": example}}}
    problems = {401: "Unauthorized", 404: "NotFound", 409: "Conflict", 413: "TooLarge", 422: "Invalid"}
    again = {
        "description": "This was said before: the job as it is now.",
        "headers": REPLAYED | LOCATION,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}},
    }
    if call == "retries":
        either = {"anyOf": [{"$ref": "#/components/schemas/Job"}, {"$ref": "#/components/schemas/Plan"}]}
        again = again | {
            "description": "This was asked before: the job as it is now; or, with `dry_run`, the plan.",
            "content": {"application/json": {"schema": either}},
        }
    return {
        "parameters": [KEY],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {200: again}
        | {status: {"$ref": f"#/components/responses/{said}"} for status, said in problems.items()},
    }


def accepted(call: str) -> dict[str, Any]:
    """What its answer is."""
    contract = next(contract for contract in CONTRACTS.values() if contract.call == call)
    job = EXAMPLE | {"kind": contract.kind, "lane": contract.example["lane"], "metadata": contract.example["metadata"]}
    fresh = {"route": ROUTE[call], "status": "accepted", "progress": 0.0, "started_at": None}
    nothing: dict[str, Any] = {"stages": {"running": [], "waiting": [], "failed": [], "stale": []}}
    return {"description": "The job was accepted.", "headers": LOCATION, "example": job | fresh | nothing}


def create(app: Flask) -> ProblemApi:
    """The API object of an app; its document is complete when the blueprints are registered."""
    app.url_map.converters["id"] = IdConverter
    app.config.update(API_TITLE="Likeness", API_VERSION=VERSION, OPENAPI_VERSION="3.1.0")
    api = ProblemApi(
        app,
        spec_kwargs={
            "info": {"description": DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/"}],
            "security": [{"token": []}],
            "webhooks": {"lifecycle": WEBHOOK},
        },
    )
    api.register_converter(IdConverter, lambda converter: {"type": "string", "pattern": f"^{converter.regex}$"})
    api.spec.components.security_scheme(
        "token", {"type": "http", "scheme": "bearer", "description": "A service token."}
    )
    named: Mapping[str, type] = {
        "AvatarResult": AvatarResult,
        "VoiceResult": VoiceResult,
        "OutputResult": OutputResult,
        "EventBody": EventBody,
        "Plan": PlanSchema,
        "Avatar": AvatarSchema,
        "Voice": VoiceSchema,
    } | {contract.schema.__name__: contract.schema for contract in CONTRACTS.values()}
    named = {**named, **{schema.__name__: schema for _, schema, _ in JOB_CONTRACTS.values()}}
    for name, schema in named.items():
        api.spec.components.schema(name, schema=schema)
    return api
