"""NumPy's competitors in the chains: whole arrays, or blocks of columns on threads."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.special import softmax

from tests.bench import formulas

BLOCK = 2048  # particles, whose temporaries stay in the second-level cache


def _levels(problem):
    log_w, means, _ = problem.mixtures()
    levels = list(zip(log_w, means, formulas.precisions(problem), strict=True))
    return problem.table, levels


def _score(x, level):
    return formulas.written_score(np, partial(softmax, axis=1), x, *level)


def written(problem):
    """Return the job as a user writes it: points (n, 2), components on an axis."""
    table, levels = _levels(problem)
    rng, start = np.random.default_rng(1), problem.start()

    def job():
        x = start
        for (c_x, c_s, c_z), level in zip(table, levels, strict=True):
            z = rng.standard_normal(x.shape, x.dtype)
            x = c_x * x + c_s * _score(x, level) + c_z * z
        return x

    return job


def written_flow(problem):
    """Return the same for Heun's method."""
    rows = list(zip(*_levels(problem), strict=True))
    start = problem.start()

    def job():
        x = start
        for now, after in pairwise(rows):
            x = formulas.heun(_score, x, *now, *after)
        return x

    return job


def _in_blocks(start, through):
    """Run blocks through all their steps, on two threads."""

    def job():
        blocks = np.split(start.T, range(BLOCK, len(start), BLOCK), axis=1)
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(through, range(len(blocks)), blocks))
        return np.concatenate([np.stack(block, axis=1) for block in done])

    return job


def tuned(problem):
    """Return the job as structure of arrays, in blocks that stay in the cache."""
    rows = list(zip(problem.table, formulas.components(problem), strict=True))

    def through(k, block):
        rng, (x, y) = np.random.Generator(np.random.SFC64([1, k])), block
        for row, comps in rows:
            z1, z2 = rng.standard_normal((2, len(x)), x.dtype)
            x, y = formulas.soa_step(np, x, y, row, comps, z1, z2)
        return x, y

    return _in_blocks(problem.start(), through)


def tuned_flow(problem):
    """Return the same for Heun's method."""
    rows = list(zip(problem.table, formulas.components(problem), strict=True))

    def through(k, block):
        x, y = block
        for now, after in pairwise(rows):
            x, y = formulas.soa_heun(np, x, y, *now, *after)
        return x, y

    return _in_blocks(problem.start(), through)
