"""For operators and their machines: liveness, readiness, metrics, the API's description and its rendered docs."""

from importlib.resources import files
from typing import Any

from flask import Blueprint, Response, jsonify, send_from_directory
from flask_smorest import Api
from prometheus_client import CONTENT_TYPE_LATEST

from webapp.door import door
from webapp.errors import PROBLEMS, NotFound
from webapp.probes import Probe

SWAGGER = files("flask_swagger_ui") / "dist"
SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)


def create(api: Api, probes: tuple[Probe, ...]) -> Blueprint:
    blueprint = Blueprint("operations", __name__, static_folder=None)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @blueprint.get("/readyz")
    def readyz() -> tuple[Response, int]:
        """Whether this process can serve: each check is bounded in time, so that what it asks cannot hold it."""
        wrong = {probe.name: reason for probe in probes if (reason := probe.ask()) is not None}
        checks = {probe.name: wrong.get(probe.name, "ok") for probe in probes}
        return jsonify({"status": "unavailable" if wrong else "ok", "checks": checks}), 503 if wrong else 200

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(door().metrics.text(), content_type=CONTENT_TYPE_LATEST)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(api.spec.to_dict())

    @blueprint.get("/problems/<name>")
    def meaning(name: str) -> Response:
        """What the `type` of a problem leads to."""
        code = name.replace("-", "_")
        if code not in PROBLEMS:
            raise NotFound("problem", name)
        status, title = PROBLEMS[code]
        return jsonify({"type": f"/problems/{name}", "code": code, "status": status, "title": title})

    @blueprint.get("/docs")
    def docs() -> Response:
        return _page(send_from_directory("static", "docs.html"))

    @blueprint.get("/docs/<path:name>")
    def docs_file(name: str) -> Any:
        if name == "docs.js":
            return _page(send_from_directory("static", name))
        if name not in SWAGGER_FILES:
            raise NotFound("file", name)
        return _page(send_from_directory(str(SWAGGER), name))

    return blueprint


def _page(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response
