"""fal's wire format, through the real adapter and a stateful fal on loopback; its books are the oracle for money."""

import io
import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from structlog.testing import capture_logs

from pipeline.assets import Asset
from pipeline.calls import Answered, CallStatus, NotYet, Running, Ticket
from pipeline.errors import (
    BadOutput,
    CallVanished,
    ConcurrencyLimited,
    InsufficientFunds,
    Moderated,
    OutcomeUnknown,
    ProviderAuth,
    ProviderError,
    ProviderMissing,
    ProviderRejected,
    ProviderTimeout,
    RateLimited,
    ResultExpired,
    VendorBusy,
    VendorFailed,
)
from pipeline.settings import Vendor
from providers.fal import background, hook, queue
from providers.fal.background import MODEL, FalBackground, PaintBackground, Painting, paintable
from providers.hooks import NotGenuine
from tests.shelf import FolderStore
from tests.vendors.fal import Failure, Fal, HookKey, detail, open_fal
from tests.vendors.memory_ledger import MemoryLedger
from tests.vendors.server import Reply

PAINTING = Painting(MODEL, "An office in the morning", 320, 180, 7)
HOOK = "https://likeness.example/hooks/fal"


@pytest.fixture
def fal() -> Iterator[Fal]:
    hook._keys.cache_clear()
    with open_fal() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def paint(fal: Fal, store: FolderStore) -> PaintBackground:
    return operation(fal, store)


def operation(fal: Fal, store: FolderStore, *, hook: str | None = None, **variables: str) -> PaintBackground:
    return PaintBackground(store, Vendor("fal", fal.variables | variables, hook=hook))


def submitted(paint: PaintBackground) -> Ticket:
    ticket = paint.submit(PAINTING, "call_1")
    assert isinstance(ticket, Ticket)
    return ticket


def polled(paint: PaintBackground) -> Asset:
    answer = paint.poll(PAINTING, submitted(paint))
    assert isinstance(answer, Answered)
    found: Asset = answer.output
    return found


def refused(paint: PaintBackground, kind: type[ProviderError]) -> ProviderError:
    """What asking for a picture raises, somewhere up to its result: of exactly this kind, and without our key."""
    with capture_logs() as lines, pytest.raises(ProviderError) as found:
        polled(paint)
    assert type(found.value) is kind, found.value
    said = json.dumps([str(found.value), found.value.details, lines])
    assert not any(part in said for part in paint.vendor.variables["KEY"].split(":"))
    return found.value


# --- submit -------------------------------------------------------------------------------


def test_the_request_is_as_fal_documents_it(fal: Fal, store: FolderStore) -> None:
    submitted(operation(fal, store, hook=HOOK))
    [call] = fal.calls
    assert (call.method, call.path, call.query) == ("POST", "/fal-ai/flux/dev", {"fal_webhook": [HOOK]})
    assert call.headers["authorization"] == f"Key {fal.key}"
    assert call.headers["content-type"] == "application/json"
    assert float(call.headers["x-fal-request-timeout"]) < PaintBackground.deadline.total_seconds()
    assert json.loads(call.headers["x-fal-object-lifecycle-preference"]) == {"expiration_duration_seconds": 604800}
    assert json.loads(call.body) == {
        "prompt": "An office in the morning",
        "image_size": {"width": 464, "height": 256},
        "num_images": 1,
        "seed": 7,
        "enable_safety_checker": True,
        "output_format": "png",
    }


def test_without_a_public_address_no_webhook_is_asked_for(fal: Fal, paint: PaintBackground) -> None:
    submitted(paint)
    assert fal.calls[0].query == {}


def test_the_addresses_that_fal_gave_are_kept_and_used(fal: Fal, paint: PaintBackground) -> None:
    ticket = submitted(paint)
    base = f"{fal.url}/fal-ai/flux/requests/{ticket.external_id}"  # without the model's sub-path
    assert ticket.urls == {"status": f"{base}/status", "response": base, "cancel": f"{base}/cancel"}
    paint.poll(PAINTING, ticket)
    assert [fal.url + call.path for call in fal.calls[1:]] == [ticket.urls["status"], ticket.urls["response"]]
    assert {call.headers["authorization"] for call in fal.calls} == {f"Key {fal.key}"}


