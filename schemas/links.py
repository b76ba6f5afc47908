"""Addresses we hand out: signed, so that an asset's link alone opens it, and only until it expires."""

import hmac
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pipeline.settings import Settings
from schemas import records

LONGEST_BUCKET_S = 3600


class Links:
    """Makes and checks links. Without a base they are paths on this host."""

    def __init__(
        self, settings: Settings, base_url: str | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self._base = (settings.public_url or base_url or "").rstrip("/")
        self._key = settings.signing_key.encode()
        self._lifetime_s = settings.url_lifetime_s
        self._now = now

    def to(self, path: str) -> str:
        return f"{self._base}{path}"

    def job(self, job_id: str) -> dict[str, str]:
        here = self.to(f"/v1/jobs/{job_id}")
        calls = ("stages", "events", "timeline", "cancel", "retries", "approvals", "explain")
        return {"self": here} | {name: f"{here}/{name}" for name in calls}

    def content(self, asset_id: str) -> str:
        """An address of the asset's bytes that never changes; it opens with a token."""
        return self.to(f"/v1/assets/{asset_id}/content")

    def asset(self, asset_id: str) -> str:
        """An address that opens the asset's bytes for at least the set lifetime.

        It changes once an hour and not with every answer, so that what was fetched by it can be cached.
        """
        bucket = min(self._lifetime_s, LONGEST_BUCKET_S)
        expires = (int(self._now()) // bucket + 1) * bucket + self._lifetime_s
        signature = self._signature(asset_id, str(expires))
        return f"{self.content(asset_id)}?expires={expires}&signature={signature}"

    def opens(self, asset_id: str, expires: str, signature: str) -> bool:
        """Whether the signature is ours, for this asset and this time; whether the time is over, `expired` tells."""
        return hmac.compare_digest(self._signature(asset_id, expires).encode(), signature.encode())

    def expired(self, expires: str) -> bool:
        return int(expires) <= self._now()

    def present(self, data: Any) -> Any:
        """The same JSON, with every asset as the public sees it: with a link, without our word for its kind."""
        if isinstance(data, dict):
            if records.is_asset(data):
                shown = {name: data[name] for name in ("media_type", "bytes", "sha256")}
                return {"id": data["id"], "url": self.asset(data["id"]), **shown}
            return {name: self.present(value) for name, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.present(value) for value in data]
        return data

    def event(self, data: dict[str, Any]) -> dict[str, Any]:
        """An event's data as the public sees it. Result and gate are ours: `metadata` is the client's, never signed."""
        return data | {name: self.present(data[name]) for name in ("result", "gate") if name in data}

    def _signature(self, asset_id: str, expires: str) -> str:
        return hmac.new(self._key, f"asset/1\n{asset_id}\n{expires}".encode(), sha256).hexdigest()
