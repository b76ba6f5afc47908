"""A folder that keeps assets for tests: the AssetStore port without a database."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.assets import Asset
from pipeline.errors import AssetDamaged


class FolderStore:
    """Keeps files under their digest; `facts` and `made_from` tell, by asset id, what was kept with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.facts: dict[str, dict[str, Any]] = {}
        self.made_from: dict[str, tuple[Asset, ...]] = {}

    @contextmanager
    def open(self, asset: Asset) -> Iterator[Path]:
        path = self.path(asset)
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != asset.sha256:
            raise AssetDamaged(f"The {asset.kind} is gone or was changed.")
        yield path

    def keep(
        self, file: Path, *, kind: str, media_type: str, facts: Mapping[str, Any] | None = None,
        made_from: Sequence[Asset] = (),
    ) -> Asset:  # fmt: skip
        data = Path(file).read_bytes()
        asset = Asset(f"{kind}-{len(self.facts) + 1}", kind, media_type, len(data), hashlib.sha256(data).hexdigest())
        shutil.copyfile(file, self.path(asset))
        self.facts[asset.id] = dict(facts or {})
        self.made_from[asset.id] = tuple(made_from)
        return asset

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            yield Path(folder)

    def path(self, asset: Asset) -> Path:
        return self.root / asset.sha256