def test_addresses_at_another_host_never_get_our_key(fal: Fal, paint: PaintBackground) -> None:
    fal.elsewhere = fal.cdn.url
    with capture_logs() as lines:
        polled(paint)
    assert [line["event"] for line in lines] == ["addresses not taken over"]
    assert [call.path.split("/")[1] for call in fal.cdn.calls] == ["files"]
    assert all("authorization" not in call.headers for call in fal.cdn.calls)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (detail(400, "Bad request"), ProviderRejected),
        (detail(401, "Authentication is required to access this application."), ProviderAuth),
        (detail(402, "Payment required"), InsufficientFunds),
        (detail(403, "No access to this application"), ProviderAuth),
        (detail(403, "User is locked. Reason: Exhausted balance."), InsufficientFunds),
        (detail(404, "Application not found"), ProviderRejected),
        (Reply.html(404), ProviderRejected),
        (detail(409, "Conflict"), VendorBusy),
        (Reply.html(413), ProviderRejected),
        (detail(422, [{"loc": ["body"], "msg": "no", "type": "value_error"}]), ProviderRejected),
        (detail(422, [{"loc": ["body"], "msg": "no", "type": "content_policy_violation"}]), Moderated),
        (detail(429, "Too many requests"), RateLimited),
        (detail(429, "Too many concurrent requests"), ConcurrencyLimited),
        (Reply.html(451), Moderated),
        (Reply.html(503), VendorBusy),
        (Reply.html(307, Location="https://elsewhere.example/"), VendorBusy),
    ],
)
def test_what_fal_did_not_take_is_told_apart_and_costs_nothing(
    fal: Fal, paint: PaintBackground, reply: Reply, kind: type[ProviderError]
) -> None:
    fal.answers_at("submit", reply)
    error = refused(paint, kind)
    assert not error.charged
    assert (fal.works, fal.books) == ({}, [])
    assert (error.pause_s is not None) == (kind in (ProviderAuth, InsufficientFunds, RateLimited, ConcurrencyLimited))


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_failure_that_may_hide_a_taken_request_leaves_its_outcome_unknown(
    fal: Fal, paint: PaintBackground, status: int
) -> None:
    fal.answers_at("submit", Reply.html(status))
    assert not refused(paint, OutcomeUnknown).ends_call


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, (7, 7)),
        ({"retry-after-ms": "1500"}, (1.5, 1.5)),
        ({"Retry-After": "86400"}, (900, 900)),
        ({}, (5, 10)),
    ],
)
def test_fal_says_how_long_to_wait(
    fal: Fal, paint: PaintBackground, headers: dict[str, str], seconds: tuple[float, float]
) -> None:
    fal.answers_at("submit", detail(429, "Too many requests", **headers))
    least, most = seconds
    assert least <= (refused(paint, RateLimited).pause_s or 0) <= most


def test_fal_may_name_the_moment_until_which_to_wait(fal: Fal, paint: PaintBackground) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    fal.answers_at("submit", detail(429, "Too many requests", **{"Retry-After": moment}))
    assert 500 <= (refused(paint, RateLimited).pause_s or 0) <= 600


def test_a_request_that_never_left_costs_nothing(fal: Fal, store: FolderStore) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert not refused(operation(fal, store, BASE_URL=url), VendorBusy).charged


def test_a_request_whose_answer_was_lost_is_charged_and_never_sent_again(fal: Fal, paint: PaintBackground) -> None:
    fal.deaf = 1.0
    fal.charged_at_once = True
    refused(paint, OutcomeUnknown)
    assert len(fal.books) == 1
    assert [call.method for call in fal.calls] == ["POST"]


def test_a_request_whose_answer_takes_too_long_has_an_unknown_outcome(
    fal: Fal, paint: PaintBackground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "SUBMIT_S", 0.2)
    fal.slow_s = 1.0
    refused(paint, OutcomeUnknown)
    assert len(fal.works) == 1


@pytest.mark.parametrize(
    "body", [b"<html>", {}, [], {"request_id": None}, {"request_id": "../../users/me"}, {"request_id": "x" * 200}]
)
def test_an_answer_without_a_usable_id_has_an_unknown_outcome(fal: Fal, paint: PaintBackground, body: Any) -> None:
    fal.answers_at("submit", Reply(200, body))
    refused(paint, OutcomeUnknown)


# --- poll ---------------------------------------------------------------------------------


