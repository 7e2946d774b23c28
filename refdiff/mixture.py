"""Mixtures of Gaussians: the data for which everything is known at every noise level.

A mixture stays a mixture under x_t = signal x0 + noise eps (2.13), so its density,
its score and the law of x0 given x_t are closed-form. A finite data set is the mixture
with zero covariances: it has no density itself, but has one as soon as it is noised.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, finite, generator

BLOCK = 2**14  # (points x components) worked on at a time, to stay in the cache


@dataclass(frozen=True, eq=False)
class Mixture:
    """sum_k weights[k] N(means[k], covs[k]): density, score, samples, posterior.

    weights (K,) above 0 with sum 1; means (K, d); covs (K, d, d) symmetric and
    positive semidefinite. The arrays are copied, and read-only afterwards.
    ValueError that names the argument where one of these does not hold.
    Source: Chan v3 Ex 1.2, (1.1)
    Test: test_mixture.py::test_logpdf_is_the_log_of_the_weighted_sum
    """

    weights: Array
    means: Array
    covs: Array

    def __post_init__(self):
        given = finite(weights=self.weights, means=self.means, covs=self.covs)
        weights, means, covs = (array.astype(float) for array in given)
        if means.ndim != 2 or 0 in means.shape:
            raise ValueError(f"means must be (K, d); got shape {means.shape}")
        K, d = means.shape
        if weights.shape != (K,) or covs.shape != (K, d, d):
            raise ValueError(
                f"means {means.shape} need weights ({K},) and covs ({K}, {d}, {d}); "
                f"got {weights.shape} and {covs.shape}"
            )
        if (weights <= 0).any() or abs(weights.sum() - 1) > 1e-9:
            raise ValueError(
                f"weights must be above 0 with sum 1; got smallest {weights.min()} "
                f"and sum {weights.sum()}"
            )
        scale = np.abs(covs).max(axis=(1, 2))
        skew = np.abs(covs - np.swapaxes(covs, 1, 2)).max(axis=(1, 2))
        lowest = np.linalg.eigvalsh(covs)[:, 0]
        if (skew > 1e-12 * scale).any() or (lowest < -1e-12 * scale).any():
            raise ValueError("covs must be symmetric and positive semidefinite")
        for name, array in (("weights", weights), ("means", means), ("covs", covs)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def d(self) -> int:
        """Dimension of the space.

        Source: definition
        Test: test_mixture.py::test_shapes_follow_the_leading_axes
        """
        return self.means.shape[1]

    @cached_property
    def _L(self):
        return gaussian.cholesky(self.covs)

    @cached_property
    def _root(self):
        """R with covs = R R^T, defined for singular covariances too."""
        return gaussian._root(self.covs)

    @property
    def has_density(self) -> bool:
        """True unless a component's covariance is singular, as for a finite data set.

        Source: definition
        Test: test_mixture.py::test_a_data_set_is_the_mixture_of_its_points
        """
        try:
            return self._L is not None
        except ValueError:
            return False

    @property
    def mean(self) -> Array:
        """Mean of the mixture, (d,).

        Source: definition
        Test: test_mixture.py::test_mean_and_cov_are_the_moments_of_the_density
        """
        return self.weights @ self.means

    @property
    def cov(self) -> Array:
        """Covariance of the mixture (d, d): within the components, plus between them.

        Source: definition
        Test: test_mixture.py::test_mean_and_cov_are_the_moments_of_the_density
        """
        return _total_cov(self.weights, self.means, self.covs)

    def logpdf(self, x: Array) -> Array:
        """Log density at x.

        log p(x) = log sum_k weights[k] N(x | means[k], covs[k])
        x (..., d)  ->  (...) nats
        ValueError if x is not finite, or a component has a singular covariance.
        Source: Chan v3 (1.1)
        Test: test_mixture.py::test_logpdf_is_the_log_of_the_weighted_sum
        """
        return self._in_blocks(lambda x: _log_sum(self._log_joint(x)[0]), x)

    def log_joint(self, x: Array) -> Array:
        """Log density of a point and its component together, log weights[k] N(x | k).

        x (..., d)  ->  (..., K) nats
        ValueError if x is not finite, or a component has a singular covariance.
        Source: Chan v3 Ex 1.2
        Test: test_mixture.py::test_log_joint_is_likelihood_times_weight
        """
        return self._in_blocks(lambda x: self._log_joint(x)[0], x)

    def responsibilities(self, x: Array) -> Array:
        """Posterior probability of each component, p(k | x).

        weights[k] N(x | means[k], covs[k]) / p(x)
        x (..., d)  ->  (..., K), rows with sum 1
        ValueError if x is not finite, or a component has a singular covariance.
        Source: Chan v3 Ex 1.2
        Test: test_mixture.py::test_responsibilities_are_bayes_rule
        """
        return self._in_blocks(lambda x: _softmax(self._log_joint(x)[0]), x)

    def score(self, x: Array) -> Array:
        """Gradient of the log density, grad_x log p(x).

        - sum_k p(k | x) covs[k]^-1 (x - means[k])
        x (..., d)  ->  (..., d), in units of 1 / x
        ValueError if x is not finite, or a component has a singular covariance.
        Source: Chan v3 Ex 3.5, (3.3), Fig 3.5, Fig 3.6
        Test: test_mixture.py::test_score_is_the_gradient_of_logpdf
        """

        def block(x):
            log_joint, y = self._log_joint(x)
            return -_average(_softmax(log_joint), gaussian.unwhiten(self._L, y))

        return self._in_blocks(block, x)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n points: a component by its weight, then its Gaussian.

        x = means[k] + R[k] z,  R R^T = covs[k]
        n int, rng a numpy Generator  ->  (n, d)
        Source: Chan v3 Ex 1.2
        Test: test_mixture.py::test_samples_have_the_law
        """
        generator(rng)
        k = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        z = rng.standard_normal((n, self.d))
        return self.means[k] + np.einsum("nij,nj->ni", self._root[k], z)

    def noised(self, signal: float, noise: float) -> "Mixture":
        """Law of x_t = signal x0 + noise eps: again a mixture, with the same weights.

        means' = signal means,  covs' = signal^2 covs + noise^2 I
        signal, noise: finite numbers
        ValueError if one of them is not finite.
        Source: Chan v3 Ex 2.2, (2.2), (2.13), Fig 2.5, Fig 2.7
        Test: test_mixture.py::test_noised_is_the_law_of_the_noised_samples
        """
        signal, noise = finite(signal=signal, noise=noise)
        covs = signal**2 * self.covs + noise**2 * np.eye(self.d)
        return Mixture(self.weights, signal * self.means, covs)

    def denoise(self, xt: Array, signal: float, noise: float) -> Array:
        """Posterior mean E[x0 | xt]: the optimal denoiser of x_t = signal x0 + noise eps.

        sum_k p(k | xt) (m_k + signal C_k S_k^-1 (xt - signal m_k)),
        S_k = signal^2 C_k + noise^2 I
        xt (..., d)  ->  (..., d), in units of x0
        ValueError if xt is not finite, or S_k is singular.
        Source: Efron11 (1.4); Chan v3 (2.13) for the law of xt
        Test: test_mixture.py::test_denoise_is_tweedies_formula
        """
        at_t = self.noised(signal, noise)
        return at_t._in_blocks(
            lambda x: _average(*self._posteriors(at_t, x, signal)), xt
        )

    def denoise_cov(self, xt: Array, signal: float, noise: float) -> Array:
        """Posterior covariance Cov[x0 | xt]: what the optimal denoiser leaves unknown.

        within a component noise^2 C_k S_k^-1 (C - signal^2 C S^-1 C without its
        subtraction), plus the spread of the components' posterior means
        xt (..., d)  ->  (..., d, d), in units of x0^2
        ValueError if xt is not finite, or S_k is singular.
        Source: Efron11 (2.8)
        Test: test_mixture.py::test_denoise_cov_is_the_jacobian_of_denoise
        """
        at_t = self.noised(signal, noise)
        gain = gaussian.unwhiten(
            at_t._L[:, None], gaussian.whiten(at_t._L[:, None], self.covs)
        )
        within = noise**2 * (gain + np.swapaxes(gain, 1, 2)) / 2

        def block(x):
            p, m = self._posteriors(at_t, x, signal)
            return _total_cov(p, m, within)

        return at_t._in_blocks(block, xt)

    def model(self, x: Array, level: NamedTuple) -> Array:
        """Return the exact model for `Chain.run`: the score of the noised mixture.

        At signal = 0 it returns x0_hat = E[x0], since the score there says nothing.
        x (n, d); level has signal and noise  ->  (n, d)
        Source: definition
        Test: test_chain.py::test_a_chain_may_start_where_the_signal_is_zero
        """
        if level.signal == 0:
            return np.broadcast_to(self.mean, np.shape(x))
        return self.noised(level.signal, level.noise).score(x)

    def _log_joint(self, x):
        """Return log p(k, x) with shape (n, K), and the whitened residuals (n, K, d)."""
        y = gaussian.whiten(self._L, x[:, None, :] - self.means)
        return np.log(self.weights) + gaussian._logpdf(y, self._L), y

    def _posteriors(self, at_t, xt, signal):
        """p(k | xt) with shape (n, K), and E[x0 | xt, k] with shape (n, K, d)."""
        log_joint, y = at_t._log_joint(xt)
        residual = gaussian.unwhiten(at_t._L, y)
        means = self.means + signal * np.einsum("kij,nkj->nki", self.covs, residual)
        return _softmax(log_joint), means

    def _in_blocks(self, function, x):
        """Apply function to blocks (m, d) of x (..., d), and put the results together."""
        (x,) = finite(x=x)
        if x.shape[-1:] != (self.d,):
            raise ValueError(f"x must be (..., {self.d}); got shape {x.shape}")
        flat = x.reshape(-1, self.d)
        step = max(1, BLOCK // len(self.weights))
        blocks = [
            function(flat[i : i + step]) for i in range(0, max(1, len(flat)), step)
        ]
        result = np.concatenate(blocks)
        return result.reshape(x.shape[:-1] + result.shape[1:])


def from_points(points: Array) -> Mixture:
    """Return the mixture of a finite data set: equal weights, zero covariances.

    Its denoiser at any noise is the optimal one for training on these points alone.
    points (n, d)  ->  Mixture with K = n
    ValueError if points are not finite or not (n, d).
    Source: definition
    Test: test_mixture.py::test_a_data_set_is_the_mixture_of_its_points
    """
    (points,) = finite(points=points)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"points must be (n, d); got shape {points.shape}")
    n, d = points.shape
    return Mixture(np.full(n, 1 / n), points, np.zeros((n, d, d)))


def _log_sum(log_joint):
    """Return log sum_k exp(log_joint[:, k]), with the largest term taken out."""
    top = log_joint.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(log_joint - top).sum(axis=1, keepdims=True)))[:, 0]


def _softmax(log_joint):
    """exp(log_joint) divided by its sum over components."""
    p = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _average(p, values):
    """sum_k p[n, k] values[n, k]."""
    return np.einsum("nk,nkd->nd", p, values)


def _total_cov(p, means, covs):
    """Covariance of a mixture: sum_k p_k (covs_k + (means_k - mean) (means_k - mean)^T)."""
    r = means - np.einsum("...k,...kd->...d", p, means)[..., None, :]
    between = np.einsum("...k,...ki,...kj->...ij", p, r, r)
    return np.einsum("...k,kij->...ij", p, covs) + between
