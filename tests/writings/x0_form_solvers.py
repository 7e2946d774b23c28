"""Predicted-data writing: steps in sigma, and exponential integrators."""

import math

import numpy as np

from tests.writings.x0_form_steps import Level, data_of
from tests.writings.x0_form_tables import Array, array, number, real


def ve(sigma: float) -> Level:
    """The level of x = x0 + sigma eps."""
    return Level(type(sigma)(1), sigma)


def ends(p: dict) -> tuple:
    """The sigma here, and the next."""
    sigma = array(p, "sigmas")
    return sigma[p["index"]], sigma[p["index"] + 1]


def seen_at(p: dict, x: Array, output: str, sigma: float) -> Array:
    """x0_hat of an output at x and sigma."""
    return data_of(x, p[output], p["target"], ve(sigma))


def toward(x: Array, x0_hat: Array, sigma: float, to: float) -> Array:
    """x on the line to its predicted data: Euler's step in sigma."""
    return x0_hat + (to / sigma) * (x - x0_hat)


def slope(x: Array, x0_hat: Array, sigma: float) -> Array:
    """dx/dsigma on the probability flow."""
    return (x - x0_hat) / sigma


def euler(p):
    sigma, to = ends(p)
    return toward(p["x"], seen_at(p, p["x"], "output", sigma), sigma, to)


def euler_ancestral(p):
    sigma, to = ends(p)
    up = number(p, "eta") * to * np.sqrt(1 - (to / sigma) ** 2)
    down = np.sqrt(to**2 - up**2)
    x0_hat = seen_at(p, p["x"], "output", sigma)
    return toward(p["x"], x0_hat, sigma, down) + up * p["z"]


def heun_from(p: dict, x: Array, sigma: float, to: float) -> Array:
    """Heun's step in sigma, Euler's to sigma = 0."""
    x0_hat = seen_at(p, x, "output", sigma)
    end = toward(x, x0_hat, sigma, to)
    if to == 0:
        return end
    end_hat = seen_at(p, end, "output_2", to)
    return x + (to - sigma) / 2 * (slope(x, x0_hat, sigma) + slope(end, end_hat, to))


def heun(p):
    return heun_from(p, p["x"], *ends(p))


def edm_heun(p):
    sigma, to = ends(p)
    churned = p["s_min"] <= sigma <= p["s_max"]
    gamma = min(p["churn"] / (len(p["sigmas"]) - 1), math.sqrt(2) - 1) if churned else 0
    high = sigma * real(p)(1 + gamma)
    added = number(p, "s_noise") * np.sqrt(high**2 - sigma**2)
    return heun_from(p, p["x"] + added * p["z"], high, to)


def dpm2(p):
    sigma, to = ends(p)
    x0_hat = seen_at(p, p["x"], "output", sigma)
    if to == 0:
        return x0_hat
    middle = np.sqrt(sigma * to)
    x_middle = toward(p["x"], x0_hat, sigma, middle)
    middle_hat = seen_at(p, x_middle, "output_2", middle)
    return p["x"] + (to - sigma) * slope(x_middle, middle_hat, middle)


def lms(p):
    sigma, i = array(p, "sigmas"), p["index"]
    said = [*p["history"], (p["x"], p["output"])][-p["order"] :]
    at = sigma[i + 1 - len(said) : i + 1]
    weights = adams(at - sigma[i], sigma[i + 1] - sigma[i])
    x = p["x"]
    for weight, s, (x_s, output) in zip(weights, at, said, strict=True):
        x = x + weight * slope(x_s, data_of(x_s, output, p["target"], ve(s)), s)
    return x


def adams(nodes: Array, h: float) -> Array:
    """Integrals over 0..h of the Lagrange polynomials of the nodes, at most 4."""
    at, of = (v.astype(nodes.dtype) for v in np.polynomial.legendre.leggauss(2))
    at, of = h * (1 + at) / 2, h * of / 2
    weights = []
    for j, node in enumerate(nodes):
        rest = np.delete(nodes, j)
        weights.append((of * np.prod((at[:, None] - rest) / (node - rest), -1)).sum())
    return np.array(weights)


def scaled(p: dict, sigma: float) -> Level:
    """The level of a sigma in the scaling of the problem."""
    if p["scaling"] == "ve":
        return ve(sigma)
    if p["scaling"] == "flow":
        return Level(1 - sigma, sigma)
    return Level(1 / np.sqrt(1 + sigma**2), sigma / np.sqrt(1 + sigma**2))


def rise(level: Level, to: Level) -> float:
    """The rise in log(signal / noise)."""
    return np.log(to.signal * level.noise / (to.noise * level.signal))


def inner(p: dict, level: Level, h: float) -> Level:
    """The level whose log(signal / noise) is h higher."""
    ratio = level.noise / level.signal * np.exp(-h)
    return scaled(p, ratio / (1 + ratio) if p["scaling"] == "flow" else ratio)


def levels(p: dict) -> tuple:
    """Levels here and at the next sigma."""
    return tuple(scaled(p, s) for s in ends(p))


def first_order(x: Array, x0_hat: Array, level: Level, to: Level) -> Array:
    """The exact step if the predicted data stay."""
    kept = to.noise / level.noise
    return kept * x + (to.signal - kept * level.signal) * x0_hat


