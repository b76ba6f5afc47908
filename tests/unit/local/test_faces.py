"""Face models shared by the threads of one worker."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from providers.local import faces
from tests.portraits import astronaut


def test_threads_of_one_worker_see_the_same_face() -> None:
    (alone,) = faces.find(astronaut())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: faces.find(astronaut()), range(12)))
    for each in found:
        assert len(each) == 1
        assert np.array_equal(each[0].points, alone.points)
