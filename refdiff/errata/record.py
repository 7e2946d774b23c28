"""What a record of a slip holds, and the few numbers that several of them need."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, Scale

GRID = np.linspace(-12, 12, 4801)
STEP = GRID[1] - GRID[0]


class Numbers(NamedTuple):
    """One quantity, by the printed form, by the right form, and by another route."""

    quantity: str
    printed: float
    right: float
    truth: float


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
