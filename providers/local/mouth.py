"""The inside of the mouth: cavity, tongue, teeth, and the line where closed lips meet.

Everything is painted in Y'CbCr on a small patch around the mouth, in the pixels of the layer.
"""

import cv2
import numpy as np

from providers.local.faces import Array
from providers.local.mesh import LOWER, UPPER, Lips, Mesh, Pose
from providers.local.planes import colour

REACH = (0.62, 0.36, 0.72)  # the patch: sideways, up and down from the mouth, units
CAVITY, TONGUE, TOOTH, GUM = (46, 16, 17), (158, 84, 82), (208, 198, 182), (150, 84, 84)
LINE = (66, 28, 26)
USUAL_LUMA = 165.0  # Y of a well lit face, for which the colours above are meant
TOOTH_WIDTH = (0.135, 0.105, 0.115, 0.10)  # unit: incisors, canine, premolar, from the middle outwards
TONGUE_OUT = 0.7
PARTED = 0.04  # unit between the lips, from which the line where they met is no longer drawn: it would cross the teeth
SEPARATOR = 0.10  # stronger ones look like a grid


class Mouth:
    """Painter of one face's mouth. `picture` is the layer in Y'CbCr 4:4:4 float32 (h, w, 3)."""

    def __init__(self, mesh: Mesh, picture: Array) -> None:
        self.mesh = mesh
        height, width = picture.shape[:2]
        unit = mesh.unit
        centre = mesh.pixels(np.array([mesh.middle, 0.0]))
        sideways, up, down = (unit * r for r in REACH)
        self.box = (
            max(0, int(centre[0] - sideways) // 2 * 2), max(0, int(centre[1] - up) // 2 * 2),
            min(width, int(centre[0] + sideways) // 2 * 2), min(height, int(centre[1] + down) // 2 * 2),
        )  # fmt: skip
        left, top, right, bottom = self.box
        self.size = right - left, bottom - top
        self.patch = picture[top:bottom, left:right].copy()  # a view would keep the whole picture: 23 MB at 1080p
        ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
        self.grid = mesh.local(np.dstack([xs, ys])).astype(np.float32)
        self.light = self._light()
        self.tone = {name: self._lit(rgb) for name, rgb in {"cavity": CAVITY, "tongue": TONGUE, "line": LINE}.items()}
        self.teeth, self.teeth_mask = self._teeth()

    def paint(self, patch: Array, lips: Lips, pose: Pose) -> Array:
        """The patch (float32) with the mouth's inside and the lip line of this pose."""
        gap = float((lips.inner_lower - lips.inner_upper)[3:8, 1].max())
        if gap > 0.004:
            mask = self._opening(lips)
            shade = cv2.GaussianBlur(mask, (0, 0), max(0.05 * self.mesh.unit, 0.8))
            shade = 0.34 + 0.66 * np.clip(shade / max(float(shade.max()), 1e-3), 0, 1)
            shade *= 0.6 + 0.4 * min(1.0, gap / 0.13)  # little light falls through a narrow opening
            inside = self._inside(lips, pose)
            # towards the cavity's own colour: teeth that only lose light turn grey
            inside = self.tone["cavity"] + (inside - self.tone["cavity"]) * shade[..., None]
            soft = cv2.GaussianBlur(mask, (0, 0), max(0.008 * self.mesh.unit, 0.5))[..., None]
            patch = patch + (inside - patch) * soft
        return self._line(patch, lips, gap)

    def _light(self) -> float:
        x, y = self.grid[..., 0], self.grid[..., 1]
        around = (np.abs(x) < 0.5) & (y > -0.3) & (y < 0.6)
        return float(np.clip(np.percentile(self.patch[..., 0][around], 60) / USUAL_LUMA, 0.25, 1.25))

    def _lit(self, rgb: tuple[int, int, int]) -> Array:
        return colour([value * self.light for value in rgb])

    def _opening(self, lips: Lips) -> Array:
        """The polygon between the lips, smooth, 0..1."""
        outline = self._pixels(np.vstack([smooth(lips.inner_upper), smooth(lips.inner_lower)[::-1]]))
        mask = np.zeros(self.size[::-1], np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask.astype(np.float32) / 255

    def _pixels(self, points: Array) -> Array:
        return self.mesh.pixels(points) - self.box[:2]

    def _inside(self, lips: Lips, pose: Pose) -> Array:
        mesh, x, y = self.mesh, self.grid[..., 0], self.grid[..., 1]
        inside = np.empty((*x.shape, 3), np.float32)
        inside[:] = self.tone["cavity"]
        floor = float(lips.inner_lower[5, 1])
        # The tongue lies on the jaw; for l, n, t, d, th its tip rises behind the upper teeth.
        lift = 0.55 * pose.tongue * (floor - float(lips.inner_upper[5, 1]))
        tongue_y = floor + 0.045 - lift
        blob = np.exp(-((((x - mesh.middle) / 0.26) ** 2 + ((y - tongue_y) / 0.13) ** 2) ** 1.5))
        ridge = 1 - 0.16 * np.exp(-(((x - mesh.middle) / 0.035) ** 2))
        inside += (self.tone["tongue"] - inside) * (blob * ridge * 0.9)[..., None]
        # Rounded lips stand away from the teeth and hide them.
        inside += (self.teeth - inside) * (self.teeth_mask * (1 - 0.9 * float(_ramp(pose.protrude - 0.62, 0.3))))[
            ..., None
        ]
        if pose.tongue > TONGUE_OUT:  # for th its tip shows under the upper teeth
            tip = np.exp(-((((x - mesh.middle) / 0.17) ** 2 + ((y - floor + 0.012) / 0.045) ** 2) ** 2))
            inside += (self.tone["tongue"] - inside) * ((pose.tongue - TONGUE_OUT) / (1 - TONGUE_OUT) * tip)[..., None]
        return inside.astype(np.float32)

    def _teeth(self) -> tuple[Array, Array]:
        """The upper teeth and where they are: they belong to the skull and never move."""
        mesh, x, y = self.mesh, self.grid[..., 0], self.grid[..., 1]
        upper, lower = mesh.rest[UPPER[0]], mesh.rest[LOWER[0]]
        if mesh.teeth_seen:
            return self._teeth_of_photo(upper, lower)
        edge = mesh.line_height + 0.036 - 0.34 * (x - mesh.middle) ** 2
        teeth = np.empty((*x.shape, 3), np.float32)
        teeth[:] = self._lit(TOOTH)
        boundary, gaps = 0.0, np.zeros_like(x)
        for width in TOOTH_WIDTH:
            gaps += (
                np.exp(-(((np.abs(x - mesh.middle) - boundary) / 0.007) ** 2))
                if boundary
                else np.exp(-(((x - mesh.middle) / 0.006) ** 2))
            )
            boundary += width
        rounding = 1 - 0.10 * np.clip((x - mesh.middle) / 0.4, -1, 1) ** 2
        gum = _ramp(edge - 0.17 - y, 0.03)
        teeth[..., 0] = 16 + (teeth[..., 0] - 16) * rounding * (1 - SEPARATOR * np.clip(gaps, 0, 1))
        teeth += (self._lit(GUM) - teeth) * gum[..., None]
        return teeth, (_ramp(edge - y, 0.012) * self._corridor()).astype(np.float32)

    def _teeth_of_photo(self, upper: Array, lower: Array) -> tuple[Array, Array]:
        """Cut out what the photo shows between the lips, and grow it under them."""
        mesh = self.mesh
        outline = self._pixels(np.vstack([smooth(upper), smooth(lower)[::-1]]))
        seen = np.zeros(self.size[::-1], np.uint8)
        cv2.fillPoly(seen, [np.round(outline).astype(np.int32)], 255)
        size = max(3, int(0.04 * mesh.unit) | 1)
        seen = cv2.erode(seen, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        near = cv2.dilate(seen, np.ones((3, 3), np.uint8), iterations=max(2, int(0.10 * mesh.unit)))
        yuv = self.patch.clip(0, 255).astype(np.uint8)
        teeth = cv2.inpaint(yuv, ((near > 0) & (seen == 0)).astype(np.uint8), 3, cv2.INPAINT_TELEA).astype(np.float32)
        x, y = self.grid[..., 0], self.grid[..., 1]
        below = np.interp(x.ravel(), lower[:, 0], lower[:, 1] - 0.012).reshape(x.shape)
        mask = _ramp(below - y, 0.016) * _ramp(y - (upper[:, 1].min() - 0.09), 0.03) * self._corridor()
        return teeth, (mask * (cv2.GaussianBlur(near, (0, 0), 1.5) / 255)).astype(np.float32)

    def _corridor(self) -> Array:
        """Teeth fade into the dark towards the corners of the mouth."""
        return np.clip(1 - (np.abs(self.grid[..., 0] - self.mesh.middle) / 0.40) ** 4, 0, 1)

    def _line(self, patch: Array, lips: Lips, gap: float) -> Array:
        strength = float(np.clip(1 - gap / PARTED, 0, 1)) * 0.62
        if strength <= 0.02:
            return patch
        middle = smooth((lips.inner_upper + lips.inner_lower) / 2)
        mask = np.zeros(self.size[::-1], np.uint8)
        thickness = max(1, round(0.018 * self.mesh.unit))
        cv2.polylines(
            mask, [np.round(self._pixels(middle) * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4
        )
        drawn = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.008 * self.mesh.unit, 0.6)) * (strength / 255)
        return np.asarray(patch + (self.tone["line"] - patch) * drawn[..., None])


def smooth(points: Array, parts: int = 3) -> Array:
    """A Catmull-Rom curve through the points, `parts` pieces between each two."""
    padded = np.vstack([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(parts) / parts)[None, :, None]
    curve = 0.5 * (
        2 * start + (end - before) * t + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )  # fmt: skip
    return np.vstack([curve.reshape(-1, 2), points[-1:]])


def _ramp(distance: Array | float, softness: float) -> Array:
    """0 where negative, 1 where positive, soft in between."""
    return np.asarray(np.clip(distance / softness + 0.5, 0, 1))
