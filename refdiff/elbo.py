"""The variational bound of a diffusion model, term by term.

Exactly where every step is linear and Gaussian, q(x_t | x_{t-1}) by a Schedule and
p(x_{t-1} | x_t) by a Reverse; and by Monte Carlo for any model. All terms are in nats,
for each x0 (..., d), and every E is under q given x0.
Every function refuses, with a ValueError that names it, what is not finite.

How near the bound comes depends on the schedule. Levels even in log SNR close the gap as
1/T. Equal betas near the data do not: there log SNR falls by log(t/(t-1)) at step t
whatever T is, and with variance sigma_q^2 half of Euler's constant, 0.289 nats a
dimension, is left.
"""

from typing import NamedTuple

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, finite, positive, vectors
from refdiff.ddpm import mu_from_x0
from refdiff.forward import q_marginal, q_posterior, q_sample, sigma_q
from refdiff.losses import weight_elbo
from refdiff.mixture import Mixture
from refdiff.schedule import Schedule
from refdiff.targets import X0, Model, ask
from refdiff.vae import log_decoder, prior_kl


class Reverse(NamedTuple):
    """p(x_{t-1} | x_t) = N(A[t] x_t + b[t], cov[t]) for t = 1..T, and p(x_T) = N(0, I).

    A (T+1, d, d), b (T+1, d), cov (T+1, d, d); entry 0 is not used.
    """

    A: Array
    b: Array
    cov: Array


class Terms(NamedTuple):
    """bound = reconstruction - prior - sum of consistency, each (...) for x0 (..., d).

    consistency (T+1, ...): entry t belongs to time t, and is 0 where the sum has none.
    """

    reconstruction: Array
    prior: Array
    consistency: Array

    @property
    def bound(self) -> Array:
        """The evidence lower bound, (...).

        Source: Chan v3 (2.17)
        Test: test_elbo.py::test_theorem_2_4_is_the_expected_log_ratio
        """
        return self.reconstruction - self.prior - self.consistency.sum(axis=0)


def gaussian_reverse(
    mean: Array, cov: Array, sched: Schedule, var_1: float | None = None
) -> Reverse:
    """Return the reverse process of a DDPM whose x0_hat is exact for N(mean, cov) data.

    x0_hat = E[x0 | x_t] = mean + signal cov S^-1 (x_t - signal mean),
    S = signal^2 cov + noise^2 I; p(x_{t-1} | x_t) = N(mu_q(x_t, x0_hat), sigma_q^2 I),
    with variance var_1 at t = 1, where sigma_q = 0: beta[1] unless given
    ValueError if cov is no covariance or var_1 not above 0.
    Source: Chan v3 (2.34)-(2.36), (2.41); Ho20 3.2 for beta
    Test: test_elbo.py::test_the_bound_of_gaussian_data_comes_near_the_log_likelihood
    """
    var_1 = sched.beta[1] if var_1 is None else var_1
    positive(var_1=var_1)
    law = Mixture(np.ones(1), np.asarray(mean)[None], np.asarray(cov)[None])
    points = np.concatenate([np.zeros((1, law.d)), np.eye(law.d)])
    A, b = np.zeros((sched.T + 1, law.d, law.d)), np.zeros((sched.T + 1, law.d))
    var = np.ones(sched.T + 1)
    for t in range(1, sched.T + 1):
        x0_hat = law.denoise(points, sched.signal[t], sched.noise[t])
        mu = mu_from_x0(points, t, x0_hat, sched)  # at 0, then at the unit vectors
        A[t], b[t], var[t] = (mu[1:] - mu[0]).T, mu[0], sigma_q(t, sched)[0] ** 2
    var[1] = var_1
    return Reverse(A, b, var[:, None, None] * np.eye(law.d))


