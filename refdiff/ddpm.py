"""Denoising diffusion probabilistic models: the forward law, its reversal, the loss.

x0 is data, x_t = signal x0 + noise eps after t steps. Functions named q_ are laws, and
return (mean, variance): the covariance is variance times the identity. `sched` is a
Schedule; t is an int or an int array (n,), one time a row. Each function refuses, with
a ValueError that names the argument, what is not finite and vectors of two dimensions.
"""

from collections.abc import Callable

import numpy as np

from refdiff._check import Array, vectors
from refdiff.chain import Chain
from refdiff.net import MLP
from refdiff.probe import tabulate
from refdiff.schedule import Schedule
from refdiff.targets import eps_from_score


def q_step(x_prev: Array, t: int | Array, sched: Schedule) -> tuple[Array, Array]:
    """Law of x_t given x_{t-1}.

    mean = sqrt(alpha[t]) x_prev,  var = 1 - alpha[t] = beta[t]
    x_prev (..., d), t in 1..T  ->  mean (..., d), var (..., 1)
    ValueError if t is outside 1..T.
    Source: Chan v3 Def 2.1, (2.1), (2.4), (2.7)
    Test: test_ddpm.py::test_q_marginal_is_t_fold_q_step
    """
    now, (x_prev,) = sched.at(t, first=1), vectors(x_prev=x_prev)
    return np.sqrt(now.alpha) * x_prev, now.beta


def q_marginal(x0: Array, t: int | Array, sched: Schedule) -> tuple[Array, Array]:
    """Law of x_t given x_0.

    mean = sqrt(alpha_bar[t]) x0,  var = 1 - alpha_bar[t]
    x0 (..., d), t in 0..T  ->  mean (..., d), var (..., 1)
    ValueError if t is outside 0..T.
    Source: Chan v3 Thm 2.2, (2.8), (2.10), (2.12)
    Test: test_ddpm.py::test_q_marginal_is_t_fold_q_step
    """
    now, (x0,) = sched.at(t), vectors(x0=x0)
    return now.signal * x0, now.noise2


def q_sample(x0: Array, t: int | Array, eps: Array, sched: Schedule) -> Array:
    """Return x_t made from x_0 and the noise eps in one shot.

    x_t = sqrt(alpha_bar[t]) x0 + sqrt(1 - alpha_bar[t]) eps
    x0, eps (..., d), t in 0..T  ->  (..., d)
    ValueError if t is outside 0..T.
    Source: Chan v3 (2.11). Departs: the training box prints no root on alpha_bar.
    Test: test_ddpm.py::test_q_sample_has_the_law_q_marginal
    """
    now, (x0, eps) = sched.at(t), vectors(x0=x0, eps=eps)
    return now.signal * x0 + now.noise * eps


def q_posterior(
    x0: Array, xt: Array, t: int | Array, sched: Schedule
) -> tuple[Array, Array]:
    """Law of x_{t-1} given x_t and x_0.

    mean = [(1-ab[t-1]) sqrt(a[t]) xt + (1-a[t]) sqrt(ab[t-1]) x0] / (1-ab[t])
    var  = (1-a[t]) (1-ab[t-1]) / (1-ab[t])
    x0, xt (..., d), t in 1..T  ->  mean (..., d), var (..., 1)
    ValueError if t is outside 1..T.
    Source: Chan v3 Thm 2.5, (2.24), (2.25), (2.32). Departs: (2.26) prints a root on
    ab[t-1].
    Test: test_ddpm.py::test_q_posterior_is_bayes_rule
    """
    x0, xt = vectors(x0=x0, xt=xt)
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    mean = before.noise2 * np.sqrt(now.alpha) * xt + now.beta * before.signal * x0
    return mean / now.noise2, now.beta * before.noise2 / now.noise2


def sigma_q(t: int | Array, sched: Schedule) -> Array:
    """Standard deviation of x_{t-1} given x_t and x_0; it is 0 at t = 1.

    sigma_q^2 = (1-a[t]) (1-ab[t-1]) / (1-ab[t])
    t in 1..T  ->  (..., 1)
    ValueError if t is outside 1..T.
    Source: Chan v3 (2.32). Departs: (2.26) prints a root on ab[t-1].
    Test: test_ddpm.py::test_q_posterior_is_bayes_rule
    """
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    return np.sqrt(now.beta * before.noise2 / now.noise2)


