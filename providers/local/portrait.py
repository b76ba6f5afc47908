"""A person that can be posed: the cutout as a layer of planes, its face warped, its mouth and lids painted."""

import cv2
import numpy as np

from providers.local import planes
from providers.local.eyes import Eyes
from providers.local.faces import Array, Face
from providers.local.mesh import Mesh, Pose
from providers.local.mouth import Mouth
from providers.local.warp import Warp


class Portrait:
    """`luma` and `alpha` (h, w), `chroma` (h/2, w/2, 4) with U, V, alpha and nothing: uint8, premultiplied, sides even.

    Premultiplied colours make warping at the hair's edge right, and composing a multiplication and an addition.
    Channels come in ones and fours: OpenCV's remap needs 2.5 times as long for two of them as for one twice.
    """

    def __init__(self, rgba: Array, face: Face) -> None:
        self.height, self.width = rgba.shape[0] // 2 * 2, rgba.shape[1] // 2 * 2
        rgba = rgba[: self.height, : self.width]
        alpha = rgba[..., 3].astype(np.float32) / 255
        y, uv = planes.split(np.ascontiguousarray(rgba[..., :3]))
        half = cv2.resize(alpha, (self.width // 2, self.height // 2), interpolation=cv2.INTER_AREA)
        self.rest_alpha = np.ascontiguousarray(rgba[..., 3])
        self.rest_luma = planes.byte(y * alpha)
        self.rest_chroma = planes.byte(np.dstack([uv * half[..., None], half * 255, np.zeros_like(half)]))
        picture = np.dstack([y, cv2.resize(uv, (self.width, self.height), interpolation=cv2.INTER_LINEAR)])
        self.face = face
        self.mesh = Mesh(face)
        self.warp = Warp(self.mesh, self.height, self.width)
        self.mouth = Mouth(self.mesh, picture)
        self.eyes = Eyes(self.mesh, picture)
        self.luma, self.alpha, self.chroma = (
            rest.copy() for rest in (self.rest_luma, self.rest_alpha, self.rest_chroma)
        )

    def draw(self, pose: Pose) -> None:
        """Bring `luma` and `chroma` into the pose; only the face's box is touched."""
        lips = self.mesh.lips_at(pose)
        points = self.mesh.at(pose, lips)
        shut = pose.blink > 0.03
        # lips and lids are too thin for half a map
        full, half = self.warp.maps(points, [self.mouth.box, *(self.eyes.boxes if shut else ())])
        left, top, right, bottom = self.warp.box
        for plane, rest in ((self.luma, self.rest_luma), (self.alpha, self.rest_alpha)):
            plane[top:bottom, left:right] = cv2.remap(rest, *full, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.chroma[top // 2 : bottom // 2, left // 2 : right // 2] = cv2.remap(
            self.rest_chroma, *half, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        box = self.mouth.box
        self._put(box, self.mouth.paint(self._patch(box), lips, pose))
        if shut:
            for side, box in enumerate(self.eyes.boxes):
                self._put(box, self.eyes.paint(self._patch(box), side, points, pose.blink))

    def picture(self) -> Array:
        """The layer as it is drawn: RGBA uint8 (h, w, 4), alpha not premultiplied."""
        half = self.chroma[..., 2:3].astype(np.float32)
        y = self.luma * (255 / np.maximum(self.alpha, 1).astype(np.float32))
        uv = self.chroma[..., :2] * (255 / np.maximum(half, 1))
        uv = np.where(half > 0, uv, 128)
        return np.dstack([planes.join(y, uv), self.alpha])

    def _patch(self, box: tuple[int, int, int, int]) -> Array:
        left, top, right, bottom = box
        uv = cv2.resize(
            self.chroma[top // 2 : bottom // 2, left // 2 : right // 2, :2],
            (right - left, bottom - top),
            interpolation=cv2.INTER_LINEAR,
        )
        return cv2.merge([self.luma[top:bottom, left:right], *cv2.split(uv)]).astype(np.float32)

    def _put(self, box: tuple[int, int, int, int], patch: Array) -> None:
        left, top, right, bottom = box
        drawn = cv2.convertScaleAbs(patch)
        self.luma[top:bottom, left:right] = drawn[..., 0]
        self.chroma[top // 2 : bottom // 2, left // 2 : right // 2, :2] = cv2.resize(
            drawn[..., 1:], ((right - left) // 2, (bottom - top) // 2), interpolation=cv2.INTER_AREA
        )