def test_work_is_waited_for_and_its_picture_kept(fal: Fal, paint: PaintBackground, store: FolderStore) -> None:
    fal.queue_s = fal.work_s = 3600.0
    ticket = submitted(paint)
    assert isinstance(paint.poll(PAINTING, ticket), Running)
    work = fal.works[ticket.external_id]
    work.begins -= 3600.0
    assert work.state == "IN_PROGRESS"
    assert isinstance(paint.poll(PAINTING, ticket), Running)
    assert fal.books == []
    work.ends -= 7200.0
    answer = paint.poll(PAINTING, ticket)
    assert isinstance(answer, Answered)
    assert answer.cost == fal.books[0].usd == Decimal("0.025")
    kept = answer.output
    assert (kept.kind, kept.media_type) == ("background", "image/jpeg")
    with Image.open(store.path(kept)) as picture:
        assert (picture.size, picture.format) == ((320, 180), "JPEG")
    facts = store.facts[kept.id]
    assert (facts["width"], facts["height"], facts["set"]) == (320, 180, MODEL)
    assert (facts["painted_width"], facts["painted_height"]) == (464, 256)
    assert 0 < facts["luma"] < 255


def test_asked_again_it_gives_the_same_picture_and_is_charged_once(fal: Fal, paint: PaintBackground) -> None:
    ticket = submitted(paint)
    first, second = paint.poll(PAINTING, ticket), paint.poll(PAINTING, ticket)
    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert first.output.sha256 == second.output.sha256
    assert len(fal.books) == 1


def test_an_unknown_status_is_work_that_goes_on_and_a_warning(fal: Fal, paint: PaintBackground) -> None:
    fal.word = "HIBERNATING"
    with capture_logs() as lines:
        assert isinstance(paint.poll(PAINTING, submitted(paint)), Running)
    assert [(line["event"], line["status"]) for line in lines] == [("unknown status", "HIBERNATING")]


@pytest.mark.parametrize("place", ["status", "response"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply.html(500), VendorBusy),
        (Reply.html(502), VendorBusy),
        (Reply.html(200), VendorBusy),
        (detail(409, "Conflict"), VendorBusy),
        (detail(429, "Slow down", **{"Retry-After": "3"}), RateLimited),
        (detail(401, "No user found for this key."), ProviderAuth),
        (detail(403, "User is locked. Reason: TOP_UP."), VendorBusy),
    ],
)
def test_a_question_that_fails_says_nothing_of_the_work(
    fal: Fal, paint: PaintBackground, place: str, reply: Reply, kind: type[ProviderError]
) -> None:
    ticket = submitted(paint)
    fal.answers_at(place, reply)
    with pytest.raises(ProviderError) as found:
        paint.poll(PAINTING, ticket)
    assert type(found.value) is kind
    assert not found.value.ends_call
    assert isinstance(paint.poll(PAINTING, ticket), Answered)


def model_error(status: int, kind: str, **headers: str) -> Reply:
    told = {"loc": ["body", "prompt"], "msg": "in words", "type": kind, "url": "https://docs.fal.ai/errors"}
    return detail(status, [told], **headers)


def platform_error(status: int, kind: str) -> Reply:
    return Reply(status, {"detail": "in words", "error_type": kind}, {"X-Fal-Error-Type": kind})


@pytest.mark.parametrize(
    ("failure", "kind", "charged", "retryable"),
    [
        (Failure(model_error(422, "value_error")), ProviderRejected, True, False),
        (Failure(detail(422, "in words")), ProviderRejected, True, False),
        (Failure(detail(400, "in words")), ProviderRejected, False, False),
        (Failure(model_error(422, "content_policy_violation")), Moderated, True, False),
        (Failure(model_error(500, "internal_server_error")), VendorFailed, False, True),
        (Failure(model_error(504, "generation_timeout", **{"X-Fal-Retryable": "false"})), VendorFailed, False, False),
        (Failure(model_error(504, "generation_timeout", **{"X-Fal-Needs-Retry": "0"})), VendorFailed, False, False),
        (Failure(model_error(400, "downstream_error", **{"X-Fal-Needs-Retry": "1"})), VendorFailed, False, True),
        (Failure(platform_error(504, "startup_timeout")), VendorFailed, False, True),
        (Failure(platform_error(503, "runner_disconnected"), "Gone", "runner_disconnected"), VendorFailed, False, True),
        (Failure(platform_error(499, "client_cancelled"), "Cancelled", "client_cancelled"), VendorFailed, False, True),
        (Failure(Reply.html(404), "Runner gone", "runner_disconnected"), VendorFailed, False, True),
        (Failure(Reply(200, {"images": []}), "Something else", "made_up_since"), VendorFailed, True, False),
        (Failure(Reply(500, b"Internal Server Error", {"Content-Type": "text/plain"})), VendorFailed, False, True),
        (Failure(detail(404, "Result not found")), ResultExpired, True, False),
        (Failure(detail(410, "Result deleted")), ResultExpired, True, False),
    ],
)  # fmt: skip
def test_work_that_failed_says_what_it_costs_and_whether_to_try_again(
    fal: Fal, paint: PaintBackground, failure: Failure, kind: type[ProviderError], charged: bool, retryable: bool
) -> None:
    fal.failure = failure
    error = refused(paint, kind)
    assert (error.charged, error.retryable, error.ends_call) == (charged, retryable, True)
    assert "in words" not in f"{error}{error.details}"  # what fal writes may repeat the prompt


