"""The face as a mesh that a pose moves: lips set explicitly, the skin around them carried along.

Face coordinates: origin in the middle between the mouth corners, x along the line of the eyes to the right of the
picture, y down the face, unit the distance between the eyes.
"""

from dataclasses import dataclass, fields

import numpy as np

from providers.local.faces import CHIN, FOREHEAD, Array, Face, triangles

# Mouth contours of MediaPipe's mesh in columns from the right corner of the mouth to the left one.
UPPER = np.array(
    [
        [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
        [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292],
        [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
        [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
    ]
)  # rings from the inner to the outer
LOWER = np.array(
    [
        [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
        [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
        [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
        [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
    ]
)
CORNERS = (78, 308)
# Eyes: outer corner, upper lid, inner corner, lower lid; the crease above the upper lid.
LIDS_UPPER = np.array([[246, 161, 160, 159, 158, 157, 173], [466, 388, 387, 386, 385, 384, 398]])
LIDS_LOWER = np.array([[7, 163, 144, 145, 153, 154, 155], [249, 390, 373, 374, 380, 381, 382]])
CREASES = np.array([[247, 30, 29, 27, 28, 56, 190], [467, 260, 259, 257, 258, 286, 414]])
EYE_CORNERS = np.array([[33, 133], [263, 362]])
BROWS = np.array([[70, 63, 105, 66, 107, 46, 53, 52, 65, 55], [300, 293, 334, 296, 336, 276, 283, 282, 295, 285]])
OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
     152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
JAW = np.array(
    [152, 148, 176, 149, 150, 136, 172, 377, 400, 378, 379, 365, 397, 199, 175, 200, 18, 83, 313, 208, 428, 32, 262]
)
STILL = np.array(
    [1, 2, 4, 5, 6, 168, 195, 197, 98, 327, 48, 278, 129, 358, 33, 133, 263, 362, 145, 374, 10, 151, 9, 109, 338,
     127, 356, 234, 454, 93, 323, 50, 280]
)  # fmt: skip

RING = 1.32  # how much wider than the face the ring is that no longer moves
APERTURE = 0.46  # unit: between the lips at `open` = 1
UPPER_SHARE, LOWER_SHARE = 0.16, 0.80  # of the aperture: the upper lip hardly moves
JAW_SHARE, JAW_WIDTH = 0.86, 0.62
CLOSURE = 0.62  # where parted lips meet: nearer to the upper one, for the lower one does the closing
CLOSURE_SMILE = 0.48  # a smile has lifted the upper lip off the teeth: it comes down again
USUAL_WIDTH = 0.80  # of a mouth at rest; what a photo's mouth is wider than that is mostly its smile
SMILE_KEPT = 0.35
TEETH_GAP = 0.07  # between the lips in the photo, from which teeth are seen
INSIDE_LIP = 0.045  # how far inside the lip its edge is sampled there, else teeth stick to closed lips as white specks


@dataclass(frozen=True, slots=True)
class Pose:
    """`wide` is -1 (rounded) to 1 (spread); `brow` and `smile` -1 to 1; the rest 0 to 1."""

    open: float = 0.0
    wide: float = 0.0
    protrude: float = 0.0
    press: float = 0.0
    tuck: float = 0.0
    tongue: float = 0.0
    blink: float = 0.0
    brow: float = 0.0
    smile: float = 0.0


POSE = tuple(field.name for field in fields(Pose))


@dataclass(frozen=True, slots=True)
class Lips:
    """Columns of the inner and outer contours, each (11, 2), in face coordinates."""

    inner_upper: Array
    inner_lower: Array
    outer_upper: Array
    outer_lower: Array


class Mesh:
    """Points of one face. `source` (504, 2) is where each vertex takes its colour from, in pixels."""

    def __init__(self, face: Face) -> None:
        right, left = face.eyes
        self.unit = face.eye_distance
        along = (left - right) / self.unit
        self.axes = np.stack([along, [-along[1], along[0]]])  # rows: x and y of the face
        self.origin = face.points[list(CORNERS)].mean(axis=0)
        rest = self.local(face.points)
        centre = (rest[FOREHEAD] + rest[CHIN]) / 2
        self.rest = np.vstack([rest, centre + RING * (rest[OVAL] - centre)])
        self._look_at_the_mouth()
        self._faces()
        self._operator()

    def local(self, points: Array) -> Array:
        return np.asarray((points - self.origin) @ self.axes.T / self.unit)

    def pixels(self, points: Array) -> Array:
        return np.asarray(points @ self.axes * self.unit + self.origin)

    def _look_at_the_mouth(self) -> None:
        rest = self.rest
        inner_upper, inner_lower = rest[UPPER[0]], rest[LOWER[0]]
        self.gap = float((inner_lower - inner_upper)[5, 1])
        self.teeth_seen = self.gap > TEETH_GAP
        self.left, self.right = rest[CORNERS[0], 0], rest[CORNERS[1], 0]
        self.width = float(self.right - self.left)
        self.middle = float(self.left + self.right) / 2
        self.smile = float(np.clip((self.width - USUAL_WIDTH) / 0.15, 0, 1)) if self.width > USUAL_WIDTH else 0.0
        if self.teeth_seen:
            self.smile = max(self.smile, 0.5)
        excess = max(0.0, self.width - USUAL_WIDTH)
        self.rest_width = self.width - (1 - SMILE_KEPT) * excess
        closure = CLOSURE_SMILE if self.teeth_seen else CLOSURE
        line = closure * inner_upper + (1 - closure) * inner_lower
        self.line_height = float(line[5, 1])
        self.line_curve = (line[:, 1] - self.line_height) * (1 - 0.6 * self.smile)
        self.place = 2 * (line[:, 0] - self.middle) / self.width  # -1..1 across the mouth
        self.place[[0, -1]] = -1, 1
        self.profile = np.clip(1 - self.place**2, 0, 1) ** 0.5
        # outer contour relative to the inner: across the mouth as a place, down as a thickness
        self.outer_place = [2 * (rest[ring[3], 0] - self.middle) / self.width for ring in (UPPER, LOWER)]
        self.thickness = [rest[ring[3], 1] - rest[ring[0], 1] for ring in (UPPER, LOWER)]

        source = rest.copy()
        self.share = []  # how far each middle ring is from the inner (0) to the outer (1) one
        for ring in (UPPER, LOWER):
            inner, outer = rest[ring[0]], rest[ring[3]]
            length = np.linalg.norm(outer - inner, axis=1)
            shares = [
                np.clip(np.linalg.norm(rest[row] - inner, axis=1) / np.maximum(length, 1e-6), 0.05, 0.95)
                for row in ring[1:3]
            ]
            self.share.append(shares)
            if self.teeth_seen:
                inside = np.minimum(INSIDE_LIP, 0.5 * length)[:, None]
                inner = inner + (outer - inner) / np.maximum(length, 1e-6)[:, None] * inside
                inner[[0, -1]] = rest[ring[0]][[0, -1]] + np.array([[-0.03, 0], [0.03, 0]])
                source[ring[0]] = inner
                for row, share in zip(ring[1:3], shares, strict=True):
                    source[row] = inner + share[:, None] * (outer - inner)
        self.source = self.pixels(source)

    def _faces(self) -> None:
        holes = [set(UPPER[0]) | set(LOWER[0])]
        holes += [set(u) | set(low) | set(c) for u, low, c in zip(LIDS_UPPER, LIDS_LOWER, EYE_CORNERS, strict=True)]
        kept = [t for t in triangles().tolist() if not any(hole.issuperset(t) for hole in holes)]
        ring = 468 + np.arange(len(OVAL))
        strip = [
            t
            for i in range(len(OVAL))
            for j in [(i + 1) % len(OVAL)]
            for t in ([OVAL[i], OVAL[j], ring[j]], [OVAL[i], ring[j], ring[i]])
        ]
        self.triangles = np.array(kept + strip)

    def _operator(self) -> None:
        """The other points' displacements, linear in the controls': a spline with phi(r) = r and an affine part."""
        lips = np.unique(np.concatenate([UPPER.ravel(), LOWER.ravel()]))
        eyes = np.concatenate([LIDS_UPPER.ravel(), LIDS_LOWER.ravel(), CREASES.ravel()])
        outer = np.unique(np.concatenate([UPPER[3], LOWER[3]]))
        fixed = np.concatenate([STILL, LIDS_LOWER[:, 2:5].ravel(), 468 + np.arange(len(OVAL))])
        jaw = JAW[~np.isin(JAW, lips)]
        brows = BROWS.ravel()
        self.lips, self.jaw, self.eyes = lips, jaw, eyes
        controls = np.unique(np.concatenate([outer, jaw, brows, fixed]))
        moved = np.setdiff1d(np.arange(len(self.rest)), np.concatenate([controls, lips, eyes]))
        at, to = self.rest[controls], self.rest[moved]
        n = len(controls)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = np.linalg.norm(at[:, None] - at[None], axis=2)
        system[:n, n:] = np.hstack([np.ones((n, 1)), at])
        system[n:, :n] = system[:n, n:].T
        basis = np.hstack([np.linalg.norm(to[:, None] - at[None], axis=2), np.ones((len(to), 1)), to])
        self.controls, self.moved = controls, moved
        self.carry = (basis @ np.linalg.inv(system))[:, :n]

    def lips_at(self, pose: Pose) -> Lips:
        spread = 1 + (0.10 if pose.wide > 0 else 0.34) * pose.wide
        half = self.rest_width / 2 * spread * (1 + 0.07 * pose.smile - 0.10 * pose.open)
        gap = APERTURE * pose.open
        # round and open mouths keep less of the photo's smile
        bent = self.line_curve * (1 - 0.6 * max(0.0, -pose.wide)) * (1 - 0.35 * min(1.0, pose.open / 0.35))
        line = self.line_height + bent - 0.075 * pose.smile * np.abs(self.place) ** 1.6
        line = line - 0.02 * pose.tuck * self.profile
        across = self.middle + self.place * half
        rise = (UPPER_SHARE * gap + 0.022 * pose.tuck) * self.profile
        drop = (LOWER_SHARE * gap + 0.004 * pose.tuck) * self.profile
        full = (1 + 0.5 * self.smile) * (1 + 0.22 * pose.protrude - 0.30 * pose.press - 0.08 * pose.open)
        inner_upper = np.stack([across, line - rise], axis=1)
        inner_lower = np.stack([across, line + drop], axis=1)
        outer_upper = np.stack(
            [self.middle + self.outer_place[0] * half, inner_upper[:, 1] + self.thickness[0] * full], axis=1
        )
        lower_full = full * (1 - 0.40 * pose.tuck)
        outer_lower = np.stack(
            [self.middle + self.outer_place[1] * half, inner_lower[:, 1] + self.thickness[1] * lower_full], axis=1
        )
        return Lips(inner_upper, inner_lower, outer_upper, outer_lower)

    def jaw_drop(self, pose: Pose) -> float:
        return JAW_SHARE * LOWER_SHARE * APERTURE * pose.open

    def at(self, pose: Pose, lips: Lips | None = None) -> Array:
        """Where all vertices are in this pose, in pixels (504, 2)."""
        rest = self.rest
        points = rest.copy()
        lips = lips or self.lips_at(pose)
        for ring, inner, outer, shares in (
            (UPPER, lips.inner_upper, lips.outer_upper, self.share[0]),
            (LOWER, lips.inner_lower, lips.outer_lower, self.share[1]),
        ):
            points[ring[3]] = outer
            for row, share in zip(ring[1:3], shares, strict=True):
                points[row] = inner + share[:, None] * (outer - inner)
            points[ring[0]] = inner
        x = rest[self.jaw, 0] - self.middle
        points[self.jaw, 1] += self.jaw_drop(pose) * np.exp(-((x / JAW_WIDTH) ** 4)) - 0.012 * pose.press
        for brow in BROWS:
            points[brow, 1] -= 0.085 * pose.brow
        points[self.moved] += self.carry @ (points - rest)[self.controls]
        if pose.smile > 0:  # cheeks rise with the corners and push the lower lids up
            points[[50, 280, 205, 425], 1] -= 0.02 * pose.smile
        self._close_eyes(points, pose.blink)
        return self.pixels(points)

    def _close_eyes(self, points: Array, blink: float) -> None:
        if blink <= 0:
            return
        rest = self.rest
        # The crease comes down nearly as far as the lid: the skin above it is stretched, not the lashes.
        for upper, lower, crease in zip(LIDS_UPPER, LIDS_LOWER, CREASES, strict=True):
            opening = rest[lower] - rest[upper]
            points[upper] = rest[upper] + 0.93 * blink * opening
            points[lower] = rest[lower] - 0.12 * blink * opening
            points[crease] = points[crease] + 0.70 * blink * opening
