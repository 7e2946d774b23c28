"""Predicted-data writing: weights, the small network, the losses, and Adam."""

import math

import numpy as np

from tests.writings.x0_form_steps import level_of
from tests.writings.x0_form_tables import Array, array, number, real, shares

WEIGHTS = ("W0", "b0", "W1", "b1", "W2", "b2")


def loss_weight(p):
    share = shares(p)
    ratio = share / (1 - share)
    weight, k = weight_of_x0(p, ratio), np.asarray(p["k"])
    if p["kind"] == "simple":
        return np.ones_like(ratio)[k]
    if p["target"] == "x0":
        return finite(weight[k])
    if p["target"] == "v":
        return finite((weight / (ratio + 1))[k])
    if p["kind"] in ("snr", "min-snr"):
        return finite(np.where(ratio > 0, weight / np.where(ratio > 0, ratio, 1), 1)[k])
    with np.errstate(divide="ignore", invalid="ignore"):
        return finite((weight / ratio)[k])


def weight_of_x0(p: dict, ratio: Array) -> Array:
    """Weight of the squared error of predicted data at each SNR."""
    if p["kind"] == "truncated-snr":
        return np.maximum(ratio, 1)
    if p["kind"] == "min-snr":
        return np.minimum(ratio, number(p, "gamma"))
    if p["kind"] == "elbo":
        return np.append(np.inf, (ratio[:-1] - ratio[1:]) / 2).astype(ratio.dtype)
    return ratio


def finite(weight: Array) -> Array:
    """The weights, refused if one of them is infinite."""
    if not np.isfinite(weight).all():
        raise ValueError("a weight is infinite where the signal is 0 or the noise is")
    return weight


def logit_normal_weight(p):
    t, std = array(p, "t"), number(p, "std")
    u = (np.log(t / (1 - t)) - number(p, "mean")) / std
    return np.exp(-(u**2) / 2) / (std * np.sqrt(real(p)(2 * math.pi)) * t * (1 - t))


def edm_precondition(p):
    sigma, data = array(p, "sigma"), number(p, "sigma_data")
    total = sigma**2 + data**2
    return {
        "c_skip": data**2 / total,
        "c_out": sigma * data / np.sqrt(total),
        "c_in": 1 / np.sqrt(total),
        "c_noise": np.log(sigma) / 4,
    }


def edm_weight(p):
    sigma, data = array(p, "sigma"), number(p, "sigma_data")
    return (sigma**2 + data**2) / (sigma * data) ** 2


def forward(p: dict, x: Array) -> tuple:
    """The network's answer, and what its backward pass needs."""
    u0 = x @ p["W0"] + p["b0"]
    h0 = u0 * gate(u0)
    u1 = h0 @ p["W1"] + p["b1"]
    h1 = u1 * gate(u1)
    return h1 @ p["W2"] + p["b2"], (x, u0, h0, u1, h1)


def gate(u: Array) -> Array:
    """The logistic function."""
    return 1 / (1 + np.exp(-u))


def bend(u: Array) -> Array:
    """The derivative of silu."""
    return gate(u) * (1 + u * (1 - gate(u)))


def backward(p: dict, held: tuple, dy: Array) -> dict:
    """Gradient of sum(dy y) by each parameter."""
    x, u0, h0, u1, h1 = held
    d1 = (dy @ p["W2"].T) * bend(u1)
    d0 = (d1 @ p["W1"].T) * bend(u0)
    grads = x.T @ d0, d0.sum(0), h0.T @ d1, d1.sum(0), h1.T @ dy, dy.sum(0)
    return dict(zip(WEIGHTS, grads, strict=True))


def mlp(p):
    y, held = forward(p, p["x"])
    return {"y": y, **backward(p, held, p["dy"])}


def weighted_loss(p: dict, x: Array, goal: Array, weight: Array) -> dict:
    """Mean over rows of the weighted squared error, and its gradient."""
    y, held = forward(p, x)
    off, f = y - goal, real(p)
    loss = np.mean(weight * (off**2).sum(-1), dtype=f)
    dy = 2 * weight[:, None] * off / f(len(x))
    return {"loss": loss, **backward(p, held, dy)}


def with_time(x: Array, t: Array) -> Array:
    """Rows of x, each with its time."""
    return np.column_stack([x, t.astype(x.dtype)])


def denoising_loss(p):
    f, x0, eps, k = real(p), p["x0"], p["eps"], np.asarray(p["k"])
    share = shares(p)[k]
    a, s = level_of(share[:, None])
    goal = {"eps": eps, "x0": x0, "v": a * eps - s * x0}[p["target"]]
    x = with_time(a * x0 + s * eps, k.astype(f) / f(p["schedule"]["T"]))
    return weighted_loss(p, x, goal, row_weight(p, share / (1 - share)))


def row_weight(p: dict, ratio: Array) -> Array:
    """The weight of each row by its SNR."""
    if p["weight"] == "simple":
        return np.ones_like(ratio)
    of_x0 = np.minimum(ratio, number(p, "gamma"))
    return {"x0": of_x0, "eps": of_x0 / ratio, "v": of_x0 / (ratio + 1)}[p["target"]]


def score_matching_loss(p):
    sigma = p["sigma"][:, None]
    x = p["x0"] + sigma * p["eps"]
    goal = (p["x0"] - x) / sigma**2
    return weighted_loss(p, with_time(x, p["sigma"]), goal, p["sigma"] ** 2 / 2)


def flow_loss(p):
    s = p["s"][:, None]
    x = (1 - s) * p["x0"] + s * p["eps"]
    return weighted_loss(p, with_time(x, p["s"]), p["eps"] - p["x0"], one(p["s"]))


def one(t: Array) -> Array:
    """Weight 1 for each row."""
    return np.ones_like(t)


def adam_step(p):
    b1, b2, t = number(p, "b1"), number(p, "b2"), p["step"]
    m = b1 * p["m"] + (1 - b1) * p["grad"]
    v = b2 * p["v"] + (1 - b2) * p["grad"] ** 2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    off = number(p, "lr") * m_hat / (np.sqrt(v_hat) + number(p, "adam_eps"))
    return {"params": p["params"] - off, "m": m, "v": v}