def test_input_that_the_model_does_not_take_is_told_by_the_result(fal: Fal, paint: PaintBackground) -> None:
    wrong = Painting(MODEL, "", 320, 180, 7)
    ticket = paint.submit(wrong, "call_1")
    assert isinstance(ticket, Ticket)
    with pytest.raises(ProviderRejected) as found:
        paint.poll(wrong, ticket)
    assert found.value.details["vendor_code"] == "value_error"


def test_a_request_that_fal_forgot_has_vanished(fal: Fal, paint: PaintBackground) -> None:
    ticket = submitted(paint)
    fal.works.clear()
    with pytest.raises(CallVanished):
        paint.poll(PAINTING, ticket)


# --- through the ledger -------------------------------------------------------------------


def adapter(fal: Fal, store: FolderStore, ledger: MemoryLedger) -> FalBackground:
    return FalBackground(store, Vendor("fal", fal.variables), ledger)


def test_the_adapter_waits_and_then_gives_the_picture_however_often_it_is_entered(fal: Fal, store: FolderStore) -> None:
    fal.work_s, ledger = 3600.0, MemoryLedger()
    for _ in range(2):
        with pytest.raises(NotYet) as waiting:
            adapter(fal, store, ledger).paint("An office.", width=320, height=180, seed=7)
        assert waiting.value.wait.awaits == "call"
    fal.finish(ledger.only.call.ticket.external_id if ledger.only.call.ticket else "")
    first, second = (adapter(fal, store, ledger).paint("An office.", width=320, height=180, seed=7) for _ in range(2))
    assert first == second
    assert [call.method for call in fal.calls].count("POST") == 1
    assert ledger.only.cost == sum(charge.usd for charge in fal.books)
    sent = json.loads(fal.calls[0].body)["prompt"]
    assert sent.startswith("An office. ")
    assert "without any people" in sent


def test_a_request_that_may_have_been_taken_waits_for_a_person_and_is_not_sent_again(
    fal: Fal, store: FolderStore
) -> None:
    fal.deaf, ledger = 1.0, MemoryLedger()
    for _ in range(2):
        with pytest.raises(NotYet) as parked:
            adapter(fal, store, ledger).paint("An office", width=320, height=180, seed=7)
        assert (parked.value.wait.after, parked.value.wait.awaits) == (None, "person")
    assert len(fal.works) == len(fal.calls) == 1


def test_after_the_deadline_the_work_is_given_up_and_not_forgotten(fal: Fal, store: FolderStore) -> None:
    fal.work_s, ledger = 3600.0, MemoryLedger()
    with pytest.raises(NotYet):
        adapter(fal, store, ledger).paint("An office", width=320, height=180, seed=7)
    ledger.grow_old(PaintBackground.deadline.total_seconds())
    with pytest.raises(ProviderTimeout):
        adapter(fal, store, ledger).paint("An office", width=320, height=180, seed=7)
    assert ledger.only.call.status is CallStatus.SUBMITTED


