"""`python -m tests.chaos`: the matrix, then the soak; writes what it measured and says whether the promise held."""

import argparse
import fnmatch
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import matrix, report, soak
from tests.chaos.stand import open_stand


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--cells", default="*", help="matrix cells by name, `*` as a wildcard; empty: no matrix")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the soak; 0: none")
    parser.add_argument("--seed", type=int, default=None, help="of the soak's chance")
    parser.add_argument("--json", type=Path, default=Path("var/chaos.json"), help="where the figures go")
    parser.add_argument("--document", type=Path, default=None, help="the page whose tables are written anew")
    parser.add_argument("--keep", action="store_true", help="keep the logs though all went well")
    given = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="likeness-chaos-"))
    folder.chmod(0o755)
    print(f"logs in {folder}", flush=True)
    chosen = [cell for cell in matrix.cells() if fnmatch.fnmatch(cell.name, given.cells)]
    start = time.monotonic()
    with open_stand(folder) as stand:
        results = matrix.run(stand, chosen, told=lambda result: print(report.line(result), flush=True))
        matrix_s = time.monotonic() - start
        shaken = soak.run(stand, minutes=given.minutes, seed=given.seed) if given.minutes else None
    figures = report.figures(results, matrix_s, shaken)
    report.keep(figures, given.json)
    if given.document:
        report.write(figures, given.document)
    print(report.verdict(figures))
    if report.held(figures) and not given.keep:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        return 0
    return 0 if report.held(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
