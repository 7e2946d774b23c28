"""DPM-Solver and DPM-Solver++ in score form.

With h the rise of log(signal / noise) to a level (signal', noise'),
noise' (e^h - 1) = signal' noise / signal - noise', and
signal' (1 - e^-h) = signal' - noise' signal / noise.
"""

import numpy as np

from tests.writings.score_form_levels import denoise, family, score_of, ve


def _vp(s):
    length = np.hypot(1, s)
    return 1 / length, s / length


def _flow(s):
    return 1 - s, s


SCALINGS = {"ve": ve, "vp": _vp, "flow": _flow}


def levels(p):
    """The level of a step, and the next."""
    level = SCALINGS[p["scaling"]]
    return tuple(level(s) for s in p["sigmas"][p["index"] : p["index"] + 2])


def rise(at, to):
    """h: how much log(signal / noise) rises."""
    return np.log(to[0] / to[1]) - np.log(at[0] / at[1])


def inside(p, at, to, r):
    """The level at a fraction r of the rise."""
    ratio = (at[1] / at[0]) ** (1 - r) * (to[1] / to[0]) ** r
    return SCALINGS[p["scaling"]](ratio / (1 + ratio) if _is_flow(p) else ratio)


def _is_flow(p):
    return p["scaling"] == "flow"


def first_order(x, score, at, to):
    """Exact where noise times the score is constant: DDIM."""
    scale = to[0] / at[0]
    return scale * x + (scale * at[1] - to[1]) * at[1] * score


def _weight(at, to):
    """noise' (e^h - 1)."""
    return to[0] * at[1] / at[0] - to[1]


def _bend(at, to):
    """noise' ((e^h - 1) / h - 1)."""
    h = rise(at, to)
    return to[1] * (np.expm1(h) / h - 1)


def second_order(x, score, change, at, to, r):
    """change: noise times score at the fraction r, less that at the beginning."""
    return first_order(x, score, at, to) + _weight(at, to) / (2 * r) * change


def third_order(x, score, change, at, to, r):
    """The same with the whole integral of a straight line."""
    return first_order(x, score, at, to) + _bend(at, to) / r * change


def third_order_mid(x, score, change, at, end, r_1, r_2):
    """The point at r_2, from the change up to r_1."""
    return first_order(x, score, at, end) + _bend(at, end) * r_2 / r_1 * change


def _score(p, output, x, level):
    return score_of(p["target"], output, x, level)


def _change(p, output, x, level, score, at):
    return level[1] * _score(p, output, x, level) - at[1] * score


@family
def dpm_solver_1(p):
    at, to = levels(p)
    return first_order(p["x"], _score(p, p["output"], p["x"], at), at, to)


@family
def dpmpp_1(p):
    return dpm_solver_1(p)


@family
def dpm_solver_2(p):
    at, to = levels(p)
    score = _score(p, p["output"], p["x"], at)
    if to[1] == 0:
        return first_order(p["x"], score, at, to)
    middle = inside(p, at, to, p["r"])
    u = first_order(p["x"], score, at, middle)
    change = _change(p, p["output_2"], u, middle, score, at)
    return second_order(p["x"], score, change, at, to, p["r"])


@family
def dpm_solver_3_mid(p):
    at, to = levels(p)
    score = _score(p, p["output"], p["x"], at)
    one, two = (inside(p, at, to, p[r]) for r in ("r_1", "r_2"))
    u = first_order(p["x"], score, at, one)
    change = _change(p, p["output_2"], u, one, score, at)
    return third_order_mid(p["x"], score, change, at, two, p["r_1"], p["r_2"])


@family
def dpm_solver_3(p):
    at, to = levels(p)
    score = _score(p, p["output"], p["x"], at)
    if to[1] == 0:
        return first_order(p["x"], score, at, to)
    two = inside(p, at, to, p["r_2"])
    change = _change(p, p["output_3"], p["x_3"], two, score, at)
    return third_order(p["x"], score, change, at, to, p["r_2"])


# DPM-Solver++: Tweedie's x0 is what is held.


def data_step(x, x0, at, to):
    """Exact where x0 is constant."""
    scale = to[1] / at[1]
    return scale * x + (to[0] - scale * at[0]) * x0


def _x0(p, output, x, level):
    return denoise(_score(p, output, x, level), x, level)


@family
def dpmpp_2s(p):
    at, to = levels(p)
    x0 = _x0(p, p["output"], p["x"], at)
    if to[1] == 0:
        return data_step(p["x"], x0, at, to)
    middle = inside(p, at, to, p["r"])
    u = data_step(p["x"], x0, at, middle)
    later = _x0(p, p["output_2"], u, middle)
    return data_step(p["x"], x0 + (later - x0) / (2 * p["r"]), at, to)


def extrapolated(x0, before, h_before, h):
    """x0 half a step on, by the straight line through the one before."""
    return x0 + (x0 - before) * h / (2 * h_before)


def _past(p):
    """Level and x0 of each step before, oldest first."""
    many, index = len(p["history"]), p["index"]
    past = [SCALINGS[p["scaling"]](s) for s in p["sigmas"][index - many : index]]
    asked = zip(p["history"], past, strict=True)
    return [(level, _x0(p, output, x, level)) for (x, output), level in asked]


def _held(p, at, to):
    """x0 now, or half a step on."""
    x0, past = _x0(p, p["output"], p["x"], at), _past(p)
    if not past or to[1] == 0:
        return x0
    level, before = past[-1]
    return extrapolated(x0, before, rise(level, at), rise(at, to))


@family
def dpmpp_2m(p):
    at, to = levels(p)
    return data_step(p["x"], _held(p, at, to), at, to)


@family
def dpmpp_sde_2m(p):
    at, to = levels(p)
    x0 = _held(p, at, to)
    if to[1] == 0:
        return to[0] * x0
    kept = np.exp(-p["eta"] * rise(at, to))  # of the noise that is in x
    lost = np.sqrt(-np.expm1(-2 * p["eta"] * rise(at, to)))
    noise = to[1] * (kept * (p["x"] - at[0] * x0) / at[1] + lost * p["z"])
    return to[0] * x0 + noise


@family
def dpmpp_3m(p):
    at, to = levels(p)
    x0, past = _x0(p, p["output"], p["x"], at), _past(p)
    if to[1] == 0:
        return data_step(p["x"], x0, at, to)
    (level_2, x0_2), (level_1, x0_1) = past
    h, u_1, u_2 = rise(at, to), -rise(level_1, at), -rise(level_2, at)
    slope = (x0_1 - x0) / u_1
    curve = ((x0_2 - x0) / u_2 - slope) / (u_2 - u_1)
    # The parabola x0 + u slope + u (u - u_1) curve, against noise' e^(u + ...) on 0..h.
    one, two = to[0] * (h + np.expm1(-h)), to[0] * h**2
    rest = (slope - u_1 * curve) * one + curve * (two - 2 * one)
    return data_step(p["x"], x0, at, to) + rest
