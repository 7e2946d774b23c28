"""Independent routes that several tests compare with: 50 digits, differences, laws."""

import mpmath
import numpy as np
from hypothesis import strategies as st
from scipy import stats

from refdiff.mixture import Mixture

mpmath.mp.dps = 50
TINY = mpmath.mpf(10) ** -25

ALPHA = 1e-6  # family-wise level of every statistical test


def check_grad(f, x, gradient, rtol=1e-7, step=1e-5):
    """Assert that gradient is f's, along 5 random directions, by central differences.

    The error is measured against the size of the whole gradient.
    """
    rng = np.random.default_rng(0)
    for _ in range(5):
        v = rng.standard_normal(np.shape(x))
        numeric = (f(x + step * v) - f(x - step * v)) / (2 * step)
        scale = np.linalg.norm(gradient) * np.linalg.norm(v)
        assert abs(np.sum(gradient * v) - numeric) <= rtol * scale


def exact(values):
    """float64 numbers as 50-digit ones, without rounding."""
    return [mpmath.mpf(float(v)) for v in np.ravel(values)]


def condition(f, inputs):
    """f(inputs) at 50 digits, and how much relative errors in the inputs move it.

    Returns the list of values, and for each the sum over inputs of |x df/dx|.
    """
    value = f(inputs)
    moved = [mpmath.mpf(0)] * len(value)
    for i, x in enumerate(inputs):
        near = f([*inputs[:i], x * (1 + TINY), *inputs[i + 1 :]])
        moved = [
            m + abs(a - b) / TINY for m, a, b in zip(moved, near, value, strict=True)
        ]
    return value, moved


def assert_accurate(got, f, inputs, scale=None, tol=1e-13):
    """Assert DESIGN's target: error <= 1e-13 x condition number, inputs taken as exact.

    scale: the sums of the absolute terms (the values themselves unless given); the
    condition number is at least 1.
    """
    value, moved = condition(f, inputs)
    scale = [abs(v) for v in value] if scale is None else scale
    for g, v, m, s in zip(np.ravel(got), value, moved, scale, strict=True):
        error = abs(mpmath.mpf(float(g)) - v)
        allowed = tol * max(s, m) + mpmath.mpf(10) ** -300  # the last is underflow
        assert error <= allowed, f"{g} is off by {error}, allowed {allowed}"


def ks_passes(x, cdf):
    """Whether a sample passes Kolmogorov-Smirnov at level ALPHA, and its D."""
    result = stats.kstest(np.ravel(x), cdf)
    return result.pvalue > ALPHA, result.statistic


def mixture_cdf(mixture):
    """Distribution function of a 1-D mixture."""
    std = np.sqrt(mixture.covs[:, 0, 0])

    def cdf(x):
        z = (np.asarray(x)[..., None] - mixture.means[:, 0]) / std
        return stats.norm.cdf(z) @ mixture.weights

    return cdf


@st.composite
def covariances(draw, d):
    """Well-conditioned covariance matrices of any orientation."""
    entries = st.floats(-1, 1).map(lambda v: round(v, 3))
    A = np.array(draw(st.lists(entries, min_size=d * d, max_size=d * d))).reshape(d, d)
    return A @ A.T + 0.1 * np.eye(d)


@st.composite
def mixtures(draw, d=None, most=3):
    """Mixtures of 1 to `most` Gaussians in 1 to 3 dimensions."""
    d = draw(st.integers(1, 3)) if d is None else d
    K = draw(st.integers(1, most))
    numbers = st.floats(-3, 3).map(lambda v: round(v, 3))
    means = draw(st.lists(numbers, min_size=K * d, max_size=K * d))
    weights = np.array(draw(st.lists(st.floats(0.1, 1), min_size=K, max_size=K)))
    covs = np.array([draw(covariances(d)) for _ in range(K)])
    return Mixture(weights / weights.sum(), np.reshape(means, (K, d)), covs)


@st.composite
def levels(draw):
    """(signal, noise) of a variance-preserving process, both away from 0."""
    angle = draw(st.floats(0.05, 1.5))
    return float(np.cos(angle)), float(np.sin(angle))
