"""`likeness receive`: what is genuine is told apart, repeated, missing and late events are seen."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests
from standardwebhooks import Webhook

from tests.command import LIKENESS, run
from webapp.cli.inbox import Delivery, Inbox, NotGenuine
from webapp.cli.receive import BODY_BYTES, line, listening

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Endpoint:
    """A running receiver, and all that it heard."""

    def __init__(self, url: str, heard: list[Delivery | NotGenuine]) -> None:
        self.url = url
        self.heard = heard

    def post(self, sequence: int = 1, *, name: str | None = None, secret: str = SECRET, at: datetime | None = None,
             job: str = "job_1", **headers: str) -> int:  # fmt: skip
        body = event(job, sequence)
        signed = signature(name or f"evt_{job}_{sequence}", body, secret, at or datetime.now(UTC))
        return requests.post(self.url, data=body, headers=signed | headers, timeout=5).status_code

    @property
    def last(self) -> Delivery:
        assert isinstance(self.heard[-1], Delivery)
        return self.heard[-1]


def event(job: str, sequence: int) -> str:
    data = {
        "job_id": job,
        "sequence": sequence,
        "status": "running",
        "progress": 0.5,
        "stage": "script",
        "label": "Writing",
    }
    return json.dumps(
        {"type": "job.progress", "timestamp": "2026-11-22T09:00:00Z", "contract": "event/1", "data": data}
    )


def signature(name: str, body: str, secret: str, at: datetime) -> dict[str, str]:
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(name, at, body),
    }


@contextmanager
def receiving(*secrets: str) -> Iterator[Endpoint]:
    heard: list[Delivery | NotGenuine] = []
    with listening(Inbox(secrets), heard.append) as url:
        yield Endpoint(url, heard)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with receiving(SECRET) as made:
        yield made


def test_a_genuine_event_is_taken(endpoint: Endpoint) -> None:
    assert endpoint.post(1) == 204
    assert (endpoint.last.type, endpoint.last.job_id, endpoint.last.sequence) == ("job.progress", "job_1", 1)
    assert (endpoint.last.seen, endpoint.last.missing, endpoint.last.late) == (False, (), False)
    assert "script (Writing)" in line(endpoint.last)


@pytest.mark.parametrize("how", ["other secret", "changed body", "old", "from the future", "no headers", "nonsense"])
def test_what_is_not_genuine_is_refused_and_changes_nothing(endpoint: Endpoint, how: str) -> None:
    now = datetime.now(UTC)
    if how == "other secret":
        status = endpoint.post(7, secret=NEXT_SECRET)
    elif how == "changed body":
        headers = signature("evt_1", event("job_1", 6), SECRET, now)
        status = requests.post(endpoint.url, data=event("job_1", 7), headers=headers, timeout=5).status_code
    elif how == "old":
        status = endpoint.post(7, at=now - timedelta(minutes=6))
    elif how == "from the future":
        status = endpoint.post(7, at=now + timedelta(minutes=6))
    elif how == "no headers":
        status = requests.post(endpoint.url, data=event("job_1", 7), timeout=5).status_code
    else:
        status = endpoint.post(7, **{"webhook-signature": "nonsense, v1 v1,%%% v2,AAAA"})
    assert status == 400
    assert isinstance(endpoint.heard[-1], NotGenuine)
    assert "refused" in line(endpoint.heard[-1])
    assert endpoint.post(1) == 204
    assert not endpoint.last.late, "the refused event's sequence must not count"


@pytest.mark.parametrize(
    "body", ["[1]", '"x"', "{}", '{"type": "t", "data": {"job_id": "j", "sequence": 0}}', "no json"]
)
def test_a_signed_body_that_is_no_event_is_refused(endpoint: Endpoint, body: str) -> None:
    headers = signature("evt_1", body, SECRET, datetime.now(UTC))
    assert requests.post(endpoint.url, data=body, headers=headers, timeout=5).status_code == 400


def test_a_repetition_is_answered_as_the_first_time_and_told_apart(endpoint: Endpoint) -> None:
    assert [endpoint.post(1), endpoint.post(1)] == [204, 204]
    first, again = endpoint.heard
    assert isinstance(first, Delivery)
    assert not first.seen
    assert isinstance(again, Delivery)
    assert again.seen
    assert "again" in line(again)


def test_gaps_and_late_events_are_seen_per_job(endpoint: Endpoint) -> None:
    endpoint.post(1)
    endpoint.post(4)
    assert endpoint.last.missing == (2, 3)
    assert "#2 to #3" in line(endpoint.last)
    endpoint.post(2)
    assert endpoint.last.late
    endpoint.post(1, job="job_2")
    assert (endpoint.last.missing, endpoint.last.late) == ((), False)


def test_while_a_secret_is_rotated_both_are_good() -> None:
    with receiving(SECRET, NEXT_SECRET) as endpoint:
        assert [endpoint.post(1), endpoint.post(2, secret=NEXT_SECRET)] == [204, 204]


def test_the_memory_of_identities_is_bounded() -> None:
    inbox = Inbox([SECRET], kept=10)
    for number in range(1, 31):
        body = event(f"job_{number}", 1)
        inbox.take(signature(f"evt_{number}", body, SECRET, datetime.now(UTC)), body.encode())
    assert len(inbox._seen) == len(inbox._newest) == 10


def test_a_body_that_is_too_long_is_not_read(endpoint: Endpoint) -> None:
    assert _raw(endpoint, "POST", {"Content-Length": str(BODY_BYTES + 1)}) == 413
    assert _raw(endpoint, "POST", {"Transfer-Encoding": "chunked"}) == 411
    assert _raw(endpoint, "POST", {"Content-Length": "-1"}) == 411
    assert _raw(endpoint, "GET", {}) == 405
    assert endpoint.heard == []


def _raw(endpoint: Endpoint, method: str, headers: dict[str, str]) -> int:
    """Headers alone: the answer comes before any body does."""
    connection = HTTPConnection(urlsplit(endpoint.url).netloc, timeout=5)
    connection.putrequest(method, "/")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_command_prints_a_line_for_each_event_and_stops_at_ctrl_c() -> None:
    command = [*LIKENESS, "receive", "--port", "0"]
    environment = os.environ | {"LIKENESS_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        url = next(word for word in first.split() if word.startswith("http://127.0.0.1:")).rstrip(",")
        endpoint = Endpoint(url, [])
        assert [endpoint.post(1), endpoint.post(2, secret=NEXT_SECRET)] == [204, 400]
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
    assert "job.progress job_1 #1 50% script (Writing)" in lines[0]
    assert "refused" in lines[1]
    assert process.returncode == 0
    assert "Traceback" not in rest


@pytest.mark.parametrize(("secrets", "said"), [((), "LIKENESS_WEBHOOK_SECRET"), (("whsec_%",), "base64")])
def test_without_a_usable_secret_it_does_not_start(secrets: tuple[str, ...], said: str) -> None:
    result = run("receive", "--port", "0", *(word for secret in secrets for word in ("--secret", secret)))
    assert result.exit_code == 2
    assert said in result.stderr
