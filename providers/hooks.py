"""Webhooks of vendors: who reads them, and that only what a vendor signed is believed.

A family that takes webhooks names their reader in `WEBHOOK`: `module:function`. Of what was sent it gives no more than
the id that the vendor has for the work: whatever became of it is asked of the vendor itself.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from pipeline.settings import Settings


class NotGenuine(Exception):
    """Not what this vendor sends, or not now: nothing is done. The message may be told to anybody."""


Reader = Callable[[Mapping[str, str], bytes], str]


def reader(settings: Settings, family: str) -> Reader | None:
    """Reads the family's webhooks: headers (with lower-case names) and body become the vendor's id of the work.

    None where the operator has not chosen the family, or it takes none. The reader raises NotGenuine, and
    ProviderMissing where a setting is missing.
    """
    vendor = settings.vendors.get(family)
    if vendor is None:
        return None
    try:
        place = getattr(import_module(family if "." in family else f"providers.{family}"), "WEBHOOK", None)
    except ImportError:
        return None
    if place is None:
        return None
    module, _, name = place.partition(":")
    found: Any = getattr(import_module(module), name)
    return partial(found, vendor=vendor)
