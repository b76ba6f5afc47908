"""`likeness dead` on a real broker: nothing is lost by looking, and what is sent again is sent whole."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Producer, Queue

from db.database import Database
from db.models import Job
from pipeline.state import FINAL
from tests import factories, inline, processes
from tests.command import LIKENESS, run
from tests.processes import eventually

LIMITED = {"x-queue-type": "quorum", "x-delivery-limit": 10}
KEPT = LIMITED | {"x-dead-letter-exchange": "likeness.dead"}
TOPIC = Exchange("likeness", type="topic", durable=True)
DEAD = Queue("dead", Exchange("likeness.dead", type="fanout"), "#", queue_arguments={"x-queue-type": "quorum"})


@dataclass
class Post:
    """The broker as an operator meets it, without workers: what is sent stays where it lies."""

    connection: Connection
    environment: dict[str, str]
    database: Database

    def die(self, task: str, *args: Any, lane: str = "avatar", **options: Any) -> str:
        """Send a message as Celery does, and have the broker give it up."""
        app = Celery(broker=self.environment["LIKENESS_BROKER_URL"], set_as_current=False)
        id = app.send_task(
            task, args, exchange="likeness", routing_key=f"{lane}.{task}", queue=self.queue(lane), **options
        ).id
        app.close()
        before = self.depth("dead")
        eventually(lambda: self.taken(lane, reject=True), within=60, what="it is there")
        eventually(lambda: self.depth("dead") > before, within=60, what="it is dead")
        return id

    def queue(self, name: str) -> Queue:
        return Queue(name, TOPIC, f"{name}.#", queue_arguments=LIMITED if name == "maintenance" else KEPT)

    def taken(self, name: str, *, reject: bool = False) -> Any:
        """The next message of a queue."""
        message = Queue(name, channel=self.connection.default_channel).get()
        if message is not None:
            message.reject() if reject else message.ack()
        return message

    def depth(self, name: str) -> int:
        found = Queue(name, channel=self.connection.default_channel).queue_declare(passive=True)
        return int(found.message_count)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LIKENESS, "dead", *words],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def listed(self) -> list[dict[str, Any]]:
        done = self.run("list", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def dead(self) -> list[str]:
        """The ids of the dead messages, as anybody can see them at the broker."""
        with Connection(self.environment["LIKENESS_BROKER_URL"]) as other:
            queue = Queue("dead", channel=other.default_channel)
            found = [message.headers.get("id") for message in iter(queue.get, None)]
        eventually(lambda: self.depth("dead") == len(found), within=60, what="they are given back")
        return found

    def job(self, **facts: Any) -> str:
        """A job that has a dead step `scene/1/speech`."""
        job = factories.JobFactory.build(route="single_scene", lane="avatar", scenes=1, **facts)
        with self.database.transaction() as session:
            session.add(job)
        return str(job.id)


@pytest.fixture
def post(broker_url: str, database_url: str, storage_url: str) -> Iterator[Post]:
    environment = {
        "LIKENESS_DATABASE_URL": database_url,
        "LIKENESS_BROKER_URL": broker_url,
        "LIKENESS_STORAGE_URL": storage_url,
        "LIKENESS_SIGNING_KEY": "k" * 40,
    }
    database = Database(database_url)
    with Connection(broker_url) as connection:
        made = Post(connection, environment, database)
        for name in ("avatar", "marketing", "callback", "maintenance"):
            made.queue(name).bind(connection.default_channel).declare()
            Queue(name, channel=connection.default_channel).purge()
        DEAD.bind(connection.default_channel).declare()
        DEAD.bind(connection.default_channel).purge()
        yield made
    database.dispose()


def test_a_dead_step_says_what_it_is_where_it_died_and_why(post: Post) -> None:
    job_id = f"job_{'0' * 26}"
    id = post.die("speech", job_id, "scene/1/speech", 3)
    (found,) = post.listed()
    at = found.pop("at")
    assert found == {
        "id": id,
        "task": "speech",
        "job_id": job_id,
        "step": "scene/1/speech",
        "queue": "avatar",
        "reason": "rejected",
        "count": 1,
    }
    assert at.startswith(time.strftime("%Y-%m-%dT%H", time.gmtime()))
    text = post.run("list").stdout
    assert all(word in text for word in (id, "speech", job_id, "scene/1/speech", "avatar", "rejected ×1")), text


def test_looking_any_number_of_times_loses_nothing_and_wears_nothing_out(post: Post) -> None:
    """Newer brokers drop what was given back twenty times."""
    ids = {post.die("deliver", "shop", lane="callback") for _ in range(2)}
    for _ in range(15):
        assert set(post.dead()) == ids
    assert {each["id"] for each in post.listed()} == ids  # and puts them in anew
    assert {each["reason"] for each in post.listed()} == {"rejected"}
    assert post.taken("dead").headers["x-delivery-count"] == 1


def test_a_command_that_is_killed_holding_them_gives_all_back(post: Post) -> None:
    """It asks nothing while it holds them, so it is stopped from outside in the middle of it."""
    ids = {post.die("deliver", "shop", lane="callback") for _ in range(3)}
    code = (
        "from tasks.dead import hold\nimport time\n"
        "with hold() as held:\n    print(len(list(held)), flush=True)\n    time.sleep(60)"
    )
    environment = {**os.environ, **post.environment}
    with subprocess.Popen([LIKENESS[0], "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "3"
        assert post.depth("dead") == 0
        holder.send_signal(signal.SIGKILL)
    eventually(lambda: post.depth("dead") == 3, within=60, what="the broker has them back")
    assert set(post.dead()) == ids


def test_what_is_no_step_is_sent_again_as_it_was(post: Post) -> None:
    id = post.die("deliver", "shop", lane="callback", argsrepr="(client=shop)")
    done = post.run("requeue", id)
    assert (done.returncode, done.stdout) == (0, f"{id}  sent again to callback\n"), done.stderr
    message = post.taken("callback")
    assert message.delivery_info["routing_key"] == "callback.deliver"
    assert message.delivery_info["exchange"] == "likeness"
    assert message.payload[0] == ["shop"]
    assert (message.headers["id"], message.headers["task"]) == (id, "deliver")
    assert message.properties["correlation_id"] == id
    assert message.properties["delivery_mode"] == 2
    assert "x-death" not in message.headers
    assert message.headers.get("x-delivery-count", 0) == 0, "it has all its deliveries before it"
    assert post.dead() == []


def test_a_job_goes_on_from_the_step_that_it_failed_with_in_a_new_launch(post: Post) -> None:
    error = {"stage": "load_identity", "code": "worker_lost", "message": "Lost.", "retryable": True, "details": {}}
    job_id = post.job(status="failed", launch=1, error=error)
    with post.database.transaction() as session:
        session.add(
            factories.RecordFactory.build(job_id=job_id, step="load_identity", stage="load_identity", status="failed")
        )
    id = post.die("load_identity", job_id, "load_identity", 1)
    done = post.run("requeue", id)
    assert (done.returncode, done.stdout) == (0, f"{id}  job {job_id} goes on from load_identity\n"), done.stderr
    assert post.taken("avatar").payload[0] == [job_id, "load_identity", 2]
    job = inline.job(post.database, job_id)
    assert (job.status, job.error) == ("running", None)
    assert post.dead() == []


@pytest.mark.slow
def test_a_step_that_killed_every_worker_goes_on_once_that_is_mended(post: Post, tmp_path: Path) -> None:
    """Poison for real: each worker that takes the step dies, until it is given up, and the job with it."""
    mended = tmp_path / "mended"
    environment = post.environment | {"LIKENESS_PROVIDERS": json.dumps(processes.instant_providers())}
    worker = processes.worker("avatar,marketing,callback,maintenance", environment, tmp_path, beat=True)

    def ended(job_id: str) -> Job | None:
        job = inline.job(post.database, job_id)
        return job if job.status in FINAL else None

    try:
        eventually(lambda: worker.says("ready."), within=120, what="the worker is ready")
        made = inline.accept(post.database, inline.avatar_request(inline.upload(post.database)))
        avatar = eventually(lambda: ended(made), within=60)
        assert avatar is not None
        request = inline.output_request((avatar.result or {})["avatar_id"], text=f"die until {mended}")
        job_id = inline.accept(post.database, request)
        failed = eventually(lambda: ended(job_id), within=120, what="it is given up")
        assert failed is not None
        assert (failed.status, (failed.error or {})["code"]) == ("failed", "worker_lost")
        (found,) = eventually(post.listed, within=60, what="its message is dead")
        assert (found["job_id"], found["step"], found["reason"]) == (job_id, "scene/1/speech", "rejected")

        mended.touch()
        done = post.run("requeue", found["id"])
        assert done.returncode == 0, done.stderr
        assert f"job {job_id} goes on from scene/1/speech" in done.stdout
        completed = eventually(lambda: ended(job_id), within=60, what="it is completed")
        assert completed is not None
        assert completed.status == "completed"
        assert post.dead() == []
    finally:
        worker.kill()


def test_the_step_of_an_active_job_is_launched_again(post: Post) -> None:
    job_id = post.job(kind="output", launch=1)
    id = post.die("load_identity", job_id, "load_identity", 1)
    done = post.run("requeue", "--all")
    assert (done.returncode, done.stdout) == (0, f"{id}  job {job_id} is launched again\n"), done.stderr
    message = post.taken("avatar")
    assert message.headers["task"] == "load_identity"
    assert message.payload[0] == [job_id, "load_identity", 1]
    assert post.depth("dead") == 0


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed"])
def test_a_step_whose_job_ended_otherwise_stays_until_it_is_dropped(post: Post, status: str) -> None:
    job_id = post.job(status=status, error={"stage": "script", "code": "x"} if status == "failed" else None)
    id = post.die("speech", job_id, "scene/1/speech", 1)
    done = post.run("requeue", id)
    assert done.returncode == 1
    assert f"job {job_id} is {status}" in done.stderr
    assert f"likeness dead drop {id}" in done.stderr
    assert post.dead() == [id]
    assert post.run("drop", id, "--yes").returncode == 0
    assert post.dead() == []


def test_a_step_whose_job_is_gone_is_told_so(post: Post) -> None:
    post.die("speech", "job_gone", "scene/1/speech", 1)
    done = post.run("requeue", "--all")
    assert done.returncode == 1
    assert "there is no job job_gone any more" in done.stderr


def test_only_the_named_ones_are_touched(post: Post) -> None:
    first, second, third = (post.die("deliver", f"shop{number}", lane="callback") for number in range(3))
    done = post.run("drop", second, "nobody", "--yes")
    assert done.returncode == 1
    assert done.stderr == "nobody  is not among the dead messages\n"
    assert post.run("requeue", third).returncode == 0
    assert post.dead() == [first]
    assert post.depth("callback") == 1


def test_nothing_is_dropped_unasked(post: Post) -> None:
    id = post.die("deliver", "shop", lane="callback")
    for words in (("drop",), ("requeue",), ("drop", id, "--all", "--yes"), ("drop", "--all")):
        assert run("dead", *words, env=post.environment).exit_code != 0, words
    assert post.dead() == [id]


def test_a_message_that_is_not_ours_can_be_seen_and_dropped(post: Post) -> None:
    Producer(post.connection.default_channel).publish(
        b"\x80 not json", content_type="application/json", exchange="", routing_key="dead"
    )
    (found,) = eventually(post.listed, within=60, what="it is there")
    assert (found["task"], found["queue"]) == (None, None)
    done = post.run("requeue", found["id"])
    assert done.returncode == 1
    assert "does not say where it came from" in done.stderr
    assert post.run("drop", "--all", "--yes").returncode == 0
    assert post.dead() == []


def test_what_cannot_be_sent_where_it_came_from_stays_dead(post: Post) -> None:
    id = post.die("deliver", "shop", lane="callback")
    channel = post.connection.default_channel
    for key in ("callback.#", "#.callback.#"):  # the second one is Celery's own, for what it would delay
        post.queue("callback").bind(channel).unbind_from(TOPIC, key)
    done = post.run("requeue", id)
    assert done.returncode == 1
    assert "no queue takes callback.deliver at likeness" in done.stderr
    assert post.dead() == [id]


def test_what_is_missing_is_one_line(post: Post) -> None:
    away = post.run("list", LIKENESS_BROKER_URL="amqp://guest:guest@127.0.0.1:9//")
    unset = run("dead", "list", env={})
    memory = run("dead", "list", env=post.environment | {"LIKENESS_BROKER_URL": "memory://"})
    for code, said in (
        (away.returncode, away.stderr),
        (unset.exit_code, unset.stderr),
        (memory.exit_code, memory.stderr),
    ):
        assert code == 1
        assert said.startswith("Error: "), said
        assert "Traceback" not in said
    assert "LIKENESS_BROKER_URL" in unset.stderr
