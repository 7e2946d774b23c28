"""Linear stochastic differential equations in many dimensions: multivariate OU.

dx = A x dt + G dw has Gaussian law at every time, exactly, whatever the step; with
several coordinates the drift may turn as well as shrink. Every solver and reversal is
checked against it.
"""

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, finite


def moment_rates(A: Array, G: Array, mean: Array, cov: Array) -> tuple[Array, Array]:
    """Rates of change of the mean and covariance of dx = A x dt + G dw.

    A mean,  A cov + cov A^T + G G^T: the differential Lyapunov equation
    A (d, d), G (d, m), mean (d,), cov (d, d)  ->  (d,), (d, d)
    ValueError if shapes do not fit.
    Source: Risken89 3.2 for many variables
    Test: test_ornstein.py::test_the_transition_solves_the_moment_equations
    """
    (A, G), (mean, cov) = _drift(A, G), _law(len(A), mean, cov)
    return A @ mean, A @ cov + cov @ A.T + G @ G.T


def _drift(A, G):
    """A and G as arrays, or a refusal that shows their shapes."""
    A, G = finite(A=A, G=G)
    d = len(A) if A.ndim else 0
    if not d or A.shape != (d, d) or G.ndim != 2 or len(G) != d:
        raise ValueError(f"A must be (d, d) and G (d, m); got {A.shape}, {G.shape}")
    return A, G


def _law(d, mean, cov):
    """Mean and covariance as arrays, or a refusal that shows their shapes."""
    mean, cov = finite(mean=mean, cov=cov)
    if mean.shape != (d,) or cov.shape != (d, d):
        raise ValueError(
            f"mean must be ({d},) and cov ({d}, {d}); got {mean.shape}, {cov.shape}"
        )
    return mean, cov


def ou_transition(A: Array, G: Array, h: float) -> tuple[Array, Array]:
    """Matrices of the exact step F x + e, e ~ N(0, Q), of dx = A x dt + G dw over h.

    F = exp(A h),  Q = integral of exp(A s) G G^T exp(A^T s) over s in 0..h: for a short
    time from one matrix exponential, then doubled, Q(2s) = Q + F Q F^T
    A (d, d), G (d, m), h >= 0  ->  F (d, d), Q (d, d)
    ValueError if shapes do not fit or h is below 0.
    Source: VanLoan78 for the short time
    Test: test_ornstein.py::test_the_transition_solves_the_moment_equations
    """
    from scipy.linalg import expm

    (A, G), (h,), d = _drift(A, G), finite(h=h), len(A)
    if h.ndim or h < 0:
        raise ValueError(f"h must be a number of at least 0; got {h}")
    size = np.abs(A * h).sum(axis=1).max()
    doublings = int(np.ceil(np.log2(max(size, 1.0))))
    short = h / 2**doublings
    unit = np.abs(G).max(initial=0) or 1.0  # a large G would cost exp(A h) its digits
    rate = (G / unit) @ (G / unit).T
    grown = expm(np.block([[A * short, rate], [np.zeros((d, d)), -A.T * short]]))
    F = grown[:d, :d]
    Q = unit**2 * short * grown[:d, d:] @ F.T
    for _ in range(doublings):
        F, Q = F @ F, Q + F @ Q @ F.T
    return F, (Q + Q.T) / 2


def ou_law(
    A: Array, G: Array, mean0: Array, cov0: Array, t: float
) -> tuple[Array, Array]:
    """Law of x_t of dx = A x dt + G dw from N(mean0, cov0): F mean0, F cov0 F^T + Q.

    mean0 (d,), cov0 (d, d), which may be 0 for a point; t >= 0  ->  (d,), (d, d)
    ValueError if shapes do not fit or t is below 0.
    Source: Risken89 3.2 for many variables
    Test: test_ornstein.py::test_the_transition_solves_the_moment_equations
    """
    (F, Q), (mean0, cov0) = ou_transition(A, G, t), _law(len(A), mean0, cov0)
    return gaussian.marginal(F, np.zeros(len(F)), mean0, cov0, Q)


def ou_step(x: Array, z: Array, A: Array, G: Array, h: float) -> Array:
    """One exact step of multivariate OU: F x + R z with R R = Q, at any h.

    Its only error is rounding, about 1e-16 times the size of A h.
    x, z (..., d)  ->  (..., d)
    Source: Risken89 3.2 for many variables
    Test: test_ornstein.py::test_the_exact_step_composes
    """
    (x, z), (F, Q) = finite(x=x, z=z), ou_transition(A, G, h)
    return x @ F.T + z @ gaussian.symmetric_root(Q)


def ou_stationary(A: Array, G: Array) -> Array:
    """Covariance that dx = A x dt + G dw keeps: A S + S A^T + G G^T = 0.

    A (d, d), G (d, m)  ->  (d, d)
    ValueError unless every eigenvalue of A has a real part below 0, and shapes fit.
    Source: Risken89 6.5 for many variables
    Test: test_ornstein.py::test_the_stationary_law_is_the_limit
    """
    from scipy.linalg import solve_continuous_lyapunov

    A, G = _drift(A, G)
    most = np.linalg.eigvals(A).real.max()
    if most >= 0:
        raise ValueError(f"A must shrink every direction; it has eigenvalue {most}")
    return solve_continuous_lyapunov(A, -G @ G.T)
