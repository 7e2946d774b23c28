"""Predicted-data writing: whole samplers, and the terms of the likelihood bound."""

import math
from itertools import pairwise

import numpy as np

from tests.writings.x0_form_sde import coefficients, marginal
from tests.writings.x0_form_solvers import (
    first_order,
    inner,
    leftover,
    rise,
    slope,
    toward,
    ve,
)
from tests.writings.x0_form_steps import (
    Level,
    ancestral_variance,
    data_of,
    level_of,
    score_of,
)
from tests.writings.x0_form_tables import (
    Array,
    array,
    even,
    number,
    posterior_parts,
    real,
    shares,
    variances,
)


def denoised(p: dict, x: Array, label: float, level: Level) -> Array:
    """x0_hat by the model."""
    return data_of(x, p["model"](x, label), p["target"], level)


def visits(p: dict) -> list:
    """(k, alpha_bar there, alpha_bar next) of a run, 1 after the last."""
    share, k = shares(p), p["timesteps"]
    next_share = [*share[k[1:]], real(p)(1)]
    return list(zip(k, share[k], next_share, strict=True))


def ddim_run(p: dict, x: Array, eta: float, z: Array) -> Array:
    """DDIM from x down all the visited times."""
    for i, (k, here, after) in enumerate(visits(p)):
        level, (a, s) = level_of(here), level_of(after)
        x0_hat = denoised(p, x, k, level)
        left = (x - level.signal * x0_hat) / level.noise
        fresh = eta * np.sqrt((1 - after) / (1 - here) * (1 - here / after))
        x = a * x0_hat + np.sqrt(s**2 - fresh**2) * left + fresh * z[i]
    return x


def ddim_sampler(p):
    return ddim_run(p, p["x"], number(p, "eta"), p["z"])


def img2img_sampler(p):
    a, s = level_of(shares(p)[p["timesteps"][0]])
    still = np.zeros((len(p["timesteps"]), 1, 1), real(p))
    return ddim_run(p, a * p["x0"] + s * p["eps"], real(p)(0), still)


def ddpm_sampler(p):
    x = p["x"]
    for i, (k, here, after) in enumerate(visits(p)):
        x0_hat = denoised(p, x, k, level_of(here))
        of_x0, of_x, small = posterior_parts(here, after)
        x = of_x0 * x0_hat + of_x * x
        if after < 1:
            variance = ancestral_variance(p, small, 1 - here / after)
            x = x + np.sqrt(variance) * p["z"][i]
    return x


def dpmpp_2m_sampler(p):
    x, old, old_level = p["x"], None, None
    for k, here, after in visits(p):
        level, to = level_of(here), level_of(after)
        x0_hat = denoised(p, x, k, level)
        data = x0_hat
        if old is not None and after < 1:
            share = rise(level, to) / rise(old_level, level)
            data = x0_hat + share * (x0_hat - old) / 2
        x = first_order(x, data, level, to)
        old, old_level = x0_hat, level
    return x


def euler_run(p: dict, x: Array, levels: Array) -> Array:
    """Euler's steps in sigma."""
    for sigma, to in pairwise(levels):
        x = toward(x, denoised(p, x, sigma, ve(sigma)), sigma, to)
    return x


def heun_run(p: dict, x: Array, levels: Array) -> Array:
    """Heun's steps in sigma, Euler's to 0."""
    for sigma, to in pairwise(levels):
        x0_hat = denoised(p, x, sigma, ve(sigma))
        end = toward(x, x0_hat, sigma, to)
        if to > 0:
            turned = slope(end, denoised(p, end, to, ve(to)), to)
            end = x + (to - sigma) / 2 * (slope(x, x0_hat, sigma) + turned)
        x = end
    return x


def euler_sampler(p):
    return euler_run(p, p["x"], array(p, "sigmas"))


def heun_sampler(p):
    return heun_run(p, p["x"], array(p, "sigmas"))


def flow_euler_sampler(p):
    x = p["x"]
    for s, to in pairwise(array(p, "sigmas")):
        x = toward(x, denoised(p, x, s, Level(1 - s, s)), s, to)
    return x


def langevin_sampler(p):
    x, tau, sigma = p["x"], number(p, "tau"), number(p, "sigma")
    for z in p["z"]:
        score = score_of(x, denoised(p, x, sigma, ve(sigma)), ve(sigma))
        x = x + tau * score + np.sqrt(2 * tau) * z
    return x


def pc_sampler(p):
    x, z, size = p["x"], iter(p["z"]), number(p, "size")
    for sigma, to in pairwise(array(p, "sigmas")):
        fall = sigma**2 - to**2
        score = score_of(x, denoised(p, x, sigma, ve(sigma)), ve(sigma))
        x = x + fall * score + np.sqrt(fall) * next(z)
        tau = size * to**2
        for _ in range(p["corrections"]):
            fresh = np.sqrt(2 * tau) * next(z)
            if to > 0:
                score = score_of(x, denoised(p, x, to, ve(to)), ve(to))
                x = x + tau * score + fresh
    return x


def seen_score(p: dict, x: Array, t: float) -> Array:
    """The score of the data predicted at t of a process."""
    level = marginal(p, t)
    return score_of(x, denoised(p, x, t, level), level)


