"""A still of a pose, as the scene will show it."""

from PIL import Image

from pipeline.assets import Asset
from pipeline.ports import AssetStore, Neutral
from providers.local.head import Head
from providers.local.neutral import framed, person
from providers.local.portrait import Portrait
from providers.local.sheet import BEHIND, FACE_MIDDLE, FACE_SHARE, TILE, reduced, turned
from providers.local.stances import STANCES, leaned


class LocalPose:
    """Tilts, small turns and expressions: no hands, no profile."""

    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def pose(self, neutral: Neutral, *, name: str) -> Asset:
        """A PNG of the head."""
        stance = STANCES[name]
        rgba, face = reduced(*leaned(*person(neutral, self.assets), stance.lean))
        portrait = Portrait(rgba, face)
        portrait.draw(stance.face)
        posed = turned(portrait.picture(), Head(face, portrait.height, portrait.width).maps(stance.head)[0])
        still = Image.fromarray(framed(posed, face, BEHIND, *TILE, FACE_SHARE, FACE_MIDDLE))
        with self.assets.scratch() as folder:
            file = folder / "pose.png"
            still.save(file, compress_level=4)
            facts = {"width": still.width, "height": still.height, "pose": name}
            made_from = [neutral.cutout or neutral.image]
            return self.assets.keep(file, kind="pose", media_type="image/png", facts=facts, made_from=made_from)
