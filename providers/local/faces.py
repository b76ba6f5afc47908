"""Faces, landmarks and the person's mask in a picture: MediaPipe's models, run by OpenCV.

Pictures are RGB uint8 (h, w, 3); points are (x, y) in pixels, with (0, 0) in the middle of the first pixel.
"""

import ast
import functools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from providers.local.models import model

Array = np.ndarray

DETECTOR_SIZE, LANDMARK_SIZE, MASK_SIZE = 128, 192, 256
LIKELY = 0.6
DOUBTFUL = 0.5  # the detector also boxes cats and helmets (presence 0.05, 0.14); people gave 1.0
SAME_FACE = 0.3  # overlap (intersection over union) above which two boxes are one face
CROP = 1.5  # the landmark model was trained on crops this much wider than the face

# Landmark numbers of MediaPipe's face mesh; "right" and "left" are the person's.
RIGHT_EYE = (33, 133, 159, 145)  # outer corner, inner corner, top, bottom
LEFT_EYE = (263, 362, 386, 374)
RIGHT_EAR, LEFT_EAR, NOSE_TIP, CHIN, FOREHEAD = 234, 454, 1, 152, 10

_turn = threading.Lock()


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face. `eyes` are the person's right and left one."""

    score: float
    centre: tuple[float, float]
    size: float
    eyes: tuple[tuple[float, float], tuple[float, float]]

    def overlap(self, other: "Box") -> float:
        sides = [
            max(0.0, min(a + self.size / 2, b + other.size / 2) - max(a - self.size / 2, b - other.size / 2))
            for a, b in zip(self.centre, other.centre, strict=True)
        ]
        shared = sides[0] * sides[1]
        return shared / (self.size**2 + other.size**2 - shared)


@dataclass(frozen=True, slots=True)
class Face:
    """`points` (468, 2) float64; `presence` is the model's own belief that this is a face, 0..1."""

    points: Array
    presence: float

    @property
    def eyes(self) -> Array:
        """Centres of the right and left eye, (2, 2)."""
        return np.stack([self.points[list(eye[:2])].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)])

    @property
    def eye_distance(self) -> float:
        return float(np.linalg.norm(self.eyes[1] - self.eyes[0]))

    @property
    def roll(self) -> float:
        """Degrees by which the line of the eyes falls towards the right edge of the picture."""
        right, left = self.eyes
        return float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))

    @property
    def yaw(self) -> float:
        """How far the nose is from the middle between the ears: 0 in front, about ±0.3 at a half turn."""
        along = self.eyes[1] - self.eyes[0]
        ear, nose, other = self.points[[RIGHT_EAR, NOSE_TIP, LEFT_EAR]] @ (along / np.linalg.norm(along))
        return float((abs(nose - ear) - abs(nose - other)) / abs(other - ear))

    def moved(self, matrix: Array) -> "Face":
        """The face after an affine (2, 3) change of the picture."""
        return Face(self.points @ matrix[:, :2].T + matrix[:, 2], self.presence)


def find(picture: Array) -> list[Face]:
    """Every face, the largest first; boxes of the detector that the landmark model calls no face are dropped."""
    found: list[Face] = []
    for box in detect(picture):
        face = landmarks(picture, box)
        centre, size = face.points.mean(axis=0), np.ptp(face.points, axis=0).max()
        seen = any(np.abs(centre - other.points.mean(axis=0)).max() < size / 4 for other in found)
        if face.presence >= DOUBTFUL and not seen:
            found.append(face)
    return sorted(found, key=lambda face: -face.eye_distance)


def detect(picture: Array) -> list[Box]:
    """Every face, the largest first. Small faces in large pictures are looked for in overlapping tiles."""
    found: list[Box] = []
    for x, y, tile in _tiles(picture):
        found += [_shifted(box, x, y) for box in _detect(tile)]
    kept: list[Box] = []
    for box in sorted(found, key=lambda box: -box.score):
        if all(box.overlap(other) < SAME_FACE for other in kept):
            kept.append(box)
    return sorted(kept, key=lambda box: -box.size)


def landmarks(picture: Array, box: Box) -> Face:
    """Looked for twice: the second crop is cut along the first points, which are better than the detector's."""
    (rx, ry), (lx, ly) = box.eyes
    return follow(picture, _landmarks(picture, np.array(box.centre), box.size, np.arctan2(ly - ry, lx - rx)))


def follow(picture: Array, face: Face) -> Face:
    """The face in a picture where it is not far from where it was; `presence` says whether it still is."""
    low, high = face.points.min(axis=0), face.points.max(axis=0)
    return _landmarks(picture, (low + high) / 2, float((high - low).max()), np.radians(face.roll))


