"""What steps leave on a machine when their worker is killed."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from providers.storage import Storage
from tasks.tools import SCRATCH_KEPT_S, StepAssets, sweep_scratch


def test_a_worker_that_starts_removes_old_leavings_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = StepAssets(Storage(str(tmp_path / "assets")))
    with store.scratch() as left, store.scratch() as used:
        (left / "frames").write_bytes(b"x")
        long_ago = time.time() - SCRATCH_KEPT_S - 1
        os.utime(left, (long_ago, long_ago))
        sweep_scratch()
        assert not left.exists()
        assert used.exists()
        left.mkdir()  # for the end of its scratch
