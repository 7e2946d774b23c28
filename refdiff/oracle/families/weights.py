"""Weights of losses that the chapters leave out."""

import numpy as np

from refdiff._check import Array, finite, positive


def logit_normal(t: Array, mean: float, std: float) -> Array:
    """Density at t in (0, 1) of a number whose logit is N(mean, std^2).

    exp(-(logit t - mean)^2 / (2 std^2)) / (std sqrt(2 pi) t (1 - t))
    """
    (t,) = finite(t=t)
    positive(std=std)
    z = (np.log(t) - np.log1p(-t) - mean) / std
    return np.exp(-(z**2) / 2) / (std * np.sqrt(2 * np.pi) * t * (1 - t))
