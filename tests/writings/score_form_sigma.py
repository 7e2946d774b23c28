"""Steps in sigma in score form, x = x0 + sigma eps: the flow is dx/dsigma = -sigma score.

The straight flow x = (1 - s) x0 + s eps stands at the end.
"""

import numpy as np

from tests.writings.score_form_levels import (
    alpha_bars,
    family,
    predict,
    score_of,
    ve,
)


def score_at(p, output, x, sigma):
    """The score of what a model says at x and sigma."""
    return score_of(p["target"], output, x, ve(sigma))


def ends(p):
    """sigma of a step, and the next."""
    return p["sigmas"][p["index"]], p["sigmas"][p["index"] + 1]


def euler_step(x, score, at, to):
    return x + (at - to) * at * score


def heun_step(x, score, score_2, at, to):
    """With the mean of both ends' slopes; score_2 was asked at the Euler end."""
    return x + (at - to) * (at * score + to * score_2) / 2


@family
def euler(p):
    at, to = ends(p)
    return euler_step(p["x"], score_at(p, p["output"], p["x"], at), at, to)


@family
def euler_ancestral(p):
    at, to = ends(p)
    up = p["eta"] * to / at * np.sqrt((at - to) * (at + to))
    down = np.sqrt(to**2 - up**2)
    score = score_at(p, p["output"], p["x"], at)
    return euler_step(p["x"], score, at, down) + up * p["z"]


def _heun(p, x, at, to):
    """From x at `at`; what the second answer belongs to is the Euler end."""
    score = score_at(p, p["output"], x, at)
    end = euler_step(x, score, at, to)
    if to == 0:
        return end
    return heun_step(x, score, score_at(p, p["output_2"], end, to), at, to)


@family
def heun(p):
    return _heun(p, p["x"], *ends(p))


@family
def edm_heun(p):
    at, to = ends(p)
    inside = p["s_min"] <= at <= p["s_max"]
    most = np.sqrt(p["real"](2)) - 1
    gamma = min(p["churn"] / (len(p["sigmas"]) - 1), most) if inside else p["real"](0)
    hat = at * (1 + gamma)
    noised = p["x"] + at * np.sqrt(gamma * (2 + gamma)) * p["s_noise"] * p["z"]
    return _heun(p, noised, hat, to)


@family
def dpm2(p):
    at, to = ends(p)
    score = score_at(p, p["output"], p["x"], at)
    if to == 0:
        return euler_step(p["x"], score, at, to)
    middle = np.sqrt(at * to)
    half = euler_step(p["x"], score, at, middle)
    score_2 = score_at(p, p["output_2"], half, middle)
    return p["x"] + (at - to) * middle * score_2


@family
def lms(p):
    at, to = ends(p)
    order = min(p["order"], p["index"] + 1)
    levels = p["sigmas"][p["index"] - order + 1 : p["index"] + 1]
    past = list(p["history"])[len(p["history"]) - order + 1 :]
    asked = [*past, (p["x"], p["output"])]
    slopes = [
        -s * score_at(p, output, x, s)
        for (x, output), s in zip(asked, levels, strict=True)
    ]
    shares = _lagrange_integrals(levels - at, to - at)
    return p["x"] + sum(w * slope for w, slope in zip(shares, slopes, strict=True))


def _lagrange_integrals(nodes, end):
    """Integral over 0..end of each polynomial that is 1 at its node, 0 at the others."""
    return [
        _integral(np.delete(nodes, j), end) / np.prod(n - np.delete(nodes, j))
        for j, n in enumerate(nodes)
    ]


def _integral(roots, end):
    """Integral over 0..end of the product of (u - root)."""
    powers, none = np.ones(1, roots.dtype), np.zeros(1, roots.dtype)
    for root in roots:  # falling powers of u
        powers = np.append(powers, none) - root * np.append(none, powers)
    over = np.arange(len(powers), 0, -1).astype(roots.dtype)
    return sum(c / n * end ** int(n) for c, n in zip(powers, over, strict=True))


# Langevin and predictors.


def langevin_step(x, score, tau, z):
    return x + tau * score + np.sqrt(2 * tau) * z


@family
def langevin(p):
    return langevin_step(p["x"], p["score"], p["tau"], p["z"])


@family
def annealed_langevin(p):
    sigma, last = p["sigmas"][p["index"]], p["sigmas"][-1]
    score = score_at(p, p["output"], p["x"], sigma)
    return langevin_step(p["x"], score, p["eps"] * (sigma / last) ** 2 / 2, p["z"])


def _mean_length(rows):
    return np.linalg.norm(rows, axis=1).mean()


@family
def langevin_corrector(p):
    alpha = alpha_bars(p)[p["k"]] if "schedule" in p else 1
    ratio = p["r"] * _mean_length(p["z"]) / _mean_length(p["score"])
    return langevin_step(p["x"], p["score"], 2 * alpha * ratio**2, p["z"])


def reverse_diffusion_step(x, score, at, to, z):
    fall = (at - to) * (at + to)
    return x + fall * score + np.sqrt(fall) * z


@family
def reverse_diffusion_ve(p):
    at, to = ends(p)
    score = score_at(p, p["output"], p["x"], at)
    return reverse_diffusion_step(p["x"], score, at, to, p["z"])


# The straight flow: its velocity is -noise score - x0.


def velocity(p, output, x, s):
    score, x0 = predict(p["target"], output, x, (1 - s, s))
    return -s * score - x0


@family
def flow_euler(p):
    at, to = ends(p)
    return p["x"] + (to - at) * velocity(p, p["output"], p["x"], at)


@family
def flow_heun(p):
    at, to = ends(p)
    slope = velocity(p, p["output"], p["x"], at)
    end = p["x"] + (to - at) * slope
    if to == 0:
        return end
    return p["x"] + (to - at) * (slope + velocity(p, p["output_2"], end, to)) / 2
