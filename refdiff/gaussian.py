"""The Gaussian: its log density, divergence, marginal and conditional.

Everything else in this project is a weighted sum, a limit or a chain of these.
Covariances are solved by Cholesky factors and quadratic forms are centred, never
expanded, so that the formulas hold far out in the tails.
"""

import numpy as np

from refdiff._check import Array, finite

LOG_2PI = np.log(2 * np.pi)


def cholesky(cov: Array) -> Array:
    """Lower factor L of a covariance, cov = L L^T, refused where it is singular.

    A pivot L[i,i]^2 / cov[i,i] is the share of coordinate i's variance that the
    coordinates before it do not explain; below 1e-14 rounding has eaten it.
    cov (..., d, d)  ->  (..., d, d)
    ValueError if a covariance is not symmetric, or is singular to working precision.
    Source: definition
    Test: test_gaussian.py::test_singular_covariances_are_refused
    """
    scale = np.abs(cov).max(axis=(-2, -1), keepdims=True)
    if (np.abs(cov - np.swapaxes(cov, -2, -1)) > 1e-12 * scale).any():
        raise ValueError("cov must be symmetric")
    try:
        L = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        L = np.zeros_like(cov)
    pivot = np.diagonal(L, axis1=-2, axis2=-1)
    if not (pivot**2 > 1e-14 * np.abs(np.diagonal(cov, axis1=-2, axis2=-1))).all():
        raise ValueError(
            "cov must be positive definite; a pivot is below 1e-14 of its variance "
            "(a mixture with singular covariances has a density once it is noised)"
        )
    return L


def _root(cov):
    """R with cov = R R^T, singular or not.

    Units, powers of 2^8, bring deviations so close that the small keep their digits.
    """
    std = np.sqrt(np.maximum(np.diagonal(cov, axis1=-2, axis2=-1), 0))
    size = np.where(std > 0, std, 1)
    log = np.log2(size / size.max(axis=-1, keepdims=True))
    unit = 2.0 ** (8 * np.round(log / 8))
    most = (std / unit)[..., None] * (std / unit)[..., None, :]
    scaled = np.clip(cov / unit[..., None] / unit[..., None, :], -most, most)
    value, vector = np.linalg.eigh(scaled)
    return unit[..., None] * vector * np.sqrt(np.maximum(value, 0))[..., None, :]


def whiten(L: Array, r: Array) -> Array:
    """Solve L y = r by forward substitution: y is white where r ~ N(0, L L^T).

    y[i] = (r[i] - sum_{j<i} L[i,j] y[j]) / L[i,i]
    L (..., d, d), r (..., d), leading axes broadcast  ->  y (..., d)
    Source: definition
    Test: test_gaussian.py::test_whiten_and_unwhiten_solve_the_covariance
    """
    y = np.empty(np.broadcast_shapes(L.shape[:-1], r.shape), np.result_type(L, r))
    for i in range(r.shape[-1]):
        known = sum(L[..., i, j] * y[..., j] for j in range(i))
        y[..., i] = (r[..., i] - known) / L[..., i, i]
    return y


def unwhiten(L: Array, y: Array) -> Array:
    """Solve L^T x = y by back substitution, so that x = (L L^T)^-1 r for y = L^-1 r.

    x[i] = (y[i] - sum_{j>i} L[j,i] x[j]) / L[i,i]
    L (..., d, d), y (..., d), leading axes broadcast  ->  x (..., d)
    Source: definition
    Test: test_gaussian.py::test_whiten_and_unwhiten_solve_the_covariance
    """
    x = np.empty(np.broadcast_shapes(L.shape[:-1], y.shape), np.result_type(L, y))
    for i in reversed(range(y.shape[-1])):
        known = sum(L[..., j, i] * x[..., j] for j in range(i + 1, y.shape[-1]))
        x[..., i] = (y[..., i] - known) / L[..., i, i]
    return x


def logpdf(x: Array, mean: Array, cov: Array) -> Array:
    """Log density of N(mean, cov) at x.

    log p = -1/2 (x-mean)^T cov^-1 (x-mean) - 1/2 log det cov - d/2 log 2 pi
    x (..., d), mean (..., d), cov (..., d, d), leading axes broadcast  ->  (...) nats
    ValueError if an entry is not finite or cov is singular.
    Source: definition
    Test: test_gaussian.py::test_logpdf_is_scipys
    """
    x, mean, cov = finite(x=x, mean=mean, cov=cov)
    L = cholesky(cov)
    return _logpdf(whiten(L, x - mean), L)


def _logpdf(y, L):
    """Log density from the whitened residual y = L^-1 (x - mean)."""
    log_det = 2 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * ((y**2).sum(-1) + log_det + y.shape[-1] * LOG_2PI)


