"""Exponential integrators of the probability flow: DPM-Solver 1 to 3 and ++(2M).

In y = x / signal and lam = log(signal / noise) the flow is
dy/dlam = -exp(-lam) eps_hat: the linear part is solved exactly, and only eps_hat, or
x0_hat, is expanded in lam. A step goes from level `now` to level `then`,
h = lam_then - lam_now > 0. model(x, level) returns the score;
eps_hat = -noise score and x0_hat = (x + noise^2 score) / signal.
"""

from itertools import pairwise
from math import factorial

import numpy as np

from refdiff._check import Array, alike
from refdiff.chain import Chain
from refdiff.probe import tabulate
from refdiff.reversal import between, falling
from refdiff.schedule import Level
from refdiff.sde import SDE
from refdiff.targets import Model, eps_from_score, x0_from_score


def _rise(now, then):
    """Width h of a step in log(signal / noise); infinite if it ends without noise."""
    with np.errstate(divide="ignore"):
        return np.log(then.signal / now.signal) - np.log(then.noise / now.noise)


def _weight(now, then):
    """noise_then (e^h - 1), as -signal_then noise_now / signal_now expm1(-h)."""
    return -then.signal * now.noise / now.signal * np.expm1(-_rise(now, then))


def _eps(model, x, level):
    return eps_from_score(x, model(x, level), level.signal, level.noise)


def dpm_step(x: Array, eps: Array, now: Level, then: Level) -> Array:
    """DPM-Solver-1, which is DDIM with eta = 0; `then` may have no noise.

    x_then = (signal_then / signal_now) x - noise_then (e^h - 1) eps
    x, eps (..., d)  ->  (..., d)
    Source: Lu22 (3.7)
    Test: test_exponential.py::test_the_first_order_step_is_ddim
    """
    x, eps = alike(x=x, eps=eps)
    return then.signal / now.signal * x - _weight(now, then) * eps


def dpm2_step(x: Array, now: Level, mid: Level, then: Level, model: Model) -> Array:
    """DPM-Solver-2, whose slope is taken at `mid`, halfway in lam.

    u = dpm_step(x, now -> mid);  x_then = dpm_step(x, now -> then) with eps(u, mid)
    x (..., d)  ->  (..., d)
    Source: Lu22 Algorithm 1
    Test: test_exponential.py::test_each_is_exact_on_constants_and_order_3_on_lines
    """
    u = dpm_step(x, _eps(model, x, now), now, mid)
    return dpm_step(x, _eps(model, u, mid), now, then)


def dpm3_step(
    x: Array, now: Level, third: Level, second: Level, then: Level, model: Model
) -> Array:
    """DPM-Solver-3, with slopes at one third and at two thirds in lam.

    slope(h) = noise ((e^h - 1)/h - 1),  r = 2/3, from now on:
    u1 = dpm_step(x, third);  u2 = dpm_step(x, second) - 2 slope(r h) (eps(u1) - eps(x))
    x_then = dpm_step(x, then) - (slope(h) / r) (eps(u2) - eps(x))
    In u2 the factor of eps(x) is O(h^2), the difference of two O(h): taken as one.
    x (..., d)  ->  (..., d)
    Source: Lu22 Algorithm 2
    Test: test_exponential.py::test_each_is_exact_on_constants_and_order_3_on_lines
    """
    eps = _eps(model, x, now)
    u1 = dpm_step(x, eps, now, third)
    h, turn = _rise(now, second), _eps(model, u1, third)
    still = second.noise * h**2 * (_phi(2, h) - 2 * _phi(3, h))
    u2 = second.signal / now.signal * x - still * eps - 2 * _slope(now, second) * turn
    rise = _eps(model, u2, second) - eps
    return dpm_step(x, eps, now, then) - 3 / 2 * _slope(now, then) * rise


