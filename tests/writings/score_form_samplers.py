"""Whole runs in score form over a falling list of sigmas or timesteps."""

import itertools

import numpy as np

from tests.writings import score_form_exponential as exponential
from tests.writings.score_form_levels import denoise, family, score_of, ve, visited, vp
from tests.writings.score_form_sigma import (
    euler_step,
    heun_step,
    langevin_step,
    reverse_diffusion_step,
    velocity,
)


def _score(p, x, sigma):
    """The score at x and sigma, asked of the model."""
    return score_of(p["target"], p["model"](x, sigma), x, ve(sigma))


def _pairs(levels):
    return itertools.pairwise(levels)


def _euler_run(p, x, sigmas):
    for at, to in _pairs(sigmas):
        x = euler_step(x, _score(p, x, at), at, to)
    return x


def _heun_run(p, x, sigmas):
    for at, to in _pairs(sigmas):
        score = _score(p, x, at)
        end = euler_step(x, score, at, to)
        x = end if to == 0 else heun_step(x, score, _score(p, end, to), at, to)
    return x


def _dpm_solver_2_run(p, x, sigmas):
    for at, to in _pairs(sigmas):
        score, middle = _score(p, x, at), np.sqrt(at * to)
        u = exponential.first_order(x, score, ve(at), ve(middle))
        change = middle * _score(p, u, middle) - at * score
        x = exponential.second_order(x, score, change, ve(at), ve(to), p["real"](0.5))
    return x


def _dpm_solver_3_run(p, x, sigmas):
    r_1, r_2 = p["real"](1 / 3), p["real"](2 / 3)
    for at, to in _pairs(sigmas):
        one, two = (at ** (1 - r) * to**r for r in (r_1, r_2))
        score = _score(p, x, at)
        u = exponential.first_order(x, score, ve(at), ve(one))
        change = one * _score(p, u, one) - at * score
        u = exponential.third_order_mid(x, score, change, ve(at), ve(two), r_1, r_2)
        change = two * _score(p, u, two) - at * score
        x = exponential.third_order(x, score, change, ve(at), ve(to), r_2)
    return x


def _dpmpp_2m_run(p, x, sigmas):
    levels = [ve(s) for s in sigmas]
    return _multistep(x, levels, lambda x, i: _score(p, x, sigmas[i]))


def _multistep(x, levels, score_at):
    """DPM-Solver++(2M), whose first step, and one to no noise, is of order 1."""
    before = None
    for i, (at, to) in enumerate(_pairs(levels)):
        x0 = held = denoise(score_at(x, i), x, at)
        if i > 0 and to[1] > 0:
            rises = exponential.rise(levels[i - 1], at), exponential.rise(at, to)
            held = exponential.extrapolated(x0, before, *rises)
        x, before = exponential.data_step(x, held, at, to), x0
    return x


def _ends(p, run):
    """Where a run ends, for each number of steps."""
    return np.stack([run(p, p["x"], p["grids"][str(n)]) for n in p["steps"]])


@family
def euler_order(p):
    return _ends(p, _euler_run)


@family
def heun_order(p):
    return _ends(p, _heun_run)


@family
def dpm_solver_2_order(p):
    return _ends(p, _dpm_solver_2_run)


@family
def dpm_solver_3_order(p):
    return _ends(p, _dpm_solver_3_run)


@family
def dpmpp_2m_order(p):
    return _ends(p, _dpmpp_2m_run)


@family
def euler_sampler(p):
    return _euler_run(p, p["x"], p["sigmas"])


@family
def heun_sampler(p):
    return _heun_run(p, p["x"], p["sigmas"])


@family
def dpmpp_2m_sampler(p):
    levels = [vp(bar) for bar in visited(p)]

    def score_at(x, i):
        output = p["model"](x, int(p["timesteps"][i]))
        return score_of(p["target"], output, x, levels[i])

    return _multistep(p["x"], levels, score_at)


@family
def flow_euler_sampler(p):
    x = p["x"]
    for at, to in _pairs(p["sigmas"]):
        x = x + (to - at) * velocity(p, p["model"](x, at), x, at)
    return x


@family
def langevin_sampler(p):
    x = p["x"]
    for z in p["z"]:
        x = langevin_step(x, _score(p, x, p["sigma"]), p["tau"], z)
    return x


@family
def pc_sampler(p):
    x, noise = p["x"], iter(p["z"])
    for at, to in _pairs(p["sigmas"]):
        x = reverse_diffusion_step(x, _score(p, x, at), at, to, next(noise))
        for _ in range(p["corrections"] if to > 0 else 0):
            x = langevin_step(x, _score(p, x, to), p["size"] * to**2, next(noise))
    return x


@family
def samples(p):
    """Heun over 40 of EDM's levels, from noise alone."""
    d, rng = len(p["law"]["means"][0]), np.random.default_rng(20)
    root = np.linspace(p["sigma_max"] ** (1 / 7), 0.002 ** (1 / 7), 40)
    sigmas = np.append(root**7, 0).astype(p["real"])
    start = p["sigma_max"] * rng.standard_normal((p["n"], d)).astype(p["real"])
    return _heun_run(p, start, sigmas)
