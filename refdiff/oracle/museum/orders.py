"""Solvers of another order than their name's, and samples of another law."""

import numpy as np

from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.mixtures import output, x0_eps
from refdiff.oracle.truth.orders import SOLVERS, euler, method, pairs, say
from refdiff.oracle.truth.samples import statistics

GITHUB = "https://github.com/"


def _stale_heun(p, m, grid):
    """STP-01: sigma for sigma' in the second x0_hat, and under it."""
    if p["target"] == "eps":
        raise ValueError("hidden by eps-prediction")
    x, one = p["x"], m.number(1.0)
    for now, then in pairs(grid, m):
        h, d = then - now, say(p, m, x, now)[1]
        end = x + h * d
        y = output(p, end, one, then, m)
        x0, _ = x0_eps(p, end, y, one, now, m)
        x = x + h * (d + (end - x0) / now) / 2
    return x


def _stale_mid(p, m, grid):
    """The half-way output taken back to x0 and eps at the start's sigma."""
    if p["target"] == "eps":
        raise ValueError("hidden by eps-prediction")
    x, one = p["x"], m.number(1.0)
    for now, then in pairs(grid, m):
        mid = m.sqrt(now * then)
        u = x + (mid - now) * say(p, m, x, now)[1]
        y = output(p, u, one, mid, m)
        x = x + (then - now) * x0_eps(p, u, y, one, now, m)[1]
    return x


def _no_curve(p, m, grid):
    """DPM-Solver-3 without the last term's 3/2."""
    x = p["x"]
    for now, then in pairs(grid, m):
        h = m.log(now / then)
        mid = now * m.exp(-2 * h / 3)
        eps = say(p, m, x, now)[1]
        u = x - mid * (m.exp(2 * h / 3) - 1) * eps
        rise = say(p, m, u, mid)[1] - eps
        x = x - then * (m.exp(h) - 1) * eps
        x = x - then * ((m.exp(h) - 1) / h - 1) * rise
    return x


def _adams(p, m, grid):
    """STP-07: two-step Adams-Bashforth in sigma under the name of DPM-Solver++(2M)."""
    x, last, h_last = p["x"], None, None
    for now, then in pairs(grid, m):
        h, d = then - now, say(p, m, x, now)[1]
        slope = d if last is None else d + h / (2 * h_last) * (d - last)
        x, last, h_last = x + h * slope, d, h
    return x


def _memory(factor):
    """DPM-Solver++(2M) with another factor of x0 - x0_last than h / (2 h_last)."""

    def solver(p, m, grid):
        x, last = p["x"], None
        for now, then in pairs(grid, m):
            x0 = say(p, m, x, now)[0]
            D = x0 if last is None else x0 + factor(m) * (x0 - last)
            x, last = then / now * x + (1 - then / now) * D, x0
        return x

    return solver


def _next_sigma(p, m, grid):
    """Euler's slope divided by sigma', not sigma."""
    x = p["x"]
    for now, then in pairs(grid, m):
        x = x + (then - now) * (x - say(p, m, x, now)[0]) / then
    return x


def _other_law(change):
    """Statistics of a law that a sampler may have in place of the right one."""
    return {"samples": lambda p, m: statistics({**p, "law": change(p["law"])}, m)}


def _equal(law):
    return law | {"weights": [1 / 3, 1 / 3, 1 - 2 / 3]}


def _one_mode(law):
    return law | {"weights": [1 - 2.0**-19, 2.0**-20, 2.0**-20]}


def _noise_left(law):
    return law | {"covs": (np.array(law["covs"]) + np.eye(2)).tolist()}


def _narrow(law):
    return law | {"means": (np.array(law["means"]) * 0.75).tolist()}


def _order(name, families, wrong, right):
    families = {k: method(f) for k, f in families.items()}
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", "LAW")


def _stat(name, change, wrong, right):
    families = _other_law(change)
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", "STAT")


EXHIBITS = (
    Exhibit(
        "STP-01",
        {"heun_order": method(_stale_heun)},
        "Heun's second slope with sigma for sigma', in x0_hat and under it",
        "both at sigma'",
        GITHUB + "huggingface/diffusers/pull/1512",
        "A",
    ),
    Exhibit(
        "STP-07",
        {"dpmpp_2m_order": method(_adams)},
        "two-step Adams-Bashforth in sigma under the name of DPM-Solver++(2M)",
        "an exponential step in log sigma",
        GITHUB + "NVIDIA/physicsnemo/pull/1932",
        "B",
    ),
    _order(
        "order-1",
        {name: euler for name in SOLVERS if name != "euler_order"},
        "a first-order step under another name",
        "a step of the order claimed",
    ),
    _order(
        "euler-next-sigma",
        {"euler_order": _next_sigma},
        "(x - x0_hat) / sigma'",
        "(x - x0_hat) / sigma",
    ),
    _order(
        "mid-stale",
        {"dpm_solver_2_order": _stale_mid},
        "the second output read at the first sigma",
        "at its own",
    ),
    _order(
        "third-without-r",
        {"dpm_solver_3_order": _no_curve},
        "(e^h - 1)/h - 1 before the last difference",
        "that over r = 2/3",
    ),
    _order(
        "memory-whole",
        {"dpmpp_2m_order": _memory(lambda m: m.number(1.0))},
        "x0 + (h / h_last) (x0 - x0_last)",
        "h / (2 h_last)",
    ),
    _order(
        "memory-sign",
        {"dpmpp_2m_order": _memory(lambda m: m.number(-0.5))},
        "x0 - (h / (2 h_last)) (x0 - x0_last)",
        "plus",
    ),
    _stat("modes-equal", _equal, "each mode as often", "by its weight"),
    _stat("one-mode", _one_mode, "one mode alone", "all of them"),
    _stat("noise-left", _noise_left, "noise of sigma = 1 left in", "none left"),
    _stat("guided-in", _narrow, "modes at 3/4 of their place", "at their place"),
)
