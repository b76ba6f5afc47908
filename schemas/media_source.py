"""Where a payload says that a file of the caller's is."""

from typing import Any

from marshmallow import validates_schema

from schemas.strict import Matching, Strict, Text, exactly_one


class MediaSource(Strict):
    """An uploaded asset, or an address from which we fetch the file."""

    asset_id = Text(40, metadata={"description": "An asset of yours: `POST /v1/assets`."})
    url = Matching(
        r"https://[\x21-\x7e]{1,2040}",
        form="an encoded URL that begins with https:// and has at most 2048 characters",
        metadata={"format": "uri", "description": "On a host from which this installation fetches."},
    )

    @validates_schema
    def one_source(self, data: dict[str, Any], **_: Any) -> None:
        exactly_one(data, ("asset_id", "url"))
