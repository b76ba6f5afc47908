"""Whole jobs on RabbitMQ and PostgreSQL, with workers of their own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue
from sqlalchemy import text

from db.claims import MOST_LOST
from db.overview import attempts
from db.turns import PATIENT
from tests import inline, processes
from tests.conftest import Servers
from tests.instant import BEYOND_JSON
from tests.processes import eventually
from tests.running import Running, open_running


@pytest.fixture(scope="module")
def running(servers: Servers, broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with open_running(servers, broker_url, tmp_path_factory.mktemp("running")) as found:
        yield found


def test_the_queues_are_what_operators_were_told(running: Running, broker_url: str) -> None:
    """Declared anew with other arguments, a queue refuses; with the right ones, it agrees."""
    limited = {"x-queue-type": "quorum", "x-delivery-limit": 10}
    kept = limited | {"x-dead-letter-exchange": "likeness.dead"}
    arguments = {"avatar": kept, "marketing": kept, "callback": kept, "maintenance": limited}
    exchange = Exchange("likeness", type="topic", durable=True)
    with Connection(broker_url) as connection:
        for name, told in arguments.items():
            Queue(name, exchange, f"{name}.#", queue_arguments=told, channel=connection.default_channel).declare()
        dead = Queue("dead", channel=connection.default_channel).queue_declare(passive=True)
    assert dead is not None


def test_two_fan_outs_in_a_row_need_no_sweeper(running: Running) -> None:
    job_id = running.submit([f"Line {number}." for number in range(3)], route="approval_gated")
    assert running.ended(job_id, within=0.8 * PATIENT.total_seconds()).status == "completed"
    rows = inline.rows(running.database, job_id)
    assert {(row.status, row.attempt) for row in rows.values()} == {("succeeded", 1)}


def test_scenes_fan_out_and_join(running: Running) -> None:
    job_id = running.submit([f"Line {number}." for number in range(4)])
    assert running.ended(job_id).status == "completed"
    rows = inline.rows(running.database, job_id)
    assert len(rows) == 6 + 4 * 3
    assert {(row.status, row.attempt) for row in rows.values()} == {("succeeded", 1)}


@pytest.mark.parametrize("scenes", [1, 50])
def test_one_scene_and_fifty_both_end(running: Running, scenes: int) -> None:
    job = running.ended(running.submit([f"Line {number}." for number in range(scenes)]))
    assert job.status == "completed"
    assert job.result is not None
    assert [scene["index"] for scene in job.result["scenes"]] == list(range(1, scenes + 1))
    said = job.result["disclosure"]
    assert said["digital_source_type"].startswith("http://cv.iptc.org/newscodes/digitalsourcetype/")
    assert "synthetic" in said["statement"]
    assert said["label"] == "AI-generated"


def test_a_failing_scene_fails_the_job_and_harms_nobody_else(running: Running) -> None:
    bad = running.submit(["Fine.", "raise TextNotSpeakable"])
    good = running.submit(["Fine."])
    failed = running.ended(bad)
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error["stage"], failed.error["code"]) == ("scene/2/speech", "text_not_speakable")
    assert running.ended(good).status == "completed"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("raise MemoryError", "out_of_memory"),
        ("raise SystemExit", "internal_error"),
        (BEYOND_JSON, "internal_error"),
    ],
)
def test_what_would_kill_a_worker_or_its_record_is_an_ordinary_failure(running: Running, line: str, code: str) -> None:
    pid = running.steps.pid
    children = {child.pid for child in psutil.Process(pid).children()}
    failed = running.ended(running.submit([line]))
    assert failed.error is not None
    assert (failed.error["code"], failed.error["attempts"]) == (code, 3)
    assert {child.pid for child in psutil.Process(pid).children()} == children


def test_a_killed_pool_child_does_not_hold_up_the_job(running: Running) -> None:
    job_id = running.submit(["sleep", "Fine."])
    running.under_way(job_id, "scene/1/speech")
    for child in psutil.Process(running.steps.pid).children():
        os.kill(child.pid, signal.SIGKILL)
    assert running.ended(job_id).status == "completed"
    assert inline.rows(running.database, job_id)["scene/1/speech"].attempt == 2


def test_cancelling_stops_what_runs(running: Running) -> None:
    job_id = running.submit(["sleep 60"])
    running.under_way(job_id, "scene/1/speech")
    running.cancel(job_id)
    with running.database.transaction() as session:
        assert [each.outcome for each in attempts(session, job_id)["scene/1/speech"]] == ["cancelled"]
    assert running.ended(running.submit(["Fine."])).status == "completed"


def test_a_step_that_kills_its_worker_each_time_ends_among_the_dead(running: Running, broker_url: str) -> None:
    """All but its last lives were lost before."""
    job_id = running.submit(["die"])
    eventually(lambda: "scene/1/speech" in inline.rows(running.database, job_id), within=60, what="it has scenes")
    with running.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO attempts (job_id, step, attempt, outcome, started_at, finished_at) "
                "SELECT :job, 'scene/1/speech', 1000 + n, 'lost', now(), now() FROM generate_series(1, :most) n"
            ),
            {"job": job_id, "most": MOST_LOST - 1},
        )
    failed = running.ended(job_id)
    assert failed.error is not None
    assert (failed.error["stage"], failed.error["code"]) == ("scene/1/speech", "worker_lost")
    with Connection(broker_url) as connection:
        dead = Queue("dead", channel=connection.default_channel)
        message = eventually(dead.get, within=60, what="the message is among the dead")
        message.reject()
    assert message.payload[0][:2] == [job_id, "scene/1/speech"]
    assert message.headers["x-death"][0]["reason"] == "rejected"
    assert message.headers["x-death"][0]["queue"] == "avatar"


def test_a_double_that_the_broker_gives_again_does_not_run_beside_the_first(running: Running, broker_url: str) -> None:
    """As when a worker dies that had only prefetched it."""
    job_id = running.submit(["sleep 5"])
    running.under_way(job_id, "scene/1/speech")
    task_id = (inline.rows(running.database, job_id)["scene/1/speech"].owner or "").partition("/")[0]
    launch = inline.job(running.database, job_id).launch
    app = Celery("tests", broker=broker_url, set_as_current=False)
    with app.connection_for_write() as connection:
        aside = Queue("aside", channel=connection.default_channel)
        aside.declare()
        app.send_task("speech", (job_id, "scene/1/speech", launch), task_id=task_id, queue=Queue("aside"))
        eventually(aside.get, within=60, what="the double has arrived").reject(requeue=True)
        app.control.add_consumer(aside.name, destination=[running.node], reply=True)
        eventually(
            lambda: aside.queue_declare(passive=True).consumer_count and not aside.get(), within=60, what="it is taken"
        )
    app.close()
    assert running.ended(job_id).status == "completed"
    assert inline.rows(running.database, job_id)["scene/1/speech"].attempt == 1


def test_a_scenes_branches_run_side_by_side_while_nobody_waits(running: Running) -> None:
    job_id = running.submit(["sleep 60"])
    running.under_way(job_id, "scene/1/speech")
    eventually(
        lambda: inline.rows(running.database, job_id)["scene/1/background"].status == "succeeded",
        within=30,
        what="the background is there before the speech",
    )
    running.cancel(job_id)


def test_a_killed_worker_holds_up_its_job_for_a_moment(running: Running, broker_url: str, tmp_path: Path) -> None:
    """SIGKILL for the main process and its pool at once, while another worker is there."""
    app = Celery("tests", broker=broker_url, set_as_current=False)
    running.leave(app)
    victim = processes.worker("callback,avatar", running.environment, tmp_path)
    try:
        eventually(lambda: victim.says("ready."), within=120, what="another worker is ready")
        job_id = running.submit(["sleep 5"])
        running.under_way(job_id, "scene/1/speech")
        running.serve_again(app)
        victim.kill()
        eventually(
            lambda: inline.rows(running.database, job_id)["scene/1/speech"].attempt == 2,
            within=10,  # the lease alone would take 30
            what="the step runs again",
        )
        assert running.ended(job_id).status == "completed"
    finally:
        victim.kill()
        running.serve_again(app)
        app.close()
