"""How fast a variance-preserving process forgets: beta(t), and its integral.

A rate of your own is Beta(beta, B, T): beta(t) for numbers and arrays, B(s, t) its integral
from s to t, in a form that keeps its digits where t is near s.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refdiff._check import Scale, positive


class Beta(NamedTuple):
    """A noise rate beta(t) for t in 0..T, and its integral B(s, t) from s to t.

    Source: Chan v3 (4.14), Thm 4.1
    Test: test_sde.py::test_the_integral_of_beta_is_its_integral
    """

    beta: Callable[[Scale], Scale]
    B: Callable[[Scale, Scale], Scale]
    T: float


def linear_beta(beta_min: float = 0.1, beta_max: float = 20.0) -> Beta:
    """Linear beta(t) on 0..1.

    beta = beta_min + t (beta_max - beta_min);  B(s, t) = (t - s) times its mean
    Source: Song21 (32)
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    positive(beta_min=beta_min, beta_max=beta_max)

    def beta(t):
        return beta_min + t * (beta_max - beta_min)

    return Beta(beta, lambda s, t: (t - s) * (beta(s) + beta(t)) / 2, 1.0)


def constant_beta(beta: float, T: float = 1.0) -> Beta:
    """Return the same beta at every time: B(s, t) = beta (t - s).

    Source: Chan v3 Ex 4.6
    Test: test_sde.py::test_the_integral_of_beta_is_its_integral
    """
    positive(beta=beta, T=T)
    return Beta(lambda t: beta + 0 * t, lambda s, t: beta * (t - s), float(T))


def cosine_beta(s: float = 0.008, T: float = 0.995) -> Beta:
    """Beta(t) of the cosine schedule on 0..T, T < 1.

    signal = cos w(t) / cos w(0),  w(t) = (t + s)/(1 + s) pi/2, so beta = 2 w' tan w(t),
    which is infinite at t = 1: the process ends before
    B(u, t) = 2 log(cos w(u) / cos w(t)), the difference factored into sines
    Source: Nichol21 (17) in continuous time
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    if not (np.isfinite(s) and s >= 0 and 0 < T < 1):
        raise ValueError(f"s must be >= 0 and T in (0, 1); got {s}, {T}")
    rate = np.pi / 2 / (1 + s)

    def beta(t):
        return 2 * rate / np.tan((1 - t) * rate)  # of the angle that is left

    def B(u, t):
        rise = np.sin((u + t + 2 * s) * rate / 2) * np.sin((t - u) * rate / 2)
        return 2 * np.log1p(2 * rise / np.sin((1 - t) * rate))

    return Beta(beta, B, T)


def consistent(rate: Beta) -> Beta:
    """Return a rate, refused where B is not the integral of a beta of at least 0.

    Three times are looked at, to 1e-3: enough for a slip of the pen
    Source: definition
    Test: test_sde.py::test_a_rate_and_its_integral_must_agree
    """
    beta, B, T = rate
    whole = B(0.0, T)
    for t in (0.2 * T, 0.5 * T, 0.8 * T):
        h = 1e-4 * T
        slope, want = (B(0.0, t + h) - B(0.0, t - h)) / (2 * h), beta(t)
        if not want >= 0:
            raise ValueError(f"beta must be at least 0; beta({t}) = {want}")
        if not abs(slope - want) <= 1e-3 * want:
            raise ValueError(
                f"B must be beta's integral; at t = {t} dB/dt = {slope}, beta = {want}"
            )
        if not abs(B(0.0, t) + B(t, T) - whole) <= 1e-6 * whole:
            raise ValueError(f"B(s, t) must add up to B(0, {T}); it does not at {t}")
    return rate
