"""What each pose is for the local renderer: a place in the frame, and what head and face hold while they talk."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.poses import POSES
from providers.local.faces import CHIN, Array, Face
from providers.local.mesh import Pose
from providers.local.motion import HeadPose

STRAIGHT, REST = HeadPose(), Pose()


@dataclass(frozen=True, slots=True)
class Stance:
    """`aside` is a share of the room beside the head, to the right where positive; `nearer` enlarges the person.

    `lean` turns the whole person, in degrees like the head's roll. A roll of more than 4, or a turn of more than 1.5,
    would show that the head is one flat layer.
    """

    aside: float = 0.0
    nearer: float = 1.0
    lean: float = 0.0
    head: HeadPose = STRAIGHT
    face: Pose = REST


STANCES = {
    "neutral": Stance(),
    "explain": Stance(
        aside=-0.40, nearer=1.04, lean=2.4, head=HeadPose(roll=3.4, yaw=1.1), face=Pose(brow=0.40, smile=0.12)
    ),
    "emphasize": Stance(nearer=1.24, head=HeadPose(pitch=1.2, dy=0.02), face=Pose(brow=0.85)),
    "welcome": Stance(
        aside=0.10, nearer=1.08, lean=-2.2, head=HeadPose(roll=-3.4, dy=-0.01), face=Pose(brow=0.25, smile=0.70)
    ),
    "think": Stance(
        aside=0.40, nearer=1.04, lean=-2.6, head=HeadPose(roll=-3.6, yaw=-1.2, pitch=-0.5), face=Pose(brow=0.35)
    ),
    "serious": Stance(aside=-0.08, nearer=1.16, head=HeadPose(pitch=0.9), face=Pose(brow=-0.85, smile=-0.70)),
}
assert STANCES.keys() == POSES.keys()


def leaned(cutout: Array, face: Face, degrees: float) -> tuple[Array, Face]:
    """The RGBA person turned about a point of its lower edge, cut off below where it is level again, and its face."""
    if degrees == 0:
        return cutout, face
    height, width = cutout.shape[:2]
    turn = np.radians(degrees)
    pivot = np.array([float(face.points[CHIN][0]), float(height)])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    above = int(np.ceil(np.abs(np.sin(turn)) * width))  # what comes up at the side that rises
    matrix = np.column_stack([rotation, pivot - rotation @ pivot + (0, above)])
    risen = int(np.ceil(np.abs(np.sin(turn)) * max(pivot[0], width - pivot[0])))
    size = width, height + above - risen
    colours = cv2.warpAffine(
        np.ascontiguousarray(cutout[..., :3]), matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    alpha = cv2.warpAffine(np.ascontiguousarray(cutout[..., 3]), matrix, size, flags=cv2.INTER_LINEAR)
    return np.dstack([colours, alpha]), face.moved(matrix)
