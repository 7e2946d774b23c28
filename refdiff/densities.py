"""Targets in the plane that are no mixtures: ring, banana, double well, Mueller-Brown.

Each is known up to a constant: its log density, and its score as plain array code on
the two coordinates. That one function serves NumPy and, compiled by its user, the
fused kernel: `numba.njit(densities.ring().block)`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, finite, positive


class Density(NamedTuple):
    """An unnormalised density in the plane.

    log_p(x): log density but for a constant, x (..., 2) -> (...) nats
    block(x, out): writes the score at x (2, B) into out (2, B); numba compiles it
    Source: definition
    Test: test_densities.py::test_the_score_is_the_gradient
    """

    log_p: Callable[[Array], Array]
    block: Callable[[Array, Array], None]

    def score(self, x: Array) -> Array:
        """Gradient of log_p: `block`, with the vector on the last axis.

        x (..., 2)  ->  (..., 2), in units of 1 / x
        ValueError if x is not finite or not (..., 2).
        Source: definition
        Test: test_densities.py::test_the_score_is_the_gradient
        """
        x = _planar(x)
        out = np.empty_like(x)
        self.block(np.moveaxis(x, -1, 0), np.moveaxis(out, -1, 0))
        return out


def _planar(x):
    (x,) = finite(x=x)
    if x.shape[-1:] != (2,):
        raise ValueError(f"x must be (..., 2); got shape {x.shape}")
    return x


def _coordinates(x):
    return np.moveaxis(_planar(x), -1, 0)


def ring(radius: float = 2.0, width: float = 0.2) -> Density:
    """Return a ring, about `width` thick and smooth at its centre too.

    log p = -(r^2 - radius^2)^2 / (8 radius^2 width^2),  r^2 = x1^2 + x2^2
    r^2 is N(radius^2, (2 radius width)^2) cut off at 0, and the angle is uniform.
    ValueError if a parameter is not above 0.
    Source: definition
    Test: test_densities.py::test_langevin_runs_have_the_law
    """
    positive(radius=radius, width=width)
    square, var = radius**2, (2 * radius * width) ** 2

    def log_p(x):
        x1, x2 = _coordinates(x)
        return -((x1**2 + x2**2 - square) ** 2) / (2 * var)

    def block(x, out):
        pull = (square - x[0] ** 2 - x[1] ** 2) * (2 / var)
        out[0] = pull * x[0]
        out[1] = pull * x[1]

    return Density(log_p, block)


def banana(length: float = 1.0, bend: float = 1.0, width: float = 0.3) -> Density:
    """Return a Gaussian bent along a parabola; its mean is 0.

    log p = -x1^2 / (2 length^2) - u^2 / (2 width^2),  u = x2 - bend (x1^2 - length^2)
    x1 ~ N(0, length^2) and u ~ N(0, width^2) are independent.
    ValueError if length or width is not above 0, or bend not finite.
    Source: definition
    Test: test_densities.py::test_langevin_runs_have_the_law
    """
    positive(length=length, width=width)
    finite(bend=bend)
    along, across = length**2, width**2

    def log_p(x):
        x1, x2 = _coordinates(x)
        u = x2 - bend * (x1**2 - along)
        return -(x1**2) / (2 * along) - u**2 / (2 * across)

    def block(x, out):
        pull = (x[1] - bend * (x[0] ** 2 - along)) / across
        out[0] = 2 * bend * x[0] * pull - x[0] / along
        out[1] = -pull

    return Density(log_p, block)


def double_well(barrier: float = 3.0, width: float = 0.5) -> Density:
    """Return two wells at x1 = -1 and 1, with a pass at the origin between them.

    log p = -barrier (x1^2 - 1)^2 - x2^2 / (2 width^2)
    barrier: height of the pass above the wells, in nats
    ValueError if a parameter is not above 0.
    Source: definition
    Test: test_densities.py::test_langevin_runs_have_the_law
    """
    positive(barrier=barrier, width=width)
    across = width**2

    def log_p(x):
        x1, x2 = _coordinates(x)
        return -barrier * (x1**2 - 1) ** 2 - x2**2 / (2 * across)

    def block(x, out):
        out[0] = -4 * barrier * x[0] * (x[0] ** 2 - 1)
        out[1] = -x[1] / across

    return Density(log_p, block)


MUELLER_BROWN = (  # depth, a, b, c and centre of each of the four terms
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)


def mueller_brown(temperature: float = 20.0) -> Density:
    """Return Boltzmann's law on the energy surface of Mueller and Brown.

    log p = -U / temperature,  U = sum_k A_k exp(a_k u^2 + b_k u v + c_k v^2),
    (u, v) = x - centre_k: three minima, U = -146.7, -108.2 and -80.8, and two passes
    The last term grows without bound: far off (some 10 units) the score overflows.
    ValueError if temperature is not above 0.
    Source: Mueller79 for the surface
    Test: test_densities.py::test_mueller_brown_has_its_published_minima_and_passes
    """
    positive(temperature=temperature)

    def log_p(x):
        x1, x2 = _coordinates(x)
        U = 0.0
        for A, a, b, c, centre1, centre2 in MUELLER_BROWN:
            u, v = x1 - centre1, x2 - centre2
            U = U + A * np.exp(a * u * u + b * u * v + c * v * v)
        return -U / temperature

    def block(x, out):
        out[:] = 0.0
        for A, a, b, c, centre1, centre2 in MUELLER_BROWN:
            u, v = x[0] - centre1, x[1] - centre2
            pull = -A / temperature * np.exp(a * u * u + b * u * v + c * v * v)
            out[0] += pull * (2 * a * u + b * v)
            out[1] += pull * (b * u + 2 * c * v)

    return Density(log_p, block)
