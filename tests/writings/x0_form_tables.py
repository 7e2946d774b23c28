"""Predicted-data writing: number types, schedules, and the families that are tables."""

import math
from typing import Any

import numpy as np

Array = np.ndarray


def real(p: dict) -> type:
    """The type that a question is answered in: asked for, or that of its inputs."""
    if "dtype" in p:
        return np.dtype(p["dtype"]).type
    arrays = [v for v in p.values() if isinstance(v, np.ndarray)]
    floats = [v.dtype.type for v in arrays if v.dtype.kind == "f"]
    return floats[0] if floats else np.float64


def array(p: dict, key: str) -> Array:
    """A list of the problem, or an input, as an array of the question's type."""
    return np.asarray(p[key], real(p))


def number(p: dict, key: str) -> Any:
    """A number of the problem in the question's type."""
    return real(p)(p[key])


def even(first: float, last: float, n: int, f: type) -> Array:
    """n numbers, first to last."""
    return np.linspace(f(first), f(last), n, dtype=f)


def ended(levels: Array) -> Array:
    """The levels, then 0."""
    return np.append(levels, levels.dtype.type(0))


def variances(schedule: dict, f: type) -> Array:
    """The beta of a schedule, (T,)."""
    kind, n = schedule["kind"], schedule["T"]
    if kind == "constant":
        return np.full(n, schedule["beta"], f)
    if kind == "cosine":
        return cosine_variances(n, f(schedule["s"]), f(schedule["beta_max"]))
    first, last = f(schedule["beta_1"]), f(schedule["beta_T"])
    if kind == "linear":
        return even(first, last, n, f)
    if kind == "scaled-linear":
        return even(np.sqrt(first), np.sqrt(last), n, f) ** 2
    if kind == "sigmoid":
        return first + (last - first) / (1 + np.exp(-even(-6, 6, n, f)))
    raise ValueError(f"schedule kind must be a known one; got {kind!r}")


def cosine_variances(n: int, s: float, most: float) -> Array:
    """1 less the ratio of neighbours of cos^2, at most `most`."""
    f = type(s)
    u = np.arange(n + 1, dtype=f) / f(n)
    kept = np.cos((u + s) / (1 + s) * f(math.pi / 2)) ** 2
    return np.minimum(1 - kept[1:] / kept[:-1], most)


def kept_share(schedule: dict, f: type) -> Array:
    """alpha_bar of a schedule, (T,): the share of the variance that is data's."""
    share = np.cumprod(1 - variances(schedule, f), dtype=f)
    return without_signal(share) if schedule.get("zero_snr") else share


def without_signal(share: Array) -> Array:
    """Shift and scale sqrt(alpha_bar) so that its last is 0 and its first stays."""
    root = np.sqrt(share)
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def shares(p: dict) -> Array:
    """alpha_bar of the question's schedule."""
    return kept_share(p["schedule"], real(p))


def before(share: Array) -> Array:
    """alpha_bar one entry earlier, 1 before the first."""
    return np.concatenate([np.ones(1, share.dtype), share[:-1]])


def beta(p):
    return variances(p["schedule"], real(p))[p["k"]]


def alpha_bar(p):
    return shares(p)[p["k"]]


def alpha_bar_prev(p):
    return before(shares(p))[p["k"]]


def noise_std(p):
    return np.sqrt(1 - shares(p))[p["k"]]


def snr(p):
    share = shares(p)[p["k"]]
    return share / (1 - share)


def log_snr(p):
    return np.log(snr(p))


def zero_snr(p):
    share = shares(p)
    return {"alpha_bar": share[p["k"]], "beta": (1 - share / before(share))[p["k"]]}


def posterior_parts(share: Array, earlier: Array) -> tuple:
    """Coefficients of x0 and x_k, and the variance, of x_{k-1} given both."""
    step = share / earlier
    of_x0 = np.sqrt(earlier) * (1 - step) / (1 - share)
    of_x = np.sqrt(step) * (1 - earlier) / (1 - share)
    return of_x0, of_x, (1 - step) * (1 - earlier) / (1 - share)


