"""The straight flow of flow matching, in float64: x = (1 - s) x0 + s eps."""

from refdiff._check import Array


def velocity_from_x0(x: Array, x0: Array, s: float) -> Array:
    """Return v = eps - x0 = (x - x0) / s; s above 0."""
    return (x - x0) / s


def velocity_from_eps(x: Array, eps: Array, s: float) -> Array:
    """Return v = eps - x0 = (eps - x) / (1 - s).

    ValueError at s = 1, where x is eps and says nothing of x0.
    """
    if s == 1:
        raise ValueError("eps says nothing of x0 at s = 1")
    return (eps - x) / (1 - s)


def x0_from_velocity(x: Array, v: Array, s: float) -> Array:
    """Return x0 = x - s v."""
    return x - s * v
