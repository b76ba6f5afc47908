"""Asset rows: what files are, who made them, and from what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extras import Json
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db import statements
from db.models import AssetEdge, AssetRow
from db.statements import Statement
from pipeline.assets import Asset

ADD = Statement(
    "add_asset",
    """
    INSERT INTO assets (id, client, kind, media_type, bytes, sha256, facts, job_id, step, attempt) VALUES (
        %(id)s, %(client)s, %(kind)s, %(media_type)s, %(bytes)s, %(sha256)s, %(facts)s, %(job)s, %(step)s, %(attempt)s
    ) ON CONFLICT DO NOTHING
    """,
)
# A source may be gone by now: its deletion must not undo the work.
LINK = Statement(
    "link_asset",
    """
    INSERT INTO asset_edges (asset_id, source_id) SELECT %(id)s, id FROM assets WHERE id = ANY(%(sources)s)
    ON CONFLICT DO NOTHING
    """,
)
# The rows name the files from now on.
RELEASE = Statement("release_files", "DELETE FROM held_files WHERE asset_id = ANY(%(assets)s)")
# Level by level, so the nearest come first; the limit stands inside, where it ends the search.
_RELATED = """
    WITH RECURSIVE related (id) AS (
        SELECT id FROM assets WHERE id = :asset AND client = :client
        UNION
        SELECT assets.id FROM related
        JOIN asset_edges ON asset_edges.{near} = related.id
        JOIN assets ON assets.id = asset_edges.{far} AND assets.client = :client
    )
    SELECT id FROM related LIMIT :most
"""
ANCESTORS = text(_RELATED.format(near="asset_id", far="source_id"))
DESCENDANTS = text(_RELATED.format(near="source_id", far="asset_id"))


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


@dataclass(frozen=True, slots=True)
class Graph:
    """What an asset was made from and what was made from it, to the end both ways, and itself.

    `edges` are pairs of ids: a source, and what was made from it. `truncated`: there is more.
    """

    nodes: Sequence[AssetRow]
    edges: Sequence[tuple[str, str]]
    truncated: bool


def add(session: Session, made: Sequence[NewAsset], **origin: Any) -> None:
    """See `rows`."""
    statements.run(session.connection(), rows(made, **origin))


def rows(
    made: Sequence[NewAsset],
    *,
    client: str,
    job_id: str | None = None,
    step: str | None = None,
    attempt: int | None = None,
) -> Iterator[tuple[Statement, dict[str, Any]]]:
    """What writes rows for files, and edges to their sources. What has a row already keeps it."""
    for new in made:
        origin = {"client": client, "job": job_id, "step": step, "attempt": attempt}
        yield ADD, origin | _row(new)
    for new in made:
        if new.made_from:
            yield LINK, {"id": new.asset.id, "sources": list(new.made_from)}
    if made:
        yield RELEASE, {"assets": [new.asset.id for new in made]}


def find(session: Session, asset_id: str, *, client: str, keep: bool = False) -> AssetRow | None:
    """`keep`: it is not deleted before the end of the transaction."""
    query = select(AssetRow).where(AssetRow.id == asset_id, AssetRow.client == client)
    return session.scalar(query.with_for_update(read=True, key_share=True) if keep else query)


def lineage(session: Session, asset_id: str) -> Lineage:
    sources = select(AssetEdge.source_id).where(AssetEdge.asset_id == asset_id).order_by(AssetEdge.source_id)
    products = select(AssetEdge.asset_id).where(AssetEdge.source_id == asset_id).order_by(AssetEdge.asset_id)
    return Lineage(tuple(session.scalars(sources)), tuple(session.scalars(products)))


def graph(session: Session, asset_id: str, *, client: str, most: int) -> Graph:
    """At most so many ancestors, and so many descendants: the nearest."""
    asked = {"asset": asset_id, "client": client, "most": most + 2}  # itself, and one too many tells that there is more
    ways = [session.scalars(way, asked).all() for way in (ANCESTORS, DESCENDANTS)]
    ids = list({name for way in ways for name in way[: most + 1]})
    nodes = select(AssetRow).where(AssetRow.id.in_(ids)).order_by(AssetRow.created_at, AssetRow.id)
    edges = select(AssetEdge.source_id, AssetEdge.asset_id).where(
        AssetEdge.asset_id.in_(ids), AssetEdge.source_id.in_(ids)
    )
    pairs = session.execute(edges.order_by(AssetEdge.source_id, AssetEdge.asset_id)).all()
    return Graph(
        session.scalars(nodes).all(),
        [(source, made) for source, made in pairs],
        truncated=any(len(way) > most + 1 for way in ways),
    )


def asset(row: AssetRow) -> Asset:
    return Asset(id=row.id, kind=row.kind, media_type=row.media_type, bytes=row.bytes, sha256=row.sha256)


def _row(new: NewAsset) -> dict[str, Any]:
    return {
        "id": new.asset.id,
        "kind": new.asset.kind,
        "media_type": new.asset.media_type,
        "bytes": new.asset.bytes,
        "sha256": new.asset.sha256,
        "facts": Json(dict(new.facts)),
    }