def posterior_variance(p):
    share = shares(p)
    return posterior_parts(share, before(share))[2]


def posterior_log_variance(p):
    variance = posterior_variance(p)
    return np.log(np.append(variance[1], variance[1:]))


def posterior_mean_coefficients(p):
    share = shares(p)
    of_x0, of_x, _ = posterior_parts(share, before(share))
    return {"of_x0": of_x0, "of_x": of_x}


def timesteps(p):
    total, n = p["T"], p["N"]
    if n > total:
        raise ValueError(f"N must be at most T = {total}; got {n}")
    i = np.arange(n)
    if p["spacing"] == "leading":
        return i[::-1] * (total // n)
    if p["spacing"] == "trailing":
        return np.round(total - i * total / n).astype(int) - 1
    return np.round(i[::-1] * (total - 1) / max(n - 1, 1)).astype(int)


def lcm_timesteps(p):
    every, many = p["T"] // p["original"], p["original"]
    falling = np.arange(many, 0, -1) * every - 1
    return falling[np.arange(p["N"]) * many // p["N"]]


def quadratic_times(p):
    first, last = np.sqrt(number(p, "first")), np.sqrt(number(p, "last"))
    return even(first, last, p["N"] + 1, real(p)) ** 2


def noise_to_signal(share: Array) -> Array:
    """sigma of x = x0 + sigma eps."""
    return np.sqrt((1 - share) / share)


def sigma_timesteps(p):
    known = np.log(noise_to_signal(shares(p)))
    asked, f = np.log(array(p, "sigma")), real(p)
    above = np.clip(np.searchsorted(known, asked), 1, len(known) - 1)
    low, high = known[above - 1], known[above]
    return (above - 1).astype(f) + (asked - low) / (high - low)


def step_index(p):
    away = np.abs(array(p, "t")[:, None] - array(p, "timesteps"))
    return away.argmin(axis=1)


def sigmas(p):
    return ended(noise_to_signal(shares(p)[p["timesteps"]]))


def karras_sigmas(p):
    root = 1 / number(p, "rho")
    first, last = number(p, "sigma_max") ** root, number(p, "sigma_min") ** root
    return ended(even(first, last, p["N"], real(p)) ** number(p, "rho"))


def exponential_sigmas(p):
    first, last = np.log(number(p, "sigma_max")), np.log(number(p, "sigma_min"))
    return ended(np.exp(even(first, last, p["N"], real(p))))


def vp_sigmas(p):
    t = even(1, p["eps"], p["N"], real(p))
    low, high = number(p, "beta_min"), number(p, "beta_max")
    return ended(np.sqrt(np.expm1(low * t + (high - low) * t**2 / 2)))


def karras_log_snr(p):
    root, t = 1 / number(p, "rho"), array(p, "t")
    low, high = number(p, "sigma_min") ** root, number(p, "sigma_max") ** root
    return -2 * number(p, "rho") * np.log(low + t * (high - low))


def shifted(p: dict) -> Array:
    """The N noise levels of flow matching, without the last 0."""
    n, shift = p["N"], number(p, "shift")
    last = 1 / p["T"] if p["grid"] == "to-last" else 1 / n
    s = even(1, last, n, real(p))
    return shift * s / (1 + (shift - 1) * s)


def flow_sigmas(p):
    return ended(shifted(p))


def flow_times(p):
    return 1 - flow_sigmas(p)


def flow_timesteps(p):
    return p["T"] * shifted(p)


def flow_label(p):
    return number(p, "scale") * array(p, "sigmas")


def heun_calls(p):
    steps = len(p["sigmas"]) - 1
    asked = [i for step in range(steps) for i in (step, step + 1)]
    return np.array([i for i in asked if p["sigmas"][i] > 0])


def multistep_orders(p):
    i = np.arange(p["N"])
    return np.minimum(p["order"], np.minimum(i + 1, p["N"] - i))


def bits_per_dim(p):
    f = real(p)
    bin_width = (number(p, "high") - number(p, "low")) / f(p["levels"])
    return -(array(p, "log_p") / f(p["d"]) + np.log(bin_width)) / np.log(f(2))