def elbo_terms(x0: Array, reverse: Reverse, sched: Schedule) -> Terms:
    """Terms of the bound, each exact; its consistency runs backwards as p does.

    E log p(x0 | x_1) - KL(q(x_T | x0) || p(x_T))
    - sum_{t=2}^T E KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t))
    x0 (..., d)  ->  Terms
    Source: Chan v3 Thm 2.4, (2.18)-(2.22), (2.33)
    Test: test_elbo.py::test_theorem_2_4_is_the_expected_log_ratio
    """
    x0 = _checked(x0, reverse, sched)
    A, b, cov = reverse  # mu_q - mu_p is affine in x_t, so that E KL is exact
    one, zero = np.eye(x0.shape[-1]), np.zeros(x0.shape[-1])
    consistency = np.zeros((sched.T + 1, *x0.shape[:-1]))
    for t in range(2, sched.T + 1):
        mean, var = q_marginal(x0, t, sched)
        at_mean, var_q = q_posterior(x0, mean, t, sched)
        of_xt = q_posterior(0 * zero, one, t, sched)[0] - A[t]
        shift = at_mean - mean @ A[t].T - b[t]  # E of mu_q - mu_p; its spread is next
        spread = var * of_xt @ of_xt.T + var_q * one
        log_p = gaussian.expected_logpdf(shift, spread, zero, cov[t])
        consistency[t] = -gaussian.entropy(var_q * one) - log_p
    return Terms(_reconstruction(x0, reverse, sched), _prior(x0, sched), consistency)


def _checked(x0, reverse, sched):
    """x0 as an array, if it, the reverse process and the schedule fit together."""
    (x0,) = vectors(x0=x0)
    want = (sched.T + 1, x0.shape[-1])
    if reverse.b.shape != want:
        raise ValueError(
            f"x0 {x0.shape} and T = {sched.T} need a Reverse with b {want}; "
            f"got shape {reverse.b.shape}"
        )
    return x0


def _prior(x0, sched):
    """KL(q(x_T | x0) || N(0, I))."""
    return prior_kl(sched.signal[-1] * x0, np.full(x0.shape, sched.noise[-1]))


def _reconstruction(x0, reverse, sched):
    """E log p(x0 | x_1) under q(x_1 | x0)."""
    A, b, cov = (part[1] for part in reverse)
    mean, var = q_marginal(x0, 1, sched)
    return gaussian.expected_logpdf(x0, var * A @ A.T, mean @ A.T + b, cov)


def elbo_terms_forward(
    x0: Array, reverse: Reverse, sched: Schedule, printed: bool = False
) -> Terms:
    """Terms of the bound as Thm 2.3 cuts it, with the consistency term that is right.

    E log p(x0 | x_1) - E KL(q(x_T | x_{T-1}) || p(x_T))
    - sum_{t=1}^{T-1} E log q(x_t | x_{t-1}) / p(x_t | x_{t+1}),  E over three neighbours
    printed: the KL of (2.14) instead, where x_t knows nothing of x_{t+1}; no bound then
    x0 (..., d)  ->  Terms
    Source: Chan v3 Thm 2.3, (2.15). Departs: (2.14) and (2.16) print a KL.
    Test: test_elbo.py::test_the_repaired_theorem_2_3_is_the_expected_log_ratio
    """
    x0 = _checked(x0, reverse, sched)
    one, zero = np.eye(x0.shape[-1]), np.zeros(x0.shape[-1])
    consistency = np.zeros((sched.T + 1, *x0.shape[:-1]))
    for t in range(1, sched.T):
        A, b, cov = (part[t + 1] for part in reverse)
        root, beta = np.sqrt(sched.alpha[t + 1]), sched.beta
        mean, var = q_marginal(x0, t, sched)
        back = one - root * A  # x_t - A x_{t+1} = back x_t - A (new noise)
        spread = var * back @ back.T + beta[t + 1] * A @ A.T
        if printed:  # a second x_t, drawn from x_{t-1} apart from the one x_{t+1} saw
            spread = spread + beta[t] * root * (A + A.T)
        log_p = gaussian.expected_logpdf(mean @ back.T - b, spread, zero, cov)
        consistency[t] = -gaussian.entropy(beta[t] * one) - log_p
    mean, var = q_marginal(x0, sched.T, sched)
    log_prior = gaussian.expected_logpdf(mean, var * one, zero, one)
    prior = -gaussian.entropy(sched.beta[-1] * one) - log_prior
    return Terms(_reconstruction(x0, reverse, sched), prior, consistency)


