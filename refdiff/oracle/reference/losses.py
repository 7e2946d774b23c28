"""Losses, a small network and Adam's step by refdiff's own."""

import numpy as np

from refdiff import losses, matching, train
from refdiff import net as of_net
from refdiff.oracle.families.schedules import schedule_of
from refdiff.oracle.reference.tables import TARGETS

NET = of_net.MLP(3, 1.0, hidden=(3, 3), frequencies=0, out=2)


class Timed:
    """The network that takes its time as one more coordinate, scaled."""

    def __init__(self, scale=lambda t: t):
        self.scale, self.backward = scale, NET.backward

    def forward(self, params, x, t):
        """Evaluate it at x (n, 2) and t (n,)."""
        time = np.asarray(self.scale(t), x.dtype)
        return NET.forward(params, np.column_stack([x, time]), 0.0)


def _flat(p):
    """The parameters as one vector, in the network's own order."""
    params = np.empty(NET.size, p["W0"].dtype)
    for name, piece in NET.views(params).items():
        piece[:] = p[name]
    return params


def _named(loss, gradient):
    return {"loss": loss, **NET.views(gradient)}


def mlp(p):
    """The network and its gradient."""
    y, cache = NET.forward(_flat(p), p["x"], 0.0)
    gradient, _ = NET.backward(cache, p["dy"])
    return {"y": y, **NET.views(gradient)}


def denoising_loss(p):
    """The weighted simple loss of the discrete chain."""
    sched, t = schedule_of(p["schedule"]), np.array(p["k"]) + 1
    net = Timed(lambda t: (t - 1) / sched.T)
    weighting = None
    if p["weight"] == "min-snr":
        weighting = losses.weighting_min_snr(p["gamma"])
    target = TARGETS[p["target"]]
    found = losses.loss(_flat(p), net, p["x0"], t, p["eps"], sched, target, weighting)
    return _named(*found)


def score_matching_loss(p):
    """Denoising score matching with weight sigma^2."""
    sigma, n = p["sigma"], len(p["sigma"])
    data = p["x0"], p["eps"], sigma[:, None]
    return _named(*matching.dsm_loss(_flat(p), Timed(), *data, sigma, sigma**2 / n))


def flow_loss(p):
    """Flow matching's squared error of the velocity eps - x0."""
    s = p["s"][:, None]
    y_hat, cache = Timed().forward(_flat(p), (1 - s) * p["x0"] + s * p["eps"], p["s"])
    error = y_hat - (p["eps"] - p["x0"])
    gradient, _ = NET.backward(cache, 2 / len(s) * error)
    return _named((error**2).sum() / len(s), gradient)


def adam_step(p):
    """One step of Adam."""
    rates = p["lr"], p["b1"], p["b2"], p["adam_eps"]
    arrays = p["params"], p["grad"], p["m"], p["v"]
    found = train.adam_step(*arrays, p["step"], *rates)
    return dict(zip(("params", "m", "v"), found, strict=True))
