"""Which part of a picture fills the frame: faces stay in it, and where there are none, the upper part of a tall one.

Places and sizes are (x, y) in pixels of the picture.
"""

from collections.abc import Sequence

import cv2

from pipeline.frame import Frame
from providers.local import faces, region
from providers.local.faces import Array
from providers.local.photo import SURE_FACE
from providers.local.region import Region

EYES = 0.42  # of the view's height, where the middle of what is kept stands, if it can
NEAR = 0.2  # of the view, which it moves aside of that at most
UPPER = 1 / 3  # of a tall picture's height, where the middle of the view stands without a face
COARSE, BLUR = 12, 2.0  # the copy behind is drawn so much smaller, and blurred there


def heads(picture: Array) -> list[tuple[Region, Region]]:
    """Of every sure face, the largest first: the head with its hair, as far as the picture goes, and the face alone."""
    height, width = picture.shape[:2]
    return [
        (region.head(each.points).within(width, height), region.face(each.points).within(width, height))
        for each in faces.find(picture)
        if each.presence >= SURE_FACE
    ]


def kept(found: Sequence[tuple[Region, Region]], view: tuple[float, float]) -> Region | None:
    """What has to stay in a view of this size: the largest face, with its hair and with others as far as that fits."""
    if not found:
        return None
    (largest, face), *others = found
    if not _fits(largest, view):
        return face
    for head, _ in others:
        if _fits(largest.joined(head), view):
            largest = largest.joined(head)
    return largest


def _fits(part: Region, view: tuple[float, float]) -> bool:
    return all(side <= room for side, room in zip(part.size, view, strict=True))


def place(
    size: tuple[float, float], view: tuple[float, float], keep: Region | None, aside: Sequence[float] = (0.0, 0.0)
) -> tuple[float, float]:
    """Where the view's left upper corner lies. `aside` moves it by shares of the room beside it, or a little way from
    what it keeps, as far as that may be."""
    tall = size[1] > size[0]
    corner = []
    for axis, (whole, seen) in enumerate(zip(size, view, strict=True)):
        low, high = 0.0, whole - seen
        room = high / 2
        if keep is None:
            wanted = max(0.0, UPPER * whole - seen / 2) if axis == 1 and tall else room
        else:
            start, end = keep.edges[axis]
            wanted = min(max(0.0, (start + end) / 2 - (EYES if axis == 1 else 0.5) * seen), high)
            room = min(room, NEAR * seen)
            low, high = (
                (max(low, end - seen), min(high, start))
                if end - start <= seen
                else ((start + end - seen) / 2,) * 2  # larger than the view: its middle
            )
        corner.append(min(max(wanted + aside[axis] * room, low), max(low, high)))
    return corner[0], corner[1]


def widened(picture: Array, frame: Frame, keep: tuple[float, float]) -> tuple[Array, tuple[int, int]]:
    """The picture, in a blurred copy of itself where a view of the frame's shape would not hold `keep` otherwise; and
    by how much it lies in that."""
    height, width = picture.shape[:2]
    shape = frame.width / frame.height
    size = max(width, round(keep[1] * shape)), max(height, round(keep[0] / shape))
    if size == (width, height):
        return picture, (0, 0)
    small = cv2.resize(picture, (max(1, size[0] // COARSE), max(1, size[1] // COARSE)), interpolation=cv2.INTER_AREA)
    behind = cv2.resize(cv2.GaussianBlur(small, (0, 0), BLUR), size, interpolation=cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    behind[top : top + height, left : left + width] = picture
    return behind, (left, top)
