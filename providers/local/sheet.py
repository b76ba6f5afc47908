"""The character sheet: what this avatar can do, on one picture, each tile saying what it is."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.assets import Asset
from pipeline.ports import AssetStore, Neutral
from providers.local.faces import Array, Face
from providers.local.head import Head
from providers.local.mesh import Pose
from providers.local.motion import HeadPose
from providers.local.neutral import framed, person
from providers.local.overlay import legible
from providers.local.portrait import Portrait
from providers.local.warp import Map

COLUMNS, TILE, CAPTION, GAP, TITLE = 4, (400, 440), 44, 14, 92
PAPER, INK, FAINT, BEHIND = (246, 247, 249), (32, 36, 44), (116, 122, 132), "#dde3ea"
FACE_SHARE, FACE_MIDDLE, SPARE = 0.46, 0.47, 1.3


REST, STRAIGHT = Pose(), HeadPose()


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    pose: Pose = REST
    head: HeadPose = STRAIGHT


TILES = (
    Tile("Neutral"),
    Tile("Speaking", Pose(open=0.34, wide=0.15)),
    Tile("Rounded lips", Pose(open=0.16, wide=-0.8, protrude=0.8)),
    Tile("Smile", Pose(smile=0.75)),
    Tile("Surprised (approx.)", Pose(open=0.24, wide=-0.3, brow=0.95)),
    Tile("Thinking (approx.)", Pose(press=0.5, wide=-0.15, brow=0.35), HeadPose(roll=-2.2, yaw=0.5)),
    Tile("Serious (approx.)", Pose(press=0.4, wide=-0.1, brow=-0.45, smile=-0.8)),
    Tile("Eyes closed", Pose(blink=1.0)),
    Tile("Tilted left", head=HeadPose(roll=3.2)),
    Tile("Tilted right", head=HeadPose(roll=-3.2)),
    Tile("Turned (approx.)", head=HeadPose(yaw=1.5, dx=0.02)),
    Tile("Looking down (approx.)", head=HeadPose(pitch=1.5, dy=0.03)),
)  # profile, half profile, hands and the full body cannot be made from one photo and are not shown


class LocalSheet:
    name = "local"

    def __init__(self, assets: AssetStore) -> None:
        self.assets = assets

    def sheet(self, neutral: Neutral, *, name: str) -> Asset:
        """One PNG of 12 tiles."""
        rgba, face = person(neutral, self.assets)
        rgba, face = reduced(rgba, face)
        portrait = Portrait(rgba, face)
        head = Head(face, portrait.height, portrait.width)
        drawn = []
        for tile in TILES:
            portrait.draw(tile.pose)
            picture = turned(portrait.picture(), head.maps(tile.head)[0])
            drawn.append(framed(picture, face, BEHIND, *TILE, FACE_SHARE, FACE_MIDDLE))
        page = _page(drawn, name)
        with self.assets.scratch() as folder:
            file = folder / "sheet.png"
            page.save(file, compress_level=4)
            facts = {"width": page.width, "height": page.height, "tiles": len(TILES)}
            made_from = [neutral.cutout or neutral.image]
            return self.assets.keep(
                file, kind="character_sheet", media_type="image/png", facts=facts, made_from=made_from
            )


def reduced(rgba: Array, face: Face) -> tuple[Array, Face]:
    """A little larger than the tiles need."""
    tall = float(np.ptp(face.points[:, 1]))
    scale = min(1.0, SPARE * FACE_SHARE * TILE[1] / tall)
    smaller = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return smaller, face.moved(np.array([[scale, 0, 0], [0, scale, 0]]))


def turned(rgba: Array, where: Map) -> Array:
    """Moved by the map; colours weighted by alpha, so that nothing of what is cut away comes in."""
    alpha = rgba[..., 3:].astype(np.float32)
    layer = cv2.remap(
        np.dstack([rgba[..., :3] * (alpha / 255), alpha]),
        *where,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    colours = layer[..., :3] * (255 / np.maximum(layer[..., 3:], 1))
    return np.dstack([colours, layer[..., 3]]).clip(0, 255).astype(np.uint8)


def _page(tiles: list[Array], name: str) -> Image.Image:
    width, height = TILE
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (width + GAP) + GAP, TITLE + rows * (height + CAPTION + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP + 4, 20), legible(name)[:60], font=ImageFont.load_default(36), fill=INK)
    note = "Made from one photo · AI-generated"
    draw.text((page.width - GAP - 4, 34), legible(note), font=ImageFont.load_default(20), fill=FAINT, anchor="ra")
    for number, (tile, picture) in enumerate(zip(TILES, tiles, strict=True)):
        row, column = divmod(number, COLUMNS)
        x, y = GAP + column * (width + GAP), TITLE + row * (height + CAPTION + GAP)
        page.paste(Image.fromarray(picture), (x, y))
        draw.text((x + width / 2, y + height + 10), tile.label, font=ImageFont.load_default(22), fill=INK, anchor="ma")
    return page
