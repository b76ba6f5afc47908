"""Where the person stands in the frame, by shot; and how much of the backdrop the shot sees."""

from dataclasses import dataclass

import numpy as np

from pipeline.frame import Frame
from providers.local.faces import CHIN, FOREHEAD, LEFT_EAR, RIGHT_EAR, Face
from providers.local.overlay import captions_top

# From wide to near: the face's height and its middle's place as shares of the frame's height; the most of its width
# that the face fills.
SHOTS = {"wide": (0.27, 0.37, 0.36), "medium": (0.35, 0.40, 0.44), "close": (0.46, 0.44, 0.54)}
BACKDROP_ZOOM = {"wide": 1.0, "medium": 1.08, "close": 1.25}
LOWEST = 0.56  # the middle of the face goes no lower, whatever the photo lacks below
NEAREST, BROADEST = 0.50, 0.56  # of the frame's height and width: nearer, the hair would leave the frame
HEAD_ROOM = 1.7  # the head with its hair, in widths of the face
CHIN_BELOW = 0.56  # of the face's height, from its middle: a little more than half, for the head moves
MARGIN = 12  # px of the person below the frame, for the head's and the body's motion


@dataclass(frozen=True, slots=True)
class Placement:
    """Frame pixel = scale * cutout pixel + (x, y)."""

    scale: float
    x: float
    y: float


def place(
    face: Face, cutout_height: int, shot: str, frame: Frame, *, aside: float = 0.0, nearer: float = 1.0
) -> Placement:
    """The shot's framing; where the cutout would end inside the frame, the person stands lower, and then nearer, so
    that the chin stays above the captions.

    `aside` moves the person by a share of the room beside the head, to the right where positive; `nearer` enlarges it.
    """
    share, middle, widest = SHOTS[shot]
    forehead, chin = face.points[FOREHEAD], face.points[CHIN]
    centre = (forehead + chin) / 2
    tall = float(np.linalg.norm(chin - forehead))
    broad = float(np.linalg.norm(face.points[LEFT_EAR] - face.points[RIGHT_EAR]))
    share, widest = max(share, min(share * nearer, NEAREST)), max(widest, min(widest * nearer, BROADEST))
    scale = min(share * frame.height / tall, widest * frame.width / broad)
    below = cutout_height - float(centre[1])
    floor = frame.height + MARGIN
    above_captions = (floor - captions_top(frame)) / max(below - CHIN_BELOW * tall, 0.2 * tall)
    roomy = min(NEAREST * frame.height / tall, BROADEST * frame.width / broad)
    scale = max(scale, (floor - LOWEST * frame.height) / below, min(above_captions, roomy))
    y = max(middle * frame.height, floor - below * scale)
    x = frame.width / 2 + aside * max(0.0, (frame.width - HEAD_ROOM * scale * broad) / 2)
    return Placement(scale, x - scale * float(centre[0]), y - scale * float(centre[1]))
