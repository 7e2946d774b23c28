"""The exact model of a problem's data law, for whoever samples from it.

A problem that asks for samples says what its data are ("law"), what its model predicts
("target"), and what number the model is told ("time": k, sigma or t).
"""

from collections.abc import Callable

import numpy as np

from refdiff import sde, targets
from refdiff._check import Array
from refdiff.mixture import Mixture
from refdiff.oracle.families.schedules import schedule_of
from refdiff.rates import linear_beta

Levels = Callable[[float], tuple[float, float]]


def law_of(p: dict) -> Mixture:
    """The data's law: p["law"] has weights (K,), means (K, d) and covs (K, d, d)."""
    return Mixture(*(np.array(p["law"][k]) for k in ("weights", "means", "covs")))


def sde_of(p: dict) -> sde.SDE:
    """The process of p["sde"]: vp, sub-vp or ve on 0..1."""
    s = p["sde"]
    if s["kind"] == "ve":
        return sde.ve(s["sigma_min"], s["sigma_max"])
    rate = linear_beta(s["beta_min"], s["beta_max"])
    return {"vp": sde.vp, "sub-vp": sde.sub_vp}[s["kind"]](rate)


def _of_k(p):
    """Levels of the schedule's entries k; other numbers have none."""
    sched = schedule_of(p["schedule"])

    def levels(k):
        if k != int(k) or not 0 <= k < sched.T:
            raise ValueError(f"the model is told k, one of 0..{sched.T - 1}; got {k}")
        return sched.level(int(k) + 1)[:2]

    return levels


def _of_sigma(p):
    """Levels of noise: 1 and sigma, or in a flow 1 - sigma and sigma."""
    if p.get("scaling") == "flow":
        return lambda sigma: (1 - sigma, sigma)
    return lambda sigma: (1.0, sigma)


def _of_t(p):
    """Levels of a process at time t."""
    process = sde_of(p)
    return lambda t: process.level(t)[:2]


LEVELS = {"k": _of_k, "sigma": _of_sigma, "t": _of_t}


def levels_of(p: dict) -> Levels:
    """Return levels(t) -> (signal, noise), t being the number that the model is told."""
    return LEVELS[p["time"]](p)


def _x0(law, x, signal, noise):
    return law.denoise(x, signal, noise)


def _score(law, x, signal, noise):
    return law.noised(signal, noise).score(x)


def _eps(law, x, signal, noise):
    return -noise * _score(law, x, signal, noise)


def _v(law, x, signal, noise):
    r = np.hypot(signal, noise)
    return targets.v_from_score(x, _score(law, x, signal, noise), signal, noise) / r


def _flow(law, x, signal, noise):
    x0 = law.denoise(x, signal, noise)
    return (x - signal * x0) / noise - x0


SAYS = {"x0": _x0, "score": _score, "eps": _eps, "v": _v, "flow": _flow}


def model(p: dict) -> Callable[[Array, float], Array]:
    """Return the exact model: what p["target"] is at x, for p's law and levels.

    -> model(x (n, d), t), t a number or one that all rows share -> (n, d) in float64
    ValueError if t is none of the problem's, or x is not finite.
    """
    law, levels, says = law_of(p), levels_of(p), SAYS[p["target"]]

    def at(x, t):
        told = np.unique(np.asarray(t, float))
        if told.size != 1:
            raise ValueError(f"the model is told one t for all of x; got {t}")
        return says(law, np.asarray(x, float), *levels(float(told[0])))

    return at
