"""Which adapter serves which capability.

An adapter family is a module `providers.<name>`, or one from elsewhere by its
dotted name, with `ADAPTERS`: capability → `module:Class`, and, where it has
paid operations, `OPERATIONS`: name → `module:Class`. `DETERMINISTIC` lists the
capabilities in which it makes the same whenever it is asked the same: it stands
in the module, since classes are imported only when they are picked. One that
speaks more than English says so with `languages(vendor)`. A new vendor is one new file and one
setting. A service without the local extra needs none of its packages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipeline.calls import Operation
from pipeline.errors import ProviderMissing
from pipeline.ports import AssetStore, Ledger
from pipeline.settings import Settings, Vendor
from providers.ledgered import Paid

ENGLISH = ("en",)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An adapter that may serve; it is made when it is asked."""

    family: str
    capability: str
    assets: AssetStore
    vendor: Vendor
    ledger: Ledger

    @property
    def paid(self) -> bool:
        """Nothing is loaded of a family that has nothing to pay. Raises ProviderMissing."""
        return bool(getattr(_family(self.family), "OPERATIONS", {})) and issubclass(
            _load(self.family, self.capability), Paid
        )

    def adapter(self) -> Any:
        """Raises ProviderMissing where this installation does not have it."""
        made = _load(self.family, self.capability)
        if issubclass(made, Paid):
            made.ready(self.vendor)
            return made(self.assets, self.vendor, self.ledger)
        return made(self.assets)


class Catalogue:
    """Who serves what, as the settings choose."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def candidates(self, capability: str, assets: AssetStore, ledger: Ledger) -> Sequence[Candidate]:
        """The adapters in order of preference, at least one. Raises ProviderMissing."""
        families = self._settings.providers.get(capability, ())
        if not families:
            raise ProviderMissing(f"No provider for {capability} is set up here.", capability=capability, reasons=[])
        vendor = self._settings.vendor
        return [Candidate(family, capability, assets, vendor(family), ledger) for family in families]

    def operation(self, provider: str, name: str, assets: AssetStore) -> Operation[Any, Any]:
        """A paid operation by its name in the ledger. Raises ProviderMissing."""
        operations: Mapping[str, str] = getattr(_family(provider), "OPERATIONS", {})
        if name not in operations:
            raise ProviderMissing(f"{provider} has no operation {name}")
        made: Operation[Any, Any] = _class(operations[name])(assets, self._settings.vendor(provider))
        return made

    def deterministic(self, capability: str) -> str | None:
        """The preferred family, if it makes the same whenever it is asked the same."""
        preferred = next(iter(self._settings.providers.get(capability, ())), None)
        if preferred is None:
            return None
        try:
            return preferred if capability in getattr(_family(preferred), "DETERMINISTIC", ()) else None
        except ProviderMissing:  # told where it is asked to serve
            return None

    def languages(self) -> tuple[str, ...]:
        """BCP 47 tags of what is spoken, whoever of the configured voices has to serve."""
        known = [self._spoken(family) for family in self._settings.providers.get("speech", ())] or [ENGLISH]
        return tuple(tag for tag in known[0] if all(tag in others for others in known))

    def _spoken(self, family: str) -> tuple[str, ...]:
        try:
            said: Callable[[Vendor], tuple[str, ...]] = getattr(_family(family), "languages", lambda _: ENGLISH)
        except ProviderMissing:  # told where it is asked to speak
            return ENGLISH
        return said(self._settings.vendor(family))

    def problems(self) -> dict[str, str]:
        """By capability: why its preferred adapter cannot be loaded; empty when all is well."""
        found = {}
        for capability, families in self._settings.providers.items():
            for family in families:
                try:
                    made = _load(family, capability)
                    if issubclass(made, Paid):
                        made.ready(self._settings.vendor(family))
                except ProviderMissing as error:
                    found[capability] = f"{family}: {error}"
        return found


def _load(family: str, capability: str) -> Any:
    adapters: Mapping[str, str] = getattr(_family(family), "ADAPTERS", {})
    if capability not in adapters:
        raise ProviderMissing(f"{family} does not offer {capability}")
    return _class(adapters[capability])


def _family(name: str) -> Any:
    try:
        return import_module(name if "." in name else f"providers.{name}")
    except ImportError as error:
        raise ProviderMissing(str(error)) from error


def _class(place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ProviderMissing(str(error)) from error
