"""What operators, machines and readers of the docs ask; and what every answer has."""

import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from db import events, ids
from db.database import Database
from db.models import Job
from schemas.contracts import CONTRACTS
from tests import factories
from tests.api import Api, Caller, code, picture, serve
from webapp import create_app
from webapp.errors import PROBLEMS


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.nobody.get("/openapi.json").get_json()
    return found


@pytest.fixture
def frozen() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[Api]:
    """An app whose database is not there."""
    made = serve("postgresql+psycopg2://nobody@127.0.0.1:1/none", tmp_path.as_uri())
    yield made
    made.database.dispose()


# --- health -------------------------------------------------------------------------------


def test_ready_when_database_and_broker_answer(database_url: str, broker_url: str, tmp_path: Path) -> None:
    made = serve(database_url, tmp_path.as_uri(), broker_url=broker_url)
    response = made.nobody.get("/readyz")
    made.database.dispose()
    assert response.status_code == 200, response.text
    assert response.get_json() == {"status": "ok", "checks": {"database": "ok", "broker": "ok"}}


def test_alive_without_a_database_but_not_ready(orphan: Api) -> None:
    assert orphan.nobody.get("/healthz").status_code == 200
    response = orphan.nobody.get("/readyz")
    assert (response.status_code, response.get_json()["status"]) == (503, "unavailable")
    assert "does not answer" in response.get_json()["checks"]["database"]
    assert response.get_json()["checks"]["broker"] == "ok"


def test_frozen_servers_do_not_hold_the_question(frozen: str, tmp_path: Path) -> None:
    made = serve(
        f"postgresql+psycopg2://nobody@{frozen}/none", tmp_path.as_uri(), broker_url=f"amqp://guest:guest@{frozen}//"
    )
    for _ in range(2):
        began = time.monotonic()
        response = made.nobody.get("/readyz")
        assert time.monotonic() - began < 3
        assert response.status_code == 503
        assert all("answer" in said for said in response.get_json()["checks"].values())
    made.database.dispose()


def test_a_refused_broker_is_named_without_its_address(database_url: str, tmp_path: Path) -> None:
    made = serve(database_url, tmp_path.as_uri(), broker_url="amqp://user:hidden@127.0.0.1:1//")
    response = made.nobody.get("/readyz")
    made.database.dispose()
    assert response.get_json()["checks"]["database"] == "ok"
    assert "does not answer" in response.get_json()["checks"]["broker"]
    assert "hidden" not in response.text


def test_an_old_schema_is_not_ready(servers: Any, tmp_path: Path) -> None:
    """`release` has not run: the template of an empty database."""
    made = serve(servers.databases.url("template1"), tmp_path.as_uri())
    assert "run python -m db upgrade" in made.nobody.get("/readyz").get_json()["checks"]["database"]
    made.database.dispose()


def test_with_the_database_away_calls_are_answered_and_may_be_repeated(orphan: Api) -> None:
    began = time.monotonic()
    response = orphan.product.get("/v1/jobs")
    assert (response.status_code, code(response)) == (503, "database_away")
    assert int(response.headers["Retry-After"]) > 0
    assert time.monotonic() - began < 5


def test_a_connection_that_the_database_closed_is_replaced_unnoticed(api: Api) -> None:
    assert api.product.get("/v1/jobs").status_code == 200
    other = Database(api.settings.database_url)
    with other.engine.connect() as connection:
        name = urlsplit(api.settings.database_url).path.lstrip("/")
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
    other.dispose()
    assert api.product.get("/v1/jobs").status_code == 200


# --- metrics ------------------------------------------------------------------------------


