"""Failpoints: nothing where they are not armed; once, and by the first who comes by, where they are."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipeline import failpoints
from pipeline.failpoints import failpoint
from tests.processes import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    failpoints.arm(str(tmp_path))
    yield tmp_path
    failpoints.arm(None)


def test_without_the_setting_a_point_does_nothing_even_where_a_file_waits(tmp_path: Path) -> None:
    failpoints.arm(str(tmp_path))
    failpoints.arm(None)
    (tmp_path / "after_id").write_text("kill_child")
    failpoint("after_id")
    assert (tmp_path / "after_id").exists()


def test_a_point_that_is_not_armed_lets_pass(folder: Path) -> None:
    (folder / "after_id").write_text("kill_child")
    failpoint("before_record")
    assert (folder / "after_id").exists()


def test_who_comes_by_pauses_until_let_go_and_who_comes_later_passes(folder: Path) -> None:
    (folder / "after_id").write_text("pause")
    first = threading.Thread(target=failpoint, args=("after_id",))
    first.start()
    eventually((folder / "after_id.hit").exists, within=60)
    failpoint("after_id")
    assert first.is_alive()
    (folder / "after_id.hit").unlink()
    first.join(5)
    assert not first.is_alive()


@pytest.mark.parametrize(("fault", "parent_dies"), [("kill_child", False), ("kill_worker", True)])
def test_the_killed_process_dies_as_by_sigkill(folder: Path, fault: str, parent_dies: bool) -> None:
    (folder / "after_id").write_text(fault)
    fork = multiprocessing.get_context("fork")
    told, tell = fork.Pipe(duplex=False)
    worker = fork.Process(target=_worker, args=(tell,))
    worker.start()
    tell.close()
    worker.join(10)
    if parent_dies:
        assert worker.exitcode == -signal.SIGKILL
    else:
        assert told.recv() == -signal.SIGKILL
    assert not (folder / "after_id").exists()


def _worker(tell: Connection) -> None:
    child = os.fork()
    if child == 0:
        failpoint("after_id")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    tell.send(-os.WTERMSIG(status))
