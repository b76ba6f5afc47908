"""The HTTP API under test: an app on a database of its own, and callers with their tokens."""

import copy
import io
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flask import Flask
from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.serving import make_server
from werkzeug.test import TestResponse, encode_multipart

from db.database import Database
from db.models import AssetRow, AvatarRow, Base
from pipeline.settings import Client, Settings
from schemas.contracts import CONTRACTS
from tests import factories
from webapp import create_app
from webapp.door import NAME

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CLIENTS = (
    Client(
        "product",
        (sha256(b"old product token").hexdigest(), sha256(b"product token").hexdigest()),
        callback_url="https://product.example/hooks",
        callback_secrets=(SECRET,),
    ),
    Client("other", (sha256(b"other token").hexdigest(),), max_active_jobs=2),
)
_keys = map("key-{}".format, itertools.count())


def settings(**changes: Any) -> Settings:
    usual: dict[str, Any] = {
        "broker_url": "memory://",
        "signing_key": "a key of the tests, long enough",
        "clients": CLIENTS,
        "media_hosts": ("media.example", "cdn.example:8443"),
        "max_upload_bytes": 2**20,
    }
    return Settings(**usual | changes)


@dataclass
class Caller:
    """Calls the API with a token; `key` is made up where a call needs one and the test does not care."""

    app: Flask
    token: str | None = "product token"

    def get(self, path: str, **options: Any) -> TestResponse:
        return self._ask("GET", path, **options)

    def post(self, path: str, payload: Any = None, *, key: str | None = None, **options: Any) -> TestResponse:
        headers = {"Idempotency-Key": key or next(_keys)} | options.pop("headers", {})
        body = None if payload is None else json.dumps(payload)
        return self._ask("POST", path, data=body, content_type="application/json", headers=headers, **options)

    def raw(self, path: str, body: bytes, *, media_type: str = "application/json", key: str = "raw") -> TestResponse:
        headers = {"Idempotency-Key": key}
        return self._ask("POST", path, data=body, content_type=media_type, headers=headers)

    def upload(self, content: bytes, name: str = "photo.jpg", part: str = "file") -> TestResponse:
        boundary, body = encode_multipart({part: FileStorage(io.BytesIO(content), name)})
        return self._ask("POST", "/v1/assets", data=body, content_type=f"multipart/form-data; boundary={boundary}")

    def _ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        identity = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return self.app.test_client().open(
            path, method=method, headers=identity | (headers or {}), buffered=True, **options
        )


@dataclass
class Api:
    """The app, what it handed on, and its database."""

    app: Flask
    settings: Settings
    launched: list[str] = field(default_factory=list)

    @property
    def database(self) -> Database:
        found: Database = self.app.extensions[NAME].database
        return found

    @property
    def product(self) -> Caller:
        return Caller(self.app)

    @property
    def other(self) -> Caller:
        return Caller(self.app, "other token")

    @property
    def nobody(self) -> Caller:
        return Caller(self.app, None)

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        with self.database.transaction() as session:
            return {table.name: session.query(table).count() for table in Base.metadata.sorted_tables}

    def add(self, *rows: Any) -> None:
        with self.database.transaction() as session:
            for row in rows:
                session.add(row)
                session.flush()

    def asset(self, client: str = "product", **fields: Any) -> AssetRow:
        row: AssetRow = factories.AssetFactory.build(client=client, **fields)
        self.add(row)
        return row

    def photo(self, client: str = "product") -> AssetRow:
        return self.asset(client)

    def avatar(self, client: str = "product") -> AvatarRow:
        job = factories.JobFactory.build(client=client, kind="avatar", route="avatar_creation", status="completed")
        row: AvatarRow = factories.AvatarFactory.build(client=client, job_id=job.id)
        self.add(job, row, factories.AvatarVersionFactory.of(row))
        return row

    def output_payload(self, **changes: Any) -> dict[str, Any]:
        return payload("output.generate/1", avatar_id=self.avatar().id) | changes

    def avatar_payload(self, **changes: Any) -> dict[str, Any]:
        return payload("avatar.create/1", inputs={"images": [{"asset_id": self.photo().id}]}) | changes


def payload(contract: str, **changes: Any) -> dict[str, Any]:
    """The contract's example, with some members replaced."""
    return copy.deepcopy(dict(CONTRACTS[contract].example)) | changes


def serve(database_url: str, storage_url: str, **changes: Any) -> Api:
    chosen = settings(database_url=database_url, storage_url=storage_url, **changes)
    launched: list[str] = []
    app = create_app(chosen, launch=launched.append)
    return Api(app, chosen, launched)


@contextmanager
def listening(app: Flask) -> Iterator[str]:
    """The app behind a real server with threads; gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def picture(width: int = 64, height: int = 48, kind: str = "JPEG") -> bytes:
    """A picture with some detail, as the bytes of a file."""
    made = io.BytesIO()
    Image.effect_noise((width, height), 50).convert("RGB").save(made, kind)
    return made.getvalue()


def flaws(response: TestResponse) -> dict[str, str]:
    """Pointer to detail; and that this is a problem as it should be."""
    assert response.content_type == "application/problem+json", response.text
    body: dict[str, Any] = response.get_json(force=True)
    assert {"type", "title", "status", "detail", "code", "request_id"} <= body.keys()
    assert body["status"] == response.status_code
    errors: Sequence[dict[str, str]] = body.get("errors", ())
    return {each.get("pointer", each.get("parameter", "")): each["detail"] for each in errors}


def code(response: TestResponse) -> str:
    flaws(response)
    found: str = response.get_json(force=True)["code"]
    return found
