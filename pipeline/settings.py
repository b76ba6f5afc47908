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
class Vendor:
    """What the environment says of one vendor: every variable that begins with its name, without it.

    `FAL_KEY` is `variables["KEY"]` of the vendor `fal`. `concurrency` is how many calls it takes at once (None: any).
    `hook` is where its webhooks reach us, if they do.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int | None = None
    hook: str | None = None

    def variable(self, name: str) -> str:
        """The variable's whole name, as the operator knows it."""
        return f"{self.name.rpartition('.')[2].upper()}_{name}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM: the certificate that videos are signed with, those of its issuers after it, and its key."""

    chain: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between two installations.

    `providers` maps a capability to its adapters in order of preference.
    `callback_schedule_s` holds the pauses between the attempts to deliver an event. `vendors` has those that
    `providers` names, by name. `failpoints` is a folder for tests that make processes die.
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
    vendors: Mapping[str, Vendor] = field(default_factory=dict)
    failpoints: str | None = None
    certificate: Certificate | None = None

    @property
    def concurrency(self) -> dict[str, int]:
        """By vendor: how many calls it takes at once, where that is limited."""
        return {name: each.concurrency for name, each in self.vendors.items() if each.concurrency is not None}

    def vendor(self, name: str) -> Vendor:
        return self.vendors.get(name, Vendor(name))

    def client(self, name: str) -> Client | None:
        return next((client for client in self.clients if client.name == name), None)