def test_metrics_count_requests_and_work(api: Api) -> None:
    api.product.get("/v1/jobs")
    api.product.get("/v1/jobs/job_unknown")
    job = factories.JobFactory.build()
    api.add(job, factories.EventFactory.build(job_id=job.id, data={}, state="pending"))
    text = api.nobody.get("/metrics").text
    found = {
        (sample.name, sample.labels.get("route"), sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["likeness_requests_total", "/v1/jobs", "200"] >= 1
    assert found["likeness_requests_total", "/v1/jobs/<id:job_id>", "404"] >= 1
    assert found["likeness_database_up", None, None] == 1
    assert found["likeness_jobs", None, "running"] >= 1
    assert found["likeness_oldest_due_event_seconds", None, None] >= 0
    assert "job_unknown" not in text


def test_metrics_tell_what_calls_cost_and_what_steps_wait_for(api: Api) -> None:
    job = factories.JobFactory.build()
    ended = factories.JobFactory.build(status="failed")
    day_ago = ids.floor("call", time.time() - 90_000)[:-3]
    call = partial(factories.CallFactory.build, job_id=job.id, provider="measured")
    step = partial(factories.RecordFactory.build, job_id=job.id, status="waiting")
    api.add(
        job,
        ended,
        call(status="submitted"),
        call(status="uncertain", id=f"{day_ago}unc"),
        call(status="succeeded", reserved=Decimal(0), settled=Decimal("0.30")),
        call(status="failed", reserved=Decimal(0), settled=Decimal("0.20"), wasted=Decimal("0.20")),
        call(status="succeeded", reserved=Decimal(0), settled=Decimal("99"), id=f"{day_ago}old"),
        step(step="a", awaits="person"),
        step(step="b", awaits="slot:measured", wake_at=factories.NOW),
        step(step="c", wake_at=factories.NOW),
        step(step="d", awaits="person", job_id=ended.id),
    )
    found = {
        (sample.name.removeprefix("likeness_"), *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(api.nobody.get("/metrics").text)
        for sample in family.samples
        if "measured" in sample.labels.values() or sample.name.endswith("_steps")
    }
    assert found == {
        ("provider_calls", "measured", "submitted"): 1,
        ("provider_calls", "measured", "uncertain"): 1,
        ("provider_calls", "measured", "succeeded"): 1,
        ("provider_calls", "measured", "failed"): 1,
        ("provider_usd", "reserved", "measured"): 0.5,
        ("provider_usd", "settled", "measured"): 0.5,
        ("provider_usd", "wasted", "measured"): 0.2,
        ("waiting_steps", "person"): 1,
        ("waiting_steps", "slot:measured"): 1,
        ("waiting_steps", "time"): 1,
        ("parked_steps",): 1,
    }


def test_metrics_answer_without_a_database(orphan: Api) -> None:
    response = orphan.nobody.get("/metrics")
    assert response.status_code == 200
    assert "likeness_database_up 0.0" in response.text


# --- every answer -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/unheard-of", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("GET", "/v1/outputs", 405, "method_not_allowed"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/docs/../auth.py", 404, "not_found"),
        ("GET", "/docs/swagger-ui.js", 404, "not_found"),
        ("GET", "/problems/unheard-of", 404, "not_found"),
    ],
)
def test_problems_everywhere(api: Api, method: str, path: str, status: int, expected: str) -> None:
    response = api.product._ask(method, path)
    assert (response.status_code, code(response)) == (status, expected)
    if status == 405:
        assert response.headers["Allow"]


def test_a_crash_tells_the_caller_nothing_but_the_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr("webapp.api.jobs.jobs.find", crash)
    response = api.product.get("/v1/jobs/job_1", headers={"X-Request-Id": "req-7"})
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert response.get_json(force=True)["request_id"] == response.headers["X-Request-Id"] == "req-7"
    assert "secret" not in response.text
    assert "Traceback" not in response.text


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "new\tline", "é"])
def test_a_request_id_that_is_not_sane_is_replaced(api: Api, given: str) -> None:
    answered = api.nobody.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


def test_answers_carry_the_headers_that_keep_browsers_from_guessing(api: Api) -> None:
    headers = api.product.get("/v1/jobs").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Referrer-Policy"] == "no-referrer"


def test_the_log_has_each_request_and_no_secret(api: Api) -> None:
    url = api.product.upload(picture()).get_json()["url"]
    parts = urlsplit(url)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        api.nobody.get(f"{parts.path}?{parts.query}")
        api.product.get("/v1/jobs", headers={"X-Request-Id": "req-8"})
        Caller(api.app, "a wrong token").get("/v1/jobs")
    said = json.dumps(lines)
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 200, 401]
    assert lines[1]["request_id"] == "req-8"
    assert lines[1]["client"] == "product"
    assert "client" not in lines[2]
    for secret in ("product token", "a wrong token", "signature", api.settings.signing_key):
        assert secret not in said
    assert logging.getLogger().level  # nothing here may have silenced the root logger


# --- the document -------------------------------------------------------------------------


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_the_document_has_every_call_and_no_other(api: Api, document: dict[str, Any]) -> None:
    rules = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in api.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1")
    }
    calls = {(path, method) for path, each in document["paths"].items() for method in each}
    assert {(path, method) for path, method in calls if method != "parameters"} == rules


