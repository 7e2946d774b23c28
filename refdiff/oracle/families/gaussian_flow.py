"""The probability flow of Gaussian data in closed form, in float64."""

import numpy as np

from refdiff import gaussian
from refdiff._check import Array
from refdiff.sde import SDE


def gaussian_flow(
    x: Array, mean: Array, cov: Array, sde: SDE, t: float, t_next: float
) -> tuple[Array, float]:
    """Where the flow of N(mean, cov) data leads from t to t_next, and its log det.

    x_next = mean_next + M (x - mean_t),  M = (S_next S_t^-1)^(1/2),
    S = signal^2 cov + noise^2 I: along an eigenvector of cov it is a ratio of deviations
    x (n, d)  ->  (n, d), log det M
    ValueError if cov is singular.
    """
    gaussian.cholesky(cov)
    value, U = np.linalg.eigh(cov)
    (s0, n0), (s1, n1) = sde.marginal(t), sde.marginal(t_next)
    grows = np.hypot(s1 * np.sqrt(value), n1) / np.hypot(s0 * np.sqrt(value), n0)
    return s1 * mean + ((x - s0 * mean) @ U * grows) @ U.T, np.log(grows).sum()
