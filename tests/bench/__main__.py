"""Run the benchmark: `python -m tests.bench [--quick] [--only NAME] [--json FILE]`."""

import argparse
import json
import os
import sys

THREADS = 2


def _settle():
    """Take two processors, and no settings of BLAS that were not asked for."""
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def _arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="a fifth of the steps")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--rounds", type=int, default=3, help="paired rounds a row")
    return parser.parse_args()


def main():
    """Run the rows one after another, and print the report."""
    from tests.bench import chains, network, points, processes, report, slopes
    from tests.bench.harness import measure

    given = _arguments()
    groups = chains, points, network, processes
    rows = [row for group in groups for row in group.rows(given.quick)]
    found = {"machine": report.machine(), "rows": [], "slopes": [], "memory": []}
    for row in rows:
        if given.only in row.name:
            found["rows"].append(report.as_data(measure(row, given.rounds)))
            print(report.line(found["rows"][-1]), file=sys.stderr, flush=True)
    if given.only in "cost and memory":
        found |= {"slopes": slopes.cost(given.rounds), "memory": slopes.memory()}
    print(report.text(found))
    if given.json:
        with open(given.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    _settle()
    main()
