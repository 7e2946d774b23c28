"""Solvers in the noise level that the chapters do not hold, in float64.

x = x0 + sigma eps, and sigma falls from a step's start to its end.
"""

import numpy as np

from refdiff._check import Array, alike


def split(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Noise that an ancestral step adds, and the level that it first goes down to.

    up = eta sigma_next sqrt(1 - (sigma_next / sigma)^2),  down = sqrt(sigma_next^2 - up^2)
    ValueError unless 0 <= sigma_next < sigma and 0 <= eta <= 1.
    """
    if not (0 <= sigma_next < sigma and 0 <= eta <= 1):
        raise ValueError(
            "0 <= sigma_next < sigma and 0 <= eta <= 1 must hold; "
            f"got {sigma_next}, {sigma} and {eta}"
        )
    up = eta * sigma_next / sigma * np.sqrt((sigma - sigma_next) * (sigma + sigma_next))
    return up, np.sqrt((sigma_next - up) * (sigma_next + up))


def euler_ancestral_step(
    x: Array, x0: Array, sigma: float, sigma_next: float, eta: float, z: Array
) -> Array:
    """One ancestral step: Euler's down to sigma_down, then noise sigma_up z.

    x + (sigma_down - sigma) (x - x0) / sigma + sigma_up z
    x, x0 = x0_hat, z (..., d)  ->  (..., d);  eta = 1 is the posterior's noise
    """
    x, x0, z = alike(x=x, x0=x0, z=z)
    up, down = split(sigma, sigma_next, eta)
    return x + (down - sigma) * (x - x0) / sigma + up * z


def churned(
    sigma: float, share: float, s_min: float = 0.0, s_max: float = np.inf
) -> float:
    """Level that EDM's churn raises sigma to: (1 + min(share, sqrt(2) - 1)) sigma.

    share = churn / N; sigma itself outside [s_min, s_max]
    """
    return sigma * (1 + min(share, np.sqrt(2) - 1) * (s_min <= sigma <= s_max))
