"""Closing eyes: the lids are moved by the mesh, the line of lashes between them is painted here."""

import cv2
import numpy as np

from providers.local.faces import Array
from providers.local.mesh import EYE_CORNERS, LIDS_LOWER, LIDS_UPPER, Mesh
from providers.local.mouth import smooth

STRENGTH = 0.75  # of the lashes' line when the lids meet
MARGIN = 0.10  # unit around the eye


class Eyes:
    """Painter of one face's lashes. `picture` is the layer in Y'CbCr 4:4:4."""

    def __init__(self, mesh: Mesh, picture: Array) -> None:
        self.mesh = mesh
        height, width = picture.shape[:2]
        self.boxes: list[tuple[int, int, int, int]] = []
        self.tones: list[Array] = []
        for upper, lower, corners in zip(LIDS_UPPER, LIDS_LOWER, EYE_CORNERS, strict=True):
            around = mesh.source[np.concatenate([upper, lower, corners])]
            margin = MARGIN * mesh.unit
            (left, top), (right, bottom) = around.min(axis=0) - margin, around.max(axis=0) + margin
            box = (
                max(0, int(left) // 2 * 2), max(0, int(top) // 2 * 2),
                min(width, int(right) // 2 * 2 + 2), min(height, int(bottom) // 2 * 2 + 2),
            )  # fmt: skip
            self.boxes.append(box)
            eye = picture[box[1] : box[3], box[0] : box[2]].reshape(-1, 3)
            dark = eye[:, 0] <= np.percentile(eye[:, 0], 6)
            self.tones.append(eye[dark].mean(axis=0).astype(np.float32))

    def paint(self, patch: Array, side: int, points: Array, blink: float) -> Array:
        """The patch (float32) of one eye's box with the line of its lashes; `points` are the mesh's."""
        strength = STRENGTH * min(1.0, 2.2 * blink)
        if strength <= 0:
            return patch
        left, top, right, bottom = self.boxes[side]
        start, end = EYE_CORNERS[side]
        lid = smooth(points[np.concatenate([[start], LIDS_UPPER[side], [end]])]) - (left, top)
        mask = np.zeros((bottom - top, right - left), np.uint8)
        thickness = max(1, round(0.022 * self.mesh.unit))
        cv2.polylines(mask, [np.round(lid * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)
        drawn = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.011 * self.mesh.unit, 0.6)) * (strength / 255)
        return np.asarray(patch + (self.tones[side] - patch) * drawn[..., None])
