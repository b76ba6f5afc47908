"""From a posted payload to an accepted job."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import request
from sqlalchemy.orm import Session

from db import assets, avatars, jobs
from pipeline.snapshots import AvatarSnapshot, OutputSnapshot, Snapshot
from providers.line import PORTS, listed
from schemas import canonical, records
from schemas.contracts import understand
from schemas.problems import Flaw, PayloadInvalid
from webapp.door import client, door, in_transaction
from webapp.errors import KeyMalformed, KeyMissing, WrongMediaType
from webapp.job import present

PAYLOAD_BYTES = 2**20
KEY = re.compile(r"[\x20-\x7e]{1,255}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the caller is told: the job as JSON, and whether this is the answer to an earlier call."""

    job: dict[str, Any]
    replayed: bool

    def status_and_headers(self) -> tuple[int, dict[str, str]]:
        where = {"Location": f"/v1/jobs/{self.job['id']}"}
        return (200, where | {"Idempotent-Replayed": "true"}) if self.replayed else (202, where)


def accept(call: str) -> Accepted:
    """Take the request's payload as a job of `call` (`avatars`, `outputs`); it is handed on after the commit.

    Raises WrongMediaType, NotJson, PayloadInvalid, KeyMissing, KeyMalformed, KeyReused, TooManyJobs.
    """
    key = idempotency_key()
    payload = body()
    asked = understand(payload, call)
    caller = client()
    order = jobs.Order(
        client=caller.name,
        kind=asked.kind,
        route=asked.route,
        lane=asked.lane,
        snapshot=payload,
        request=records.dump(asked.request),
        digest=canonical.digest(request.method, request.path, payload),
        key=key,
        wanted=caller.callback_url is not None,
        most_active=caller.max_active_jobs,
    )

    def work(session: Session) -> tuple[str, Accepted]:
        job, replayed = jobs.accept(session, order)
        if not replayed:  # a replay is answered even when what it named is gone by now
            check_references(session, asked.request, caller.name)
        return job.id, Accepted(present(session, [job])[0], replayed)

    job_id, accepted = in_transaction(work)
    if not accepted.replayed:
        log.info("job accepted", job=job_id, kind=asked.kind, route=asked.route)
        door().handoff.give(job_id)
    return accepted


def idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        raise KeyMissing("Send a key, new for each new request: so a repeated call makes no second job.")
    if not KEY.fullmatch(key) or not key.strip():
        raise KeyMalformed("A key has 1 to 255 printable ASCII characters.")
    return key


def body() -> Any:
    """The JSON of the request, read strictly."""
    if request.mimetype != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise WrongMediaType("Send plain JSON, with Content-Type: application/json.")
    request.max_content_length = PAYLOAD_BYTES
    return canonical.parse(request.get_data(cache=False))


def check_references(session: Session, asked: Snapshot, owner: str) -> None:
    """Whatever the payload names is there, and the client's. Raises PayloadInvalid."""
    flaws: list[Flaw] = []
    if isinstance(asked, OutputSnapshot) and avatars.find(session, asked.avatar.avatar_id, client=owner) is None:
        flaws.append(Flaw("/avatar_id", f"there is no avatar {asked.avatar.avatar_id}"))
    if isinstance(asked, AvatarSnapshot):
        for index, source in enumerate(asked.photos.sources):
            place = f"/inputs/images/{index}"
            if source.asset_id is not None and (wrong := _unusable_photo(session, source.asset_id, owner)):
                flaws.append(Flaw(f"{place}/asset_id", wrong))
            if source.url is not None and (wrong := _unlisted(source.url)):
                flaws.append(Flaw(f"{place}/url", wrong))
    if flaws:
        raise PayloadInvalid(flaws)


def _unusable_photo(session: Session, asset_id: str, owner: str) -> str | None:
    found = assets.find(session, asset_id, client=owner)
    if found is None:
        return f"there is no asset {asset_id}"
    return None if found.kind == "photo" else f"{asset_id} is a {found.kind}, not a photo"


def _unlisted(url: str) -> str | None:
    """The worker's fetcher decides once more, when it knows where the name leads."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS["https"]
    except ValueError:
        return "cannot be understood as a URL"
    if not host or parts.username is not None or parts.password is not None:
        return "must name a host, and no user"
    if listed(door().settings.media_hosts, host, port, default=PORTS["https"]):
        return None
    return f"media is not fetched from {host}:{port}; upload the file instead"
