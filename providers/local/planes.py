"""Pictures as the encoder wants them: BT.709, limited range, 4:2:0. Frames are drawn in these planes, not converted.

Blending and warping are linear, so they are right on Y'CbCr as on RGB, with half the samples.
"""

from collections.abc import Sequence

import cv2
import numpy as np

Array = np.ndarray

KR, KG, KB = 0.2126, 0.7152, 0.0722  # ITU-R BT.709, table 1
TO_YUV = (
    np.array(
        [
            [219 * KR, 219 * KG, 219 * KB],
            [-112 * KR / (1 - KB), -112 * KG / (1 - KB), 112],
            [112, -112 * KG / (1 - KR), -112 * KB / (1 - KR)],
        ]
    )
    / 255
)
OFFSET = np.array([16.0, 128.0, 128.0])
TO_RGB = np.linalg.inv(TO_YUV)


def colour(rgb: Sequence[float]) -> Array:
    """(Y, U, V) of one colour, float32."""
    return (TO_YUV @ np.asarray(rgb, dtype=float) + OFFSET).astype(np.float32)


def split(rgb: Array) -> tuple[Array, Array]:
    """RGB uint8 (h, w, 3) with even sides -> Y float32 (h, w) and UV float32 (h/2, w/2, 2)."""
    yuv = (
        cv2.transform(rgb, TO_YUV).astype(np.float32)
        if rgb.dtype == np.float32
        else cv2.transform(rgb.astype(np.float32), TO_YUV)
    )
    yuv += OFFSET.astype(np.float32)
    height, width = rgb.shape[:2]
    return yuv[..., 0], cv2.resize(
        np.ascontiguousarray(yuv[..., 1:]), (width // 2, height // 2), interpolation=cv2.INTER_AREA
    )


def join(y: Array, uv: Array) -> Array:
    """The reverse of `split`: RGB uint8."""
    height, width = y.shape
    wide = cv2.resize(uv.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    yuv = np.dstack([y.astype(np.float32), wide]) - OFFSET.astype(np.float32)
    return cv2.transform(yuv, TO_RGB).clip(0, 255).round().astype(np.uint8)


def byte(values: Array) -> Array:
    """Rounded and clipped to uint8."""
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