def person_mask(picture: Array) -> Array:
    """How much each pixel belongs to the person: (h, w) float32, 0..1, soft at the scale of the model's 256 x 256."""
    small = cv2.resize(picture, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)
    (mask,) = _infer("person_mask.tflite", _blob(small, 1 / 255, 0.0), "activation_10")
    mask = mask[0, 0]
    height, width = picture.shape[:2]
    return np.clip(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


@functools.cache
def triangles() -> Array:
    """The mesh's 854 triangles, (n, 3) int: the cliques of three in MediaPipe's list of edges."""
    source = model("face_mesh.py").read_text()
    listed = re.search(r"FACEMESH_TESSELATION = frozenset\((\[.*?\])\)", source, re.DOTALL)
    assert listed, "the file is pinned"
    near: dict[int, set[int]] = {}
    for a, b in ast.literal_eval(listed[1]):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    found = {(a, b, c) for a in near for b in near[a] if b > a for c in near[a] & near[b] if c > b}
    return np.array(sorted(found))


def _tiles(picture: Array) -> Iterator[tuple[int, int, Array]]:
    height, width = picture.shape[:2]
    for parts in (1, 2, 3):
        # half a tile of overlap, so that a face on a tile's border is whole in the next
        h, w = (height, width) if parts == 1 else (2 * height // (parts + 1), 2 * width // (parts + 1))
        for row in range(parts):
            for column in range(parts):
                y, x = row * h // 2, column * w // 2
                yield x, y, picture[y : y + h, x : x + w]


def _shifted(box: Box, x: int, y: int) -> Box:
    eyes = tuple((a + x, b + y) for a, b in box.eyes)
    return Box(box.score, (box.centre[0] + x, box.centre[1] + y), box.size, (eyes[0], eyes[1]))


def _detect(tile: Array) -> list[Box]:
    height, width = tile.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = cv2.copyMakeBorder(tile, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT)
    small = cv2.resize(square, (DETECTOR_SIZE, DETECTOR_SIZE), interpolation=cv2.INTER_AREA)
    logits, shapes = _infer("face_detector.tflite", _blob(small, 1 / 127.5, -1), "classificators", "regressors")
    scores = 1 / (1 + np.exp(-np.clip(logits.ravel(), -80, 80)))
    shapes = shapes.reshape(-1, 8, 2) / DETECTOR_SIZE
    boxes = []
    for index in np.flatnonzero(scores > LIKELY):
        centre, size, right, left_eye = shapes[index, :4]
        at, *eyes = (_point((point + _anchors()[index]) * side - (left, top)) for point in (centre, right, left_eye))
        boxes.append(Box(float(scores[index]), at, float(size.max() * side), (eyes[0], eyes[1])))
    return boxes


def _point(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[1])


@functools.cache
def _anchors() -> Array:
    cells = [(n, k, x, y) for n, k in ((16, 2), (8, 6)) for y in range(n) for x in range(n)]
    return np.array([((x + 0.5) / n, (y + 0.5) / n) for n, k, x, y in cells for _ in range(k)])


def _landmarks(picture: Array, centre: Array, size: float, angle: float) -> Face:
    scale = LANDMARK_SIZE / (CROP * size)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    matrix = np.hstack([turn, (LANDMARK_SIZE / 2 - turn @ centre)[:, None]])
    if scale < 0.5:  # warpAffine does not average: halve first, or large faces are sampled through a sieve
        smaller = cv2.resize(picture, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        shrink = np.array([smaller.shape[1] / picture.shape[1], smaller.shape[0] / picture.shape[0]])
        crop = cv2.warpAffine(
            smaller, np.hstack([matrix[:, :2] / shrink, matrix[:, 2:]]), (LANDMARK_SIZE, LANDMARK_SIZE)
        )
    else:
        crop = cv2.warpAffine(picture, matrix, (LANDMARK_SIZE, LANDMARK_SIZE), flags=cv2.INTER_LINEAR)
    points, presence = _infer("face_landmarks.tflite", _blob(crop, 1 / 255, 0.0), "conv2d_21", "conv2d_31")
    found = points.reshape(-1, 3)[:, :2].astype(np.float64)
    return Face(found, float(1 / (1 + np.exp(-presence.item())))).moved(cv2.invertAffineTransform(matrix))


def _blob(picture: Array, scale: float, shift: float) -> Array:
    values = picture.astype(np.float32) * np.float32(scale) + np.float32(shift)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _infer(name: str, values: Array, *outputs: str) -> tuple[Array, ...]:
    """The named outputs of a model. A network holds its input until it is run, so threads take turns."""
    with _turn:
        net = _network(name)
        net.setInput(values)
        return tuple(output.copy() for output in net.forward(outputs))


@functools.cache
def _network(name: str) -> Any:
    # OpenCV 5's own new engine mixes up the outputs of networks with several of them.
    return cv2.dnn.readNetFromTFLite(str(model(name)), engine=cv2.dnn.ENGINE_CLASSIC)
