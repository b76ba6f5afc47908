"""Which adapter serves."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import ProviderMissing
from pipeline.ports import CAPABILITIES
from providers.catalogue import Catalogue
from providers.local import ADAPTERS
from tests.shelf import FolderStore


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A vendor's adapter in a file that nothing of ours knows."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "voice.py").write_text(
        "ADAPTERS = {'speech': 'acme.voice:AcmeSpeech'}\n"
        "class AcmeSpeech:\n    name = 'acme'\n    def __init__(self, assets): self.assets = assets\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "acme.voice"
    for name in ("acme", "acme.voice"):
        sys.modules.pop(name, None)


def test_a_new_vendor_is_one_file_and_one_setting(vendor: str, tmp_path: Path) -> None:
    found = Catalogue({"speech": (vendor, "local")}).adapter("speech", FolderStore(tmp_path))
    assert found.name == "acme"


def test_a_family_that_is_not_installed_gives_way_to_the_next(vendor: str, tmp_path: Path) -> None:
    found = Catalogue({"speech": ("nobody", vendor)}).adapter("speech", FolderStore(tmp_path))
    assert found.name == "acme"


def test_where_nobody_can_serve_the_reasons_are_told(tmp_path: Path) -> None:
    with pytest.raises(ProviderMissing) as found:
        Catalogue({"speech": ("nobody",)}).adapter("speech", FolderStore(tmp_path))
    assert found.value.details["capability"] == "speech"
    assert "nobody" in found.value.details["reasons"][0]


def test_the_local_family_offers_every_capability() -> None:
    assert set(ADAPTERS) == set(CAPABILITIES)
    assert Catalogue(dict.fromkeys(CAPABILITIES, ("local",))).problems() == {}
