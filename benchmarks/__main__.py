"""`python -m benchmarks`: every peer's turn, one after the other; figures to var/bench, tables and plot to docs."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.phase import PEERS, SHARES, end_in_order
from benchmarks.servers import BenchServers
from benchmarks.size import FULL, QUICK, Size
from benchmarks.turn import FOUND

OUTPUT = Path("var/bench")
PAGE = Path("docs/performance.md")
PLOT = Path("docs/performance.svg")
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
BUSY = 0.05
QUIET_S = 20.0
TURN_S = 1200.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few jobs: to see that it works; docs stay as they are")
    parser.add_argument("--only", nargs="+", choices=[*PEERS, SHARES], metavar="TURN", help="some of: %(choices)s")
    asked = parser.parse_args()
    end_in_order()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    file = OUTPUT / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.json"
    run = measure(asked.only or [*PEERS, SHARES], QUICK if asked.quick else FULL, file)
    tables = report.markdown(run)
    print(f"\n{tables}\n{file}, {run['minutes']:.0f} min")
    if failed := [name for name, why in run["left_out"].items() if "failed" in why]:
        sys.exit(f"failed: {', '.join(failed)}")
    if not asked.quick and not asked.only:
        publish(run, tables)


def measure(turns: list[str], size: Size, file: Path) -> dict[str, Any]:
    """By turn what it found, and under which conditions; kept in the file after each turn."""
    start = time.monotonic()
    run: dict[str, Any] = {"at": time.strftime("%Y-%m-%d"), "busy": {}, "left_out": {}, "peers": {}, "shares": None}
    with ExitStack() as stack:
        servers = BenchServers(stack)
        run["facts"] = servers.facts() | {"CPUs": str(os.cpu_count())} | _versions()
        for name in turns:
            if why := _missing(name, servers):
                run["left_out"][name] = why
                continue
            run["busy"][name] = busy = _quiet()
            print(f"{time.monotonic() - start:5.0f} s  {name} (others use {busy:.0%})", file=sys.stderr, flush=True)
            try:
                found = turn(servers, name, size)
            except subprocess.SubprocessError as error:
                run["left_out"][name] = f"its turn failed ({type(error).__name__})"
            else:
                run |= {"shares": found} if name == SHARES else {"peers": run["peers"] | {name: found}}
            run["minutes"] = (time.monotonic() - start) / 60
            file.write_text(json.dumps(run, indent=1))
    return run


def turn(servers: BenchServers, name: str, size: Size) -> dict[str, Any]:
    with servers.fresh() as given, tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        in_jobs = size.growth_in_jobs if name == "likeness" else size.peers_in_jobs
        setting = given | {"peer": name, "path": folder, "size": asdict(size), "in_jobs": in_jobs}
        _phase(json.dumps(setting))
        return dict(json.loads((Path(folder) / FOUND).read_text()))


def publish(run: dict[str, Any], tables: str) -> None:
    """The page keeps its words; what stands between the marks is new."""
    from benchmarks import plot

    plot.draw(run["peers"], PLOT)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def _phase(setting: str) -> None:
    """In a session of its own: whatever ends us, it is asked to end, and then stops its workers."""
    command = [sys.executable, "-m", "benchmarks.phase"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as phase:
        try:
            phase.communicate(setting, timeout=TURN_S)
        except BaseException:
            phase.terminate()
            phase.wait()
            raise
    if phase.returncode:
        raise subprocess.CalledProcessError(phase.returncode, command)


def _missing(name: str, servers: BenchServers) -> str | None:
    if name.startswith("dbos") and find_spec("dbos") is None:
        return "the package dbos is not installed"
    if name == "celery_redis" and servers.redis_url is None:
        return "no Redis answers on this machine"
    return None


def _quiet() -> float:
    """Wait a little for what the turn before left; answers which share of the machine others use then."""
    end = time.monotonic() + QUIET_S
    while (busy := psutil.cpu_percent(interval=2) / 100) > BUSY and time.monotonic() < end:
        continue
    return busy


def _versions() -> dict[str, str]:
    found = {}
    for name in ("celery", "kombu", "SQLAlchemy", "dbos", "redis"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


if __name__ == "__main__":
    main()
