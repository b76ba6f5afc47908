"""The second interpreter of a route: a loop in this process, step by step, for tests of the records."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from db import claims, ids, jobs, records
from db.claims import Claim, Message, Verdict
from db.database import Database
from db.models import AssetRow, Job, Record
from pipeline.frame import Frame
from pipeline.graph import steps
from pipeline.outcome import Done, Outcome
from pipeline.snapshots import (
    AvatarRef,
    AvatarSnapshot,
    CaptionStyle,
    Consent,
    OutputSnapshot,
    Person,
    Photos,
    PhotoSource,
    SceneLimit,
    ScriptRequest,
    Seed,
    Setting,
    Snapshot,
    Style,
)
from schemas import records as codec

CLIENT = "acme"


def avatar_request(asset_id: str) -> AvatarSnapshot:
    consent = Consent("I agree.", "Demo", "2026-11-01T09:00:00Z")
    return AvatarSnapshot(Photos((PhotoSource(asset_id, None),)), Person("Demo", consent), Style("studio", "#20242c"))


def output_request(avatar_id: str, *, text: str = "One.\nTwo.\nThree.") -> OutputSnapshot:
    """Each line becomes a scene with the instant family."""
    return OutputSnapshot(
        AvatarRef(avatar_id),
        ScriptRequest(text, None, 30.0, "friendly"),
        SceneLimit(50),
        Setting("a bright office"),
        Frame(640, 360, 25),
        CaptionStyle("sidecar"),
        Seed(7),
    )


def order(
    request: Snapshot,
    *,
    key: str | None = None,
    wanted: bool = False,
    most_active: int = 1000,
    route: str | None = None,
) -> jobs.Order:
    avatar = isinstance(request, AvatarSnapshot)
    return jobs.Order(
        client=CLIENT,
        kind="avatar" if avatar else "output",
        route=route or ("avatar_creation" if avatar else "multi_scene"),
        lane="avatar",
        snapshot={"metadata": {"user": "u_1"}},
        request=codec.dump(request),
        digest=codec.digest(codec.dump(request)),
        key=key or uuid4().hex,
        wanted=wanted,
        most_active=most_active,
    )


def accept(database: Database, request: Snapshot, **options: Any) -> str:
    with database.transaction() as session:
        return jobs.accept(session, order(request, **options))[0]


def upload(database: Database) -> str:
    with database.transaction() as session:
        row = AssetRow(
            id=ids.new("ast"), client=CLIENT, kind="photo", media_type="image/png", bytes=3, sha256="0" * 64, facts={}
        )
        session.add(row)
        return row.id


def claim(database: Database, job_id: str, step: str, launch: int, **message: Any) -> Claim | Verdict:
    named = {"owner": uuid4().hex, "delivery": uuid4().hex, "redelivered": False} | message
    asked = Message(job_id, step, launch, **named)
    return database.in_turn(lambda connection: claims.claim(connection, asked))


def record(database: Database, held: Claim, outcome: Outcome, **options: Any) -> bool:
    return database.in_turn(lambda connection: records.record(connection, held, outcome, **options))


def advance(database: Database, job_id: str, launch: int | None = None) -> jobs.Move:
    return database.in_turn(lambda connection: jobs.advance(connection, job_id, launch=launch))


def job(database: Database, job_id: str) -> Job:
    with database.transaction() as session:
        return session.get_one(Job, job_id)


def rows(database: Database, job_id: str) -> dict[str, Record]:
    with database.transaction() as session:
        return {row.step: row for row in jobs.steps(session, job_id)}


def run(database: Database, job_id: str, perform: Callable[[Claim], Any], *, until: str | None = None) -> None:
    """Run the job to its end, or until the step `until` is next."""
    while (move := advance(database, job_id)).launch is not None:
        for step in steps(move.launch.tree):
            if step.key == until:
                return
            held = claim(database, job_id, step.key, move.launch.number)
            if isinstance(held, Claim):
                record(database, held, Done(perform(held)))
