"""Likelihoods in eps_hat, and a small network's losses with their gradients."""

import math
from itertools import pairwise

import numpy as np

from tests.writings.eps_form_steps import add_noise
from tests.writings.eps_form_tables import before, chain, levels, numbers, rates, real


def _moments(p, t):
    """Mean, and eigenvalues of the covariance along the data's own axes, at t."""
    f = real(p)
    signal, noise = levels(p, f(p[t]))
    own, axes = np.linalg.eigh(np.asarray(p["law"]["covs"][0], f))
    mean = signal * np.asarray(p["law"]["means"][0], f)
    return mean, signal**2 * own + noise**2, axes


def _log_normal(x, variance):
    """Log density of N(0, variance I), summed over the last axis."""
    log = np.log(real({"x": x})(2 * math.pi) * variance)
    return -(log + x**2 / variance).sum(axis=-1) / 2


def gaussian_flow_loglik(p):
    """Every axis is stretched as its standard deviation is."""
    start, old, axes = _moments(p, "t_0")
    end, new, _ = _moments(p, "t_T")
    stretch = np.sqrt(new / old)
    x_T = end + ((p["x"] - start) @ axes * stretch) @ axes.T
    (std,) = numbers(p, "prior_std")
    return {"log_p": _log_normal(x_T, std**2) + np.log(stretch).sum(), "x_T": x_T}


def _flow_with_trace(p, x, t):
    """The flow's drift, and its divergence by central differences, asked at once."""
    (n, d), (a, g2), h = x.shape, rates(p, t), real(p)(1 / 64)
    moves = h * np.eye(d, dtype=x.dtype)[:, None]
    places = np.concatenate([x[None], x + moves, x - moves])
    said = p["model"](places.reshape(-1, d), t).reshape(-1, n, d)
    more, less = said[1 : d + 1], said[d + 1 :]
    trace = np.einsum("ini->n", more - less) / (2 * h)
    return a * x - g2 / 2 * said[0], a * d - g2 / 2 * trace


def _solved(p, n):
    """Log density at t_0 by Runge and Kutta's method in n steps."""
    x, total = p["x"], np.zeros(len(p["x"]), real(p))
    times = np.linspace(*numbers(p, "t_0", "t_T"), n + 1, dtype=real(p))
    for t, after in pairwise(times):
        h, stages = after - t, []
        for part in (0, 0.5, 0.5, 1):
            moved = x + part * h * stages[-1][0] if stages else x
            stages.append(_flow_with_trace(p, moved, t + part * h))
        for weight, (drift, trace) in zip((1, 2, 2, 1), stages, strict=True):
            x = x + weight * h / 6 * drift
            total = total + weight * h / 6 * trace
    return _log_normal(x, numbers(p, "prior_std")[0] ** 2) + total


def flow_loglik(p):
    return np.stack([_solved(p, n) for n in p["steps"]])


def _prior_kl(x0, bar):
    return (bar * x0**2 - bar - np.log(1 - bar)).sum(axis=-1) / 2


def elbo_terms(p):
    """The terms differ from 0 by eps_hat - eps alone, and by their variances."""
    betas, bars = chain(p)
    off = ((p["eps_hat"] - p["eps"]) ** 2).sum(axis=-1)
    prior_kl = _prior_kl(p["x0"], bars[-1])
    rate, bar, near = betas[1:, None], bars[1:, None], before(bars)[1:, None]
    least = rate * (1 - near) / (1 - bar)
    own = least if p["variance"] == "small" else rate
    means = rate**2 / ((1 - bar) * (1 - rate)) * off[1:] / own
    d = p["x0"].shape[-1]
    kl = (d * (least / own - 1 - np.log(least / own)) + means) / 2
    end = off[0] * (1 - bars[0]) / bars[0] / betas[0]
    log = np.log(real(p)(2 * math.pi) * betas[0])
    reconstruction = -(d * log + end) / 2
    elbo = reconstruction - prior_kl - kl.sum(axis=0)
    terms = {"prior_kl": prior_kl, "kl": kl, "reconstruction": reconstruction}
    return terms | {"elbo": elbo}


def _silu(x):
    """silu and its slope."""
    gate = 1 / (1 + np.exp(-x))
    return x * gate, gate * (1 + x * (1 - gate))


def network(p, x):
    """The network's answer at x, and what leads gradients back through it."""
    first, slope_0 = _silu(x @ p["W0"] + p["b0"])
    second, slope_1 = _silu(first @ p["W1"] + p["b1"])

    def back(dy):
        d1 = dy @ p["W2"].T * slope_1
        d0 = d1 @ p["W1"].T * slope_0
        by = {"W0": x.T @ d0, "W1": first.T @ d1, "W2": second.T @ dy}
        return by | {"b0": d0.sum(0), "b1": d1.sum(0), "b2": dy.sum(0)}

    return second @ p["W2"] + p["b2"], back


def mlp(p):
    y, back = network(p, p["x"])
    return {"y": y} | back(p["dy"])


def _squares(p, x, target, weight):
    """Mean over rows of weight |net(x) - target|^2, and its gradient."""
    y, back = network(p, x)
    error, share = y - target, weight / real(p)(len(x))
    loss = (share * (error**2).sum(axis=1)).sum()
    return {"loss": loss} | back(2 * share[:, None] * error)


def denoising_loss(p):
    bars = chain(p)[1][p["k"]]
    ratio, f = bars / (1 - bars), real(p)
    x = add_noise(p | {"t": p["k"]})
    label = np.asarray(p["k"], f) / f(p["schedule"]["T"])
    a, b = np.sqrt(bars)[:, None], np.sqrt(1 - bars)[:, None]
    v = a * p["eps"] - b * p["x0"]
    target = {"eps": p["eps"], "x0": p["x0"], "v": v}[p["target"]]
    weight = np.ones(len(x), f)
    if p["weight"] == "min-snr":
        of_eps = np.minimum(1, f(p["gamma"]) / ratio)
        per = {"eps": 1, "x0": ratio, "v": ratio / (ratio + 1)}[p["target"]]
        weight = of_eps * per
    return _squares(p, np.column_stack([x, label]), target, weight)


def score_matching_loss(p):
    sigma = p["sigma"][:, None]
    x = np.column_stack([p["x0"] + sigma * p["eps"], sigma])
    return _squares(p, x, -p["eps"] / sigma, p["sigma"] ** 2 / 2)


def flow_loss(p):
    s = p["s"][:, None]
    x = np.column_stack([(1 - s) * p["x0"] + s * p["eps"], s])
    return _squares(p, x, p["eps"] - p["x0"], np.ones(len(x), real(p)))


def adam_step(p):
    lr, b1, b2, least = numbers(p, "lr", "b1", "b2", "adam_eps")
    m = b1 * p["m"] + (1 - b1) * p["grad"]
    v = b2 * p["v"] + (1 - b2) * p["grad"] ** 2
    root = np.sqrt(v / (1 - b2 ** p["step"]))
    move = lr * (m / (1 - b1 ** p["step"])) / (root + least)
    return {"params": p["params"] - move, "m": m, "v": v}