# --- the picture --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output",
    [
        "a string",
        ["https://fal.media/x.png"],
        {},
        {"images": []},
        {"images": None},
        {"images": ["https://fal.media/x.png"]},
        {"images": [{"url": None}]},
        {"images": [{"url": "data:image/png;base64,AAAA"}]},
        {"images": [{"url": "https://fal.media.evil.example/x.png"}]},
        {"images": [{"url": "https://evilfal.media/x.png"}]},
        {"images": [{"url": "http://fal.media/x.png"}]},
        {"images": [{"url": "file:///etc/passwd"}]},
        {"images": [{"url": "http://[::1"}]},
    ],
)
def test_a_result_without_a_picture_of_fals_own_is_bad(fal: Fal, paint: PaintBackground, output: Any) -> None:
    fal.output = lambda told: output
    assert refused(paint, BadOutput).charged
    assert fal.cdn.calls == []


def test_what_the_safety_checker_blackened_was_moderated_and_is_paid(fal: Fal, paint: PaintBackground) -> None:
    fal.output = lambda told: told | {"has_nsfw_concepts": [True]}
    assert refused(paint, Moderated).charged
    assert fal.cdn.calls == []


def test_the_media_host_gets_no_key(fal: Fal, paint: PaintBackground) -> None:
    polled(paint)
    [call] = fal.cdn.calls
    assert "authorization" not in call.headers
    assert fal.key not in json.dumps([call.headers, call.path, call.query])


def bomb(asked: Any) -> bytes:
    made = io.BytesIO()
    Image.new("1", (9000, 9000)).save(made, "PNG")
    return made.getvalue()


def stamp(asked: Any) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (100, 100)).save(made, "PNG")
    return made.getvalue()


