"""Solvers of the probability flow, each a change of x along eps_hat."""

import numpy as np

from tests.writings.eps_form_steps import to_eps, to_x0
from tests.writings.eps_form_tables import numbers, real


def sigma_levels(p, sigma):
    """Signal and noise of a level named sigma; without a scaling x = x0 + sigma eps."""
    scaling = p.get("scaling", "ve")
    if scaling == "flow":
        return 1 - sigma, sigma
    if scaling == "ve":
        return np.ones_like(sigma), sigma
    r = np.sqrt(1 + sigma * sigma)
    return 1 / r, sigma / r


def _grid(p):
    return np.asarray(p["sigmas"], real(p))


def _pair(p):
    return _grid(p)[p["index"] : p["index"] + 2]


def eps_at(p, x, output, sigma):
    """eps_hat where the model said output at x."""
    return to_eps(p["target"], x, output, *sigma_levels(p, sigma))


def _x0_at(p, x, output, sigma):
    return to_x0(p["target"], x, output, *sigma_levels(p, sigma))


def euler(p):
    sigma, after = _pair(p)
    return p["x"] + (after - sigma) * eps_at(p, p["x"], p["output"], sigma)


def euler_ancestral(p):
    sigma, after = _pair(p)
    up = numbers(p, "eta")[0] * after * np.sqrt(1 - (after / sigma) ** 2)
    down = np.sqrt(after**2 - up**2)
    eps = eps_at(p, p["x"], p["output"], sigma)
    return p["x"] + (down - sigma) * eps + up * p["z"]


def _heun_from(p, x, sigma, after):
    """Heun's step from x at sigma; Euler's to no noise."""
    eps = eps_at(p, x, p["output"], sigma)
    end = x + (after - sigma) * eps
    if after == 0:
        return end
    return x + (after - sigma) * (eps + eps_at(p, end, p["output_2"], after)) / 2


def heun(p):
    return _heun_from(p, p["x"], *_pair(p))


def edm_heun(p):
    sigma, after = _pair(p)
    churn, low, high, size = numbers(p, "churn", "s_min", "s_max", "s_noise")
    gamma = min(churn / (len(p["sigmas"]) - 1), np.sqrt(real(p)(2)) - 1)
    higher = sigma * (1 + gamma) if low <= sigma <= high else sigma
    x = p["x"] + np.sqrt(higher**2 - sigma**2) * size * p["z"]
    return _heun_from(p, x, higher, after)


def dpm2(p):
    sigma, after = _pair(p)
    eps = eps_at(p, p["x"], p["output"], sigma)
    if after == 0:
        return p["x"] - sigma * eps
    between = np.sqrt(sigma * after)
    middle = p["x"] + (between - sigma) * eps
    eps = eps_at(p, middle, p["output_2"], between)
    return p["x"] + (after - sigma) * eps


def lms(p):
    """Weights of the polynomial through the slopes, in u = 0..1 from sigma to the next."""
    sigma, after = _pair(p)
    n, i = min(p["order"], p["index"] + 1), p["index"]
    said = [*p["history"], (p["x"], p["output"])][-n:]
    levels = _grid(p)[i - n + 1 : i + 1]
    slopes = [eps_at(p, *s, level) for s, level in zip(said, levels, strict=True)]
    u = (levels - sigma) / (after - sigma)
    weights = [
        _area(np.delete(u, j)) / np.prod(u[j] - np.delete(u, j)) for j in range(n)
    ]
    total = sum(w * slope for w, slope in zip(weights, slopes, strict=True))
    return p["x"] + (after - sigma) * total


def _area(roots):
    """Integral over 0..1 of the product of u - root."""
    c = np.poly(roots) if len(roots) else np.ones(1, roots.dtype)
    return np.sum(c / np.arange(len(c), 0, -1, dtype=c.dtype))


def log_ratio(p, sigma):
    """log(signal / noise)."""
    signal, noise = sigma_levels(p, sigma)
    return np.log(signal / noise)


def sigma_of(p, log):
    """The level of a log(signal / noise), named as the scaling names it."""
    ratio = np.exp(-log)
    return ratio / (1 + ratio) if p.get("scaling") == "flow" else ratio


def along(p, x, eps, sigma, after):
    """The exact step for an eps_hat that stays; to no noise as well."""
    (a, b), (a_next, b_next) = sigma_levels(p, sigma), sigma_levels(p, after)
    return a_next / a * x - (a_next * b / a - b_next) * eps


def inner(p, r):
    """The level at a fraction r of the rise in log(signal / noise), and the rise h."""
    start, end = (log_ratio(p, s) for s in _pair(p))
    return sigma_of(p, start + r * (end - start)), end - start


def dpm_solver_1(p):
    sigma, after = _pair(p)
    return along(p, p["x"], eps_at(p, p["x"], p["output"], sigma), sigma, after)


dpmpp_1 = dpm_solver_1


def dpm_solver_2(p):
    (sigma, after), (r,) = _pair(p), numbers(p, "r")
    eps = eps_at(p, p["x"], p["output"], sigma)
    end = along(p, p["x"], eps, sigma, after)
    if after == 0:
        return end
    between, h = inner(p, r)
    x = along(p, p["x"], eps, sigma, between)
    change = eps_at(p, x, p["output_2"], between) - eps
    return end - sigma_levels(p, after)[1] * (np.exp(h) - 1) / (2 * r) * change


