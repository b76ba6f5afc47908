"""Which part of a picture fills the frame: faces stay in it, and where there are none, the upper part of a tall one.

Places and sizes are (x, y) in pixels of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from pipeline.frame import Frame
from providers.local import faces
from providers.local.faces import Array
from providers.local.photo import SURE_FACE

HAIR, JAW, BESIDE = 0.38, 0.10, 0.16  # around the landmarks, in heights of the face: they end below the hair
AROUND = 0.02  # where only the face itself is kept: landmarks tremble
EYES = 0.42  # of the view's height, where the middle of what is kept stands, if it can
NEAR = 0.2  # of the view, which it moves aside of that at most
UPPER = 1 / 3  # of a tall picture's height, where the middle of the view stands without a face
COARSE, BLUR = 12, 2.0  # the copy behind is drawn so much smaller, and blurred there


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> tuple[float, float]:
        return self.right - self.left, self.bottom - self.top

    @property
    def edges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """From and to, across and down."""
        return (self.left, self.right), (self.top, self.bottom)

    def with_(self, other: "Box") -> "Box":
        return Box(
            min(self.left, other.left), min(self.top, other.top),
            max(self.right, other.right), max(self.bottom, other.bottom),
        )  # fmt: skip


def heads(picture: Array) -> list[tuple[Box, Box]]:
    """Of every sure face, the largest first: the head with its hair, as far as the picture goes, and the face alone."""
    height, width = picture.shape[:2]
    found = []
    for face in faces.find(picture):
        if face.presence < SURE_FACE:
            continue
        (left, top), (right, bottom) = face.points.min(axis=0), face.points.max(axis=0)
        tall = bottom - top
        margins = ((BESIDE, HAIR, BESIDE, JAW), (AROUND,) * 4)
        head, alone = (
            Box(
                max(0.0, float(left - a * tall)), max(0.0, float(top - b * tall)),
                min(float(width), float(right + c * tall)), min(float(height), float(bottom + d * tall)),
            )
            for a, b, c, d in margins
        )  # fmt: skip
        found.append((head, alone))
    return found


def kept(found: Sequence[tuple[Box, Box]], view: tuple[float, float]) -> Box | None:
    """What has to stay in a view of this size: the largest face, with its hair and with others as far as that fits."""
    if not found:
        return None
    (largest, face), *others = found
    if not _fits(largest, view):
        return face
    for head, _ in others:
        if _fits(largest.with_(head), view):
            largest = largest.with_(head)
    return largest


def _fits(box: Box, view: tuple[float, float]) -> bool:
    return all(side <= room for side, room in zip(box.size, view, strict=True))


def place(
    size: tuple[float, float], view: tuple[float, float], keep: Box | None, aside: Sequence[float] = (0.0, 0.0)
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
