"""The sample portrait and the face models for tests; where set-up has not brought them, those tests are skipped."""

import functools

import numpy as np
import pytest

from pipeline.errors import ProviderMissing
from providers.local.distribution import SetupIncomplete
from providers.local.models import MEMBERS, model
from providers.local.photo import decode
from providers.local.sample import portrait


def _brought() -> bool:
    try:
        portrait()
        for name in MEMBERS:
            model(name)
    except (ProviderMissing, SetupIncomplete):
        return False
    return True


needs_models = pytest.mark.skipif(
    not _brought(), reason="run `python -m providers.local.models` and `python -m providers.local.sample` first"
)


@functools.cache
def astronaut() -> np.ndarray:
    """RGB (512, 512, 3), read only."""
    picture = decode(portrait())
    picture.setflags(write=False)
    return picture
