"""The Kramers-Moyal expansion: coefficients from data, and which of them may vanish.

D_m(x) = lim (1/m!) E[(xi(t + dt) - x)^m | xi(t) = x] / dt. The density then changes as
dp/dt = sum_m (-d/dx)^m [D_m p]; by Pawula it stops at m = 1, at m = 2, or never.
"""

from collections.abc import Sequence
from math import factorial
from operator import index
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, finite, generator, positive


class Estimate(NamedTuple):
    """Coefficients at the centres of bins of x, with standard errors and counts.

    centre (B,), value and error (B,), count (B,): nan where a bin has too few points
    Source: Risken89 3.3 for the coefficients
    Test: test_kramers_moyal.py::test_estimates_meet_the_truth_within_their_errors
    """

    centre: Array
    value: Array
    error: Array
    count: Array


def coefficient(
    x: Array, step: Array, dt: float, m: int, edges: Array | None = None
) -> Estimate:
    """Estimate D_m from increments: (1/m!) mean(step^m) / dt, in each bin of x.

    x, step (n,): states, and their changes over dt; edges (B+1,) rising, or None for one
    bin of everything. At a finite dt it is biased by O(dt).
    ValueError if m < 1, shapes differ or are empty, or edges do not rise.
    Source: Chan v3 Thm 5.7 for the coefficients
    Test: test_kramers_moyal.py::test_estimates_meet_the_truth_within_their_errors
    """
    x, step = finite(x=x, step=step)
    positive(dt=dt, m=index(m))
    if x.ndim != 1 or x.shape != step.shape or not len(x):
        raise ValueError(f"x and step must be (n,); got {x.shape} and {step.shape}")
    edges = np.array([x.min(), x.max()]) if edges is None else _rising(edges)
    moment = step**m / (factorial(m) * dt)
    last = len(edges) - 2
    where = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, last)
    inside = (x >= edges[0]) & (x <= edges[-1])
    bins = [moment[inside & (where == b)] for b in range(last + 1)]
    value = [v.mean() if len(v) > 1 else np.nan for v in bins]
    error = [v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else np.nan for v in bins]
    count = np.array([len(v) for v in bins])
    centre = (edges[1:] + edges[:-1]) / 2
    return Estimate(centre, np.array(value), np.array(error), count)


def _rising(edges):
    (edges,) = finite(edges=edges)
    if edges.ndim != 1 or len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"edges must be (B+1,) and rise; got {edges}")
    return edges


def gaussian_coefficient(shift: Array, var: float, dt: float, m: int) -> Array:
    """Return what `coefficient` tends to where a step over dt is N(shift, var): E/(m! dt).

    E step^m = sum_k m! / ((m - 2k)! k! 2^k) shift^(m-2k) var^k; of OU with shift
    (scale - 1) x it is the bias of a finite dt, D4 among it
    shift (...), var >= 0  ->  (...)
    ValueError if an argument is not finite, or var below 0.
    Source: definition
    Test: test_kramers_moyal.py::test_finite_steps_bias_the_coefficients_by_their_moments
    """
    positive(dt=dt, m=index(m))
    shift, var = finite(shift=shift, var=var)
    if (var < 0).any():
        raise ValueError(f"var must be at least 0; got {var}")
    terms = (
        shift ** (m - 2 * k) * var**k / (factorial(m - 2 * k) * factorial(k) * 2**k)
        for k in range(m // 2 + 1)
    )
    return sum(terms) / dt


def poisson_steps(n: int, rate: float, dt: float, rng: np.random.Generator) -> Array:
    """Increments over dt of a Poisson process, whose coefficients are D_m = rate / m!.

    -> (n,) counts
    Source: Risken89 4.5 for jumps
    Test: test_kramers_moyal.py::test_poisson_has_every_coefficient
    """
    generator(rng)
    positive(n=n, rate=rate, dt=dt)
    return rng.poisson(rate * dt, index(n)).astype(float)


def expansion(p: Array, D: Sequence[Array], dx: float) -> Array:
    """Rate dp/dt = sum_m (-d/dx)^m [D_m p] on an even periodic grid, by Fourier.

    p (n,), D: D_1, D_2, ..., each (n,) or a number  ->  (n,)
    ValueError if p is not (n,), or D empty or of another shape.
    Source: Chan v3 Thm 5.7, (5.31)-(5.34). Departs: the theorem prints -d^m/dx^m and (5.34)
    a second 1/m!.
    Test: test_kramers_moyal.py::test_the_expansion_of_poisson_is_its_master_equation
    """
    (p,) = finite(p=p)
    positive(dx=dx)
    D = finite(**{f"D_{m}": D_m for m, D_m in enumerate(D, 1)})
    if p.ndim != 1 or not D or any(D_m.shape not in ((), p.shape) for D_m in D):
        shapes = [D_m.shape for D_m in D]
        raise ValueError(f"p must be (n,), each of D too; got {p.shape} and {shapes}")
    wave = -2j * np.pi * np.fft.rfftfreq(len(p), dx)  # of -d/dx
    terms = (wave**m * np.fft.rfft(D_m * p) for m, D_m in enumerate(D, 1))
    return np.fft.irfft(sum(terms), len(p))


def pawula_gap(D: Sequence[float], m: int) -> float:
    """How much room Schwarz's inequality leaves: at least 0 for every Markov process.

    (m-1)! (m+1)! D_{m-1} D_{m+1} - (m! D_m)^2 for odd m >= 3, with m-2, m+2 for even
    m >= 4;  D: D_1, D_2, ..., as far as needed. So if D_4 = 0 all D_m beyond D_2 are 0.
    ValueError for another m, or too few coefficients.
    Source: Chan v3 Thm 5.8; Pawula67 for the theorem. Departs: it prints the inequalities
    without factorials.
    Test: test_kramers_moyal.py::test_poisson_meets_pawula_and_refutes_the_printed_form
    """
    apart = 1 if index(m) % 2 else 2
    if m < 3 or len(D) < m + apart:
        raise ValueError(f"m must be 3 or more, and D reach m + {apart}; got m = {m}")
    finite(D=D)
    low, middle, high = (factorial(j) * D[j - 1] for j in (m - apart, m, m + apart))
    return low * high - middle**2
