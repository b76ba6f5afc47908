"""Asset rows: what files are, who made them, and from what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AssetEdge, AssetRow
from pipeline.assets import Asset


@dataclass(frozen=True, slots=True)
class NewAsset:
    """A file that is stored already, and what its row will say."""

    asset: Asset
    facts: Mapping[str, Any]
    made_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """One step of the graph, both ways: the ids of what it was made from, and of what was made from it."""

    made_from: tuple[str, ...]
    made_into: tuple[str, ...]


def add(
    session: Session,
    made: Sequence[NewAsset],
    *,
    client: str,
    job_id: str | None = None,
    step: str | None = None,
    attempt: int | None = None,
) -> None:
    """Rows for files, and edges to their sources. What has a row already keeps it."""
    if not made:
        return
    rows = [
        {
            "id": new.asset.id,
            "client": client,
            "kind": new.asset.kind,
            "media_type": new.asset.media_type,
            "bytes": new.asset.bytes,
            "sha256": new.asset.sha256,
            "facts": dict(new.facts),
            "job_id": job_id,
            "step": step,
            "attempt": attempt,
        }
        for new in made
    ]
    session.execute(insert(AssetRow).on_conflict_do_nothing(), rows)
    for new in made:
        # a source may be gone by now: its deletion must not undo the work
        sources = select(literal(new.asset.id), AssetRow.id).where(AssetRow.id.in_(new.made_from))
        if new.made_from:
            session.execute(insert(AssetEdge).from_select(["asset_id", "source_id"], sources).on_conflict_do_nothing())


def find(session: Session, asset_id: str, *, client: str) -> AssetRow | None:
    return session.scalar(select(AssetRow).where(AssetRow.id == asset_id, AssetRow.client == client))


def lineage(session: Session, asset_id: str) -> Lineage:
    sources = select(AssetEdge.source_id).where(AssetEdge.asset_id == asset_id).order_by(AssetEdge.source_id)
    products = select(AssetEdge.asset_id).where(AssetEdge.source_id == asset_id).order_by(AssetEdge.asset_id)
    return Lineage(tuple(session.scalars(sources)), tuple(session.scalars(products)))


def asset(row: AssetRow) -> Asset:
    return Asset(id=row.id, kind=row.kind, media_type=row.media_type, bytes=row.bytes, sha256=row.sha256)
