"""Peak memory that a run adds, in bytes: arguments are particles and steps.

Linux keeps the peak of a process, and forgets it when asked: what compiling took before
would hide the run.
"""

import sys
from pathlib import Path

import numpy as np

from refdiff import fast
from refdiff.langevin import langevin_chain
from tests.bench.problems import mixture


def kibibytes(name):
    """Read a number of the process's own status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


n, steps = map(int, sys.argv[1:])
x = np.ones((n, 2))
fast.run(langevin_chain(0.005, 2), mixture(False), x[:100], seed=1)
Path("/proc/self/clear_refs").write_text("5")
before = kibibytes("VmRSS")
fast.run(langevin_chain(0.005, steps), mixture(False), x, seed=1)
print((kibibytes("VmHWM") - before) * 1024)
