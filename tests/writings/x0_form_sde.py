"""Predicted-data writing: Langevin steps, and stochastic differential equations."""

import math
from itertools import pairwise

import numpy as np

from tests.writings.x0_form_solvers import ends, seen_at, ve
from tests.writings.x0_form_steps import Level, data_of, level_of, score_of
from tests.writings.x0_form_tables import (
    Array,
    array,
    number,
    real,
    shares,
    variances,
)


def langevin(p):
    tau = number(p, "tau")
    return p["x"] + tau * p["score"] + np.sqrt(2 * tau) * p["z"]


def annealed_langevin(p):
    sigma = array(p, "sigmas")
    here, last = sigma[p["index"]], sigma[-1]
    alpha = number(p, "eps") * (here / last) ** 2
    score = score_of(p["x"], seen_at(p, p["x"], "output", here), ve(here))
    return p["x"] + alpha / 2 * score + np.sqrt(alpha) * p["z"]


def langevin_corrector(p):
    alpha = shares(p)[p["k"]] if "schedule" in p else real(p)(1)
    z, score = (np.linalg.norm(p[k], axis=-1).mean() for k in ("z", "score"))
    size = 2 * alpha * (number(p, "r") * z / score) ** 2
    return p["x"] + size * p["score"] + np.sqrt(2 * size) * p["z"]


def reverse_diffusion_ve(p):
    sigma, to = ends(p)
    x0_hat, fall = seen_at(p, p["x"], "output", sigma), sigma**2 - to**2
    return p["x"] + fall * score_of(p["x"], x0_hat, ve(sigma)) + np.sqrt(fall) * p["z"]


def chain_step(p: dict) -> tuple:
    """beta of a step of the chain, and the score of its predicted data."""
    level = level_of(shares(p)[p["k"]])
    x0_hat = data_of(p["x"], p["output"], p["target"], level)
    return variances(p["schedule"], real(p))[p["k"]], score_of(p["x"], x0_hat, level)


def reverse_diffusion_vp(p):
    beta, score = chain_step(p)
    mean = (2 - np.sqrt(1 - beta)) * p["x"] + beta * score
    return mean + np.sqrt(beta) * p["z"]


def ancestral_vp(p):
    beta, score = chain_step(p)
    return (p["x"] + beta * score) / np.sqrt(1 - beta) + np.sqrt(beta) * p["z"]


def marginal(p: dict, t: Array) -> Level:
    """Signal and noise of a process at t."""
    sde, f = p["sde"], real(p)
    if sde["kind"] == "ve":
        return Level(np.ones_like(t), spread(sde, t, f))
    low, high = f(sde["beta_min"]), f(sde["beta_max"])
    total = low * t + (high - low) * t**2 / 2
    signal, lost = np.exp(-total / 2), -np.expm1(-total)
    return Level(signal, lost if sde["kind"] == "sub-vp" else np.sqrt(lost))


def spread(sde: dict, t: Array, f: type) -> Array:
    """The sigma of ve, geometric in t."""
    low, high = f(sde["sigma_min"]), f(sde["sigma_max"])
    return low * (high / low) ** t


def coefficients(p: dict, t: Array) -> tuple:
    """The rate a of the drift, and g^2, at t."""
    sde, f = p["sde"], real(p)
    if sde["kind"] == "ve":
        growth = np.log(f(sde["sigma_max"]) / f(sde["sigma_min"]))
        return np.zeros_like(t), 2 * spread(sde, t, f) ** 2 * growth
    beta = f(sde["beta_min"]) + t * (f(sde["beta_max"]) - f(sde["beta_min"]))
    if sde["kind"] == "vp":
        return -beta / 2, beta
    lost = marginal(p, t).noise
    return -beta / 2, beta * lost * (2 - lost)


def sde_marginal(p):
    signal, noise = marginal(p, array(p, "t"))
    return {"signal": signal, "noise": noise}


def sde_coefficients(p):
    a, g2 = coefficients(p, array(p, "t"))
    return {"a": a, "g2": g2}


def sde_log_snr(p):
    signal, noise = marginal(p, array(p, "t"))
    return 2 * np.log(signal / noise)


def time_label(p):
    return np.round(np.asarray(p["t"]) * (p["T"] - 1)).astype(int)


def reverse_drift(p):
    a, g2 = coefficients(p, number(p, "t"))
    return a * p["x"] - g2 * p["score"]


def flow_drift(p):
    a, g2 = coefficients(p, number(p, "t"))
    return a * p["x"] - g2 / 2 * p["score"]


def gaussian_flow_loglik(p):
    """The flow of Gaussian data scales each axis of its ellipse."""
    f, x = real(p), p["x"]
    mean = np.asarray(p["law"]["means"][0], f)
    variance, axes = np.linalg.eigh(np.asarray(p["law"]["covs"][0], f))
    (a_0, s_0), (a_T, s_T) = (marginal(p, number(p, k)) for k in ("t_0", "t_T"))
    growth = np.sqrt((a_T**2 * variance + s_T**2) / (a_0**2 * variance + s_0**2))
    x_T = a_T * mean + ((x - a_0 * mean) @ axes * growth) @ axes.T
    log_p = prior(x_T, number(p, "prior_std")) + np.log(growth).sum()
    return {"log_p": log_p, "x_T": x_T}


def prior(x: Array, std: float) -> Array:
    """Log density of N(0, std^2 I) at the rows of x."""
    u, f = x / std, x.dtype.type
    return -(u**2).sum(-1) / 2 - x.shape[1] * np.log(std * np.sqrt(f(2 * math.pi)))


def flow_loglik(p):
    steps = [followed(p, n) for n in p["steps"]]
    return np.array(steps, real(p))


def followed(p: dict, n: int) -> Array:
    """Log density by the classical Runge-Kutta method, n even steps of time."""
    x, gained = p["x"], np.zeros(len(p["x"]), real(p))
    times = np.linspace(p["t_0"], p["t_T"], n + 1)
    for t, to in pairwise(times):
        h = to - t
        v_1, d_1 = moving(p, x, t)
        v_2, d_2 = moving(p, x + h / 2 * v_1, t + h / 2)
        v_3, d_3 = moving(p, x + h / 2 * v_2, t + h / 2)
        v_4, d_4 = moving(p, x + h * v_3, to)
        x = x + h / 6 * (v_1 + 2 * v_2 + 2 * v_3 + v_4)
        gained = gained + h / 6 * (d_1 + 2 * d_2 + 2 * d_3 + d_4)
    return prior(x, number(p, "prior_std")) + gained


def moving(p: dict, x: Array, t: float) -> tuple:
    """Drift of the flow, and its divergence by central differences of 1/8."""
    t, f = float(t), real(p)
    a, g2 = coefficients(p, f(t))
    h, d = f(0.125), x.shape[1]
    unit = np.eye(d, dtype=f) * h
    trace = sum(
        (p["model"](x + e, t) - p["model"](x - e, t))[:, j] for j, e in enumerate(unit)
    )
    drift = a * x - g2 / 2 * p["model"](x, t)
    return drift, d * a - g2 / 2 * trace / (2 * h)


def hutchinson(p):
    J, probes = p["J"], p["probes"]
    return np.mean([v @ (J @ v) for v in probes], dtype=real(p))
