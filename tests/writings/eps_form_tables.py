"""Tables, as somebody writes them who thinks in the noise eps of x = a x0 + b eps."""

import math

import numpy as np


def real(p):
    """The float type of a question: of its arrays, or what the caller works in."""
    arrays = (v for v in p.values() if isinstance(v, np.ndarray))
    types = (v.dtype.type for v in arrays if v.dtype.kind == "f")
    return next(types, p.get("float", np.float64))


def numbers(p, *names):
    """Numbers of a question in its float type."""
    return [real(p)(p[name]) for name in names]


def _betas(s, f):
    """The variances of a schedule's steps, before any rescaling."""
    if s["kind"] == "constant":
        return np.full(s["T"], f(s["beta"]))
    if s["kind"] == "cosine":
        u = (np.arange(s["T"] + 1, dtype=f) / f(s["T"]) + f(s["s"])) / f(1 + s["s"])
        kept = np.cos(u * f(math.pi / 2)) ** 2
        return np.minimum(1 - kept[1:] / kept[:-1], f(s["beta_max"]))
    first, last = f(s["beta_1"]), f(s["beta_T"])
    if s["kind"] == "scaled-linear":
        return np.linspace(np.sqrt(first), np.sqrt(last), s["T"], dtype=f) ** 2
    if s["kind"] == "sigmoid":
        rise = 1 / (1 + np.exp(-np.linspace(f(-6), f(6), s["T"], dtype=f)))
        return first + (last - first) * rise
    return np.linspace(first, last, s["T"], dtype=f)


def chain(p):
    """beta and alpha_bar (T,), k = 0..T-1."""
    betas = _betas(p["schedule"], real(p))
    bars = np.cumprod(1 - betas)
    if p["schedule"].get("zero_snr"):
        root = np.sqrt(bars)
        bars = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        betas = 1 - bars / before(bars)
    return betas, bars


def before(bars):
    """alpha_bar one step nearer to the data, 1 at the data."""
    return np.concatenate([np.ones(1, bars.dtype), bars[:-1]])


def beta(p):
    return chain(p)[0][p["k"]]


def alpha_bar(p):
    return chain(p)[1][p["k"]]


def alpha_bar_prev(p):
    return before(chain(p)[1])[p["k"]]


def noise_std(p):
    return np.sqrt(1 - alpha_bar(p))


def snr(p):
    return alpha_bar(p) / (1 - alpha_bar(p))


def log_snr(p):
    return np.log(snr(p))


def zero_snr(p):
    return {"alpha_bar": alpha_bar(p), "beta": beta(p)}


def posterior_variance(p):
    betas, bars = chain(p)
    return betas * (1 - before(bars)) / (1 - bars)


def posterior_log_variance(p):
    variance = posterior_variance(p)
    variance[0] = variance[1]
    return np.log(variance)


def posterior_mean_coefficients(p):
    betas, bars = chain(p)
    prev = before(bars)
    of_x0 = np.sqrt(prev) * betas / (1 - bars)
    return {"of_x0": of_x0, "of_x": np.sqrt(1 - betas) * (1 - prev) / (1 - bars)}


def loss_weight(p):
    """Of eps's error; SNR times that for x0, SNR / (SNR + 1) times that for v."""
    ratio, near = snr(p), before(chain(p)[1])[p["k"]]
    if p["kind"] == "simple":
        return np.ones_like(ratio)
    if p["target"] == "eps":
        return _eps_weight(p, ratio, near)
    return _x0_weight(p, ratio, near) / (1 if p["target"] == "x0" else ratio + 1)


def _eps_weight(p, ratio, near):
    """1, and what the ratio's limits make of it; an infinite weight is refused."""
    with np.errstate(divide="ignore"):
        inverse = 1 / ratio
    if p["kind"] == "snr":
        return np.ones_like(ratio)
    if p["kind"] == "min-snr":
        return np.minimum(1, real(p)(p["gamma"]) * inverse)
    if not np.isfinite(inverse).all():
        raise ValueError(f"{p['kind']} of eps is infinite where the SNR is 0")
    if p["kind"] == "truncated-snr":
        return np.maximum(1, inverse)
    return (near / (1 - near) * inverse - 1) / 2


def _x0_weight(p, ratio, near):
    """The same times SNR, written so that an SNR of 0 is allowed."""
    if p["kind"] == "snr":
        return ratio
    if p["kind"] == "truncated-snr":
        return np.maximum(ratio, 1)
    if p["kind"] == "min-snr":
        return np.minimum(ratio, real(p)(p["gamma"]))
    return (near / (1 - near) - ratio) / 2


def bits_per_dim(p):
    width = real(p)((p["high"] - p["low"]) / p["levels"])
    return -(p["log_p"] / p["d"] + np.log(width)) / real(p)(math.log(2))


def logit_normal_weight(p):
    mean, std = numbers(p, "mean", "std")
    t = p["t"]
    away = (np.log(t / (1 - t)) - mean) / std
    area = std * real(p)(math.sqrt(2 * math.pi)) * t * (1 - t)
    return np.exp(-(away**2) / 2) / area


def edm_precondition(p):
    (data,), sigma = numbers(p, "sigma_data"), p["sigma"]
    total = sigma**2 + data**2
    return {
        "c_skip": data**2 / total,
        "c_out": sigma * data / np.sqrt(total),
        "c_in": 1 / np.sqrt(total),
        "c_noise": np.log(sigma) / 4,
    }


def edm_weight(p):
    (data,), sigma = numbers(p, "sigma_data"), p["sigma"]
    return (sigma**2 + data**2) / (sigma * data) ** 2


def levels(p, t):
    """Signal and noise of an SDE at time t."""
    f, s = real(p), p["sde"]
    if s["kind"] == "ve":
        low, high = f(s["sigma_min"]), f(s["sigma_max"])
        return np.ones_like(t), low * (high / low) ** t
    total = f(s["beta_min"]) * t + f(s["beta_max"] - s["beta_min"]) * t**2 / 2
    squared = 1 - np.exp(-total)
    return np.exp(-total / 2), squared if s["kind"] == "sub-vp" else np.sqrt(squared)


def rates(p, t):
    """a and g^2 of dx = a x dt + g dw at time t."""
    f, s = real(p), p["sde"]
    if s["kind"] == "ve":
        slope = f(2 * math.log(s["sigma_max"] / s["sigma_min"]))
        return np.zeros_like(t), levels(p, t)[1] ** 2 * slope
    rate = f(s["beta_min"]) + f(s["beta_max"] - s["beta_min"]) * t
    if s["kind"] == "vp":
        return -rate / 2, rate
    return -rate / 2, rate * (1 - levels(p, t)[0] ** 4)


def sde_marginal(p):
    signal, noise = levels(p, np.asarray(p["t"], real(p)))
    return {"signal": signal, "noise": noise}


def sde_coefficients(p):
    a, g2 = rates(p, np.asarray(p["t"], real(p)))
    return {"a": a, "g2": g2}


def sde_log_snr(p):
    signal, noise = levels(p, np.asarray(p["t"], real(p)))
    return np.log(signal**2 / noise**2)
