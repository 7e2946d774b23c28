"""The score, grad log p: what it is, what it says of the clean data, a kernel estimate.

Everything here is for x (..., d) or (n, d), in the units of x; p is a Mixture, whose own
`score` is closed-form. Each function refuses, with a ValueError that names it, what is
not finite.
"""

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, above_zero, finite, positive, vectors
from refdiff.mixture import Mixture


def gaussian_score(x: Array, mean: Array, cov: Array) -> Array:
    """Stein's score of N(mean, cov), the gradient in x: -cov^-1 (x - mean).

    x, mean (..., d), cov (d, d)  ->  (..., d)
    ValueError if cov is singular.
    Source: Chan v3 Ex 3.1, Ex 3.4, (3.3)
    Test: test_score.py::test_the_score_is_the_gradient_of_the_log_density
    """
    (x, mean), (cov,) = vectors(x=x, mean=mean), finite(cov=cov)
    if cov.shape != (x.shape[-1],) * 2:
        raise ValueError(f"cov must be (d, d), d = {x.shape[-1]}; got {cov.shape}")
    L = gaussian.cholesky(cov)
    return -gaussian.unwhiten(L, gaussian.whiten(L, x - mean))


def ordinary_score(x: Array, mean: Array, cov: Array) -> Array:
    """Fisher's score of N(mean, cov), the gradient in the parameter mean.

    cov^-1 (x - mean): for a location parameter, minus Stein's score
    x, mean (..., d), cov (d, d)  ->  (..., d)
    Source: Chan v3 (3.4)
    Test: test_score.py::test_the_score_is_the_gradient_of_the_log_density
    """
    return -gaussian_score(x, mean, cov)


def jacobian(law: Mixture, x: Array) -> Array:
    """Jacobian of a mixture's score, which is the Hessian of its log density.

    sum_k p(k | x) (g_k g_k^T - covs[k]^-1) - score score^T,  g_k = covs[k]^-1 (means[k] - x)
    x (..., d)  ->  (..., d, d)
    ValueError if a component has a singular covariance.
    Source: definition
    Test: test_score.py::test_the_jacobian_is_the_derivative_of_the_score
    """
    L = gaussian.cholesky(law.covs)
    precision = gaussian.unwhiten(
        L[:, None], gaussian.whiten(L[:, None], np.eye(law.d))
    )
    p = law.responsibilities(x)
    g = -gaussian.unwhiten(
        L, gaussian.whiten(L, np.asarray(x)[..., None, :] - law.means)
    )
    g_bar = np.einsum("...k,...kd->...d", p, g)[..., None, :]
    between = np.einsum("...k,...ki,...kj->...ij", p, g - g_bar, g - g_bar)
    return between - np.einsum("...k,kij->...ij", p, precision)


def stein_term(score: Array, f: Array, div_f: Array) -> Array:
    """Term whose mean under p is zero for every f that grows slowly: Stein's identity.

    score . f + div f,  E_p[...] = 0
    score, f (..., d), div_f (...)  ->  (...)
    Source: Hyvarinen05 for the identity
    Test: test_score.py::test_steins_identity
    """
    (score, f), (div_f,) = vectors(score=score, f=f), finite(div_f=div_f)
    if div_f.ndim and div_f.shape != np.broadcast_shapes(score.shape, f.shape)[:-1]:
        raise ValueError(f"div_f must be one a row; got shape {div_f.shape}")
    return (score * f).sum(axis=-1) + div_f


def posterior_mean(x: Array, score: Array, sigma: float) -> Array:
    """Tweedie's formula: E[x0 | x] from the score of x = x0 + sigma z.

    x + sigma^2 score(x)
    x, score (..., d)  ->  (..., d)
    Source: Efron11 (1.4)
    Test: test_score.py::test_tweedie_gives_the_posterior_mean_and_covariance
    """
    (x, score), (sigma,) = vectors(x=x, score=score), finite(sigma=sigma)
    return x + sigma**2 * score


def posterior_cov(jacobian: Array, sigma: float) -> Array:
    """Tweedie's formula of second order: Cov[x0 | x] from the score's Jacobian.

    sigma^2 (I + sigma^2 jacobian)
    jacobian (..., d, d), of the score of x = x0 + sigma z  ->  (..., d, d); it subtracts:
    where sigma is large beside the data, `Mixture.denoise_cov` keeps the digits
    Source: Efron11 (2.8)
    Test: test_score.py::test_tweedie_gives_the_posterior_mean_and_covariance
    """
    jacobian, sigma = finite(jacobian=jacobian, sigma=sigma)
    if sigma.ndim:
        raise ValueError(f"sigma must be a number; got shape {sigma.shape}")
    return sigma**2 * (np.eye(jacobian.shape[-1]) + sigma**2 * jacobian)


def kde(points: Array, h: float) -> Mixture:
    """Kernel density estimate with the Gaussian kernel: a mixture, so its score is exact.

    q_h(x) = (1/M) sum_m h^-d K((x - points[m]) / h),  K = N(0, I)
    points (M, d), h > 0  ->  Mixture of M round Gaussians
    ValueError if points are not (M, d) or h is not above 0.
    Source: Chan v3 (3.5), Fig 3.7. Departs: (3.5) prints 1/h, its case d = 1.
    Test: test_score.py::test_the_kernel_estimate_is_scipys
    """
    (points,), _ = finite(points=points), positive(h=h)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"points must be (M, d); got shape {points.shape}")
    M, d = points.shape
    return Mixture(np.full(M, 1 / M), points, np.tile(h**2 * np.eye(d), (M, 1, 1)))


def dsm_constant(cov: Array, sigma: float) -> float:
    """What denoising score matching costs above explicit, for data N(mean, cov).

    C = 1/2 [d / sigma^2 - tr (cov + sigma^2 I)^-1], the same for every network
    cov (d, d), sigma > 0  ->  float
    Source: Chan v3 Thm 3.4, (3.12); Vincent11 (11)
    Test: test_matching.py::test_dsm_minus_esm_is_constant
    """
    (cov,), (sigma,) = finite(cov=cov), above_zero(sigma=sigma)
    gaussian.symmetric_root(cov)  # refuses what is no covariance
    value = np.linalg.eigvalsh(cov)
    return float(0.5 * (value / (sigma**2 * (value + sigma**2))).sum())
