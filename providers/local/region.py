"""A part of a picture, and the one that a head takes up."""

from dataclasses import dataclass

from providers.local.faces import Array

HAIR, JAW, BESIDE = 0.38, 0.10, 0.16  # around the landmarks, in heights of the face: they end below the hair
AROUND = 0.02  # where only the face itself counts: landmarks tremble


@dataclass(frozen=True, slots=True)
class Region:
    """From (left, top) to (right, bottom), in pixels."""

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

    def joined(self, other: "Region") -> "Region":
        return Region(
            min(self.left, other.left), min(self.top, other.top),
            max(self.right, other.right), max(self.bottom, other.bottom),
        )  # fmt: skip

    def within(self, width: float, height: float) -> "Region":
        return Region(max(0.0, self.left), max(0.0, self.top), min(width, self.right), min(height, self.bottom))

    def moved(self, x: float, y: float) -> "Region":
        return Region(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def meets(self, other: "Region") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def head(points: Array) -> Region:
    """The head with its hair, by the landmarks of its face."""
    return _around(points, BESIDE, HAIR, JAW)


def face(points: Array) -> Region:
    return _around(points, AROUND, AROUND, AROUND)


def _around(points: Array, beside: float, above: float, below: float) -> Region:
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    tall = bottom - top
    return Region(left - beside * tall, top - above * tall, right + beside * tall, bottom + below * tall)