def leftover(x: Array, output: Array, target: str, level: Level) -> Array:
    """The noise that the predicted data leave."""
    return (x - level.signal * data_of(x, output, target, level)) / level.noise


def start(p: dict, level: Level) -> Array:
    """x0_hat at the start of the step."""
    return data_of(p["x"], p["output"], p["target"], level)


def dpm_solver_1(p):
    here, to = levels(p)
    return first_order(p["x"], start(p, here), here, to)


dpmpp_1 = dpm_solver_1


def change(p: dict, x: Array, output: str, level: Level, here: Level) -> Array:
    """How much the noise left changed from the start to x."""
    first = leftover(p["x"], p["output"], p["target"], here)
    return leftover(x, p[output], p["target"], level) - first


def dpm_solver_2(p):
    (here, to), r = levels(p), number(p, "r")
    x0_hat = start(p, here)
    line = first_order(p["x"], x0_hat, here, to)
    if to.noise == 0:
        return line
    h = rise(here, to)
    middle = inner(p, here, r * h)
    x_middle = first_order(p["x"], x0_hat, here, middle)
    bend = change(p, x_middle, "output_2", middle, here)
    return line - to.noise * np.expm1(h) / (2 * r) * bend


def dpm_solver_3_mid(p):
    (here, to), r_1, r_2 = levels(p), number(p, "r_1"), number(p, "r_2")
    h, x0_hat = rise(here, to), start(p, here)
    one, two = inner(p, here, r_1 * h), inner(p, here, r_2 * h)
    x_one = first_order(p["x"], x0_hat, here, one)
    bend = change(p, x_one, "output_2", one, here)
    line = first_order(p["x"], x0_hat, here, two)
    return line - two.noise * (r_2 / r_1) * (np.expm1(r_2 * h) / (r_2 * h) - 1) * bend


def dpm_solver_3(p):
    (here, to), r_2 = levels(p), number(p, "r_2")
    line = first_order(p["x"], start(p, here), here, to)
    if to.noise == 0:
        return line
    h = rise(here, to)
    two = inner(p, here, r_2 * h)
    bend = change(p, p["x_3"], "output_3", two, here)
    return line - to.noise / r_2 * (np.expm1(h) / h - 1) * bend


def dpmpp_2s(p):
    (here, to), r = levels(p), number(p, "r")
    x0_hat = start(p, here)
    if to.noise == 0:
        return first_order(p["x"], x0_hat, here, to)
    middle = inner(p, here, r * rise(here, to))
    x_middle = first_order(p["x"], x0_hat, here, middle)
    middle_hat = data_of(x_middle, p["output_2"], p["target"], middle)
    return first_order(p["x"], x0_hat + (middle_hat - x0_hat) / (2 * r), here, to)


def earlier(p: dict, back: int) -> tuple:
    """Level and x0_hat so many steps before this one."""
    level = scaled(p, array(p, "sigmas")[p["index"] - back])
    x, output = p["history"][-back]
    return level, data_of(x, output, p["target"], level)


def two_point(p: dict, here: Level, to: Level) -> Array:
    """x0_hat half a step further on, along the line from the one before."""
    x0_hat = start(p, here)
    if to.noise == 0 or len(p["history"]) == 0:
        return x0_hat
    level, old = earlier(p, 1)
    return x0_hat + rise(here, to) / rise(level, here) * (x0_hat - old) / 2


def dpmpp_2m(p):
    here, to = levels(p)
    return first_order(p["x"], two_point(p, here, to), here, to)


def dpmpp_sde_2m(p):
    (here, to), eta = levels(p), number(p, "eta")
    data = two_point(p, here, to)
    if to.noise == 0:
        return to.signal * data
    h = rise(here, to)
    kept = to.noise / here.noise * np.exp(-eta * h)
    fresh = to.noise * np.sqrt(-np.expm1(-2 * eta * h))
    return kept * p["x"] - to.signal * np.expm1(-(1 + eta) * h) * data + fresh * p["z"]


def dpmpp_3m(p):
    here, to = levels(p)
    x0_hat = start(p, here)
    line = first_order(p["x"], x0_hat, here, to)
    if to.noise == 0:
        return line
    (level_1, hat_1), (level_2, hat_2) = earlier(p, 1), earlier(p, 2)
    h, h_1, h_2 = rise(here, to), rise(level_1, here), rise(level_2, level_1)
    d_1, d_2 = (x0_hat - hat_1) / h_1, (hat_1 - hat_2) / h_2
    bend = (d_1 - d_2) / (h_1 + h_2)
    once = h + np.expm1(-h)  # integral of t e^(t - h) over 0..h
    twice = h**2 - 2 * once  # and of t^2
    return line + to.signal * ((d_1 + h_1 * bend) * once + bend * twice)


def flow_euler(p):
    s, to = ends(p)
    x0_hat = data_of(p["x"], p["output"], p["target"], Level(1 - s, s))
    return toward(p["x"], x0_hat, s, to)


def flow_heun(p):
    (s, to), x = ends(p), p["x"]
    x0_hat = data_of(x, p["output"], p["target"], Level(1 - s, s))
    end = toward(x, x0_hat, s, to)
    if to == 0:
        return end
    end_hat = data_of(end, p["output_2"], p["target"], Level(1 - to, to))
    return x + (to - s) / 2 * (slope(x, x0_hat, s) + slope(end, end_hat, to))
