"""What steps leave on a machine when their worker is killed."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from providers.storage import Storage
from tasks.store import SCRATCH, UNLOCKED_S, StepAssets, sweep_scratch


def test_the_next_step_removes_what_dead_ones_left_and_nothing_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{SCRATCH}left"
    left.mkdir()
    (left / "frames").write_bytes(b"x")
    long_ago = time.time() - UNLOCKED_S - 1
    os.utime(left, (long_ago, long_ago))
    with StepAssets(Storage(str(tmp_path / "assets"))).scratch() as used:
        assert not left.exists()
        os.utime(used, (long_ago, long_ago))
        sweep_scratch()
        assert used.exists()
    assert not used.exists()
