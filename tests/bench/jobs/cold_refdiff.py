"""The tiny job: 1000 particles, 100 Langevin steps on eight Gaussians, with refdiff.

By the compiled kernel; with an argument by the NumPy driver.
"""

import sys

import numpy as np

from refdiff import fast, toys
from refdiff.langevin import langevin_chain

law, chain = toys.eight_gaussians(), langevin_chain(0.005, 100)
rng = np.random.default_rng(0)
x = rng.standard_normal((1000, 2))
if sys.argv[1:]:
    *_, x = chain.run(x, law.model, rng=rng)
else:
    x = fast.run(chain, law, x, seed=1)
print(x.mean(), x.std())
