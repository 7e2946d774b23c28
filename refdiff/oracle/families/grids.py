"""Grids of noise levels that the chapters leave out: exponential, flow matching."""

import numpy as np

from refdiff._check import Array, Scale, positive, whole


def exponential_sigmas(N: int, sigma_min: float, sigma_max: float) -> Array:
    """N noise levels, evenly spaced in their logarithm, falling, then 0  ->  (N+1,)."""
    whole(N=N)
    positive(sigma_min=sigma_min, sigma_max=sigma_max)
    share = np.arange(N) / max(N - 1, 1)
    return np.array([*sigma_max * (sigma_min / sigma_max) ** share, 0.0])


def shift(s: Scale, k: float) -> Scale:
    """Shift of a flow's noise level s in 0..1 towards noise, for k > 1: odds times k.

    s -> k s / (1 + (k - 1) s)
    """
    positive(k=k)
    return k * s / (1 + (k - 1) * s)


def to_last(N: int, T: int) -> Array:
    """N levels from 1 evenly down to 1 / T."""
    whole(N=N, T=T)
    return np.linspace(1, 1 / T, N)


def to_zero(N: int) -> Array:
    """N levels from 1 evenly down to 1 / N, one step above 0."""
    whole(N=N)
    return np.arange(N, 0, -1) / N
