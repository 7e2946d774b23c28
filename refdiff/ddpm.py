"""Denoising diffusion probabilistic models: the mean and the step of the reversal.

Functions named mu_ give the mean of x_{t-1} from x_t and what a network predicts; a
step adds the noise. `sched` is a Schedule; t is an int or an int array (n,), one time a
row. Each function refuses, with a ValueError that names the argument, what is not
finite and vectors of two dimensions.
"""

from collections.abc import Callable

import numpy as np

from refdiff._check import Array, finite, vectors
from refdiff.chain import Chain
from refdiff.forward import q_posterior, q_sample, sigma_q
from refdiff.probe import tabulate
from refdiff.schedule import Schedule
from refdiff.targets import EPS, Target, ask


def mu_from_eps(xt: Array, t: int | Array, eps: Array, sched: Schedule) -> Array:
    """Mean of x_{t-1} given x_t and the noise that made it.

    [xt - (1-a[t]) / sqrt(1-ab[t]) eps] / sqrt(a[t])
    xt, eps (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0: no eps leads back from there.
    Source: Chan v3 (2.49), (2.50)
    Test: test_ddpm.py::test_mean_from_eps_is_the_posterior_mean
    """
    now, (xt, eps) = _leads_back(t, sched), vectors(xt=xt, eps=eps)
    return (xt - now.beta / now.noise * eps) / np.sqrt(now.alpha)


def mu_from_x0(xt: Array, t: int | Array, x0: Array, sched: Schedule) -> Array:
    """Mean of x_{t-1} given x_t and x_0, which is `q_posterior`'s.

    xt, x0 (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T.
    Source: Chan v3 (2.39)-(2.41)
    Test: test_ddpm.py::test_every_prediction_gives_the_posterior_mean
    """
    return q_posterior(x0, xt, t, sched)[0]


def mu_from_v(xt: Array, t: int | Array, v: Array, sched: Schedule) -> Array:
    """Mean of x_{t-1} given x_t and v = signal eps - noise x0.

    sqrt(a[t]) xt - (1-a[t]) sqrt(ab[t-1]) / sqrt(1-ab[t]) v
    xt, v (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T.
    Source: Salimans22 D with Chan v3 (2.25)
    Test: test_ddpm.py::test_every_prediction_gives_the_posterior_mean
    """
    xt, v = vectors(xt=xt, v=v)
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    return np.sqrt(now.alpha) * xt - now.beta * before.signal / now.noise * v


def mu_from_score(xt: Array, t: int | Array, score: Array, sched: Schedule) -> Array:
    """Mean of x_{t-1} given x_t and the score -eps / noise.

    (xt + (1-a[t]) score) / sqrt(a[t])
    xt, score (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0.
    Source: Song21 (4)
    Test: test_ddpm.py::test_every_prediction_gives_the_posterior_mean
    """
    now, (xt, score) = _leads_back(t, sched), vectors(xt=xt, score=score)
    return (xt + now.beta * score) / np.sqrt(now.alpha)


def _leads_back(t, sched):
    """Row of t, refused where eps and the score say nothing of x0."""
    now = sched.at(t, first=1)
    if (now.signal == 0).any():
        raise ValueError(f"eps says nothing of x_prev where alpha_bar[t] = 0 (t={t})")
    return now


def _moved(mu_hat, std, z):
    """x_prev = mu_hat + std z."""
    mu_hat, z = vectors(mu_hat=mu_hat, z=z)
    return mu_hat + std * z


def ddpm_step(xt: Array, t: int, eps_hat: Array, z: Array, sched: Schedule) -> Array:
    """One ancestral step from the predicted noise, with the posterior's variance.

    x_prev = [xt - (1-a[t]) / sqrt(1-ab[t]) eps_hat] / sqrt(a[t]) + sigma_q(t) z
    xt, eps_hat, z (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0.
    Source: Chan v3 (2.51), (2.52), (2.60), Box 2.5 inference. Departs: the box says to
    compute x0_hat.
    Test: test_ddpm.py::test_law_of_the_chain_is_the_exact_recursion
    """
    return _moved(mu_from_eps(xt, t, eps_hat, sched), sigma_q(t, sched), z)


def ddpm_step_x0(xt: Array, t: int, x0_hat: Array, z: Array, sched: Schedule) -> Array:
    """One ancestral step from the predicted x0, with the posterior's variance.

    x_prev = [(1-ab[t-1]) sqrt(a[t]) xt + (1-a[t]) sqrt(ab[t-1]) x0_hat] / (1-ab[t])
             + sigma_q(t) z
    xt, x0_hat, z (..., d), t in 1..T  ->  (..., d);  it holds at alpha_bar[t] = 0 too
    ValueError if t is outside 1..T.
    Source: Chan v3 (2.34)-(2.36), (2.48), Box 2.4 inference
    Test: test_ddpm.py::test_every_target_gives_one_table
    """
    return _moved(mu_from_x0(xt, t, x0_hat, sched), sigma_q(t, sched), z)


