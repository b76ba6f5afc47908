"""Frames of a scene: backdrop, the posed person, the writing; as I420 bytes for the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.frame import Frame
from providers.local import planes
from providers.local.faces import Array, Face
from providers.local.framing import BACKDROP_ZOOM, Placement
from providers.local.head import Head
from providers.local.mesh import Pose
from providers.local.motion import HeadPose
from providers.local.portrait import Portrait
from providers.local.warp import Map
from providers.local.window import Window

EDGE = 16  # px of the layer beyond the frame, from where motion may bring pixels in

BLACK = (16, 128, 128)

Piece = tuple[int, int, Array]


@dataclass(frozen=True, slots=True)
class Shown:
    """A cutaway's picture as Y, U and V, how much of it is seen, and whether the speaker stays in a window."""

    planes: list[Array]
    share: float
    window: bool


class Compositor:
    """One scene's picture. `cutout` is RGBA, `backdrop` RGB of any size."""

    def __init__(
        self, cutout: Array, face: Face, placement: Placement, backdrop: Array, frame: Frame, shot: str
    ) -> None:
        self.width, self.height = frame.width, frame.height
        layer, origin, face = _layer(cutout, face, placement, frame)
        self.portrait = Portrait(layer, face)
        self.head = Head(face, self.portrait.height, self.portrait.width)
        self.backdrop = _backdrop(backdrop, frame, BACKDROP_ZOOM[shot])
        self.window = Window(face, Placement(1.0, *origin), frame)
        # the part of the layer that lies in the frame, and where; all even
        x, y = origin
        left, top = max(0, x), max(0, y)
        right = min(self.width, x + self.portrait.width)
        bottom = min(self.height, y + self.portrait.height)
        self.seen = left, top, right, bottom
        self.shift = left - x, top - y
        self._pieces: dict[int, tuple[Array, list[tuple[Array, Array]]]] = {}
        self._planes = [plane.copy() for plane in self.backdrop]

    def frame(
        self,
        pose: Pose,
        head: HeadPose,
        writing: Sequence[Piece] = (),
        *,
        shown: Shown | None = None,
        light: float = 1.0,
    ) -> bytes:
        """The finished frame: Y, then U, then V. `light` 0 is black; what is written stays as it is."""
        if shown is None or shown.share < 1 or shown.window:
            self._speaker(pose, head)
        if shown is not None:
            self._show(shown)
        if light < 1:
            for plane, black in zip(self._planes, BLACK, strict=True):
                np.copyto(plane, cv2.convertScaleAbs(plane, alpha=light, beta=black * (1 - light)))
        for x, y, rgba in writing:
            self._write(x, y, rgba)
        return b"".join(plane.tobytes() for plane in self._planes)

    def _speaker(self, pose: Pose, head: HeadPose) -> None:
        self.portrait.draw(pose)
        full, half = self.head.maps(head)
        for plane, behind in zip(self._planes, self.backdrop, strict=True):
            np.copyto(plane, behind)
        left, top, right, bottom = self.seen
        across, down = self.shift
        there = slice(top, bottom), slice(left, right)
        here = slice(down, down + bottom - top), slice(across, across + right - left)
        there_half, here_half = _halved(there), _halved(here)
        moved = [_moved(plane, full, here) for plane in (self.portrait.luma, self.portrait.alpha)]
        _over(self._planes[0][there], moved[0], cv2.bitwise_not(moved[1]))
        u, v, alpha, _ = cv2.split(_moved(self.portrait.chroma, half, here_half))
        clear = cv2.bitwise_not(alpha)
        _over(self._planes[1][there_half], u, clear)
        _over(self._planes[2][there_half], v, clear)

    def _show(self, shown: Shown) -> None:
        head = self.window.cut(self._planes) if shown.window else None
        for plane, other in zip(self._planes, shown.planes, strict=True):
            np.copyto(plane, cv2.addWeighted(plane, 1 - shown.share, other, shown.share, 0))
        if head is not None:
            self.window.put(self._planes, head, shown.share)

    def _write(self, x: int, y: int, rgba: Array) -> None:
        known = self._pieces.get(id(rgba))
        if known is None or known[0] is not rgba:
            known = self._pieces[id(rgba)] = (rgba, _written(rgba))
        for plane, (part, clear), step in zip(self._planes, known[1], (1, 2, 2), strict=True):
            h, w = part.shape
            _over(plane[y // step : y // step + h, x // step : x // step + w], part, clear)


def _halved(box: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = box
    return slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)


def _moved(plane: Array, where: Map, part: tuple[slice, slice]) -> Array:
    return cv2.remap(plane, where[0][part], where[1][part], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _over(onto: Array, part: Array, clear: Array) -> None:
    """Premultiplied `part` over `onto`, in place; `clear` is 255 - alpha."""
    np.copyto(onto, cv2.add(part, cv2.multiply(onto, clear, scale=1 / 255)))


def _written(rgba: Array) -> list[tuple[Array, Array]]:
    """Y, U and V, premultiplied, each with what it leaves of the picture."""
    y, uv = planes.split(np.ascontiguousarray(rgba[..., :3]))
    alpha = rgba[..., 3].astype(np.float32) / 255
    half = cv2.resize(alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), interpolation=cv2.INTER_AREA)
    parts = ((y, alpha), (uv[..., 0], half), (uv[..., 1], half))
    return [(planes.byte(values * opaque), planes.byte((1 - opaque) * 255)) for values, opaque in parts]


def _layer(cutout: Array, face: Face, placement: Placement, frame: Frame) -> tuple[Array, tuple[int, int], Face]:
    """The cutout at the frame's scale and cut to what it may show: RGBA, its place (even), and the face in it."""
    scale = placement.scale
    height, width = cutout.shape[:2]
    x0, y0 = int(np.floor(placement.x)) // 2 * 2 - 2, int(np.floor(placement.y)) // 2 * 2 - 2
    left, top = max(x0, -EDGE), max(y0, -EDGE)
    right = min(int(placement.x + width * scale) // 2 * 2 + 4, frame.width + EDGE)
    bottom = min(int(placement.y + height * scale) // 2 * 2, frame.height + EDGE)
    if scale < 0.75:  # warpAffine does not average
        shrunk = cv2.resize(cutout, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        rest = scale * width / shrunk.shape[1]
    else:
        shrunk, rest = cutout, scale
    matrix = np.array([[rest, 0, placement.x - left], [0, rest, placement.y - top]])
    size = (right - left) // 2 * 2, (bottom - top) // 2 * 2
    interpolation = cv2.INTER_CUBIC if rest > 1.05 else cv2.INTER_LINEAR
    colours = cv2.warpAffine(
        np.ascontiguousarray(shrunk[..., :3]), matrix, size, flags=interpolation, borderMode=cv2.BORDER_REPLICATE
    )
    alpha = cv2.warpAffine(np.ascontiguousarray(shrunk[..., 3]), matrix, size, flags=cv2.INTER_LINEAR)
    moved = face.moved(np.array([[scale, 0, placement.x - left], [0, scale, placement.y - top]]))
    return np.dstack([colours, alpha]), (left, top), moved


def _backdrop(picture: Array, frame: Frame, zoom: float) -> list[Array]:
    """The picture covering the frame, enlarged about its middle, as planes."""
    height, width = picture.shape[:2]
    scale = max(frame.width / width, frame.height / height) * zoom
    inter = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = max(frame.width, round(width * scale)), max(frame.height, round(height * scale))
    larger = cv2.resize(picture, size, interpolation=inter)
    left, top = (larger.shape[1] - frame.width) // 2, (larger.shape[0] - frame.height) // 2
    y, uv = planes.split(np.ascontiguousarray(larger[top : top + frame.height, left : left + frame.width]))
    return [planes.byte(y), planes.byte(uv[..., 0]), planes.byte(uv[..., 1])]
