"""What paid operations of all vendors share: who they are for, and the answers of a vendor that can do no more."""

from datetime import timedelta
from typing import Any

from pipeline.calls import Answered, Repeat, Running, Ticket
from pipeline.errors import CallVanished
from pipeline.ports import AssetStore
from pipeline.settings import Vendor


class VendorOperation:
    """A synchronous operation, unless a vendor's own class says more (see `pipeline.calls.Operation`)."""

    name: str
    capability: str
    repeat: Repeat
    action: type
    answer: type
    settles_s: float = 0.0
    deadline: timedelta = timedelta(minutes=30)

    def __init__(self, assets: AssetStore, vendor: Vendor) -> None:
        self.assets = assets
        self.vendor = vendor
        self.provider = vendor.name

    def find(self, action: Any, reference: str) -> Ticket | Answered[Any] | None:
        return None

    def poll(self, action: Any, ticket: Ticket) -> Running | Answered[Any]:
        raise CallVanished(f"{self.provider} keeps no answers to be fetched.")

    def cancel(self, ticket: Ticket) -> bool:
        return False

    def adopt(self, external_id: str) -> Ticket | None:
        return None
