"""Tables in score form: schedules, times, noise levels, weights, labels."""

from fractions import Fraction

import numpy as np

from tests.writings.score_form_levels import (
    alpha_bars,
    before,
    betas,
    family,
)

# A schedule at the entries k.


@family
def beta(p):
    return betas(p)[p["k"]]


@family
def alpha_bar(p):
    return alpha_bars(p)[p["k"]]


@family
def alpha_bar_prev(p):
    return before(alpha_bars(p))[p["k"]]


@family
def noise_std(p):
    return np.sqrt(1 - alpha_bars(p))[p["k"]]


def _snr(bars):
    return bars / (1 - bars)


@family
def snr(p):
    return _snr(alpha_bars(p)[p["k"]])


@family
def log_snr(p):
    return np.log(_snr(alpha_bars(p)[p["k"]]))


@family
def zero_snr(p):
    return {"alpha_bar": alpha_bars(p)[p["k"]], "beta": betas(p)[p["k"]]}


# A posterior of all entries: x0 is (x + noise^2 score) / signal, so that the mean
# (x + beta score) / sqrt(1 - beta) holds beta signal / noise^2 of x0.


def posterior_variances(p):
    bars = alpha_bars(p)
    return betas(p) * (1 - before(bars)) / (1 - bars)


@family
def posterior_variance(p):
    return posterior_variances(p)


@family
def posterior_log_variance(p):
    variance = posterior_variances(p)
    return np.log(np.append(variance[1:2], variance[1:]))


@family
def posterior_mean_coefficients(p):
    bars, rate = alpha_bars(p), betas(p)
    of_score = rate / np.sqrt(1 - rate)
    of_x0 = of_score * np.sqrt(bars) / (1 - bars)
    return {"of_x0": of_x0, "of_x": np.sqrt(1 - rate) * _remaining(bars)}


def _remaining(bars):
    return (1 - before(bars)) / (1 - bars)


# Times.


