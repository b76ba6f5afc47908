"""Assets: taking files in, and giving them out."""

from pathlib import Path
from typing import Any

from flask import Response, g
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from db import assets, files, ids
from db.assets import Graph, NewAsset
from db.models import AssetRow
from pipeline.assets import Asset
from providers.storage import StorageUnusable
from schemas.assets import MOST_RELATED, PHOTO, AssetQuery, AssetSchema, TracedAsset
from webapp.door import client, door, in_transaction, links
from webapp.download import stream
from webapp.errors import NotFound
from webapp.media import identify
from webapp.openapi import FILE, UPLOAD
from webapp.uploads import received

blueprint = Blueprint("assets", __name__, url_prefix="/v1/assets", description="Files: photos in, videos out.")


@blueprint.route("", methods=["POST"])
@blueprint.doc(**UPLOAD)
@blueprint.response(201, AssetSchema, example=PHOTO)
def upload() -> Any:
    """Upload a photo, a video or a voice sample

    What the file is, its bytes decide: a name and a media type that come with it count for nothing.
    """
    with received(door().settings.max_upload_bytes) as file:
        media = identify(file)
        asset_id = ids.new("ast")
        sha256, size = _kept(file, asset_id)
    asset = Asset(asset_id, media.kind, media.media_type, size, sha256)
    owner = client().name

    def work(session: Session) -> dict[str, Any]:
        if (row := session.get(AssetRow, asset.id)) is None:  # there already: our first commit's answer was lost
            assets.add(session, [NewAsset(asset, media.facts)], client=owner)
            row = session.get_one(AssetRow, asset.id)
        return _shown(row)

    return in_transaction(work), {"Location": f"/v1/assets/{asset.id}"}


@blueprint.route("/<id:asset_id>")
@blueprint.arguments(AssetQuery, location="query", unknown=None)
@blueprint.response(200, TracedAsset)
def show(query: dict[str, str], asset_id: str) -> Any:
    """Show an asset, its lineage, and a link to its bytes

    `made_from` and `made_into` are one step both ways; `lineage=full` adds the whole graph.
    """
    owner = client().name

    def work(session: Session) -> dict[str, Any] | None:
        row = assets.find(session, asset_id, client=owner)
        if row is None:
            return None
        near = assets.lineage(session, asset_id)
        found = _shown(row) | _made_by(row) | {"made_from": near.made_from, "made_into": near.made_into}
        if query.get("lineage"):
            found["lineage"] = _graph(assets.graph(session, asset_id, client=owner, most=MOST_RELATED))
        return found

    if found := in_transaction(work):
        return found
    raise NotFound("asset", asset_id)


@blueprint.route("/<id:asset_id>/content", endpoint="content")
@blueprint.doc(
    security=[{"token": []}, {}],
    parameters=[
        {"in": "query", "name": "expires", "schema": {"type": "integer"}, "description": "From a link."},
        {
            "in": "query",
            "name": "signature",
            "schema": {"type": "string"},
            "description": "From a link; then no token.",
        },
        {"in": "header", "name": "Range", "schema": {"type": "string"}, "description": "One range, as `bytes=0-1023`."},
    ],
)
@blueprint.response(200, FILE, description="The bytes.", content_type="application/octet-stream")
@blueprint.alt_response(
    206, schema=FILE, description="The range asked for.", content_type="application/octet-stream", success=True
)
@blueprint.alt_response(304, description="The copy you have is right.", success=True)
def content(asset_id: str) -> Response:
    """Download an asset's bytes"""

    def work(session: Session) -> AssetRow | None:
        if g.get("link"):
            return session.get(AssetRow, asset_id)
        return assets.find(session, asset_id, client=client().name)

    row = in_transaction(work)
    if row is None:
        raise NotFound("asset", asset_id)
    return stream(row.id, sha256=row.sha256, size=row.bytes, media_type=row.media_type)


def _kept(file: Path, asset_id: str) -> tuple[str, int]:
    def hold(sha256: str) -> None:
        in_transaction(lambda session: files.hold(session, asset_id, sha256))

    try:
        return door().storage.put(file, before=hold)
    except OSError as error:  # the disk is full, the bucket is away
        raise StorageUnusable(f"an upload could not be kept: {type(error).__name__}") from error


def _graph(found: Graph) -> dict[str, Any]:
    nodes = [
        {"id": row.id, "kind": row.kind, "media_type": row.media_type, "created_at": row.created_at} | _made_by(row)
        for row in found.nodes
    ]
    edges = [{"source": source, "made": made} for source, made in found.edges]
    return {"nodes": nodes, "edges": edges, "truncated": found.truncated}


def _made_by(row: AssetRow) -> dict[str, Any]:
    return {"job_id": row.job_id, "step": row.step, "attempt": row.attempt}


def _shown(row: AssetRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "media_type": row.media_type,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "facts": row.facts,
        "url": links().asset(row.id),
        "created_at": row.created_at,
    }
