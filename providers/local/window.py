"""The speaker in a corner of a cutaway: a rounded window on the head."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pipeline.frame import Frame
from providers.local.faces import CHIN, FOREHEAD, Array, Face
from providers.local.framing import Placement

SIDE = 0.36  # of the frame's shorter side
BROADEST = 0.30  # of its width: what a cutaway shows in the middle stays free
AROUND = 2.0  # the window's side in heights of the face
EDGE = 0.014  # the rim, of the window's side
RIM = 235  # its luma


class Window:
    """Cuts the head out of a drawn frame and puts it, smaller, into the corner at the top right."""

    def __init__(self, face: Face, placement: Placement, frame: Frame) -> None:
        forehead, chin = (
            face.points[index] * placement.scale + (placement.x, placement.y) for index in (FOREHEAD, CHIN)
        )
        centre = (forehead + chin) / 2
        side = min(AROUND * float(np.linalg.norm(chin - forehead)), frame.width, frame.height)
        size = _even(side), _even(side)
        left = _even(np.clip(centre[0] - side / 2, 0, frame.width - size[0]))
        top = _even(np.clip(centre[1] - side / 2, 0, frame.height - size[1]))
        self.seen = slice(top, top + size[1]), slice(left, left + size[0])
        self.place = corner(frame)
        self.side = self.place[0].stop - self.place[0].start
        rim = max(2, round(EDGE * self.side))
        self._outer, self._inner = _rounded(self.side, 0), _rounded(self.side, rim)

    def cut(self, planes: list[Array]) -> list[Array]:
        """The head at the window's size, from Y, U and V of a frame."""
        return [
            cv2.resize(
                plane[_of(self.seen, step)], (self.side // step, self.side // step), interpolation=cv2.INTER_AREA
            )
            for plane, step in zip(planes, (1, 2, 2), strict=True)
        ]

    def put(self, planes: list[Array], head: list[Array], share: float) -> None:
        """Over Y, U and V in place; `share` 0 is nothing, 1 the whole window."""
        for plane, part, step, rim in zip(planes, head, (1, 2, 2), (RIM, 128, 128), strict=True):
            outer, inner = (
                cv2.resize(mask, (self.side // step, self.side // step), interpolation=cv2.INTER_AREA) * share
                for mask in (self._outer, self._inner)
            )
            there = plane[_of(self.place, step)]
            mixed = there * (1 - outer) + rim * (outer - inner) + part * inner
            np.copyto(there, np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def corner(frame: Frame) -> tuple[slice, slice]:
    """Rows and columns of the frame in which the window stands."""
    upright = frame.height > 1.3 * frame.width  # there the apps' own texts lie over the top
    side = _even(min(SIDE * min(frame.width, frame.height), BROADEST * frame.width))
    x = frame.width - side - _even(frame.width * (0.057 if upright else 0.032))
    y = _even(frame.height * (0.12 if upright else 0.055))
    return slice(y, y + side), slice(x // 2 * 2, x // 2 * 2 + side)


def _rounded(side: int, rim: int) -> Array:
    mask = Image.new("L", (side * 4, side * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle(
        (rim * 4, rim * 4, (side - rim) * 4 - 1, (side - rim) * 4 - 1), round(0.16 * side * 4), fill=255
    )
    return np.asarray(mask.resize((side, side), Image.Resampling.BOX), np.float32) / 255


def _of(box: tuple[slice, slice], step: int) -> tuple[slice, slice]:
    rows, columns = box
    return slice(rows.start // step, rows.stop // step), slice(columns.start // step, columns.stop // step)


def _even(value: float) -> int:
    return 2 * int(value // 2)