def _leading(T, N):
    return [i * (T // N) for i in reversed(range(N))]


def _trailing(T, N):
    return [round(Fraction(T * N - i * T, N)) - 1 for i in range(N)]


def _linspace(T, N):
    if N == 1:
        return [0]
    return [round(Fraction((T - 1) * i, N - 1)) for i in reversed(range(N))]


SPACINGS = {"leading": _leading, "trailing": _trailing, "linspace": _linspace}


@family
def timesteps(p):
    if p["N"] > p["T"]:
        raise ValueError(f"N must be at most T = {p['T']}; got {p['N']}")
    return np.array(SPACINGS[p["spacing"]](p["T"], p["N"]))


@family
def lcm_timesteps(p):
    many, width = p["original"], p["T"] // p["original"]
    falling = [j * width - 1 for j in range(many, 0, -1)]
    return np.array([falling[i * many // p["N"]] for i in range(p["N"])])


@family
def quadratic_times(p):
    first, last = np.sqrt(p["first"]), np.sqrt(p["last"])
    return np.linspace(first, last, p["N"] + 1, dtype=p["real"]) ** 2


@family
def sigma_timesteps(p):
    bars = alpha_bars(p)
    levels, wanted = np.log((1 - bars) / bars) / 2, np.log(p["sigma"])
    low = np.clip(np.searchsorted(levels, wanted) - 1, 0, len(levels) - 2)
    share = (wanted - levels[low]) / (levels[low + 1] - levels[low])
    return low.astype(p["real"]) + np.clip(share, 0, 1)


@family
def step_index(p):
    away = np.abs(p["t"][:, None] - p["timesteps"].astype(p["real"]))
    return away.argmin(axis=1)


@family
def multistep_orders(p):
    return np.array([min(p["order"], i + 1, p["N"] - i) for i in range(p["N"])])


@family
def heun_calls(p):
    called = [0]
    for i, after in enumerate(p["sigmas"][1:], 1):
        called += [i, i] if after > 0 else []
    return np.array(called)


# Noise levels.


def ended(sigmas):
    """Levels, and the data's 0 after them."""
    return np.append(sigmas, np.zeros(1, sigmas.dtype))


@family
def sigmas(p):
    bars = alpha_bars(p)[p["timesteps"]]
    return ended(np.sqrt((1 - bars) / bars))


@family
def karras_sigmas(p):
    root = 1 / p["rho"]
    first, last = p["sigma_max"] ** root, p["sigma_min"] ** root
    return ended(np.linspace(first, last, p["N"], dtype=p["real"]) ** p["rho"])


@family
def exponential_sigmas(p):
    first, last = np.log(p["sigma_max"]), np.log(p["sigma_min"])
    return ended(np.exp(np.linspace(first, last, p["N"], dtype=p["real"])))


@family
def vp_sigmas(p):
    t = np.linspace(1, p["eps"], p["N"], dtype=p["real"])
    rate = p["beta_min"] * t + (p["beta_max"] - p["beta_min"]) * t**2 / 2
    return ended(np.sqrt(np.expm1(rate)))


@family
def karras_log_snr(p):
    first, last = p["sigma_min"] ** (1 / p["rho"]), p["sigma_max"] ** (1 / p["rho"])
    return -2 * p["rho"] * np.log(first + p["t"] * (last - first))


GRIDS = {
    "to-last": lambda N, T: np.linspace(1, 1 / T, N),
    "to-zero": lambda N, T: np.linspace(1, 0, N + 1)[:-1],
}


def _flow_levels(p):
    even = GRIDS[p["grid"]](p["N"], p["T"]).astype(p["real"])
    return p["shift"] * even / (1 + (p["shift"] - 1) * even)


@family
def flow_sigmas(p):
    return ended(_flow_levels(p))


@family
def flow_times(p):
    return 1 - ended(_flow_levels(p))


@family
def flow_timesteps(p):
    return p["T"] * _flow_levels(p)


@family
def flow_label(p):
    return p["scale"] * p["sigmas"]


# Weights and scalings.


def _of_x0(p, ratio):
    """Weight of x0's squared error at all entries, and at k = 0 of elbo infinity."""
    if p["kind"] == "elbo":
        nearer = np.append(np.full(1, np.inf, ratio.dtype), ratio[:-1])
        return (nearer - ratio) / 2
    if p["kind"] == "min-snr":
        return np.minimum(ratio, p["gamma"])
    return np.maximum(ratio, 1) if p["kind"] == "truncated-snr" else ratio


# The errors' squares, of x0, and of eps and v for one of x0.
ERRORS = {"x0": lambda r: np.ones_like(r), "eps": lambda r: r, "v": lambda r: r + 1}


def weights(p):
    """Weight of the target's own squared error, at all entries (T,)."""
    ratio = _snr(alpha_bars(p))
    if p["kind"] == "simple":
        return np.ones_like(ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _of_x0(p, ratio) / ERRORS[p["target"]](ratio)
    if p["kind"] in ("snr", "min-snr"):
        found = np.where(np.isnan(found), ratio.dtype.type(1), found)
    return found


@family
def loss_weight(p):
    found = weights(p)[p["k"]]
    if not np.isfinite(found).all():
        raise ValueError(f"{p['kind']} weighs {p['target']} without bound at these k")
    return found


@family
def logit_normal_weight(p):
    t, std = p["t"], p["std"]
    z = (np.log(t / (1 - t)) - p["mean"]) / std
    area = std * np.sqrt(2 * np.pi, dtype=p["real"])
    return np.exp(-(z**2) / 2) / (area * t * (1 - t))


@family
def edm_precondition(p):
    sigma, data = p["sigma"], p["sigma_data"]
    total = np.hypot(sigma, data)
    return {
        "c_skip": (data / total) ** 2,
        "c_out": sigma * data / total,
        "c_in": 1 / total,
        "c_noise": np.log(sigma) / 4,
    }


@family
def edm_weight(p):
    return 1 / p["sigma"] ** 2 + 1 / p["sigma_data"] ** 2


@family
def bits_per_dim(p):
    width = (p["high"] - p["low"]) / p["levels"]
    return -(p["log_p"] / p["d"] + np.log(width)) / np.log(p["real"](2))
