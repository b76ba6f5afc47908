"""Assets: immutable files, addressed by their content."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in the asset store. Only `sha256` says what it is: the id names the row that tells where it came from."""

    id: str
    kind: str
    media_type: str
    bytes: int
    sha256: str
