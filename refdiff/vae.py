"""The variational bound of an autoencoder, exactly, where everything is Gaussian.

z is the latent, here and in `autoencoder` alone. p(z) = N(0, I); the decoder is
p(x | z), the encoder q(z | x) = N(mean, cov) or, with independent coordinates,
N(mean, diag(std^2)). Leading axes of x, z and mean broadcast; cov is one for all.
Every function refuses, with a ValueError that names it, an argument that is not finite.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, Scale, above_zero, finite, vectors


class Decoder(NamedTuple):
    """p(x | z) = N(C z + v, cov): C (d, k), v (d,), cov (d, d)."""

    C: Array
    v: Array
    cov: Array


def _in_modes(x, decoder):
    """y, (L, f, f', V^T): cov = L L^T, L^-1 C = U f V^T and y = U^T L^-1 (x - v).

    U and V are full, f and f' padded with zeros to (d,) and (k,). In these coordinates
    p(x) has variances 1 + f^2 and the posterior of z 1 / (1 + f'^2): no small number
    drowns in a large one.
    """
    x, C, v, cov = finite(x=x, C=decoder.C, v=decoder.v, cov=decoder.cov)
    if x.shape[-1:] != v.shape:
        raise ValueError(f"x must be (..., {len(v)}); got shape {x.shape}")
    L = gaussian.cholesky(cov)
    U, f, Vt = np.linalg.svd(gaussian.whiten(L, C.T).T)
    f_d, f_k = (np.pad(f, (0, n - len(f))) for n in C.shape)
    return gaussian.whiten(L, x - v) @ U, (L, f_d, f_k, Vt)


def _fit(y, k):
    """Y (..., d) cut or padded with zeros to (..., k)."""
    return np.pad(y[..., :k], [(0, 0)] * (y.ndim - 1) + [(0, max(0, k - y.shape[-1]))])


def log_likelihood(x: Array, decoder: Decoder) -> Array:
    """Log of p(x) = int p(x | z) p(z) dz.

    log N(x | v, C C^T + cov)
    x (..., d)  ->  (...) nats
    Source: Chan v3 Ex 1.3; Bishop06 (2.115)
    Test: test_vae.py::test_the_bound_by_its_definition_and_both_decompositions
    """
    y, (L, f, _, _) = _in_modes(x, decoder)
    return gaussian._logpdf(y / np.sqrt(1 + f**2), L) - 0.5 * np.log1p(f**2).sum()


def posterior(x: Array, decoder: Decoder) -> tuple[Array, Array]:
    """Law of z given x under the decoder, by Bayes' rule.

    S = (I + C^T cov^-1 C)^-1,  mean = S C^T cov^-1 (x - v)
    x (..., d)  ->  mean (..., k), S (k, k)
    Source: Chan v3 Ex 1.4; Bishop06 (2.116)-(2.117)
    Test: test_vae.py::test_the_posterior_is_bayes_rule
    """
    y, (*_, f, Vt) = _in_modes(x, decoder)
    mean = (_fit(y, len(f)) * (f / (1 + f**2))) @ Vt
    return mean, Vt.T / (1 + f**2) @ Vt


def elbo(x: Array, mean: Array, cov: Array, decoder: Decoder) -> Array:
    """Evidence lower bound of q(z | x) = N(mean, cov), by its definition.

    E_q log p(x, z) - E_q log q(z | x),  p(x, z) = p(x | z) p(z)
    x (..., d), mean (..., k), cov (k, k)  ->  (...) nats, to about 1e-16 ||C||^2 / s^2
    for a decoder's noise s, as a dense cov holds its small directions no better
    Source: Chan v3 Def 1.3, Def 1.4, (1.4), (1.5), (1.12)
    Test: test_vae.py::test_the_bound_by_its_definition_and_both_decompositions
    """
    mean, cov = finite(mean=mean, cov=cov)
    k = len(cov)
    log_pz = gaussian.expected_logpdf(mean, cov, np.zeros(k), np.eye(k))
    return reconstruction(x, mean, cov, decoder) + log_pz + gaussian.entropy(cov)


def gap(x: Array, mean: Array, cov: Array, decoder: Decoder) -> Array:
    """What the bound loses: log p(x) = elbo + gap.

    KL(q(z | x) || p(z | x))
    x (..., d), mean (..., k), cov (k, k)  ->  (...) nats
    Source: Chan v3 Thm 1.1, (1.6)-(1.8)
    Test: test_vae.py::test_the_bound_by_its_definition_and_both_decompositions
    """
    x, mean, cov = finite(x=x, mean=mean, cov=cov)
    y, (*_, f, Vt) = _in_modes(x, decoder)
    wide = np.sqrt(1 + f**2)  # 1 / deviation of the posterior along each mode
    shift = mean @ (Vt.T * wide) - _fit(y, len(f)) * (f / wide)
    ratio = wide[:, None] * (Vt @ gaussian.symmetric_root(cov))
    square = (ratio**2).sum() - len(f) + (shift**2).sum(axis=-1)
    log_det = 2 * np.log(np.diagonal(gaussian.cholesky(cov))).sum()
    return 0.5 * (square - log_det - np.log1p(f**2).sum())


def reconstruction(x: Array, mean: Array, cov: Array, decoder: Decoder) -> Array:
    """How good the decoder is: elbo = reconstruction - prior_matching.

    E_q log p(x | z) = log N(x | C mean + v, R) - 1/2 tr(R^-1 C cov C^T),  R = decoder.cov
    x (..., d), mean (..., k), cov (k, k), which may be 0  ->  (...) nats
    Source: Chan v3 Thm 1.2, (1.10), Ex 1.5. Departs: Ex 1.5 has 1 for d.
    Test: test_vae.py::test_the_bound_by_its_definition_and_both_decompositions
    """
    x, mean, cov = finite(x=x, mean=mean, cov=cov)
    gaussian.symmetric_root(cov)  # refuses what is no covariance
    C, v, R = finite(C=decoder.C, v=decoder.v, cov=decoder.cov)
    at_mean = mean @ C.T + v  # x - C z - v has mean x - at_mean, covariance C cov C^T
    return gaussian.expected_logpdf(x, C @ cov @ C.T, at_mean, R)


def prior_matching(mean: Array, cov: Array) -> Array:
    """How far the code is from the prior: KL(N(mean, cov) || N(0, I)).

    mean (..., k), cov (k, k)  ->  (...) nats
    Source: Chan v3 Thm 1.2, (1.10)
    Test: test_vae.py::test_the_bound_by_its_definition_and_both_decompositions
    """
    mean, cov = finite(mean=mean, cov=cov)
    return gaussian.kl(mean, cov, np.zeros(len(cov)), np.eye(len(cov)))


def prior_kl(mean: Array, std: Scale) -> Array:
    """`prior_matching` for independent coordinates, each row with its own std.

    1/2 sum_i (mean_i^2 + std_i^2 - 1 - 2 log std_i)
    mean (..., k), std a number, (..., 1) or (..., k)  ->  (...) nats
    ValueError if a std is not above 0.
    Source: Chan v3 (1.26); Chan v3 Ex 1.6. Departs: (1.34) drops d in front of log std.
    Test: test_vae.py::test_prior_kl_is_the_divergence
    """
    (mean,), (std,) = finite(mean=mean), above_zero(std=std)
    if np.broadcast_shapes(mean.shape, std.shape) != mean.shape:
        raise ValueError(f"std must fit mean {mean.shape}; got shape {std.shape}")
    terms = mean**2 + (std - 1) * (std + 1) - 2 * np.log(std)
    return 0.5 * terms.sum(axis=-1)


def prior_kl_grad(mean: Array, std: Array) -> tuple[Array, Array]:
    """Gradient of `prior_kl` in mean and in std: mean and std - 1/std.

    Source: Chan v3 (1.27)
    Test: test_vae.py::test_prior_kl_gradient
    """
    (mean,), (std,) = finite(mean=mean), above_zero(std=std)
    return mean.copy(), std - 1 / std


def log_decoder(x: Array, at_z: Array, s: float) -> Array:
    """Log density of x under a decoder that puts N(f(z), s^2 I) around at_z = f(z).

    - ||x - f(z)||^2 / (2 s^2) - d/2 log(2 pi s^2)
    x, at_z (..., d)  ->  (...) nats
    Source: Chan v3 (1.3), (1.28)-(1.30)
    Test: test_vae.py::test_log_decoder_is_the_gaussian
    """
    (x, at_z), (s,) = vectors(x=x, at_z=at_z), above_zero(s=s)
    d = at_z.shape[-1]
    residual = (x - at_z) / s
    return -0.5 * ((residual**2).sum(axis=-1) + d * gaussian.LOG_2PI) - d * np.log(s)


def elbo_estimate(
    x: Array, decode: Callable, mean: Array, std: Array, eps: Array, s: float
) -> Array:
    """Monte Carlo estimate of the bound that a VAE is trained on, to be maximised.

    (1/M) sum_m log p(x | f(mean + std eps_m)) - prior_kl(mean, std)
    x (..., d), decode: f, mean and std (..., k), eps (M, ..., k)  ->  (...) nats
    Source: Chan v3 Thm 1.4, (1.31)-(1.33), (1.35). Departs: (1.35)
    prints + prior_kl, and all three drop -d/2 log 2 pi s^2.
    Test: test_vae.py::test_the_estimate_is_unbiased
    """
    if not len(eps):
        raise ValueError("eps must hold at least one draw")
    at_z = decode(reparameterise(mean, std, eps))
    return log_decoder(x, at_z, s).mean(axis=0) - prior_kl(mean, std)


def elbo_surface(t: Array, s: Array, sigma: float) -> Array:
    """Expected bound per dimension of Ex 1.6, with encoder std t and decoder std s.

    x ~ N(mu, sigma^2 I), q = N((x-mu)/sigma, t^2 I), p(x | z) = N(sigma z + mu, s^2 I):
    -1/2 log 2 pi - log s - (sigma t / s)^2 / 2 - t^2 / 2 + log t
    Along the ridge s = sigma t it is E log p(x) - t^2/2: its supremum lies at t -> 0.
    t, s above 0, which broadcast  ->  nats
    Source: Chan v3 Ex 1.6. Departs: it states the optimum t = 1, s = sigma, half a nat
    per dimension below the supremum.
    Test: test_vae.py::test_the_supremum_of_example_1_6_is_no_noise_at_all
    """
    t, s, sigma = above_zero(t=t, s=s, sigma=sigma)
    fit = -0.5 * gaussian.LOG_2PI - np.log(s) - 0.5 * (sigma * t / s) ** 2
    return fit - 0.5 * t**2 + np.log(t)


def reparameterise(mean: Array, std: Scale, eps: Array) -> Array:
    """Return z = mean + std eps, so that z ~ N(mean, diag(std^2)) where eps ~ N(0, I).

    mean, eps (..., k), std a number, (..., 1) or (..., k)  ->  (..., k)
    Source: Chan v3 Ex 1.7, (1.16)-(1.19), (1.21), (1.22), (1.24)
    Test: test_vae.py::test_reparameterised_noise_has_the_law
    """
    (mean, eps), (std,) = vectors(mean=mean, eps=eps), finite(std=std)
    return mean + std * eps


def reparameterise_full(mean: Array, cov: Array, eps: Array) -> Array:
    """Return z = mean + cov^(1/2) eps, so that z ~ N(mean, cov) where eps ~ N(0, I).

    mean, eps (..., k), cov (k, k)  ->  (..., k)
    ValueError if cov is not symmetric positive semidefinite.
    Source: Chan v3 (1.22)-(1.24)
    Test: test_vae.py::test_reparameterised_noise_has_the_law
    """
    (mean, eps), (cov,) = vectors(mean=mean, eps=eps), finite(cov=cov)
    return mean + eps @ gaussian.symmetric_root(cov)
