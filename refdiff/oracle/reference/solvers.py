"""One step of the solvers, as refdiff's chapters and the oracle's families have it."""

import numpy as np

from refdiff import edm, exponential, ode, targets
from refdiff.oracle.families import flow, multistep, sigma, singlestep
from refdiff.schedule import Level

X0 = {
    "x0": lambda x, y, signal, noise: y,
    "eps": targets.x0_from_eps,
    "score": targets.x0_from_score,
    "flow": lambda x, y, signal, noise: flow.x0_from_velocity(x, y, noise),
    "v": lambda x, y, signal, noise: targets.x0_from_v(
        x, np.hypot(signal, noise) * y, signal, noise
    ),
}
EPS = {
    "eps": lambda x, y, signal, noise: y,
    "x0": targets.eps_from_x0,
    "score": targets.eps_from_score,
    "flow": lambda x, y, signal, noise: x + signal * y,
    "v": lambda x, y, signal, noise: targets.eps_from_v(
        x, np.hypot(signal, noise) * y, signal, noise
    ),
}


def level_of(p, s):
    """The Level of one sigma in the problem's scaling."""
    if p.get("scaling") == "flow":
        return Level(1 - s, s, s)
    r = np.hypot(1.0, s) if p.get("scaling") == "vp" else 1.0
    return Level(1 / r, s / r, s)


def levels(p):
    """The levels that a step goes between."""
    i = p["index"]
    return level_of(p, p["sigmas"][i]), level_of(p, p["sigmas"][i + 1])


def inner(p, r):
    """The level at a fraction r of a step's rise in log(signal / noise)."""
    now, then = levels(p)
    a, b = now.noise / now.signal, then.noise / then.signal
    ratio = a * (b / a) ** r
    return level_of(p, ratio / (1 + ratio) if p.get("scaling") == "flow" else ratio)


def x0_at(p, x, y, at):
    """x0_hat from what the model said."""
    return X0[p["target"]](x, y, at.signal, at.noise)


def eps_at(p, x, y, at):
    """eps_hat from what the model said."""
    return EPS[p["target"]](x, y, at.signal, at.noise)


def told(p, *outputs, seen=None):
    """A model for a chapter's step: it says the outputs in turn, as scores.

    An output may be a pair, the point that it belongs to and what was said there; the
    points and levels that it is asked at are kept in seen.
    """
    left = iter(outputs)

    def model(x, at):
        y = next(left)
        if seen is not None:
            seen.append((x, at))
        x, y = y if isinstance(y, tuple) else (x, y)
        if p["target"] == "score":
            return y
        return targets.score_from_eps(x, eps_at(p, x, y, at), at.signal, at.noise)

    return model


def _slope(p, *outputs):
    """dx/dsigma, which is eps_hat, for Euler's and Heun's tableau."""
    left = iter(outputs)
    return lambda x, s: eps_at(p, x, next(left), level_of(p, s))


def euler(p):
    """Euler's method on dx/dsigma = eps_hat."""
    s, t = (at.noise for at in levels(p))
    return ode.runge_kutta_step(_slope(p, p["output"]), p["x"], s, t, ode.EULER)


def heun(p):
    """EDM's step without churn."""
    now, then = levels(p)
    model = told(p, p["output"], p["output_2"])
    return edm.edm_step(p["x"], now, now, then, model, np.zeros_like(p["x"]))


def edm_heun(p):
    """EDM's stochastic step."""
    now, then = levels(p)
    share = p["churn"] / (len(p["sigmas"]) - 1)
    hat = level_of(p, sigma.churned(now.noise, share, p["s_min"], p["s_max"]))
    model = told(p, p["output"], p["output_2"])
    return edm.edm_step(p["x"], now, hat, then, model, p["z"], p["s_noise"])


def heun_calls(p):
    """The sigmas at which EDM's steps ask, found by running them."""
    seen, zero = [], np.zeros((1, 1))
    for i in range(len(p["sigmas"]) - 1):
        now, then = levels(p | {"index": i})
        model = told({"target": "score"}, zero, zero, seen=seen)
        edm.edm_step(zero, now, now, then, model, zero)
    return np.array([p["sigmas"].index(at.t) for _, at in seen])


def euler_ancestral(p):
    """Euler down to sigma_down, and noise."""
    now, then = levels(p)
    x0 = x0_at(p, p["x"], p["output"], now)
    return sigma.euler_ancestral_step(
        p["x"], x0, now.noise, then.noise, p["eta"], p["z"]
    )


def dpm2(p):
    """DPM-Solver-2, which in this scaling is the midpoint rule in log sigma."""
    now, then = levels(p)
    if then.noise == 0:
        return euler(p)
    model = told(p, p["output"], p["output_2"])
    return exponential.dpm2_step(p["x"], now, inner(p, 0.5), then, model)


