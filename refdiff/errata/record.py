"""What a record of a slip holds, and the few numbers that several of them need."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, Scale

GRID = np.linspace(-12, 12, 4801)
STEP = GRID[1] - GRID[0]


class Numbers(NamedTuple):
    """One quantity, by the printed form, by the right form, and by the route named."""

    quantity: str
    printed: float
    right: float
    truth: float
    route: str


class Erratum(NamedTuple):
    """One slip: its place, what is printed, what is right, what follows, the numbers."""

    place: str
    printed: str
    right: str
    follows: str
    measure: Callable[[], Numbers]


def normal(x: Array, mean: Scale, var: Scale) -> Array:
    """Density of N(mean, var) at x, all numbers or arrays that broadcast."""
    return np.exp(-((x - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)


def expected_log_ratio(
    x0: Array, alpha: tuple[float, float], A: Array, b: Array, var: Array
) -> float:
    """E log p(x0, x1, x2) / q(x1, x2 | x0), which Gauss-Hermite has exactly: a quadratic."""
    z, w = np.polynomial.hermite_e.hermegauss(8)
    x1 = np.sqrt(alpha[0]) * x0 + np.sqrt(1 - alpha[0]) * z[:, None]
    x2 = np.sqrt(alpha[1]) * x1 + np.sqrt(1 - alpha[1]) * z
    p = normal(x0, A[1] * x1 + b[1], var[1]) * normal(x1, A[2] * x2 + b[2], var[2])
    q1 = normal(x1, np.sqrt(alpha[0]) * x0, 1 - alpha[0])
    q2 = normal(x2, np.sqrt(alpha[1]) * x1, 1 - alpha[1])
    return w @ np.log(p * normal(x2, 0, 1) / (q1 * q2)) @ w / w.sum() ** 2
