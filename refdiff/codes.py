"""Codes that need no training: a cosine basis, a mixture's label, a Gaussian's unit.

z is the code. Every function refuses, with a ValueError that names it, an argument that
is not finite.
"""

from operator import index

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, above_zero, finite
from refdiff.mixture import Mixture


def dct_basis(d: int) -> Array:
    """Orthonormal cosine basis: rows phi_n, so that z = phi x and x = phi^T z.

    phi[n, m] = sqrt((2 - [n=0]) / d) cos(pi n (m + 1/2) / d)
    d int  ->  (d, d)
    Source: Chan v3 Ex 1.1
    Test: test_vae.py::test_the_cosine_basis_is_a_lossless_code
    """
    d = index(d)
    n, m = np.arange(d)[:, None], np.arange(d)
    return np.sqrt((2 - (n == 0)) / d) * np.cos(np.pi * n * (m + 0.5) / d)


def encode_component(x: Array, law: Mixture) -> Array:
    """Most probable component of a mixture given x: its encoder.

    argmax_k p(k | x)
    x (..., d)  ->  (...) ints in 0..K-1
    Source: Chan v3 Def 1.1, Ex 1.2
    Test: test_vae.py::test_a_mixture_is_an_autoencoder
    """
    return law.responsibilities(x).argmax(axis=-1)


def decode_component(k: Array, eps: Array, law: Mixture) -> Array:
    """Draw from component k of a mixture: its decoder.

    x = means[k] + covs[k]^(1/2) eps
    k (n,) ints, eps (n, d)  ->  (n, d)
    Source: Chan v3 Ex 1.2
    Test: test_vae.py::test_a_mixture_is_an_autoencoder
    """
    (eps,), K = finite(eps=eps), len(law.weights)
    if eps.shape[-1:] != (law.d,) or not ((0 <= k) & (k < K)).all():
        raise ValueError(f"eps must be (n, {law.d}) and k in 0..{K - 1}; got {k}")
    roots = np.array([gaussian.symmetric_root(cov) for cov in law.covs])
    return law.means[k] + np.einsum("nij,nj->ni", roots[k], eps)


def ideal_code(x: Array, mu: Array, sigma: float) -> Array:
    """Latent of x ~ N(mu, sigma^2 I) without loss, z = (x - mu) / sigma.

    Source: Chan v3 Ex 1.3, Ex 1.4, (1.9)
    Test: test_vae.py::test_the_ideal_code_is_the_limit_of_no_noise
    """
    (x, mu), (sigma,) = finite(x=x, mu=mu), above_zero(sigma=sigma)
    return (x - mu) / sigma


def ideal_decode(z: Array, mu: Array, sigma: float) -> Array:
    """Data of the latent z, the inverse of `ideal_code`: x = mu + sigma z.

    Source: Chan v3 Ex 1.3, Ex 1.5, (1.11)
    Test: test_vae.py::test_the_ideal_code_is_the_limit_of_no_noise
    """
    z, mu, sigma = finite(z=z, mu=mu, sigma=sigma)
    return mu + sigma * z


def elbo_discrete(x: Array, q: Array, law: Mixture) -> Array:
    """Evidence lower bound of the latent k = 0..K-1 of a mixture, for any q(k | x).

    sum_k q[k] (log p(x, k) - log q[k]),  with 0 log 0 = 0
    x (..., d), q (..., K) of rows with sum 1  ->  (...) nats
    ValueError if q is no distribution.
    Source: Chan v3 Ex 1.2, (1.4)
    Test: test_vae.py::test_the_bound_of_a_discrete_latent
    """
    (q,) = finite(q=q)
    if q.shape[-1:] != law.weights.shape:
        raise ValueError(f"q must be (..., {len(law.weights)}); got shape {q.shape}")
    if (q < 0).any() or (abs(q.sum(axis=-1) - 1) > 1e-9).any():
        raise ValueError("q must be at least 0, with sum 1 in each row")
    log_q = np.log(np.where(q > 0, q, 1))
    return (q * (law.log_joint(x) - log_q)).sum(axis=-1)
