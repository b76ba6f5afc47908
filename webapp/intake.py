"""From a posted payload to an accepted job."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import structlog
from flask import request
from sqlalchemy.orm import Session

from db import assets, avatars, deletion, jobs, voices
from db.keys import KeyReused
from db.models import Job
from pipeline.answers import Unfit
from pipeline.snapshots import AvatarSnapshot, OutputSnapshot, PhotoSource, Snapshot, VoiceSample, VoiceSnapshot
from providers.catalogue import Catalogue
from providers.line import PORTS, listed
from schemas import canonical, records
from schemas.contracts import understand
from schemas.problems import Flaw, PayloadInvalid, pointer
from webapp.door import client, door, in_transaction
from webapp.edits import answered
from webapp.errors import KeyMalformed, KeyMissing, WrongMediaType
from webapp.job import present

PAYLOAD_BYTES = 2**20
PICTURES = ("photo", "video")
KEY = re.compile(r"[\x20-\x7e]{1,255}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the caller is told: the job as JSON, and whether this is the answer to an earlier call."""

    job: dict[str, Any]
    replayed: bool

    @property
    def id(self) -> str:
        return str(self.job["id"])

    def status_and_headers(self) -> tuple[int, dict[str, str]]:
        where = {"Location": f"/v1/jobs/{self.id}"}
        return (200, where | {"Idempotent-Replayed": "true"}) if self.replayed else (202, where)


def accept(call: str) -> Accepted:
    """Take the request's payload as a job of `call` (`avatars`, `voices`, `outputs`); it is handed on after the commit.

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
        request={},
        digest=canonical.digest(request.method, request.path, payload),
        key=key,
        wanted=caller.callback_url is not None,
        most_active=caller.max_active_jobs,
    )

    def work(session: Session) -> Accepted:
        request, flaws = resolve(session, asked.request, caller.name)
        try:
            job_id, replayed = jobs.accept(session, replace(order, request=records.dump(request)))
        except KeyReused:
            deleted = deletion.answer(session, key, client=caller.name)
            if deleted is None:
                raise
            job_id, replayed = deleted, True
        if flaws and not replayed:  # a replay is answered even when what it named is gone by now
            raise PayloadInvalid(flaws)
        return Accepted(present(session, [session.get_one(Job, job_id)])[0], replayed)

    accepted = in_transaction(work)
    if not accepted.replayed:
        log.info("job accepted", job=accepted.id, kind=asked.kind, route=asked.route)
        door().handoff.give(accepted.id)
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


def resolve(session: Session, asked: Snapshot, owner: str) -> tuple[Snapshot, list[Flaw]]:
    """The snapshot with what its references mean; and those that are not there, or not the client's.

    What is there stays until the job is.
    """
    flaws: list[Flaw] = []
    if isinstance(asked, OutputSnapshot):
        named = asked.avatar
        if avatars.find(session, named.avatar_id, client=owner, keep=True) is None:
            flaws.append(Flaw("/avatar_id", f"there is no avatar {named.avatar_id}"))
        if named.voice_id is not None and voices.find(session, named.voice_id, client=owner, keep=True) is None:
            flaws.append(Flaw("/voice_id", f"there is no voice {named.voice_id}"))
        if not asked.language.spoken(known := Catalogue(door().settings).languages()):
            tag = asked.language.tag
            flaws.append(Flaw("/script/language", f"{tag} is not spoken here; known are {', '.join(sorted(known))}"))
        given = dict(asked.given)
        for step, asset_id in asked.approved.items():
            try:
                given[step] = answered(session, step, asset_id, asked.frame, owner)
            except Unfit as error:
                flaws.append(Flaw(pointer(("approved_assets", step)), str(error)))
        asked = replace(asked, given=given)
        for index, asset_id in enumerate(asked.b_roll.media if asked.b_roll else ()):
            if wrong := _unusable_asset(session, asset_id, PICTURES, owner):
                flaws.append(Flaw(f"/b_roll/assets/{index}", wrong))
    if isinstance(asked, AvatarSnapshot):
        for index, source in enumerate(asked.photos.sources):
            flaws += _unusable(session, f"/inputs/images/{index}", source, ("photo",), owner)
    if isinstance(asked, AvatarSnapshot | VoiceSnapshot) and asked.sample is not None:
        flaws += _unusable(session, "/inputs/voice_sample", asked.sample, ("voice_sample",), owner)
    return asked, flaws


def _unusable(
    session: Session, place: str, source: PhotoSource | VoiceSample, kinds: Sequence[str], owner: str
) -> Iterator[Flaw]:
    if source.asset_id is not None and (wrong := _unusable_asset(session, source.asset_id, kinds, owner)):
        yield Flaw(f"{place}/asset_id", wrong)
    if source.url is not None and (wrong := _unlisted(source.url)):
        yield Flaw(f"{place}/url", wrong)


def _unusable_asset(session: Session, asset_id: str, kinds: Sequence[str], owner: str) -> str | None:
    found = assets.find(session, asset_id, client=owner, keep=True)
    if found is None:
        return f"there is no asset {asset_id}"
    return None if found.kind in kinds else f"{asset_id} is a {found.kind}, not a {' or a '.join(kinds)}"


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
