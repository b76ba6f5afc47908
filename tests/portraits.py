"""The sample portrait for tests; `make setup` brings it and the face models."""

import functools

import numpy as np

from providers.local.photo import decode
from providers.local.sample import portrait


@functools.cache
def astronaut() -> np.ndarray:
    """RGB (512, 512, 3), read only."""
    picture = decode(portrait())
    picture.setflags(write=False)
    return picture
