"""The head moves as one layer: small turns, nods and the breath, as a smooth displacement of the whole cutout."""

import cv2
import numpy as np

from providers.local.faces import CHIN, FOREHEAD, LEFT_EAR, RIGHT_EAR, Array, Face
from providers.local.motion import HEAD, HeadPose
from providers.local.warp import Map

CELL = 8  # px of the grid on which the displacement is computed
TURN, TILT = 0.060, 0.050  # unit by which the middle of the face moves at yaw = 1, pitch = 1
BREATH = 0.016  # unit by which the shoulders rise


class Head:
    """Displacements in a layer of `height` x `width` pixels, both even."""

    def __init__(self, face: Face, height: int, width: int) -> None:
        unit = face.eye_distance
        self.height, self.width = height, width
        # a border of one cell, so that interpolation between cells is right up to the edge
        ys = (np.arange(-(-height // CELL) + 2) - 1) * CELL + (CELL - 1) / 2
        xs = (np.arange(-(-width // CELL) + 2) - 1) * CELL + (CELL - 1) / 2
        x, y = np.meshgrid(xs, ys)
        chin, top = face.points[CHIN], face.points[FOREHEAD]
        centre = (chin + top) / 2
        across = np.linalg.norm(face.points[LEFT_EAR] - face.points[RIGHT_EAR]) / 2
        down = np.linalg.norm(chin - top) / 2
        with_head = 1 - _smooth((y - chin[1]) / (1.25 * unit))
        round_face = np.exp(-1.1 * (((x - centre[0]) / across) ** 2 + ((y - centre[1]) / down) ** 2))
        pivot_x, pivot_y = chin[0], chin[1] + 0.2 * unit
        shoulders = _smooth((y - chin[1]) / (1.2 * unit))
        radian = np.pi / 180
        zero = np.zeros_like(x)
        fields = {
            "dx": (with_head * unit, zero),
            "dy": (zero, with_head * unit),
            "roll": (-with_head * (y - pivot_y) * radian, with_head * (x - pivot_x) * radian),
            "yaw": ((0.35 * with_head + round_face) * TURN * unit, zero),
            "pitch": (zero, (0.3 * with_head + round_face) * TILT * unit),
            "breath": (shoulders * (x - pivot_x) * 0.003, -(shoulders + 0.5 * with_head) * BREATH * unit),
            "sway": (np.full_like(x, unit) * (1 - 0.5 * shoulders), zero),
        }
        # a pixel takes its colour from where the displacement brought it from
        self.fields = np.stack([-np.stack(fields[name]) for name in HEAD]).astype(np.float32)
        self.identity = np.stack([x, y]).astype(np.float32)

    def maps(self, pose: HeadPose) -> tuple[Map, Map]:
        """Source coordinates at full and at half resolution: x and y, float32."""
        amounts = np.array([getattr(pose, name) for name in HEAD], np.float32)
        grid = self.identity + np.tensordot(amounts, self.fields, axes=1)
        full = [_grown(part, CELL, self.height, self.width) for part in grid]
        half = [_grown((part - 0.5) / 2, CELL // 2, self.height // 2, self.width // 2) for part in grid]
        return (full[0], full[1]), (half[0], half[1])


def _grown(part: Array, cell: int, height: int, width: int) -> Array:
    rows, columns = part.shape
    grown = cv2.resize(part, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)
    return grown[cell : cell + height, cell : cell + width]


def _smooth(values: Array) -> Array:
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped))
