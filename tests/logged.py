"""The instant family, which also tells a file of every line that it speaks: one line each, whoever writes it."""

import os
import time
from pathlib import Path
from typing import Any

from tests import instant
from tests.instant import Instant

LOG = "SPOKEN_LOG"
PAUSE_S = 0.05


class Logged(Instant):
    """Speaking takes a moment, so that there is always somebody in the middle of it."""

    def speak(self, *arguments: Any, seed: int, **options: Any) -> Any:
        if "frame" not in options:
            with Path(os.environ[LOG]).open("a") as log:
                log.write(f"{arguments[0]}\n")
            time.sleep(PAUSE_S)
        return super().speak(*arguments, seed=seed, **options)


ADAPTERS = dict.fromkeys(instant.ADAPTERS, "tests.logged:Logged")