def kl(mean0: Array, cov0: Array, mean1: Array, cov1: Array) -> Array:
    """Kullback-Leibler divergence KL(N(mean0, cov0) || N(mean1, cov1)).

    1/2 [tr(S1^-1 S0) - d + (m1-m0)^T S1^-1 (m1-m0) + log det S1 / det S0]
    mean (..., d), cov (d, d)  ->  (...) nats
    ValueError if an entry is not finite or a covariance is singular.
    Source: Chan v3 Thm 1.3, (1.25)
    Test: test_gaussian.py::test_kl_is_the_expected_log_ratio
    """
    mean0, cov0, mean1, cov1 = finite(mean0=mean0, cov0=cov0, mean1=mean1, cov1=cov1)
    L0, L1 = cholesky(cov0), cholesky(cov1)
    ratio = whiten(L1, L0.T)  # rows are L1^-1 (columns of L0): tr(S1^-1 S0) = |ratio|^2
    shift = whiten(L1, mean1 - mean0)
    log_det = 2 * np.log(np.diagonal(L1) / np.diagonal(L0)).sum()
    return 0.5 * ((ratio**2).sum() - len(L0) + (shift**2).sum(-1) + log_det)


def entropy(cov: Array) -> float:
    """Entropy of N(mean, cov), which no mean changes.

    1/2 log det cov + d/2 (1 + log 2 pi)
    cov (d, d)  ->  nats
    ValueError if an entry is not finite or cov is singular.
    Source: definition
    Test: test_gaussian.py::test_entropy_and_expected_logpdf_make_the_divergence
    """
    (cov,) = finite(cov=cov)
    if cov.ndim != 2:
        raise ValueError(f"cov must be (d, d); got shape {cov.shape}")
    L = cholesky(cov)
    return float(np.log(np.diagonal(L)).sum() + 0.5 * len(L) * (1 + LOG_2PI))


def expected_logpdf(mean0: Array, cov0: Array, mean1: Array, cov1: Array) -> Array:
    """Expected log density of N(mean1, cov1) under N(mean0, cov0): minus cross entropy.

    log N(mean0 | mean1, S1) - 1/2 tr(S1^-1 S0)
    mean (..., d), cov (d, d); cov0 may be singular, and 0 for a point  ->  (...) nats
    ValueError if an entry is not finite or cov1 is singular.
    Source: definition
    Test: test_gaussian.py::test_entropy_and_expected_logpdf_make_the_divergence
    """
    mean0, cov0, mean1, cov1 = finite(mean0=mean0, cov0=cov0, mean1=mean1, cov1=cov1)
    L1 = cholesky(cov1)
    half = whiten(L1, cov0)  # rows are L1^-1 S0's columns, as S0 is symmetric
    trace = np.trace(whiten(L1, half.T))
    return _logpdf(whiten(L1, mean0 - mean1), L1) - 0.5 * trace


def symmetric_root(cov: Array) -> Array:
    """Symmetric square root R of a covariance: R R = cov, singular ones included.

    cov = U S U^T,  R = U S^(1/2) U^T
    cov (d, d)  ->  (d, d)
    ValueError if an entry is not finite, or cov is not symmetric positive semidefinite.
    Source: Chan v3 (1.23)
    Test: test_gaussian.py::test_the_symmetric_root_is_symmetric_and_a_root
    """
    (cov,) = finite(cov=cov)
    value, U = np.linalg.eigh(cov)
    scale = np.abs(cov).max()
    skew = np.abs(cov - cov.T).max()
    if skew > 1e-12 * scale or value[0] < -1e-12 * scale:
        raise ValueError("cov must be symmetric and positive semidefinite")
    return U * np.sqrt(np.maximum(value, 0)) @ U.T


def marginal(
    A: Array, b: Array, mean: Array, cov: Array, noise: Array
) -> tuple[Array, Array]:
    """Law of y = A x + b + e for x ~ N(mean, cov) and e ~ N(0, noise).

    y ~ N(A mean + b, noise + A cov A^T)
    A (m, d), b (m,), mean (d,), cov (d, d), noise (m, m)  ->  mean (m,), cov (m, m)
    ValueError if an entry is not finite.
    Source: Chan v3 Thm 2.8. Departs: it prints A^-1 for A^T in the covariance.
    Test: test_gaussian.py::test_marginal_and_condition_are_one_joint_law
    """
    A, b, mean, cov, noise = finite(A=A, b=b, mean=mean, cov=cov, noise=noise)
    return A @ mean + b, noise + A @ cov @ A.T


def condition(
    mean: Array, cov: Array, observed: list[int], value: Array
) -> tuple[Array, Array]:
    """Law of the other coordinates of N(mean, cov), given the observed ones' value.

    mean_a + S_ab S_bb^-1 (value - mean_b),  S_aa - S_ab S_bb^-1 S_ba
    mean (d,), cov (d, d), observed: m indices, value (m,)  ->  (d-m,), (d-m, d-m)
    ValueError if an entry is not finite or the observed block is singular.
    Source: Bishop06 (2.81)-(2.82)
    Test: test_gaussian.py::test_condition_is_bayes_rule_on_a_grid
    """
    mean, cov, value = finite(mean=mean, cov=cov, value=value)
    observed = np.arange(len(mean))[observed]  # negative indices and masks as well
    others = np.setdiff1d(np.arange(len(mean)), observed)
    L = cholesky(cov[np.ix_(observed, observed)])
    gain = unwhiten(L, whiten(L, cov[np.ix_(others, observed)]))
    mean_a = mean[others] + gain @ (value - mean[observed])
    return mean_a, cov[np.ix_(others, others)] - gain @ cov[np.ix_(observed, others)]
