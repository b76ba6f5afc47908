import numpy as np
import pytest

from providers.local.mesh import POSE
from providers.local.motion import BLINK_EVERY_S, HEAD, blinks, perform
from providers.local.visemes import Phoneme

BLINK, OPEN = POSE.index("blink"), POSE.index("open")
SPOKEN = [Phoneme(s, 0.2 + i * 0.1, 0.3 + i * 0.1, int(s == "ɑ")) for i, s in enumerate("hɑlOmɑtɑskɑ" * 9)]


def test_the_same_seed_gives_the_same_performance():
    one, two, other = (perform(SPOKEN, 300, 25, loudness=None, seed=seed) for seed in (3, 3, 4))
    assert (one.poses == two.poses).all()
    assert (one.heads == two.heads).all()
    assert not (one.heads == other.heads).all()


@pytest.mark.parametrize("seed", range(8))
def test_scenes_begin_and_end_with_open_eyes_and_a_closed_mouth(seed):
    made = perform(SPOKEN, 260, 25, loudness=None, seed=seed)
    for frame in (0, -1):
        assert made.poses[frame, BLINK] == 0
        assert made.poses[frame, OPEN] == 0
        assert (
            np.abs(made.heads[frame, [HEAD.index(name) for name in ("dx", "dy", "roll", "yaw", "pitch")]]).max() < 1e-6
        )


@pytest.mark.parametrize("seed", range(8))
def test_people_blink_now_and_then_and_never_twice_at_once(seed):
    found = np.array(blinks(60.0, [(5.0, 5.5), (20.0, 20.4), (33.0, 33.5)], np.random.default_rng(seed)))
    assert 60 / BLINK_EVERY_S[1] * 0.7 < len(found) < 60 / BLINK_EVERY_S[0]
    assert np.diff(found).min() > 1.5


def test_a_blink_closes_the_eyes_fully():
    made = perform(SPOKEN, 300, 25, loudness=None, seed=1)
    assert made.poses[:, BLINK].max() > 0.95


def test_the_head_lives_but_stays_small():
    made = perform(SPOKEN, 300, 25, loudness=None, seed=1)
    roll, dx = made.heads[:, HEAD.index("roll")], made.heads[:, HEAD.index("dx")]
    assert 0.3 < np.ptp(roll) < 7
    assert np.abs(dx).max() < 0.2
    assert np.abs(np.diff(made.heads, axis=0)).max() < 0.6  # no jump between frames


@pytest.mark.parametrize("frames", [1, 2, 10])
def test_a_scene_may_be_very_short(frames):
    made = perform([], frames, 25, loudness=None, seed=0)
    assert made.poses.shape == (frames, len(POSE))
    assert np.isfinite(made.poses).all()
    assert np.isfinite(made.heads).all()
