"""No more renderers than cores, in all processes together."""

import os
import tempfile
from pathlib import Path

import pytest

from pipeline.errors import RenderFailed
from providers.local import cores


def test_a_core_is_taken_once_and_free_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = [cores.take() for _ in range(cores.count())]
    assert None not in held
    assert cores.take() is None
    first, *others = (core for core in held if core)
    first.close()
    again = cores.take()
    assert again is not None
    assert cores.take() is None
    for core in (again, *others):
        core.close()


def test_a_folder_that_somebody_else_made_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"likeness-cores-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(RenderFailed, match="TMPDIR"):
        cores.take()
    assert not list(elsewhere.iterdir())
