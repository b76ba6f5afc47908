"""How much of everything is run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """`growth_in_jobs` is for Likeness, `peers_in_jobs` for the others; `at_once` is a member of both.

    It goes up and down and up again, and of each number the middle run counts: what the machine does meanwhile would
    else look like growth.
    """

    warm: int
    jobs: int
    scenes: tuple[tuple[int, int], ...]
    at_once: int
    growth_in_jobs: tuple[int, ...]
    peers_in_jobs: tuple[int, ...]
    in_flight: int
    patience: float
    profiled: int
    floor: int


FULL = Size(
    warm=3,
    jobs=15,
    scenes=((8, 7), (16, 5), (50, 5)),
    at_once=200,
    growth_in_jobs=(100, 200, 400, 800, 800, 400, 200, 100, 100, 200, 400, 800),
    peers_in_jobs=(100, 200),
    in_flight=50,
    patience=150.0,
    profiled=100,
    floor=1000,
)
QUICK = Size(
    warm=2,
    jobs=5,
    scenes=((50, 2),),
    at_once=40,
    growth_in_jobs=(40,),
    peers_in_jobs=(40,),
    in_flight=20,
    patience=60.0,
    profiled=20,
    floor=300,
)
