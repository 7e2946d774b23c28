"""Langevin sampling: gradient ascent on log p, noise that keeps it moving, its errors.

score is grad log p at x. A step of size tau has noise sqrt(2 tau); its bias is of order
tau, and is known exactly on Gaussians. Metropolis adjustment removes it. Each function
refuses, with a ValueError that names it, what is not finite and steps below 0.
"""

from collections.abc import Callable, Iterator
from operator import index

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, above_zero, finite, generator, positive, vectors
from refdiff.chain import Chain
from refdiff.probe import tabulate
from refdiff.schedule import Level


def ascent_step(x: Array, score: Array, tau: float) -> Array:
    """One step of gradient ascent on log p: x + tau score.

    x, score (..., d)  ->  (..., d)
    Source: Chan v3 3.1
    Test: test_langevin.py::test_ascent_climbs_to_the_mode
    """
    x, score = vectors(x=x, score=score)
    return x + _at_least_0(tau=tau) * score


def _at_least_0(**number):
    """Return a number that must be finite and at least 0, or refuse it by its name."""
    ((name, value),) = number.items()
    if not (np.ndim(value) == 0 and np.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0; got {value}")
    return value


def langevin_step(x: Array, score: Array, tau: float, z: Array) -> Array:
    """One step of the Langevin equation: x + tau score + sqrt(2 tau) z.

    x, score, z (..., d), tau >= 0  ->  (..., d)
    Source: Chan v3 Def 3.1, Ex 3.1, (3.1), (3.8)
    Test: test_langevin.py::test_the_chain_has_the_exact_law_on_gaussians
    """
    x, score, z = vectors(x=x, score=score, z=z)
    tau = _at_least_0(tau=tau)
    return x + tau * score + np.sqrt(2 * tau) * z


def annealed_step(x: Array, score: Array, alpha: float, z: Array) -> Array:
    """One step at a noise level, as NCSN writes it: x + (alpha/2) score + sqrt(alpha) z.

    It is `langevin_step` with tau = alpha / 2.
    x, score, z (..., d)  ->  (..., d)
    Source: Chan v3 Box 3.3 inference; SongE19 Algorithm 1
    Test: test_langevin.py::test_an_annealed_step_is_a_langevin_step
    """
    x, score, z = vectors(x=x, score=score, z=z)
    alpha = _at_least_0(alpha=alpha)
    return x + alpha / 2 * score + np.sqrt(alpha) * z


def sgld_step(
    theta: Array, prior_grad: Array, grads: Array, N: int, eps: float, z: Array
) -> Array:
    """One step of stochastic gradient Langevin dynamics on a posterior.

    theta + eps/2 (prior_grad + (N/n) sum_i grads[i]) + sqrt(eps) z
    theta, prior_grad (..., d), grads (n, ..., d): of log p(y_i | theta) for a minibatch
    of n out of N, z (..., d) standard normal  ->  (..., d)
    Source: Welling11 (4); Chan v3 3.1 in its remark. Departs: its noise has variance 1
    where eps belongs.
    Test: test_langevin.py::test_sgld_reaches_the_posterior_as_the_step_vanishes
    """
    theta, prior_grad, z = vectors(theta=theta, prior_grad=prior_grad, z=z)
    (grads,), eps = finite(grads=grads), _at_least_0(eps=eps)
    if not len(grads) or grads.shape[1:] != theta.shape or index(N) < len(grads):
        raise ValueError(
            f"grads must be (n, *{theta.shape}) with 1 <= n <= N = {N}; "
            f"got shape {grads.shape}"
        )
    drift = prior_grad + N / len(grads) * grads.sum(axis=0)
    return theta + eps / 2 * drift + np.sqrt(eps) * z


def langevin_chain(tau: float, steps: int, noise: float = 0.0) -> Chain:
    """Return Langevin sampling of the data noised by `noise` as a Chain.

    Every row asks the score at level (1, noise).
    tau > 0, steps >= 1
    Source: Chan v3 (3.1), (3.8), Ex 3.2, Ex 3.3, Fig 3.2, Fig 3.3, Fig 3.4
    Test: test_langevin.py::test_the_chain_has_the_exact_law_on_gaussians
    """
    positive(tau=tau)
    level = Level(1.0, float(_at_least_0(noise=noise)), 0.0)

    def one(x, z, model):
        return langevin_step(x, model(x, level), tau, z)

    steps, row = _at_least_1(steps), tabulate([one])
    return Chain(*(np.repeat(part, steps, axis=0) for part in vars(row).values()))


def annealed_chain(sigma: Array, eps: float, steps: int) -> Chain:
    """Return annealed Langevin sampling as a Chain, from the largest noise to the least.

    `steps` steps with alpha[i] = eps sigma[i]^2 / sigma[0]^2 at each level i = L..1
    sigma (L,) rising, sigma[0] being level 1, as t does; eps > 0
    ValueError if sigma does not rise from above 0.
    Source: Chan v3 Box 3.3 inference; SongE19 Algorithm 1. Departs: the box lacks eps in
    alpha, and numbers the levels from the largest.
    Test: test_langevin.py::test_annealing_brings_the_mode_weights_back
    """
    (sigma,) = above_zero(sigma=sigma)
    positive(eps=eps)
    if sigma.ndim != 1 or not sigma.size or (np.diff(sigma) <= 0).any():
        raise ValueError(f"sigma must be (L,) and rise; got {sigma}")

    def at(i):
        level = Level(1.0, float(sigma[i]), float(i + 1))
        alpha = eps * (sigma[i] / sigma[0]) ** 2

        def one(x, z, model):
            return annealed_step(x, model(x, level), alpha, z)

        return one

    order = np.repeat(np.arange(len(sigma))[::-1], _at_least_1(steps))
    return tabulate([at(i) for i in order])


def _at_least_1(steps):
    if index(steps) < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    return steps


def ladder(sigma_1: float, sigma_L: float, L: int) -> Array:
    """Noise levels sigma[1..L] in geometric progression, from least to largest.

    sigma_1 (sigma_L / sigma_1)^((i-1)/(L-1))
    0 < sigma_1 < sigma_L, L > 1; or one level, sigma_1 = sigma_L  ->  (L,)
    Source: Chan v3 (3.13) for the constant ratio; SongE19 4.1
    Test: test_langevin.py::test_the_ladder_has_one_ratio
    """
    positive(sigma_1=sigma_1, sigma_L=sigma_L)
    if not (sigma_1 < sigma_L and index(L) > 1 or sigma_1 == sigma_L and L == 1):
        raise ValueError(
            f"sigma_1 must be below sigma_L and L above 1; got {sigma_1}, {sigma_L}, {L}"
        )
    return np.geomspace(sigma_1, sigma_L, L)


def langevin_law(
    mean0: Array, cov0: Array, mean: Array, cov: Array, t: float
) -> tuple[Array, Array]:
    """Law at time t of the continuous Langevin equation dx = score dt + sqrt(2) dw.

    D = exp(-t cov^-1):  mean + D (mean0 - mean),  cov + D (cov0 - cov) D
    It starts as N(mean0, cov0) where p = N(mean, cov), solves the Fokker-Planck
    equation (3.2) and has p for its limit.  t >= 0  ->  mean (d,), cov (d, d)
    ValueError if cov is singular or t below 0.
    Source: Chan v3 Thm 3.1, (3.2)
    Test: test_langevin.py::test_the_law_solves_the_fokker_planck_equation
    """
    mean0, cov0, mean, cov = finite(mean0=mean0, cov0=cov0, mean=mean, cov=cov)
    gaussian.cholesky(cov)  # refuses what is no covariance
    gaussian.symmetric_root(cov0)
    if not mean0.shape == mean.shape == cov.shape[:1] or cov0.shape != cov.shape:
        raise ValueError(
            f"means must be (d,) and covs (d, d); got shapes {mean0.shape}, "
            f"{cov0.shape}, {mean.shape}, {cov.shape}"
        )
    _at_least_0(t=t)
    value, U = np.linalg.eigh(cov)
    decay = U * np.exp(-t / value) @ U.T
    return mean + decay @ (mean0 - mean), cov + decay @ (cov0 - cov) @ decay


def stationary_cov(cov: Array, tau: float) -> Array:
    """Covariance that Langevin steps of size tau keep, where p = N(mean, cov).

    cov (I - tau/2 cov^-1)^-1, in one dimension sigma^2 / (1 - tau / (2 sigma^2))
    cov (d, d)  ->  (d, d), above cov by about tau/2 I
    ValueError if tau >= 2 min eigenvalue of cov: the steps diverge.
    Source: definition
    Test: test_langevin.py::test_the_stationary_law_is_a_fixed_point_of_the_step
    """
    (cov,) = finite(cov=cov)
    positive(tau=tau)
    gaussian.cholesky(cov)  # refuses what is no covariance
    value, U = np.linalg.eigh(cov)
    if tau >= 2 * value[0]:
        raise ValueError(f"tau must be below {2 * value[0]} here; got {tau}")
    return U * (value / (1 - tau / (2 * value))) @ U.T


def sgld_variance(precision: float, grad_var: float, eps: float) -> float:
    """Variance that SGLD keeps at a constant step, where log p is -precision theta^2/2.

    [eps + (eps/2)^2 grad_var] / [1 - (1 - eps precision / 2)^2]
    grad_var: variance of the minibatch's estimate of the gradient, 0 for the full batch
    ValueError if eps precision >= 4: the steps diverge.
    Source: Welling11 (4)
    Test: test_langevin.py::test_sgld_at_a_constant_step_inflates_the_variance
    """
    positive(precision=precision, eps=eps)
    _at_least_0(grad_var=grad_var)
    rate = eps * precision / 2
    if rate >= 2:
        raise ValueError(f"eps must be below {4 / precision} here; got {eps}")
    return (eps + (eps / 2) ** 2 * grad_var) / (rate * (2 - rate))


def mala_step(
    x: Array,
    logpdf: Callable[[Array], Array],
    score: Callable[[Array], Array],
    tau: float,
    z: Array,
    u: Array,
) -> tuple[Array, Array]:
    """One Metropolis-adjusted Langevin step: a proposal that p's balance may refuse.

    x' = langevin_step(x);  accepted where log u < log p(x') q(x | x') - log p(x) q(x' | x),
    q(x' | x) = N(x + tau score(x), 2 tau I): p is left exactly as it is
    x, z (n, d), u (n,) uniform in (0, 1)  ->  next x (n, d), accepted (n,)
    Source: Roberts96 for the method
    Test: test_langevin.py::test_metropolis_adjustment_keeps_the_law
    """
    positive(tau=tau)
    (x, z), (u,) = vectors(x=x, z=z), finite(u=u)
    if x.ndim != 2 or z.shape != x.shape or u.shape != (len(x),):
        shapes = f"{x.shape}, {z.shape} and {u.shape}"
        raise ValueError(f"x and z must be (n, d), u (n,); got {shapes}")
    if not ((u > 0) & (u < 1)).all():
        raise ValueError("u must be between 0 and 1")
    proposal = langevin_step(x, score(x), tau, z)
    back = (x - proposal - tau * score(proposal)) / np.sqrt(2 * tau)
    rise = logpdf(proposal) - logpdf(x)
    if np.shape(rise) != (len(x),):
        raise ValueError(f"logpdf must return ({len(x)},); got shape {np.shape(rise)}")
    log_ratio = rise + ((z**2).sum(-1) - (back**2).sum(-1)) / 2
    accepted = np.log(u) < log_ratio
    return np.where(accepted[:, None], proposal, x), accepted


def mala(
    x: Array,
    logpdf: Callable[[Array], Array],
    score: Callable[[Array], Array],
    tau: float,
    rng: np.random.Generator,
) -> Iterator[tuple[Array, Array]]:
    """Yield the states of Metropolis-adjusted Langevin, and what was accepted, forever.

    x (n, d)  ->  iterator over (n, d) and (n,)
    Source: Roberts96 for the method
    Test: test_langevin.py::test_metropolis_adjustment_keeps_the_law
    """
    generator(rng)
    positive(tau=tau)
    return _mala(x, logpdf, score, tau, rng)


def _mala(x, logpdf, score, tau, rng):
    while True:
        z, u = rng.standard_normal(x.shape), rng.uniform(1e-300, 1, len(x))
        x, accepted = mala_step(x, logpdf, score, tau, z, u)
        yield x, accepted