def log_likelihood(x0: Array, reverse: Reverse) -> Array:
    """Log of p(x0), the reverse process run from N(0, I) with every x_t integrated out.

    x0 (..., d)  ->  (...) nats
    Source: Chan v3 Thm 2.8, (2.17)
    Test: test_elbo.py::test_the_gap_of_the_bound_is_the_divergence_of_the_paths
    """
    d = reverse.b.shape[1]
    gaussian.cholesky(*finite(cov=reverse.cov[1:]))  # refuses what is no covariance
    mean, cov = np.zeros(d), np.eye(d)
    for t in range(len(reverse.b) - 1, 0, -1):
        A, b, noise = (part[t] for part in reverse)
        mean, cov = gaussian.marginal(A, b, mean, cov, noise)
    return gaussian.logpdf(x0, mean, (cov + cov.T) / 2)


def mean_kl(mu_q: Array, mu_hat: Array, t: int | Array, sched: Schedule) -> Array:
    """Divergence of the posterior from a step with its variance and another mean.

    KL(N(mu_q, sigma_q^2 I) || N(mu_hat, sigma_q^2 I)) = ||mu_q - mu_hat||^2 / (2 sigma_q^2)
    mu_q, mu_hat (..., d), t in 2..T  ->  (...) nats
    ValueError if t is outside 2..T.
    Source: Chan v3 Thm 2.6, (2.37)-(2.39)
    Test: test_elbo.py::test_mean_kl_is_the_divergence
    """
    sched.at(t, first=2)
    mu_q, mu_hat = vectors(mu_q=mu_q, mu_hat=mu_hat)
    return (((mu_q - mu_hat) / sigma_q(t, sched)) ** 2).sum(axis=-1) / 2


def ddpm_elbo(
    x0: Array,
    model: Model,
    eps: Array,
    sched: Schedule,
    var_1: float | None = None,
) -> Terms:
    """Bound of a DDPM with any model, one draw of noise for each point and time.

    log N(x0 | x0_hat(x_1), var_1 I) - KL(q(x_T | x0) || N(0, I))
    - sum_{t=2}^T (SNR[t-1] - SNR[t]) / 2 ||x0_hat(x_t) - x0||^2
    x0 (n, d), model as in `Chain.run`, eps (T, n, d), var_1 beta[1] unless given -> Terms
    Source: Chan v3 Thm 2.7, (2.38), (2.43)-(2.46); Ho20 3.2 for beta. Departs: (2.44)
    lets the variance at t = 1 be sigma_q^2 = 0.
    Test: test_elbo.py::test_the_estimate_agrees_with_the_exact_terms
    """
    (x0, eps) = finite(x0=x0, eps=eps)
    if x0.ndim != 2 or eps.shape != (sched.T, *x0.shape):
        shapes = f"{x0.shape} and {eps.shape}"
        raise ValueError(f"x0 must be (n, d) and eps ({sched.T}, n, d); got {shapes}")
    var_1 = sched.beta[1] if var_1 is None else var_1
    positive(var_1=var_1)
    consistency = np.zeros((sched.T + 1, len(x0)))
    for t in range(1, sched.T + 1):
        xt = q_sample(x0, t, eps[t - 1], sched)
        x0_hat = ask(model, xt, t, sched, X0)
        if t == 1:
            reconstruction = log_decoder(x0, x0_hat, np.sqrt(var_1))
        else:
            error2 = ((x0_hat - x0) ** 2).sum(axis=-1)
            consistency[t] = weight_elbo(t, sched)[0] * error2
    return Terms(reconstruction, _prior(x0, sched), consistency)
