"""One turn, in a process of its own: `python -m benchmarks.phase`, its setting as JSON on standard input.

What it finds stands as JSON in the file `found` of the turn's folder.
"""

import json
import os
import signal
import sys
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks import figures, reference, turn
from benchmarks.meter import Meter
from benchmarks.peer import Peer
from benchmarks.turn import Turn

PEERS = {
    "celery_postgres": "benchmarks.celery_peer:postgres",
    "celery_postgres_fast": "benchmarks.celery_peer:postgres_fast",
    "celery_redis": "benchmarks.celery_peer:redis",
    "dbos": "benchmarks.dbos_peer:threads",
    "dbos_async": "benchmarks.dbos_peer:event_loop",
    "likeness": "benchmarks.likeness_peer:light",
    "likeness_heavy": "benchmarks.likeness_peer:heavy",
}
SHARES = "shares"


def measure(given: Turn) -> dict[str, Any]:
    """All figures of one peer."""
    size = given.size
    trace = reference.Trace(given.trace)
    os.environ[reference.TRACE] = str(given.trace)
    module, _, maker = PEERS[given.peer].partition(":")
    peer: Peer = getattr(import_module(module), maker)(given)
    meter = partial(Meter, peer.pids, given.servers)
    peer.start()
    try:
        figures.warm(peer, jobs=size.warm)
        one = figures.latency(peer, trace, scenes=reference.SCENES, times=size.jobs)
        more = [figures.latency(peer, trace, scenes=scenes, times=times) for scenes, times in size.scenes]
        many = figures.middle(figures.throughput(peer, trace, meter, jobs=jobs) for jobs in given.in_jobs)
        killed = figures.recovery(peer, trace, jobs=size.in_flight, patience=size.patience)
    finally:
        peer.stop()
    at_once = next(each for each in many if each["jobs"] == size.at_once)
    return {"latency": one, "scenes": [one, *more], "throughput": at_once, "jobs": many, "recovery": killed}


def end_in_order() -> None:
    """SIGTERM is an exception like Ctrl-C: so workers are stopped, and databases dropped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def main() -> None:
    end_in_order()
    given = turn.load(json.load(sys.stdin))
    if given.peer == SHARES:
        from benchmarks import shares  # needs the service's settings, which other peers have not

        found = shares.measure(given)
    else:
        found = measure(given)
    (given.folder / turn.FOUND).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
