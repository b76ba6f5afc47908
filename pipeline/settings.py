"""What an operator may set: read once at a door, then frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Client:
    """A calling service. Its token is known only by digest."""

    name: str
    token_sha256: tuple[str, ...] = field(repr=False)
    callback_url: str | None = None
    callback_secrets: tuple[str, ...] = field(default=(), repr=False)
    max_active_jobs: int = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between two installations.

    `providers` maps a capability to its adapters in order of preference.
    `callback_schedule_s` holds the pauses between the attempts to deliver an event.
    """

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    storage_url: str
    signing_key: str = field(repr=False)
    clients: tuple[Client, ...] = ()
    providers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    media_hosts: tuple[str, ...] = ()
    callback_allow_private: bool = False
    callback_schedule_s: tuple[float, ...] = (5, 300, 1800, 7200, 18000, 36000, 36000)
    max_upload_bytes: int = 25 * MIB
    url_lifetime_s: int = 3600
    public_url: str | None = None

    def client(self, name: str) -> Client | None:
        return next((client for client in self.clients if client.name == name), None)
