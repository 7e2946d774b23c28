"""Processes dx = a x dt + g dw on t in 0..1, in score form."""

import numpy as np

from tests.writings.score_form_levels import family, score_of


def _integral(sde, t):
    """The integral of beta from 0 to t."""
    return sde["beta_min"] * t + (sde["beta_max"] - sde["beta_min"]) * t**2 / 2


def _beta(sde, t):
    return sde["beta_min"] + (sde["beta_max"] - sde["beta_min"]) * t


def _vp(sde, t):
    kept = np.exp(-_integral(sde, t))
    noise = np.sqrt(-np.expm1(-_integral(sde, t)))
    return np.sqrt(kept), noise, -_beta(sde, t) / 2, _beta(sde, t)


def _sub_vp(sde, t):
    lost = -np.expm1(-_integral(sde, t))
    g2 = _beta(sde, t) * -np.expm1(-2 * _integral(sde, t))
    return np.exp(-_integral(sde, t) / 2), lost, -_beta(sde, t) / 2, g2


def _ve(sde, t):
    ratio = sde["sigma_max"] / sde["sigma_min"]
    sigma = sde["sigma_min"] * ratio**t
    return np.ones_like(sigma), sigma, np.zeros_like(t), 2 * sigma**2 * np.log(ratio)


KINDS = {"vp": _vp, "sub-vp": _sub_vp, "ve": _ve}


def process(p, t):
    """(signal, noise), a and g^2 at t."""
    signal, noise, a, g2 = KINDS[p["sde"]["kind"]](p["sde"], t)
    return (signal, noise), a, g2


@family
def sde_marginal(p):
    (signal, noise), _, _ = process(p, p["t"])
    return {"signal": signal, "noise": noise}


@family
def sde_coefficients(p):
    _, a, g2 = process(p, p["t"])
    return {"a": a, "g2": g2}


@family
def sde_log_snr(p):
    (signal, noise), _, _ = process(p, p["t"])
    return 2 * np.log(signal / noise)


@family
def time_label(p):
    return np.rint(p["t"] * (p["T"] - 1)).astype(int)


def _reverse(x, score, a, g2):
    return a * x - g2 * score


def _flow(x, score, a, g2):
    return a * x - g2 * score / 2


@family
def reverse_drift(p):
    _, a, g2 = process(p, p["t"])
    return _reverse(p["x"], p["score"], a, g2)


@family
def flow_drift(p):
    _, a, g2 = process(p, p["t"])
    return _flow(p["x"], p["score"], a, g2)


def _score(p, x, t):
    """The model's score at x and t, with what else is known there."""
    level, a, g2 = process(p, t)
    return score_of(p["target"], p["model"](x, t), x, level), a, g2


@family
def reverse_sde_sampler(p):
    x = p["x"]
    for t, after, z in zip(p["times"][:-1], p["times"][1:], p["z"], strict=True):
        score, a, g2 = _score(p, x, t)
        x = x + (after - t) * _reverse(x, score, a, g2) + np.sqrt(g2 * (t - after)) * z
    return x


@family
def flow_ode_sampler(p):
    x = p["x"]
    for t, after in zip(p["times"][:-1], p["times"][1:], strict=True):
        score, a, g2 = _score(p, x, t)
        x = x + (after - t) * _flow(x, score, a, g2)
    return x


# Likelihoods under the probability flow.


def _normal(p, t):
    """Eigenvalues (d,), eigenvectors (d, d) and mean (d,) of the Gaussian at t."""
    (signal, noise), _, _ = process(p, t)
    spread, axes = np.linalg.eigh(p["law"]["covs"][0])
    return signal**2 * spread + noise**2, axes, signal * p["law"]["means"][0]


def _log_prior(x, std):
    """Log density of N(0, std^2 I) at each row."""
    d = x.shape[1]
    return -(x**2).sum(axis=1) / (2 * std**2) - d * np.log(
        std * np.sqrt(2 * np.pi, dtype=x.dtype)
    )


@family
def gaussian_flow_loglik(p):
    # The score is -(x - mean) / spread on each axis: the flow stretches an axis by the
    # root of the ratio of the spreads, and the divergence adds up to its logarithm.
    spread, axes, mean = _normal(p, p["t_0"])
    spread_T, _, mean_T = _normal(p, p["t_T"])
    stretch = np.sqrt(spread_T / spread)
    x_T = mean_T + (p["x"] - mean) @ axes * stretch @ axes.T
    log_p = _log_prior(x_T, p["prior_std"]) + np.log(stretch).sum()
    return {"log_p": log_p, "x_T": x_T}


def _divergence(f, x):
    """Sum of the central differences of f's own coordinates."""
    d, h = x.shape[1], np.cbrt(np.finfo(x.dtype).eps)
    ways = h * np.eye(d, dtype=x.dtype)
    slopes = [(f(x + w) - f(x - w))[:, i] / (2 * h) for i, w in enumerate(ways)]
    return np.sum(slopes, axis=0)


def _rise(p, x, t):
    """dx/dt of the flow, and its divergence."""

    def velocity(x):
        score, a, g2 = _score(p, x, t)
        return _flow(x, score, a, g2)

    return velocity(x), _divergence(velocity, x)


def _runge_kutta(p, x, total, t, h):
    """One classical step of order 4, of x and of the divergence's integral."""
    v1, d1 = _rise(p, x, t)
    v2, d2 = _rise(p, x + h / 2 * v1, t + h / 2)
    v3, d3 = _rise(p, x + h / 2 * v2, t + h / 2)
    v4, d4 = _rise(p, x + h * v3, t + h)
    x = x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    return x, total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)


def _loglik(p, n):
    h = (p["t_T"] - p["t_0"]) / n
    x, total = p["x"], np.zeros(len(p["x"]), p["real"])
    for i in range(n):
        x, total = _runge_kutta(p, x, total, p["t_0"] + i * h, h)
    return _log_prior(x, p["prior_std"]) + total


@family
def flow_loglik(p):
    return np.stack([_loglik(p, int(n)) for n in p["steps"]])


@family
def hutchinson(p):
    quadratic = ((p["probes"] @ p["J"]) * p["probes"]).sum(axis=1)
    return quadratic.mean(keepdims=True)