def ddpm_step_v(xt: Array, t: int, v_hat: Array, z: Array, sched: Schedule) -> Array:
    """One ancestral step from the predicted v: mu_from_v + sigma_q(t) z.

    Source: Salimans22 D with Chan v3 (2.48)
    Test: test_ddpm.py::test_every_target_gives_one_table
    """
    return _moved(mu_from_v(xt, t, v_hat, sched), sigma_q(t, sched), z)


def ddpm_step_score(
    xt: Array, t: int, score: Array, z: Array, sched: Schedule
) -> Array:
    """One ancestral step from the score: mu_from_score + sigma_q(t) z.

    Source: Song21 (4) with Chan v3 (2.32) for the variance
    Test: test_ddpm.py::test_every_target_gives_one_table
    """
    return _moved(mu_from_score(xt, t, score, sched), sigma_q(t, sched), z)


def ddpm_step_mean(
    xt: Array, t: int, mu_hat: Array, z: Array, sched: Schedule
) -> Array:
    """One ancestral step from the predicted mean itself: mu_hat + sigma_q(t) z.

    Source: Chan v3 (2.34)
    Test: test_ddpm.py::test_every_target_gives_one_table
    """
    return _moved(mu_hat, sigma_q(t, sched), z)


def ddpm_step_beta(
    xt: Array, t: int, eps_hat: Array, z: Array, sched: Schedule
) -> Array:
    """One ancestral step, with the forward step's variance; no noise at t = 1.

    x_prev = [xt - (1-a[t]) / sqrt(1-ab[t]) eps_hat] / sqrt(a[t]) + sqrt(1-a[t]) z
    xt, eps_hat, z (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0.
    Source: Ho20 Algorithm 2 and 3.2
    Test: test_ddpm.py::test_law_of_the_chain_is_the_exact_recursion
    """
    return ddpm_step_learned(xt, t, eps_hat, 1.0, z, sched)


def learned_var(share: Array, t: int | Array, sched: Schedule) -> Array:
    """Variance of p(x_{t-1} | x_t) that a network sets between its two bounds.

    exp(share log beta[t] + (1 - share) log sigma_q^2(t)),  sigma_q^2(1) := sigma_q^2(2)
    share (..., d) or a number: 0 gives sigma_q^2, 1 gives beta, and a network may go
    beyond; t in 1..T
    ValueError if t is outside 1..T. With T = 1 both bounds are beta[1].
    Source: Nichol21 (15)
    Test: test_ddpm.py::test_learned_variance_lies_between_its_bounds
    """
    beta, (share,) = sched.at(t, first=1).beta, finite(share=share)
    low = beta if sched.T == 1 else sigma_q(np.maximum(t, 2), sched) ** 2
    return beta**share * low ** (1 - share)


def ddpm_step_learned(
    xt: Array, t: int, eps_hat: Array, share: Array, z: Array, sched: Schedule
) -> Array:
    """One ancestral step with `learned_var` for its variance; no noise at t = 1.

    xt, eps_hat, z (..., d), share (..., d) or a number, t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0.
    Source: Nichol21 (15)
    Test: test_ddpm.py::test_learned_variance_lies_between_its_bounds
    """
    std = np.sqrt(learned_var(share, t, sched)) * (np.asarray(t) > 1)[..., None]
    return _moved(mu_from_eps(xt, t, eps_hat, sched), std, z)


MEAN = Target(
    "mean",
    lambda x0, eps, t, sched: mu_from_x0(q_sample(x0, t, eps, sched), t, x0, sched),
    lambda xt, x0, t, sched: mu_from_x0(xt, t, x0, sched),
    lambda xt, score, t, sched: mu_from_score(xt, t, score, sched),
    lambda xt, mu, t, sched: x0_from_mu(xt, t, mu, sched),
)


def x0_from_mu(xt: Array, t: int | Array, mu: Array, sched: Schedule) -> Array:
    """Return the x0 whose posterior mean of x_{t-1} is mu; the inverse of mu_from_x0.

    [(1-ab[t]) mu - (1-ab[t-1]) sqrt(a[t]) xt] / [(1-a[t]) sqrt(ab[t-1])]
    xt, mu (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t-1] = 0.
    Source: Chan v3 (2.25) solved for x0
    Test: test_ddpm.py::test_every_prediction_gives_the_posterior_mean
    """
    xt, mu = vectors(xt=xt, mu=mu)
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    if (before.signal == 0).any():
        raise ValueError(f"mu says nothing of x0 where alpha_bar[t-1] = 0 (t={t})")
    left = now.noise2 * mu - before.noise2 * np.sqrt(now.alpha) * xt
    return left / (now.beta * before.signal)


def ddpm_chain(
    sched: Schedule, step: Callable = ddpm_step, target: Target = EPS
) -> Chain:
    """Return the ancestral sampler as a Chain, from t = T down to 1.

    step(xt, t, prediction, z, sched), and the target that it is given
    ValueError if alpha_bar reaches 0 and the target leads nowhere from there.
    Source: Chan v3 (2.48), (2.52); Ho20 Algorithm 2
    Test: test_ddpm.py::test_law_of_the_chain_is_the_exact_recursion
    """

    def at(t):
        def one(x, z, model):
            return step(x, t, ask(model, x, t, sched, target), z, sched)

        return one

    return tabulate([at(t) for t in range(sched.T, 0, -1)])
