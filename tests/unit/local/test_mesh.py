import numpy as np
import pytest

from providers.local import faces
from providers.local.mesh import LOWER, OVAL, UPPER, Mesh, Pose
from providers.local.photo import the_face
from providers.local.warp import Warp
from tests.portraits import astronaut


@pytest.fixture(scope="module")
def mesh():
    return Mesh(the_face(astronaut()))


def gap(mesh, pose):
    points = mesh.local(mesh.at(pose))
    return float((points[LOWER[0]] - points[UPPER[0]])[5, 1])


def test_the_mesh_is_mediapipes():
    assert faces.triangles().shape == (854, 3)
    assert faces.triangles().max() == 467


def test_a_toothy_smile_closes_at_rest(mesh):
    assert mesh.teeth_seen
    assert mesh.gap > 0.1
    assert abs(gap(mesh, Pose())) < 1e-6


def test_the_mouth_opens_as_far_as_it_is_told(mesh):
    assert gap(mesh, Pose(open=0.5)) == pytest.approx(0.5 * 0.46 * 0.96, rel=0.02)


def test_the_jaw_goes_down_with_the_lower_lip_and_the_forehead_stays(mesh):
    rest, wide_open = mesh.at(Pose()), mesh.at(Pose(open=0.6))
    assert wide_open[152, 1] - rest[152, 1] > 0.1 * mesh.unit
    assert np.abs(wide_open[10] - rest[10]).max() < 1e-6
    assert (wide_open[468:] == rest[468:]).all()


def test_rounded_lips_are_narrower(mesh):
    def width(pose):
        points = mesh.at(pose)
        return np.linalg.norm(points[308] - points[78])

    assert width(Pose(wide=-1)) < 0.75 * width(Pose()) < width(Pose(wide=1))


def test_a_blink_brings_the_lids_together(mesh):
    points = mesh.at(Pose(blink=1))
    assert abs(points[159, 1] - points[145, 1]) < 0.02 * mesh.unit


def test_a_still_mesh_maps_every_pixel_to_itself(mesh):
    warp = Warp(mesh, 512, 512)
    (x, y), _ = warp.maps(mesh.source)
    left, top, _, _ = warp.box
    assert (
        np.abs(x - np.arange(x.shape[1]) - left)[:, 1:-1].max() < 0.51
    )  # the last half pixel has no neighbour to grow from
    assert np.abs(y - np.arange(y.shape[0])[:, None] - top)[1:-1].max() < 0.51


def test_no_pixel_is_taken_from_far_away(mesh):
    warp = Warp(mesh, 512, 512)
    for pose in (
        Pose(press=0.5),
        Pose(open=0.6),
        Pose(open=0.16, wide=-0.9, protrude=0.9),
        Pose(blink=1),
        Pose(smile=1),
    ):
        (x, y), _ = warp.maps(mesh.at(pose))
        left, top, _, _ = warp.box
        away = np.hypot(x - np.arange(x.shape[1]) - left, y - np.arange(y.shape[0])[:, None] - top)
        assert away.max() < 0.45 * mesh.unit


def test_the_ring_is_outside_the_face(mesh):
    oval, ring = mesh.rest[OVAL], mesh.rest[468:]
    centre = (mesh.rest[10] + mesh.rest[152]) / 2
    assert (np.linalg.norm(ring - centre, axis=1) > 1.3 * np.linalg.norm(oval - centre, axis=1)).all()
