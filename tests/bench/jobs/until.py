"""When training may stop: sliced W2 to fresh data at most 3 noise floors.

Both scripts ask this judge, of NumPy and the package's metrics, every 250 steps. A peer
that is not there after MOST steps stops, and its time is a lower bound.
"""

import numpy as np

from refdiff import toys
from refdiff.metrics import noise_floor, sliced_w2

N, EVERY, FLOORS, T, MOST = 10_000, 250, 3.0, 100, 10_000


def judge(seed):
    """Return good(samples), which compares with fresh data."""
    law, rng = toys.moons(), np.random.default_rng([seed, 9])
    floor = noise_floor(sliced_w2, lambda: law.sample(N, rng), pairs=5)

    def good(samples):
        w2 = sliced_w2(np.asarray(samples, float), law.sample(N, rng))
        return w2 <= FLOORS * floor

    return good
