"""Distances between samples, each to be read beside its own noise floor.

Two fresh samples of one law are not at distance 0. `noise_floor` says how far apart
they typically are at the sizes in use, and only a multiple of it is a finding.
"""

from collections.abc import Callable
from math import exp, lgamma, pi, sqrt

import numpy as np

from refdiff._check import Array, finite, positive
from refdiff.mixture import Mixture


def directions(d: int, m: int = 32) -> Array:
    """Unit vectors to project on: [[1]] in 1-D, m evenly spaced angles in 2-D.

    u_k = (cos a_k, sin a_k),  a_k = pi (k + 1/2) / m
    -> (m, d)
    ValueError for d > 2: draw your own there.
    Source: definition
    Test: test_metrics.py::test_sliced_w2_of_shifted_samples
    """
    if d not in (1, 2):
        raise ValueError(f"directions are built in for d = 1 and 2; got d = {d}")
    angle = pi * (np.arange(m) + 0.5) / m
    return np.ones((1, 1)) if d == 1 else np.stack([np.cos(angle), np.sin(angle)], 1)


def sliced_w2(a: Array, b: Array, along: Array | None = None) -> float:
    """Sliced Wasserstein-2 distance between two samples.

    sqrt(mean over directions u of integral_0^1 (Q_a(p) - Q_b(p))^2 dp),
    Q the quantile functions of the projections on u
    a (n, d), b (m, d), along (k, d) unit vectors (d > 2: required)  ->  units of x
    ValueError if the samples are empty, not finite or of different dimensions.
    Source: Bonneel15 for sliced distances
    Test: test_metrics.py::test_sliced_w2_of_gaussians_is_closed_form
    """
    a, b, _ = _projected(a, b, along)
    n, m = a.shape[1], b.shape[1]
    if n == m:
        return float(np.sqrt(np.mean((a - b) ** 2)))
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in 1 / (n m)
    left, width = edges[:-1], np.diff(edges) / (n * m)
    return float(np.sqrt(np.mean((a[:, left // m] - b[:, left // n]) ** 2 @ width)))


def energy_distance(a: Array, b: Array, along: Array | None = None) -> float:
    """Energy distance between two samples, as the root that SciPy returns in 1-D.

    D^2 = 2 E|X-Y| - E|X-X'| - E|Y-Y'| = c_d mean_u 2 integral (F_u - G_u)^2,
    c_d = sqrt(pi) Gamma((d+1)/2) / Gamma(d/2), F_u and G_u the distribution functions
    of the projections on u; exact in 1-D. With m directions in 2-D it is the energy
    distance of a polygonal norm, within 0.9/m^2 of the Euclidean one.
    a (n, d), b (m, d), along (k, d) unit vectors (d > 2: required)  ->  sqrt(units of x)
    ValueError if the samples are empty, not finite or of different dimensions.
    Source: Szekely13 for the energy distance
    Test: test_metrics.py::test_energy_distance_is_the_mean_over_all_pairs
    """
    a, b, d = _projected(a, b, along)
    order = np.argsort(np.concatenate([a, b], axis=1), axis=1, kind="stable")
    x = np.take_along_axis(np.concatenate([a, b], axis=1), order, axis=1)
    step = np.where(order < a.shape[1], 1 / a.shape[1], -1 / b.shape[1])
    gap = np.cumsum(step, axis=1)[:, :-1]  # F - G between neighbours
    c_d = sqrt(pi) * exp(lgamma((d + 1) / 2) - lgamma(d / 2))
    return float(np.sqrt(c_d * 2 * (gap**2 * np.diff(x, axis=1)).sum(axis=1).mean()))


def _projected(a, b, along):
    """Both samples projected on each direction and sorted, (k, n), (k, m); and d."""
    a, b = finite(a=a, b=b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) * len(b):
        raise ValueError(f"samples must be (n, d), (m, d); got {a.shape}, {b.shape}")
    along = directions(a.shape[1]) if along is None else np.asarray(along)
    if along.ndim != 2 or along.shape[1] != a.shape[1]:
        raise ValueError(f"along must be (k, {a.shape[1]}); got shape {along.shape}")
    if not np.allclose(np.linalg.norm(along, axis=1), 1, atol=1e-9):
        raise ValueError("along must hold unit vectors")
    return np.sort(along @ a.T, axis=1), np.sort(along @ b.T, axis=1), a.shape[1]


def expected_logpdf(mixture: Mixture, rtol: float = 1e-6) -> float:
    """Expectation of log p(x) for x ~ p: minus the mixture's entropy, in nats.

    sum_k weights[k] E log p(means[k] + R_k z), by the trapezoid rule over 9 standard
    deviations of z, whose nodes are doubled until the sum is stable to rtol, and lie
    closer than the narrowest deviation inside the widest component
    ValueError for d > 2; ArithmeticError if 2^17 nodes in all do not settle it.
    Source: definition
    Test: test_metrics.py::test_expected_logpdf_is_minus_the_entropy
    """
    if mixture.d > 2:
        raise ValueError(f"quadrature is built in for d = 1 and 2; got d = {mixture.d}")
    if not mixture.has_density:
        raise ValueError("a mixture with singular covariances has no density")
    std = np.sqrt(np.linalg.eigvalsh(mixture.covs))
    value, m = np.inf, 16 * round(np.ceil(max(1, std.max() / std.min() / 2)))
    while (2 * m) ** mixture.d <= 2**17:
        m *= 2
        z = np.linspace(-9, 9, m)
        w = np.exp(-(z**2) / 2)
        w = np.prod(np.meshgrid(*[w / w.sum()] * mixture.d), axis=0).ravel()
        z = np.stack(np.meshgrid(*[z] * mixture.d), -1).reshape(-1, mixture.d)
        x = mixture.means[:, None] + z @ np.swapaxes(mixture._root, 1, 2)
        last, value = value, mixture.weights @ (mixture.logpdf(x) @ w)
        if abs(value - last) <= rtol * max(1, abs(value)):
            return float(value)
    raise ArithmeticError(f"E log p is not settled at {m} nodes a dimension: {value}")


def logpdf_gap(x: Array, mixture: Mixture) -> float:
    """Mean log density of the samples minus its expectation under the mixture.

    (1/n) sum_n log p(x_n) - E log p;  below 0: mass in empty places; above 0: too narrow
    x (n, d)  ->  nats
    ValueError for d > 2 or x that is not finite.
    Source: definition
    Test: test_metrics.py::test_logpdf_gap_sees_spread_and_narrowness
    """
    return float(mixture.logpdf(x).mean()) - expected_logpdf(mixture)


def mode_weights(x: Array, mixture: Mixture) -> Array:
    """Share of the samples that each component answers for: its mean responsibility.

    (1/n) sum_n p(k | x_n);  its expectation is weights[k] for x from the mixture
    x (n, d)  ->  (K,)
    Source: definition
    Test: test_metrics.py::test_mode_weights_of_a_fair_sample
    """
    return mixture.responsibilities(x).mean(axis=0)


def noise_floor(
    metric: Callable[[Array, Array], float], draw: Callable[[], Array], pairs: int = 20
) -> float:
    """Median of a distance over pairs of fresh samples: what "no difference" looks like.

    draw() -> a fresh sample, of the size that the metric is used at
    Source: definition
    Test: test_metrics.py::test_noise_floor_falls_with_the_sample_size
    """
    positive(pairs=pairs)
    return float(np.median([metric(draw(), draw()) for _ in range(pairs)]))
