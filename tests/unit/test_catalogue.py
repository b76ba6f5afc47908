"""Which adapter serves."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ProviderMissing
from pipeline.ports import CAPABILITIES
from pipeline.settings import Settings
from pipeline.snapshots import Language
from providers.catalogue import Catalogue
from providers.local import ADAPTERS
from tests.shelf import FolderStore

LEDGER: Any = None  # no adapter here costs money


def catalogue(**providers: tuple[str, ...]) -> Catalogue:
    return Catalogue(Settings("postgresql://", "memory://", "var/assets", "k" * 40, providers=providers))


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
    first, second = catalogue(speech=(vendor, "local")).candidates("speech", FolderStore(tmp_path), LEDGER)
    assert (first.adapter().name, second.family) == ("acme", "local")


def test_a_family_that_is_not_installed_says_so(tmp_path: Path) -> None:
    (nobody,) = catalogue(speech=("nobody",)).candidates("speech", FolderStore(tmp_path), LEDGER)
    with pytest.raises(ProviderMissing, match="nobody"):
        nobody.adapter()
    assert "nobody" in catalogue(speech=("nobody",)).problems()["speech"]


def test_a_capability_for_which_nobody_is_set_up_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ProviderMissing, match="voice_cloning"):
        catalogue().candidates("voice_cloning", FolderStore(tmp_path), LEDGER)


def test_the_local_family_offers_every_capability() -> None:
    assert set(CAPABILITIES) == set(ADAPTERS)
    assert catalogue(**dict.fromkeys(ADAPTERS, ("local",))).problems() == {}


def test_only_the_preferred_family_counts_as_who_makes_the_same_each_time(vendor: str) -> None:
    assert catalogue(speech=("local", vendor)).deterministic("speech") == "local"
    for families in ((vendor, "local"), ("elevenlabs", "local"), ("nobody", "local"), ()):
        assert catalogue(speech=families).deterministic("speech") is None


def test_the_languages_are_those_that_every_voice_speaks_who_may_have_to_serve() -> None:
    assert catalogue(speech=("local",)).languages() == ("en",)
    assert {"en", "de", "ja"} <= set(catalogue(speech=("elevenlabs",)).languages())
    assert catalogue(speech=("elevenlabs", "local")).languages() == ("en",)
    assert catalogue(speech=("nobody",)).languages() == ("en",)
    assert catalogue().languages() == ("en",)


def test_a_language_is_spoken_where_it_is_without_its_region() -> None:
    assert Language("en-GB").spoken(("en",))
    assert Language("PT-br").spoken(("en", "pt-BR"))
    assert not Language("pt").spoken(("pt-BR",))
    assert not Language("de").spoken(("en",))