def dpm_solver_1(p):
    """DPM-Solver-1."""
    now, then = levels(p)
    return exponential.dpm_step(p["x"], eps_at(p, p["x"], p["output"], now), now, then)


def dpm_solver_2(p):
    """DPM-Solver-2; the chapter's own where r = 1/2."""
    now, then = levels(p)
    if then.noise == 0:
        return dpm_solver_1(p)
    step = exponential.dpm2_step if p["r"] == 0.5 else singlestep.dpm2_step
    model = told(p, p["output"], p["output_2"])
    return step(p["x"], now, inner(p, p["r"]), then, model)


def _third(p, *outputs, seen=None):
    """DPM-Solver-3; the chapter's own at thirds."""
    now, then = levels(p)
    first, second = inner(p, p["r_1"]), inner(p, p["r_2"])
    thirds = (p["r_1"], p["r_2"]) == (1 / 3, 2 / 3)
    step = exponential.dpm3_step if thirds else singlestep.dpm3_step
    model = told(p, p["output"], *outputs, seen=seen)
    return step(p["x"], now, first, second, then, model)


def dpm_solver_3_mid(p):
    """Where DPM-Solver-3 asks for the third time."""
    seen = []
    _third(p, p["output_2"], p["output_2"], seen=seen)
    return seen[2][0]


def dpm_solver_3(p):
    """The end of DPM-Solver-3, which does not depend on what was said at r_1."""
    if levels(p)[1].noise == 0:
        return dpm_solver_1(p)
    return _third(p, p["output"], (p["x_3"], p["output_3"]))


def dpmpp_1(p):
    """DPM-Solver++ of order 1."""
    now, then = levels(p)
    return exponential.dpmpp_step(p["x"], x0_at(p, p["x"], p["output"], now), now, then)


def dpmpp_2s(p):
    """DPM-Solver++(2S)."""
    now, then = levels(p)
    if then.noise == 0:
        return dpmpp_1(p)
    model = told(p, p["output"], p["output_2"])
    return singlestep.dpmpp_2s_step(p["x"], now, inner(p, p["r"]), then, model)


def _past(p, read):
    """The levels and x0_hat or eps_hat of this step and the earlier ones, newest first."""
    pairs = [*p["history"], (p["x"], p["output"])][::-1]
    ats = [level_of(p, p["sigmas"][p["index"] - j]) for j in range(len(pairs))]
    said = [read(p, x, y, at) for (x, y), at in zip(pairs, ats, strict=True)]
    return ats, np.array(said)


def dpmpp_2m(p):
    """DPM-Solver++(2M), order 1 at both ends."""
    then = levels(p)[1]
    if then.noise == 0 or p["index"] == 0:
        return dpmpp_1(p)
    (now, last), (x0, x0_last) = _past(p, x0_at)
    return exponential.dpmpp_2m_step(p["x"], x0, x0_last, last, now, then)


def dpmpp_sde_2m(p):
    """The SDE's exact step, x0_hat as in (2M)."""
    (now, *last), (x0, *x0_last) = _past(p, x0_at)
    then = levels(p)[1]
    if last and then.noise:
        ahead = singlestep.rise(now, then) / (2 * singlestep.rise(last[0], now))
        x0 = x0 + ahead * (x0 - x0_last[0])
    return multistep.ou_step(p["x"], x0, now, then, p["eta"], p["z"])


def dpmpp_3m(p):
    """DPM-Solver++(3M)."""
    ats, x0 = _past(p, x0_at)
    return multistep.dpmpp_3m_step(p["x"], x0, ats, levels(p)[1])


def lms(p):
    """Linear multistep in sigma."""
    ats, eps = _past(p, eps_at)
    nodes = np.array([at.noise for at in ats])
    return multistep.lms_step(p["x"], eps, nodes, levels(p)[1].noise)


def multistep_orders(p):
    """The orders of a whole run."""
    return np.array(multistep.orders(p["N"], p["order"]))


def _velocity(p, *outputs):
    """dx/ds of the straight flow."""
    reads = {
        "flow": lambda x, y, s: y,
        "x0": flow.velocity_from_x0,
        "eps": flow.velocity_from_eps,
    }
    left = iter(outputs)
    return lambda x, s: reads[p["target"]](x, next(left), s)


def flow_euler(p):
    """Euler's method on the straight flow."""
    s, t = p["sigmas"][p["index"] : p["index"] + 2]
    return ode.runge_kutta_step(_velocity(p, p["output"]), p["x"], s, t, ode.EULER)


def flow_heun(p):
    """Heun's method on the straight flow, Euler's at the end."""
    s, t = p["sigmas"][p["index"] : p["index"] + 2]
    slope = _velocity(p, p["output"], p["output_2"])
    return ode.runge_kutta_step(slope, p["x"], s, t, ode.HEUN if t else ode.EULER)


def flow_label(p):
    """What the network is told."""
    return p["scale"] * np.array(p["sigmas"])
