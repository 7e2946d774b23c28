"""The forward process: data is turned into noise, one law for every question.

x0 is data, x_t = signal x0 + noise eps after t steps. Functions named q_ are laws, and
return (mean, variance): the covariance is variance times the identity. `sched` is a
Schedule; t is an int or an int array (n,), one time a row. Each function refuses, with
a ValueError that names the argument, what is not finite and vectors of two dimensions.
"""

from operator import index

import numpy as np

from refdiff._check import Array, finite, vectors
from refdiff.chain import Chain
from refdiff.probe import tabulate
from refdiff.schedule import Schedule


def iterated_law(a: float, b: float, t: int) -> tuple[float, float]:
    """Law of x_t = a x_{t-1} + b eps after t steps from x_0: factor of x_0, variance.

    a^t  and  b^2 (1 - a^{2t}) / (1 - a^2), which is b^2 t where |a| = 1
    The limit is N(0, I) for every x_0 if and only if |a| < 1 and b^2 = 1 - a^2.
    ValueError if t < 0, an argument is not finite, or a^(2t) exceeds e^700.
    Source: Chan v3 Thm 2.1, (2.3), (2.5), (2.6). Departs: Thm 2.1 says that a = sqrt(alpha)
    is necessary; -sqrt(alpha) does as well.
    Test: test_ddpm.py::test_iterated_law_is_the_iteration
    """
    (a, b), t = finite(a=a, b=b), index(t)
    log_a2 = 2 * np.log(abs(a)) if a else -np.inf
    if t < 0 or t * log_a2 > 700:
        raise ValueError(
            f"t must be at least 0, and a^t within range; got a={a}, t={t}"
        )
    if log_a2 == 0 or t == 0:
        return float(a) ** t, float(b) ** 2 * t
    return float(a) ** t, float(b**2 * np.expm1(t * log_a2) / np.expm1(log_a2))


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
    Source: Chan v3 Thm 2.2, (2.8)-(2.10), (2.12)
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
    Source: Chan v3 Thm 2.5, (2.20), (2.23)-(2.25), (2.27)-(2.32), Fig 2.10, Fig 2.11.
    Departs: (2.26) prints a root on ab[t-1], (2.28) no minus in the exponent.
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


def q_chain(sched: Schedule) -> Chain:
    """Return the forward process as a Chain that asks no model, from t = 1 to T.

    x_t = sqrt(alpha[t]) x_{t-1} + sqrt(1-alpha[t]) z
    Source: Chan v3 (2.7), Fig 2.7, (4.13), Ex 4.6, Fig 4.5
    Test: test_ddpm.py::test_q_marginal_is_t_fold_q_step
    """

    def at(t):
        def one(x, z, model):
            mean, var = q_step(x, t, sched)
            return mean + np.sqrt(var) * z

        return one

    return tabulate([at(t) for t in range(1, sched.T + 1)])
