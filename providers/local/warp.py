"""From where each pixel of a moved mesh takes its colour: the inverse map, drawn by triangles at half resolution."""

from collections.abc import Sequence

import cv2
import numpy as np

from providers.local.faces import Array
from providers.local.mesh import Mesh

Map = tuple[Array, Array]

MOVES = 0.05  # px below which a triangle counts as still
COLLAPSED = 1.0  # twice the area in px below which a triangle has no inside
SUBPIXEL = 4  # bits of fractional coordinates that fillConvexPoly takes


class Warp:
    """Maps of one face in a layer of `height` x `width` pixels.

    `box` is what a pose may change: left, top, right, bottom.
    """

    def __init__(self, mesh: Mesh, height: int, width: int) -> None:
        self.mesh = mesh
        low, high = mesh.source.min(axis=0), mesh.source.max(axis=0)
        left, top = (max(0, int(v) // 4 * 4) for v in low)
        right, bottom = (
            min(limit // 4 * 4, (int(v) // 4 + 1) * 4) for v, limit in zip(high, (width, height), strict=True)
        )
        self.box = left, top, right, bottom
        self.source = mesh.source[mesh.triangles]  # (n, 3, 2)

    def maps(self, points: Array, fine: Sequence[tuple[int, int, int, int]] = ()) -> tuple[Map, Map]:
        """Absolute source coordinates for the box, at full and at half resolution: x and y, float32 (h, w).

        The boxes `fine` are drawn at full resolution.
        """
        left, top, right, bottom = self.box
        half = self._draw(points, (left, top), (bottom - top) // 2, (right - left) // 2, 2)
        full = tuple(cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR) for part in half)
        for x0, y0, x1, y1 in fine:
            for part, drawn in zip(full, self._draw(points, (x0, y0), y1 - y0, x1 - x0, 1), strict=True):
                part[y0 - top : y1 - top, x0 - left : x1 - left] = drawn
        return (full[0], full[1]), ((half[0] - 0.5) / 2, (half[1] - 0.5) / 2)

    def _draw(self, points: Array, origin: tuple[int, int], rows: int, columns: int, step: int) -> Map:
        target = points[self.mesh.triangles]
        offset = np.array(origin) + (step - 1) / 2
        placed = (target - offset) / step
        low, high = placed.min(axis=1), placed.max(axis=1)
        near = ((high > -1) & (low < (columns + 1, rows + 1))).all(axis=1)
        moving = np.flatnonzero((np.abs(target - self.source).max(axis=(1, 2)) > MOVES) & near)
        # slivers first: where a larger neighbour also touches a pixel, its answer is the better one
        area = np.abs(_area(placed[moving]))
        order = np.argsort(area, kind="stable")
        moving, area = moving[order], area[order]
        index = np.zeros((rows, columns), np.int16)
        corners = np.round(placed[moving] * (1 << SUBPIXEL)).astype(np.int32)
        for number, corner in enumerate(corners, start=1):
            cv2.fillConvexPoly(index, corner, number, cv2.LINE_8, SUBPIXEL)
        table = np.vstack([_identity(offset, step), _affine(placed[moving], self.source[moving])]).astype(np.float32)
        y, x = np.ogrid[0:rows, 0:columns]
        x, y = x.astype(np.float32), y.astype(np.float32)
        of = [column[index] for column in table.T]
        return of[0] * x + of[1] * y + of[2], of[3] * x + of[4] * y + of[5]


def _identity(offset: Array, step: int) -> Array:
    return np.array([[step, 0, offset[0], 0, step, offset[1]]], dtype=float)


def _area(target: Array) -> Array:
    """Twice the signed area of each triangle."""
    one, two = target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]
    return np.asarray(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])


def _affine(target: Array, source: Array) -> Array:
    """For each triangle the six numbers that take a target point to its source, (n, 6); one that has collapsed has one
    colour, of its middle: a slope would reach far outside of it."""
    one, two = target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]
    area = _area(target)[:, None]
    collapsed = np.abs(area) < COLLAPSED
    area = np.where(collapsed, np.inf, area)
    from_one, from_two = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    by_x = (from_one * two[:, 1:] - from_two * one[:, 1:]) / area
    by_y = (from_two * one[:, :1] - from_one * two[:, :1]) / area
    rest = np.where(collapsed, source.mean(axis=1), source[:, 0]) - by_x * target[:, :1, 0] - by_y * target[:, :1, 1]
    return np.stack([by_x[:, 0], by_y[:, 0], rest[:, 0], by_x[:, 1], by_y[:, 1], rest[:, 1]], axis=1)