@pytest.mark.parametrize(
    ("picture", "media_type"),
    [
        (lambda asked: b"no picture at all", "image/png"),
        (lambda asked: b"", "image/png"),
        (lambda asked: stamp(asked)[:60], "image/png"),
        (stamp, "image/png"),
        (bomb, "image/png"),
        (stamp, "text/html"),
        (lambda asked: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ],
)
def test_a_file_that_is_not_the_picture_is_bad(fal: Fal, paint: PaintBackground, picture: Any, media_type: str) -> None:
    fal.picture, fal.media_type = picture, media_type
    assert refused(paint, BadOutput).charged


def test_a_file_of_endless_bytes_is_not_taken(
    fal: Fal, paint: PaintBackground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MOST_BYTES", 100)
    refused(paint, BadOutput)


def test_a_download_that_breaks_off_is_asked_for_again(fal: Fal, paint: PaintBackground) -> None:
    ticket = submitted(paint)
    for reply in (Reply(200, b"x" * 5000, {"Content-Type": "image/png"}, cut=100), Reply.html(502)):
        fal.cdn.answers(reply)
        with pytest.raises(VendorBusy):
            paint.poll(PAINTING, ticket)
    assert isinstance(paint.poll(PAINTING, ticket), Answered)
    assert len(fal.books) == 1


def test_a_download_that_leads_elsewhere_is_not_followed(fal: Fal, paint: PaintBackground) -> None:
    fal.cdn.answers(Reply.html(302, Location="https://evil.example/x.png"))
    refused(paint, BadOutput)


def test_a_picture_that_moved_is_found_by_asking_for_the_result_again(fal: Fal, paint: PaintBackground) -> None:
    fal.moves_expired = True
    polled(paint)
    assert len(fal.cdn.calls) == 2


@pytest.mark.parametrize("status", [404, 410])
def test_a_picture_that_is_gone_has_expired(fal: Fal, paint: PaintBackground, status: int) -> None:
    fal.cdn.answers(*[Reply.html(status)] * 2)
    assert refused(paint, ResultExpired).charged
    assert sum(call.path.count("/") == 4 for call in fal.calls) == 2  # the result itself was asked for twice


def test_the_operator_says_where_files_may_be(tmp_path: Path) -> None:
    """Against fal's real address: a place that is taken is called, and one that is not is not."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://localhost:{closed.getsockname()[1]}/x.png"
        for hosts, kind in (("media.example, localhost", VendorBusy), ("media.example", BadOutput)):
            wire = queue.wire(Vendor("fal", {"KEY": "a:b", "MEDIA_HOSTS": hosts}))
            with pytest.raises(kind):
                wire.download(url, tmp_path / "x", media=("image/",), max_bytes=1000, seconds=5)
    usual = queue.wire(Vendor("fal", {"KEY": "a:b"}))
    assert usual._listed("https://v3.fal.media/files/x.png") == "v3.fal.media"


@given(st.integers(64, 4096), st.integers(64, 4096))
def test_what_is_asked_for_covers_the_frame_or_is_all_that_the_model_paints(width: int, height: int) -> None:
    wide, high = paintable(width, height)
    assert wide % 16 == high % 16 == 0
    assert wide * high <= background.MOST_PIXELS or min(wide, high) == 256
    assert (wide >= width and high >= height) or wide * high > 0.8 * background.MOST_PIXELS


# --- cancel and adopt ---------------------------------------------------------------------


def test_cancelling_work_in_the_queue_ends_it_unpaid(fal: Fal, paint: PaintBackground) -> None:
    fal.queue_s = 3600.0
    ticket = submitted(paint)
    assert paint.cancel(ticket)
    assert (fal.calls[-1].method, fal.calls[-1].path) == ("PUT", ticket.urls["cancel"].removeprefix(fal.url))
    with pytest.raises(VendorFailed) as found:
        paint.poll(PAINTING, ticket)
    assert (found.value.charged, fal.books) == (False, [])


def test_cancelling_work_in_progress_is_a_wish(fal: Fal, paint: PaintBackground) -> None:
    fal.work_s = 3600.0
    ticket = submitted(paint)
    assert paint.cancel(ticket)
    assert isinstance(paint.poll(PAINTING, ticket), Running)
    fal.works[ticket.external_id].ends = 0.0
    assert isinstance(paint.poll(PAINTING, ticket), Answered)
    assert len(fal.books) == 1


def test_work_that_is_done_or_unknown_cannot_be_cancelled(fal: Fal, paint: PaintBackground) -> None:
    ticket = submitted(paint)
    assert not paint.cancel(ticket)
    fal.works.clear()
    assert not paint.cancel(ticket)


def test_cancelling_goes_by_the_word_and_not_by_the_code(fal: Fal, paint: PaintBackground) -> None:
    fal.answers_at("cancel", Reply(200, {"status": "ALREADY_COMPLETED"}), Reply(200, {"status": "OK"}), Reply.html(502))
    ticket = submitted(paint)
    assert not paint.cancel(ticket)
    assert paint.cancel(ticket)
    with pytest.raises(VendorBusy):
        paint.cancel(ticket)


def test_a_request_that_a_person_found_is_adopted_by_its_id(fal: Fal, paint: PaintBackground) -> None:
    fal.after_taken = lambda work: False
    refused(paint, OutcomeUnknown)
    [request_id] = fal.works
    ticket = paint.adopt(request_id)
    assert ticket is not None
    assert isinstance(paint.poll(PAINTING, ticket), Answered)


@pytest.mark.parametrize("wrong", ["", "../x", "a/b", "a b", "a?b", "ü"])
def test_what_cannot_be_an_id_is_not_adopted(paint: PaintBackground, wrong: str) -> None:
    assert paint.adopt(wrong) is None


def test_a_workflow_has_one_more_part_in_its_address(fal: Fal, store: FolderStore) -> None:
    found = operation(fal, store, BACKGROUND_MODEL="workflows/us/set/v2", PRICE_PER_IMAGE="1").adopt("r-1")
    assert found is not None
    assert found.urls["response"] == f"{fal.url}/workflows/us/set/requests/r-1"


# --- settings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"KEY": ""}, "FAL_KEY"),
        ({"BASE_URL": "http://queue.fal.run"}, "FAL_BASE_URL"),
        ({"BACKGROUND_MODEL": "../users"}, "FAL_BACKGROUND_MODEL"),
        ({"BACKGROUND_MODEL": "fal-ai/flux-pro/v1.1"}, "FAL_PRICE_PER_IMAGE"),
        ({"PRICE_PER_IMAGE": "cheap"}, "FAL_PRICE_PER_IMAGE"),
        ({"PRICE_PER_IMAGE": "-1"}, "FAL_PRICE_PER_IMAGE"),
        ({"PRICE_PER_IMAGE": "nan"}, "FAL_PRICE_PER_IMAGE"),
    ],
)
def test_a_setting_that_cannot_be_is_named_before_anything_is_sent(variables: dict[str, str], named: str) -> None:
    with pytest.raises(ProviderMissing, match=named):
        FalBackground.ready(Vendor("fal", {"KEY": "a:b"} | variables))


def test_the_price_is_fals_or_the_operators(fal: Fal, store: FolderStore, paint: PaintBackground) -> None:
    wide = Painting(MODEL, "An office", 1920, 1080, 7)
    assert wide.size == (1920, 1088)
    assert (paint.quote(PAINTING), paint.quote(wide)) == (Decimal("0.025"), Decimal("0.075"))
    flat = operation(fal, store, PRICE_PER_IMAGE="0.04")
    assert flat.quote(wide) == Decimal("0.04")
    answer = flat.poll(PAINTING, submitted(flat))
    assert isinstance(answer, Answered)
    assert answer.cost is None


# --- webhooks -----------------------------------------------------------------------------


def read(fal: Fal, sent: tuple[dict[str, str], bytes]) -> str:
    headers, raw = sent
    return hook.read({name.lower(): value for name, value in headers.items()}, raw, Vendor("fal", fal.variables))


def test_a_signed_webhook_tells_its_request_and_the_keys_are_fetched_once(fal: Fal) -> None:
    assert [read(fal, fal.hook(request_id)) for request_id in ("r-1", "r-2")] == ["r-1", "r-2"]
    assert fal.key_calls == 1


def changed(sent: tuple[dict[str, str], bytes], **headers: str) -> tuple[dict[str, str], bytes]:
    names = {name: f"X-Fal-Webhook-{name.replace('_', '-').title()}" for name in headers}
    return sent[0] | {names[name]: value for name, value in headers.items()}, sent[1]


@pytest.mark.parametrize(
    "forge",
    [
        lambda fal: fal.hook("r-1", key=HookKey()),
        lambda fal: (fal.hook("r-1")[0], fal.hook("r-2")[1]),
        lambda fal: ({}, fal.hook("r-1")[1]),
        lambda fal: changed(fal.hook("r-1"), signature=""),
        lambda fal: changed(fal.hook("r-1"), signature="zz" * 64),
        lambda fal: changed(fal.hook("r-1"), signature="00" * 64),
        lambda fal: changed(fal.hook("r-1"), timestamp="soon"),
        lambda fal: changed(fal.hook("r-1"), user_id="user-2"),
        lambda fal: changed(fal.hook("r-1"), request_id="r-2"),
        lambda fal: changed(fal.hook("r-1", at=time.time() - 400), timestamp=str(int(time.time()))),
        lambda fal: fal.hook("r-1", at=time.time() - 301),
        lambda fal: fal.hook("r-1", at=time.time() + 310),
    ],
)  # fmt: skip
def test_a_webhook_that_fal_did_not_sign_just_now_is_not_believed(fal: Fal, forge: Any) -> None:
    with pytest.raises(NotGenuine):
        read(fal, forge(fal))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"request_id": 7}', b'{"request_id": "a\\u0000b"}'])
def test_a_signed_webhook_that_names_no_request_is_not_believed(fal: Fal, raw: bytes) -> None:
    with pytest.raises(NotGenuine):
        read(fal, (fal.keys[0].headers(raw, "r-1", at=time.time()), raw))


def test_a_new_key_is_fetched_when_a_signature_fits_none_but_not_more_than_once_a_minute(
    fal: Fal, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(fal, fal.hook("r-1"))
    fal.rotate()
    with pytest.raises(NotGenuine):
        read(fal, fal.hook("r-2"))
    assert fal.key_calls == 1
    monkeypatch.setattr(hook, "KEYS_PAUSE_S", 0.0)
    assert read(fal, fal.hook("r-2")) == "r-2"
    assert fal.key_calls == 2


def test_keys_that_are_a_day_old_are_fetched_again(fal: Fal) -> None:
    stolen = fal.keys[0]
    read(fal, fal.hook("r-1"))
    fal.rotate()
    ring = hook._keys(fal.variables["JWKS_URL"])
    ring._fetched_at -= 86_400.0
    ring._asked_at -= 86_400.0
    with pytest.raises(NotGenuine):
        read(fal, fal.hook("r-2", key=stolen))
    assert read(fal, fal.hook("r-2")) == "r-2"
    assert fal.key_calls == 2


@pytest.mark.parametrize(
    "reply", [Reply.html(500), Reply(200, b"{"), Reply(200, []), Reply(200, {"keys": [{"kty": "RSA"}, 7]})]
)
def test_without_keys_nothing_is_believed_and_later_it_is(
    fal: Fal, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setattr(hook, "KEYS_PAUSE_S", 0.0)
    fal.answers_at("keys", reply)
    with pytest.raises(NotGenuine):
        read(fal, fal.hook("r-1"))
    assert read(fal, fal.hook("r-1")) == "r-1"