def dpm_solver_3_mid(p):
    (sigma, _), (r_1, r_2) = _pair(p), numbers(p, "r_1", "r_2")
    eps = eps_at(p, p["x"], p["output"], sigma)
    (first, h), (second, _) = inner(p, r_1), inner(p, r_2)
    x = along(p, p["x"], eps, sigma, first)
    change = eps_at(p, x, p["output_2"], first) - eps
    size = (np.exp(r_2 * h) - 1) / (r_2 * h) - 1
    shift = sigma_levels(p, second)[1] * r_2 / r_1 * size * change
    return along(p, p["x"], eps, sigma, second) - shift


def dpm_solver_3(p):
    (sigma, after), (r_2,) = _pair(p), numbers(p, "r_2")
    eps = eps_at(p, p["x"], p["output"], sigma)
    end = along(p, p["x"], eps, sigma, after)
    if after == 0:
        return end
    second, h = inner(p, r_2)
    change = eps_at(p, p["x_3"], p["output_3"], second) - eps
    return end - sigma_levels(p, after)[1] / r_2 * ((np.exp(h) - 1) / h - 1) * change


def dpmpp_2s(p):
    (sigma, after), (r,) = _pair(p), numbers(p, "r")
    end = dpm_solver_1(p)
    if after == 0:
        return end
    between, h = inner(p, r)
    eps = eps_at(p, p["x"], p["output"], sigma)
    x = along(p, p["x"], eps, sigma, between)
    x0 = _x0_at(p, p["x"], p["output"], sigma)
    change = _x0_at(p, x, p["output_2"], between) - x0
    return end + sigma_levels(p, after)[0] * (1 - np.exp(-h)) / (2 * r) * change


def past_x0(p):
    """x0_hat now and before, newest first, and how far in log(signal / noise)."""
    n = len(p["history"])
    levels = _grid(p)[p["index"] - n : p["index"] + 1]
    said = [*p["history"], (p["x"], p["output"])]
    x0 = [_x0_at(p, *s, level) for s, level in zip(said, levels, strict=True)]
    logs = [log_ratio(p, s) for s in levels]
    return x0[::-1], [logs[-1] - log for log in logs][::-1]


def dpmpp_2m(p):
    """Along eps_hat, and the change of x0_hat since the step before."""
    (sigma, after), end = _pair(p), dpm_solver_1(p)
    x0, back = past_x0(p)
    if after == 0 or len(x0) == 1:
        return end
    h = log_ratio(p, after) - log_ratio(p, sigma)
    trend = (x0[0] - x0[1]) * h / back[1]
    return end + sigma_levels(p, after)[0] * (1 - np.exp(-h)) / 2 * trend


def dpmpp_sde_2m(p):
    """The old noise shrinks along eps_hat by e^(-eta h), and fresh noise fills it up."""
    (sigma, after), (eta,) = _pair(p), numbers(p, "eta")
    x0, back = past_x0(p)
    if after == 0:
        return dpm_solver_1(p)
    h = log_ratio(p, after) - log_ratio(p, sigma)
    a_next, b_next = sigma_levels(p, after)
    eps = eps_at(p, p["x"], p["output"], sigma)
    fresh = b_next * np.sqrt(1 - np.exp(-2 * eta * h))
    end = a_next * x0[0] + b_next * np.exp(-eta * h) * eps + fresh * p["z"]
    if len(x0) == 1:
        return end
    trend = (x0[0] - x0[1]) * h / back[1]
    return end + a_next * (1 - np.exp(-(1 + eta) * h)) / 2 * trend


def dpmpp_3m(p):
    (sigma, after), end = _pair(p), dpm_solver_1(p)
    if after == 0:
        return end
    (now, before, oldest), (_, u, w) = past_x0(p)
    h = log_ratio(p, after) - log_ratio(p, sigma)
    near, far = (now - before) / u, (before - oldest) / (w - u)
    bend = (near - far) / w
    slope = near + bend * u
    first = h - 1 + np.exp(-h)  # integrals of u^n e^(u - h) over 0..h, n = 1 and 2
    second = h * h - 2 * first
    return end + sigma_levels(p, after)[0] * (first * slope + second * bend)


def flow_speed(target, x, output, s):
    """dx/ds = eps - x0 of the straight flow; at s = 1 what the model said."""
    eps = to_eps(target, x, output, 1 - s, s)
    return eps - to_x0(target, x, output, 1 - s, s)


def flow_euler(p):
    s, after = _pair(p)
    return p["x"] + (after - s) * flow_speed(p["target"], p["x"], p["output"], s)


def flow_heun(p):
    s, after = _pair(p)
    speed = flow_speed(p["target"], p["x"], p["output"], s)
    end = p["x"] + (after - s) * speed
    if after == 0:
        return end
    speed_2 = flow_speed(p["target"], end, p["output_2"], after)
    return p["x"] + (after - s) * (speed + speed_2) / 2