def reverse_sde_sampler(p):
    x = p["x"]
    for (t, to), z in zip(pairwise(array(p, "times")), p["z"], strict=True):
        a, g2 = coefficients(p, t)
        drift = a * x - g2 * seen_score(p, x, t)
        x = x + (to - t) * drift + np.sqrt(g2 * (t - to)) * z
    return x


def flow_ode_sampler(p):
    x = p["x"]
    for t, to in pairwise(array(p, "times")):
        a, g2 = coefficients(p, t)
        x = x + (to - t) * (a * x - g2 / 2 * seen_score(p, x, t))
    return x


def ended_at(p: dict, run) -> Array:
    """End points of a run over the grid of each number of steps."""
    grids = [np.asarray(p["grids"][str(n)], real(p)) for n in p["steps"]]
    return np.array([run(p, p["x"], grid) for grid in grids])


def euler_order(p):
    return ended_at(p, euler_run)


def heun_order(p):
    return ended_at(p, heun_run)


def solver_2_run(p: dict, x: Array, grid: Array) -> Array:
    """DPM-Solver-2 with its inner point in the middle."""
    for here, to in pairwise([ve(s) for s in grid]):
        x0_hat, h = denoised(p, x, here.noise, here), rise(here, to)
        middle = inner(p, here, h / 2)
        x_middle = first_order(x, x0_hat, here, middle)
        bend = left_at(p, x_middle, middle) - slope(x, x0_hat, here.noise)
        x = first_order(x, x0_hat, here, to) - to.noise * np.expm1(h) * bend
    return x


def left_at(p: dict, x: Array, level: Level) -> Array:
    """The noise that the data predicted at x leave."""
    return leftover(x, p["model"](x, level.noise), p["target"], level)


def solver_3_run(p: dict, x: Array, grid: Array) -> Array:
    """DPM-Solver-3 with its inner points at the thirds."""
    for here, to in pairwise([ve(s) for s in grid]):
        x0_hat, h = denoised(p, x, here.noise, here), rise(here, to)
        one, two = inner(p, here, h / 3), inner(p, here, 2 * h / 3)
        left = slope(x, x0_hat, here.noise)
        bend = left_at(p, first_order(x, x0_hat, here, one), one) - left
        phi = np.expm1(2 * h / 3) / (2 * h / 3) - 1
        x_two = first_order(x, x0_hat, here, two) - 2 * two.noise * phi * bend
        bend = left_at(p, x_two, two) - left
        phi = np.expm1(h) / h - 1
        x = first_order(x, x0_hat, here, to) - 3 / 2 * to.noise * phi * bend
    return x


def dpm_solver_2_order(p):
    return ended_at(p, solver_2_run)


def dpm_solver_3_order(p):
    return ended_at(p, solver_3_run)


def multistep_run(p: dict, x: Array, grid: Array) -> Array:
    """DPM-Solver++(2M), its first step of order 1."""
    old, before = None, None
    for here, to in pairwise([ve(s) for s in grid]):
        x0_hat = denoised(p, x, here.noise, here)
        data = x0_hat
        if old is not None:
            share = rise(here, to) / rise(before, here)
            data = x0_hat + share * (x0_hat - old) / 2
        x = first_order(x, data, here, to)
        old, before = x0_hat, here
    return x


def dpmpp_2m_order(p):
    return ended_at(p, multistep_run)


def samples(p):
    """Heun from wide noise down a grid that is even in sigma^(1/7)."""
    f, d = real(p), len(p["law"]["means"][0])
    x = np.random.default_rng(2024).standard_normal((p["n"], d)).astype(f)
    grid = even(p["sigma_max"] ** (1 / 7), 0.002 ** (1 / 7), 40, f) ** 7
    return heun_run(p, grid[0] * x, np.append(grid, f(0)))


def elbo_terms(p):
    share, f, x0 = shares(p), real(p), p["x0"]
    last, d = share[-1], x0.shape[1]
    prior_kl = (last * x0**2 - last - np.log(1 - last)).sum(-1) / 2
    kl = np.array([step_kl(p, share, k) for k in range(1, len(share))])
    beta_0 = variances(p["schedule"], f)[0]
    off = ((x0 - predicted(p, share, 0)) ** 2).sum(-1)
    reconstruction = -off / (2 * beta_0) - d / 2 * np.log(f(2 * math.pi) * beta_0)
    return {
        "prior_kl": prior_kl,
        "kl": kl,
        "reconstruction": reconstruction,
        "elbo": reconstruction - prior_kl - kl.sum(0),
    }


def predicted(p: dict, share: Array, k: int) -> Array:
    """x0_hat at the k-th entry's x_k."""
    a, s = level = level_of(share[k])
    xk = a * p["x0"] + s * p["eps"][k]
    return data_of(xk, p["eps_hat"][k], "eps", level)


def step_kl(p: dict, share: Array, k: int) -> Array:
    """KL of the posterior given x0 from the one given x0_hat, in nats, (n)."""
    of_x0, _, own = posterior_parts(share[k], share[k - 1])
    other = own if p["variance"] == "small" else 1 - share[k] / share[k - 1]
    off = (of_x0 * (p["x0"] - predicted(p, share, k))) ** 2
    ratio = own / other
    return (off / other + ratio - 1 - np.log(ratio)).sum(-1) / 2