def mu_from_eps(xt: Array, t: int | Array, eps: Array, sched: Schedule) -> Array:
    """Mean of x_{t-1} given x_t and the noise that made it.

    [xt - (1-a[t]) / sqrt(1-ab[t]) eps] / sqrt(a[t])
    xt, eps (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0: no eps leads back from there.
    Source: Chan v3 (2.49)
    Test: test_ddpm.py::test_mean_from_eps_is_the_posterior_mean
    """
    now, (xt, eps) = sched.at(t, first=1), vectors(xt=xt, eps=eps)
    if (now.signal == 0).any():
        raise ValueError(f"eps says nothing of x_prev where alpha_bar[t] = 0 (t={t})")
    return (xt - now.beta / now.noise * eps) / np.sqrt(now.alpha)


def ddpm_step(xt: Array, t: int, eps_hat: Array, z: Array, sched: Schedule) -> Array:
    """One ancestral step, with the posterior's variance.

    x_prev = [xt - (1-a[t]) / sqrt(1-ab[t]) eps_hat] / sqrt(a[t]) + sigma_q(t) z
    xt, eps_hat, z (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t] = 0.
    Source: Chan v3 (2.52). Departs: its box says to compute x0_hat.
    Test: test_ddpm.py::test_law_of_the_chain_is_the_exact_recursion
    """
    return mu_from_eps(xt, t, eps_hat, sched) + sigma_q(t, sched) * z


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
    std = np.sqrt(sched.at(t, first=1).beta) * (np.asarray(t) > 1)[..., None]
    return mu_from_eps(xt, t, eps_hat, sched) + std * z


def ddpm_chain(sched: Schedule, step: Callable = ddpm_step) -> Chain:
    """Return the ancestral sampler as a Chain, from t = T down to 1.

    step: ddpm_step or ddpm_step_beta
    ValueError if alpha_bar reaches 0: no eps leads back from there.
    Source: Chan v3 (2.52); Ho20 Algorithm 2
    Test: test_ddpm.py::test_law_of_the_chain_is_the_exact_recursion
    """

    def at(t):
        level = sched.level(t)

        def one(x, z, model):
            eps_hat = eps_from_score(x, model(x, level), level.signal, level.noise)
            return step(x, t, eps_hat, z, sched)

        return one

    return tabulate([at(t) for t in range(sched.T, 0, -1)])


def q_chain(sched: Schedule) -> Chain:
    """Return the forward process as a Chain that asks no model, from t = 1 to T.

    x_t = sqrt(alpha[t]) x_{t-1} + sqrt(1-alpha[t]) z
    Source: Chan v3 (2.7)
    Test: test_ddpm.py::test_q_marginal_is_t_fold_q_step
    """

    def at(t):
        def one(x, z, model):
            mean, var = q_step(x, t, sched)
            return mean + np.sqrt(var) * z

        return one

    return tabulate([at(t) for t in range(1, sched.T + 1)])


def eps_loss(
    params: Array, net: MLP, x0: Array, t: Array, eps: Array, sched: Schedule
) -> tuple[float, Array]:
    """Squared error of the predicted noise, summed over d, averaged over the batch.

    loss = (1/n) sum_n ||eps_hat(x_t, t) - eps||^2,  x_t = signal x0 + noise eps
    params (size,), x0 and eps (n, d), t (n,) in 1..T  ->  loss, gradient (size,)
    ValueError if t is outside 1..T or the batch is empty.
    Source: Chan v3 2.5 training box; Ho20 (14)
    Test: test_ddpm.py::test_eps_loss_gradient
    """
    if not len(x0):
        raise ValueError("x0 must hold at least one point")
    sched.at(t, first=1)
    xt = q_sample(x0, t, eps, sched).astype(params.dtype, copy=False)
    eps_hat, cache = net.forward(params, xt, sched.label[t])
    error = eps_hat - eps
    dparams, _ = net.backward(cache, 2 / len(x0) * error)
    return float((error**2).sum() / len(x0)), dparams
