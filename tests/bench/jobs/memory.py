"""Peak memory of a run, in bytes: arguments are particles and steps."""

import resource
import sys

import numpy as np

from refdiff import fast
from refdiff.langevin import langevin_chain
from tests.bench.problems import mixture

n, steps = map(int, sys.argv[1:])
x = np.zeros((n, 2))
fast.run(langevin_chain(0.005, 2), mixture(False), x[:100], seed=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fast.run(langevin_chain(0.005, steps), mixture(False), x, seed=1)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024)
