"""DPM-Solver's single steps with inner points anywhere, in float64.

In lam = log(signal / noise) an inner level stands at a fraction r of a step's rise h.
With r = 1/2, and 1/3 and 2/3, they are those of `refdiff.exponential`.
"""

import numpy as np

from refdiff._check import Array
from refdiff.exponential import dpm_step, dpmpp_step
from refdiff.schedule import Level
from refdiff.targets import Model, eps_from_score, x0_from_score


def rise(now: Level, then: Level) -> float:
    """Width of a step in log(signal / noise)."""
    return float(np.log(then.signal / now.signal) - np.log(then.noise / now.noise))


def _eps(model, x, at):
    return eps_from_score(x, model(x, at), at.signal, at.noise)


def _x0(model, x, at):
    return x0_from_score(x, model(x, at), at.signal, at.noise)


def dpm2_step(x: Array, now: Level, mid: Level, then: Level, model: Model) -> Array:
    """DPM-Solver-2: eps_hat at half the rise, on the line through two.

    u = dpm_step(x, now -> mid);  dpm_step(x, now -> then) with eps + (eps(u) - eps) / (2 r)
    x (..., d)  ->  (..., d)
    """
    r = rise(now, mid) / rise(now, then)
    eps = _eps(model, x, now)
    eps_2 = _eps(model, dpm_step(x, eps, now, mid), mid)
    return dpm_step(x, eps + (eps_2 - eps) / (2 * r), now, then)


def dpm_line(x: Array, eps: Array, change: Array, now: Level, then: Level) -> Array:
    """Exact step for eps_hat on a line in lam, eps at its start, eps + change at its end.

    dpm_step(x, now -> then) - noise_then ((e^h - 1) / h - 1) change
    x, eps, change (..., d)  ->  (..., d)
    """
    h = rise(now, then)
    return dpm_step(x, eps, now, then) - then.noise * (np.expm1(h) / h - 1) * change


def dpm3_step(
    x: Array, now: Level, first: Level, second: Level, then: Level, model: Model
) -> Array:
    """DPM-Solver-3: each point by the line through eps_hat at the start and the point before.

    r_1, r_2: where first and second stand
    x (..., d)  ->  (..., d)
    """
    h = rise(now, then)
    r_1, r_2 = rise(now, first) / h, rise(now, second) / h
    eps = _eps(model, x, now)
    turn = _eps(model, dpm_step(x, eps, now, first), first) - eps
    u = dpm_line(x, eps, r_2 / r_1 * turn, now, second)
    return dpm_line(x, eps, (_eps(model, u, second) - eps) / r_2, now, then)


def dpmpp_2s_step(x: Array, now: Level, mid: Level, then: Level, model: Model) -> Array:
    """DPM-Solver++(2S): x0_hat at half the rise, on the line through two.

    u = dpmpp_step(x, now -> mid);  dpmpp_step(x, now -> then) with x0 + (x0(u) - x0) / (2 r)
    x (..., d)  ->  (..., d)
    """
    r = rise(now, mid) / rise(now, then)
    x0 = _x0(model, x, now)
    x0_2 = _x0(model, dpmpp_step(x, x0, now, mid), mid)
    return dpmpp_step(x, x0 + (x0_2 - x0) / (2 * r), now, then)
