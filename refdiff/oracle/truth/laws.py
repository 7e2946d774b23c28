"""Whole samplers at 50 digits, as functions of their start points and their noise.

A sampler goes down a list of levels (signal, noise). What the exact model says is
heard in two ways: as a network of p["target"] would say it, or, for the second
derivation, as E[x0 | x] itself. On Gaussian data a sampler is an affine map of its
start and its noise, so one run on unit vectors gives the exact law of what comes out.
"""

import numpy as np

from refdiff.oracle.truth.mixtures import GAUSSIAN, MIXTURE, denoised, output, x0_eps

LAWS = {"gaussian": GAUSSIAN, "mixture": MIXTURE}


def drive(p, m, step, levels, say):
    """Return {"x0"} after a step from each level to the next; step(p, i, x, say, levels, m)."""
    x = p["x"]
    for i in range(len(levels) - 1):
        x = step(p, i, x, say, levels, m)
    return {"x0": x}


def heard(p, m, levels, asked=None):
    """say(x, j) -> x0_hat, eps_hat at level j, from the output of a p["target"] network.

    asked: the levels that the model itself is at, if their rounding is not the sampler's
    """
    asked = levels if asked is None else asked

    def say(x, j):
        return x0_eps(p, x, output(p, x, *asked[j], m), *levels[j], m)

    return say


def known(p, m, levels):
    """say(x, j) -> x0_hat, eps_hat at level j, from E[x0 | x]."""

    def say(x, j):
        signal, noise = levels[j]
        x0 = denoised(x, p["law"], signal, noise, m)
        return x0, (x - signal * x0) / noise

    return say


def law_of(sampler):
    """law(p, m) -> {"mean", "cov"} of what a sampler makes of Gaussian data, else None.

    Its start is N(0, start^2 I). Row 0 starts at 0 without noise, each other row with one
    unit of the start or of one step's noise.
    """

    def law(p, m):
        if len(p["law"]["weights"]) > 1:
            return None
        N, _, d = p["z"].shape
        rows = 1 + d + N * d
        x, z = np.zeros((rows, d)), np.zeros((N, rows, d))
        for i in range(d):
            x[1 + i, i] = 1.0
            for k in range(N):
                z[k, 1 + d + k * d + i, i] = 1.0
        start = p["start"] * m.number(x)
        ends = sampler({**p, "x": start, "z": m.number(z)}, m)["x0"]
        columns = ends[1:] - ends[0]
        return {"mean": ends[0], "cov": columns.T @ columns}

    return law


def draws(*shape, seed=7):
    """Numbers in -2..2, multiples of 1/16, that look random: every precision holds them."""
    x, values = seed, []
    for _ in range(int(np.prod(shape))):
        x = (1103515245 * x + 12345) % 2**31
        values.append((x // 2**16 % 65 - 32) / 16)
    return np.array(values).reshape(shape).tolist()


def given(N, scale=1.0):
    """Inputs of a sampler of N steps: two start points, and the noise of each step."""
    x = [[1.25 * scale, -0.625 * scale], [-0.4375 * scale, 2.125 * scale]]
    return {"x": x, "z": draws(N, 2, 2)}
