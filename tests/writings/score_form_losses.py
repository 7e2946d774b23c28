"""Losses in score form, their gradients by hand, Adam, and the terms of the ELBO."""

import numpy as np

from tests.writings.score_form_levels import (
    alpha_bars,
    betas,
    denoise,
    family,
    score_of,
    vp,
)
from tests.writings.score_form_tables import posterior_variances, weights

# A network of two hidden layers of SiLU.


def _silu(x):
    return x / (1 + np.exp(-x))


def _silu_slope(x):
    gate = 1 / (1 + np.exp(-x))
    return gate * (1 + x * (1 - gate))


def _forward(p, x):
    """The output, and what the gradient needs: inputs of layers and of SiLUs."""
    a0 = x @ p["W0"] + p["b0"]
    h0 = _silu(a0)
    a1 = h0 @ p["W1"] + p["b1"]
    h1 = _silu(a1)
    return h1 @ p["W2"] + p["b2"], (x, a0, h0, a1, h1)


def _backward(p, kept, dy):
    """Gradients of sum(dy y)."""
    x, a0, h0, a1, h1 = kept
    da1 = dy @ p["W2"].T * _silu_slope(a1)
    da0 = da1 @ p["W1"].T * _silu_slope(a0)
    return {
        "W0": x.T @ da0,
        "b0": da0.sum(axis=0),
        "W1": h0.T @ da1,
        "b1": da1.sum(axis=0),
        "W2": h1.T @ dy,
        "b2": dy.sum(axis=0),
    }


@family
def mlp(p):
    y, kept = _forward(p, p["x"])
    return {"y": y, **_backward(p, kept, p["dy"])}


def _squared(p, x, label, aim, weight):
    """Mean over rows of weight |net - aim|^2, and its gradients."""
    y, kept = _forward(p, np.column_stack([x, label]))
    error = y - aim
    loss = (weight * (error**2).sum(axis=1)).mean(keepdims=True)
    dy = 2 * weight[:, None] * error / len(x)
    return {"loss": loss, **_backward(p, kept, dy)}


# What each target's truth is, given x0, eps and the level.
AIMS = {
    "eps": lambda x0, eps, signal, noise: eps,
    "x0": lambda x0, eps, signal, noise: x0,
    "v": lambda x0, eps, signal, noise: signal * eps - noise * x0,
}


@family
def denoising_loss(p):
    signal, noise = (c[:, None] for c in vp(alpha_bars(p)[p["k"]]))
    x = signal * p["x0"] + noise * p["eps"]
    aim = AIMS[p["target"]](p["x0"], p["eps"], signal, noise)
    label = (p["k"] / p["schedule"]["T"]).astype(p["real"])
    weight = weights({**p, "kind": p["weight"]})[p["k"]]
    return _squared(p, x, label, aim, weight)


@family
def score_matching_loss(p):
    sigma = p["sigma"][:, None]
    x, score = p["x0"] + sigma * p["eps"], -p["eps"] / sigma
    return _squared(p, x, p["sigma"], score, p["sigma"] ** 2 / 2)


@family
def flow_loss(p):
    s = p["s"][:, None]
    x = (1 - s) * p["x0"] + s * p["eps"]
    return _squared(p, x, p["s"], p["eps"] - p["x0"], np.ones_like(p["s"]))


@family
def adam_step(p):
    m = p["b1"] * p["m"] + (1 - p["b1"]) * p["grad"]
    v = p["b2"] * p["v"] + (1 - p["b2"]) * p["grad"] ** 2
    m_hat, v_hat = m / (1 - p["b1"] ** p["step"]), v / (1 - p["b2"] ** p["step"])
    params = p["params"] - p["lr"] * m_hat / (np.sqrt(v_hat) + p["adam_eps"])
    return {"params": params, "m": m, "v": v}


# The ELBO. The true mean and the model's, (x + beta score) / sqrt(1 - beta), differ by
# their scores alone.


def _prior_kl(x0, bar):
    terms = bar * x0**2 + (1 - bar) - 1 - np.log(1 - bar)
    return terms.sum(axis=1) / 2


def _kl(difference, own, given):
    """KL of normals whose means differ; own and given are the variances."""
    spread = own / given - 1 - np.log(own / given)
    away = (difference**2).sum(axis=1) / given
    return (difference.shape[1] * spread + away) / 2


def _log_normal(x, mean, variance):
    return -((x - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=1) / 2


def _step_kl(p, k, rate, own, bar):
    """KL of the step from k to k - 1."""
    wrong = (p["eps_hat"][k] - p["eps"][k]) / np.sqrt(
        1 - bar
    )  # true score less model's
    given = own if p["variance"] == "small" else rate
    return _kl(rate / np.sqrt(1 - rate) * wrong, own, given)


@family
def elbo_terms(p):
    bars, rate, own = alpha_bars(p), betas(p), posterior_variances(p)
    steps = range(1, len(bars))
    kl = np.stack([_step_kl(p, k, rate[k], own[k], bars[k]) for k in steps])
    level = vp(bars[0])
    x = level[0] * p["x0"] + level[1] * p["eps"][0]
    x0_hat = denoise(score_of("eps", p["eps_hat"][0], x, level), x, level)
    reconstruction = _log_normal(p["x0"], x0_hat, rate[0])
    prior_kl = _prior_kl(p["x0"], bars[-1])
    return {
        "prior_kl": prior_kl,
        "kl": kl,
        "reconstruction": reconstruction,
        "elbo": reconstruction - prior_kl - kl.sum(axis=0),
    }