def test_every_call_says_how_it_is_answered_when_it_goes_wrong(document: dict[str, Any]) -> None:
    problem = document["components"]["responses"]["DEFAULT_ERROR"]["content"]
    assert list(problem) == ["application/problem+json"]
    for calls in document["paths"].values():
        for method, call in calls.items():
            if method != "parameters":
                assert call["summary"]
                assert call["responses"]["default"] == {"$ref": "#/components/responses/DEFAULT_ERROR"}


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    for contract in CONTRACTS.values():
        assert list(errors(document, contract.schema.__name__, dict(contract.example))) == []
        example = document["paths"][f"/v1/{contract.call}"]["post"]["responses"]["202"]["content"]["application/json"]
        assert list(errors(document, "Job", example["example"])) == []


def test_answers_are_as_documented(api: Api, document: dict[str, Any]) -> None:
    asset = api.product.upload(picture()).get_json()
    job = api.product.post("/v1/outputs", api.output_payload()).get_json()
    answers = {
        "Asset": asset,
        "TracedAsset": api.product.get(f"/v1/assets/{asset['id']}").get_json(),
        "Avatar": api.product.get(f"/v1/avatars/{api.avatar().id}").get_json(),
        "Job": job,
        "JobPage": api.product.get("/v1/jobs").get_json(),
        "StepList": api.product.get(f"/v1/jobs/{job['id']}/stages").get_json(),
        "EventList": api.product.get(f"/v1/jobs/{job['id']}/events").get_json(),
        "Problem": api.product.get("/v1/jobs/job_1").get_json(force=True),
    }
    for schema, answer in answers.items():
        assert list(errors(document, schema, answer)) == [], schema


def test_answers_about_what_was_deleted_are_as_documented(api: Api, document: dict[str, Any]) -> None:
    avatar = api.avatar()
    told = {"job_id": avatar.job_id, "kind": "avatar", "route": "avatar_creation", "status": "failed", "progress": 0.5}
    api.add(
        factories.RecordFactory.build(job_id=avatar.job_id, input={"photos": "snapshot/photos"}, output={"x": "y"}),
        factories.EventFactory.build(
            job_id=avatar.job_id, data=events.data(Job(), 1, stage=None, label=None, metadata={}) | told
        ),
    )
    asset = api.photo()
    answers = {
        "TracedAsset": api.product.get(f"/v1/assets/{asset.id}?lineage=full"),
        "DeletedIdentity": api.product._ask("DELETE", f"/v1/avatars/{avatar.id}"),
        "Job": api.product.get(f"/v1/jobs/{avatar.job_id}"),
        "StepList": api.product.get(f"/v1/jobs/{avatar.job_id}/stages"),
        "EventList": api.product.get(f"/v1/jobs/{avatar.job_id}/events"),
        "Problem": api.product._ask("DELETE", f"/v1/avatars/{avatar.id}"),
    }
    for schema, answer in answers.items():
        assert list(errors(document, schema, answer.get_json(force=True))) == [], schema


def test_every_problem_type_leads_to_its_meaning(api: Api) -> None:
    for name, (status, title) in PROBLEMS.items():
        meaning = api.nobody.get(f"/problems/{name.replace('_', '-')}").get_json()
        assert (meaning["code"], meaning["status"], meaning["title"]) == (name, status, title)


def test_the_docs_need_nothing_from_elsewhere(api: Api) -> None:
    page = api.nobody.get("/docs")
    assert page.content_type.startswith("text/html")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "http" not in page.text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 4
    for path in parts:
        assert api.nobody.get(path).status_code == 200, path


def errors(document: dict[str, Any], schema: str, value: Any) -> Iterator[str]:
    root = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    for error in Draft202012Validator(root).iter_errors(value):
        yield f"{error.json_path}: {error.message}"


def test_a_process_with_settings_missing_stops_with_their_names(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("LIKENESS_DATABASE_URL", "LIKENESS_BROKER_URL", "LIKENESS_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIKENESS_CLIENTS", "[")
    with pytest.raises(SystemExit) as stopped:
        create_app()
    said = capfd.readouterr().err.splitlines()
    assert stopped.value.code == 3
    assert [line.split()[0] for line in said] == [
        "LIKENESS_DATABASE_URL",
        "LIKENESS_BROKER_URL",
        "LIKENESS_SIGNING_KEY",
        "LIKENESS_CLIENTS",
    ]
