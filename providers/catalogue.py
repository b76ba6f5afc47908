"""Which adapter serves which capability.

An adapter family is a module `providers.<name>`, or one from elsewhere by its
dotted name, with `ADAPTERS`: capability → `module:Class`. A new vendor is one
new file and one setting. Classes are imported only when they are picked, so
that a service without the local extra needs none of its packages.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from pipeline.errors import ProviderMissing
from pipeline.ports import AssetStore


class Catalogue:
    def __init__(self, chosen: Mapping[str, Sequence[str]]) -> None:
        self._chosen = chosen

    def adapter(self, capability: str, assets: AssetStore) -> Any:
        """The first adapter in order of preference that this installation has. Raises ProviderMissing."""
        reasons = []
        for family in self._chosen.get(capability, ()):
            try:
                return _load(family, capability)(assets)
            except (ImportError, ProviderMissing) as error:
                reasons.append(f"{family}: {error}")
        raise ProviderMissing(f"No provider for {capability} can be used here.", capability=capability, reasons=reasons)

    def problems(self) -> dict[str, str]:
        """By capability: why its preferred adapter cannot be loaded; empty when all is well."""
        found = {}
        for capability, families in self._chosen.items():
            for family in families:
                try:
                    _load(family, capability)
                except (ImportError, ProviderMissing) as error:
                    found[capability] = f"{family}: {error}"
        return found


def _load(family: str, capability: str) -> Any:
    module_name = family if "." in family else f"providers.{family}"
    adapters: Mapping[str, str] = getattr(import_module(module_name), "ADAPTERS", {})
    if capability not in adapters:
        raise ProviderMissing(f"{family} does not offer {capability}")
    module, _, name = adapters[capability].partition(":")
    return getattr(import_module(module), name)