def _slope(now, then):
    """noise_then ((e^h - 1)/h - 1): the weight of a slope in lam, times h."""
    h = _rise(now, then)
    return then.noise * h * _phi(2, h)


def _phi(k, h):
    """phi_k(h) = sum_j h^j / (j + k)!, so e^h less its first k terms, over h^k."""
    if h > 700:
        raise ValueError(
            f"a step of {h} in log(signal / noise) is too wide for order 3"
        )
    if abs(h) < 1:
        return sum(h**j / factorial(j + k) for j in range(20))
    return np.exp(h) if k == 0 else (_phi(k - 1, h) - 1 / factorial(k - 1)) / h


def dpmpp_step(x: Array, x0: Array, now: Level, then: Level) -> Array:
    """DPM-Solver-1 from x0_hat, the same map; where `then` has no noise it is x0_hat.

    x_then = (noise_then / noise_now) x - signal_then (e^-h - 1) x0
    x, x0 (..., d)  ->  (..., d)
    Source: Lu23 Algorithm 1 at order 1
    Test: test_exponential.py::test_the_first_order_step_is_ddim
    """
    (x, x0), h = alike(x=x, x0=x0), _rise(now, then)
    return then.noise / now.noise * x - then.signal * np.expm1(-h) * x0


def dpmpp_2m_step(
    x: Array, x0: Array, x0_last: Array, last: Level, now: Level, then: Level
) -> Array:
    """DPM-Solver++(2M): x0_hat at mid-step, on the line in lam through the last two.

    dpmpp_step with x0 + (x0 - x0_last) h / (2 h_last), h_last the step from last to now
    x, x0, x0_last (..., d)  ->  (..., d)
    Source: Lu23 Algorithm 2
    Test: test_exponential.py::test_each_is_exact_on_constants_and_order_3_on_lines
    """
    ahead = _rise(now, then) / (2 * _rise(last, now))
    return dpmpp_step(x, x0 + ahead * (x0 - x0_last), now, then)


def dpm_chain(sde: SDE, grid: Array, order: int = 1) -> Chain:
    """Return DPM-Solver of order 1, 2 or 3 on a falling grid of times as a Chain.

    grid (N+1,) may end at t = 0 without noise: the last step is then of order 1
    ValueError for another order, or if the grid does not fall.
    Source: Lu22 Algorithm 1 and 2
    Test: test_exponential.py::test_orders_on_the_probability_flow
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order must be 1, 2 or 3; got {order}")

    def at(t, t_next):
        now, then = sde.level(t), sde.level(t_next)
        if order == 1 or then.noise == 0:
            return lambda x, z, model: dpm_step(x, _eps(model, x, now), now, then)
        solve = dpm2_step if order == 2 else dpm3_step
        inner = [between(sde, t, t_next, k / order) for k in range(1, order)]
        return lambda x, z, model: solve(x, now, *inner, then, model)

    return tabulate([at(*pair) for pair in pairwise(falling(grid))])


def dpmpp_2m_chain(sde: SDE, grid: Array) -> Chain:
    """Return DPM-Solver++(2M) on a falling grid of times as a Chain.

    Of order 1 are the first step, one after a step too short to draw a line through,
    and the last where it ends without noise.
    Source: Lu23 Algorithm 2
    Test: test_exponential.py::test_orders_on_the_probability_flow
    """
    levels = [sde.level(t) for t in falling(grid)]

    def at(k):
        last, now, then = levels[max(k - 1, 0)], *levels[k : k + 2]
        alone = then.noise == 0 or _rise(last, now) <= 1e-9 * abs(_rise(now, then))

        def one(x, z, model, x0_last):
            x0 = x0_from_score(x, model(x, now), now.signal, now.noise)
            if alone:
                return dpmpp_step(x, x0, now, then), x0
            return dpmpp_2m_step(x, x0, x0_last, last, now, then), x0

        return one

    return tabulate([at(k) for k in range(len(levels) - 1)], history=1)
