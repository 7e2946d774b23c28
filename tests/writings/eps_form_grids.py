"""Times and noise levels that a sampler visits."""

import math

import numpy as np

from tests.writings.eps_form_tables import chain, numbers, real


def timesteps(p):
    T, N = p["T"], p["N"]
    if N > T:
        raise ValueError(f"{N} steps would ask one of {T} times twice")
    i = np.arange(N)
    if p["spacing"] == "leading":
        return (i * (T // N))[::-1]
    if p["spacing"] == "trailing":
        return np.round(T - i * T / N).astype(int) - 1
    return np.round(i * (T - 1) / max(N - 1, 1)).astype(int)[::-1]


def lcm_timesteps(p):
    taught = np.arange(p["original"], 0, -1) * (p["T"] // p["original"]) - 1
    return taught[np.arange(p["N"]) * p["original"] // p["N"]]


def quadratic_times(p):
    first, last = (np.sqrt(v) for v in numbers(p, "first", "last"))
    return np.linspace(first, last, p["N"] + 1, dtype=real(p)) ** 2


def _log_sigma(p):
    bars = chain(p)[1]
    return np.log((1 - bars) / bars) / 2


def sigma_timesteps(p):
    table, asked = _log_sigma(p), np.log(p["sigma"])
    k = np.clip(np.searchsorted(table, asked) - 1, 0, len(table) - 2)
    part = (asked - table[k]) / (table[k + 1] - table[k])
    return k.astype(real(p)) + part


def step_index(p):
    away = np.abs(np.asarray(p["timesteps"], real(p)) - np.asarray(p["t"])[:, None])
    return np.argmin(away, axis=1)


def to_zero(levels):
    """The levels, and none at the end."""
    return np.concatenate([levels, np.zeros(1, levels.dtype)])


def sigmas(p):
    bars = chain(p)[1][p["timesteps"]]
    return to_zero(np.sqrt((1 - bars) / bars))


def _even(p, first, last):
    """N numbers, the first alone if N is 1."""
    return np.linspace(first, last, p["N"], dtype=real(p))


def karras_sigmas(p):
    low, high, rho = numbers(p, "sigma_min", "sigma_max", "rho")
    return to_zero(_even(p, high ** (1 / rho), low ** (1 / rho)) ** rho)


def exponential_sigmas(p):
    low, high = (np.log(v) for v in numbers(p, "sigma_min", "sigma_max"))
    return to_zero(np.exp(_even(p, high, low)))


def vp_sigmas(p):
    low, high, eps = numbers(p, "beta_min", "beta_max", "eps")
    t = _even(p, real(p)(1), eps)
    return to_zero(np.sqrt(np.exp(low * t + (high - low) * t**2 / 2) - 1))


def karras_log_snr(p):
    low, high, rho = numbers(p, "sigma_min", "sigma_max", "rho")
    root = low ** (1 / rho)
    return -2 * rho * np.log(root + p["t"] * (high ** (1 / rho) - root))


def _shifted(p):
    last = p["T"] if p["grid"] == "to-last" else p["N"]
    s = _even(p, real(p)(1), real(p)(1) / real(p)(last))
    (shift,) = numbers(p, "shift")
    return shift * s / (1 + (shift - 1) * s)


def flow_sigmas(p):
    return to_zero(_shifted(p))


def flow_times(p):
    return 1 - flow_sigmas(p)


def flow_timesteps(p):
    return real(p)(p["T"]) * _shifted(p)


def flow_label(p):
    return real(p)(p["scale"]) * np.asarray(p["sigmas"], real(p))


def time_label(p):
    return np.round(np.asarray(p["t"]) * (p["T"] - 1)).astype(int)


def multistep_orders(p):
    i = np.arange(p["N"])
    return np.minimum(p["order"], np.minimum(i + 1, p["N"] - i))


def heun_calls(p):
    calls = []
    for i, after in enumerate(p["sigmas"][1:]):
        calls += [i, i + 1] if after > 0 else [i]
    return calls


def own_grid(n, low=0.02, high=80.0):
    """n noise levels of one's own choice, geometric from high to low, then 0."""
    return to_zero(np.exp(np.linspace(math.log(high), math.log(low), n)))
