"""What steps leave on a machine when their worker is killed."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from providers.storage import Storage
from tasks.tools import SCRATCH, UNLOCKED_S, StepAssets, sweep_scratch


def test_a_worker_that_starts_removes_what_dead_ones_left_and_nothing_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{SCRATCH}left"
    left.mkdir()
    (left / "frames").write_bytes(b"x")
    with StepAssets(Storage(str(tmp_path / "assets"))).scratch() as used:
        for folder in (left, used):
            long_ago = time.time() - UNLOCKED_S - 1
            os.utime(folder, (long_ago, long_ago))
        sweep_scratch()
        assert not left.exists()
        assert used.exists()
    assert not used.exists()
