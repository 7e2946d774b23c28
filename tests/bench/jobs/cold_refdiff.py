"""The tiny job: 1000 particles, 100 Langevin steps on eight Gaussians, with refdiff."""

import numpy as np

from refdiff import fast, toys
from refdiff.langevin import langevin_chain

law = toys.eight_gaussians()
x = np.random.default_rng(0).standard_normal((1000, 2))
x = fast.run(langevin_chain(0.005, 100), law, x, seed=1)
print(x.mean(), x.std())
