"""The face stays inside the frame's safe area and above the captions, whatever the shape of the frame and the shot."""

from itertools import product

import pytest

from pipeline.frame import Frame
from providers.local.faces import Face
from providers.local.framing import SHOTS, place
from providers.local.overlay import captions_top
from providers.local.photo import the_face
from providers.local.sample import NAMES_FROM
from tests.portraits import astronaut

MARGIN = 0.05
SHAPES = (
    (854, 480), (1280, 720), (1920, 1080),
    (480, 854), (720, 1280), (1080, 1920),
    (480, 480), (720, 720), (1080, 1080),
)  # fmt: skip


@pytest.fixture(scope="module")
def face() -> Face:
    return the_face(astronaut())


@pytest.mark.parametrize(("size", "shot", "rows"), list(product(SHAPES, SHOTS, (512, NAMES_FROM))))
def test_the_face_is_inside_the_safe_area(face: Face, size: tuple[int, int], shot: str, rows: int) -> None:
    """Also where the photo ends at the chest."""
    frame = Frame(*size, 25)
    placed = place(face, rows, shot, frame)
    points = face.points * placed.scale + (placed.x, placed.y)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    assert left >= MARGIN * frame.width
    assert right <= (1 - MARGIN) * frame.width
    assert top >= MARGIN * frame.height
    assert bottom <= captions_top(frame)
    assert abs((left + right) / 2 - frame.width / 2) < 0.05 * frame.width


def test_a_closer_shot_shows_a_larger_face(face: Face) -> None:
    for size in SHAPES:
        scales = [place(face, astronaut().shape[0], shot, Frame(*size, 25)).scale for shot in SHOTS]
        assert scales == sorted(scales), size
