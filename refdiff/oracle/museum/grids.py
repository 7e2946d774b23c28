"""Wrong grids of noise levels."""

import numpy as np

from refdiff.oracle.museum.schedules import real, synthetic
from refdiff.oracle.truth.grids import (
    ended,
    even,
    exponential_sigmas,
    karras_log_snr,
    karras_sigmas,
    sigmas,
    vp_sigmas,
)
from refdiff.oracle.truth.schedules import alpha_bar_of


def _last_repeated(truth):
    """A list whose lowest level stands twice in place of an end at 0."""

    def wrong(p, m):
        grid = truth(p, m)["sigmas"]
        return {"sigmas": np.concatenate([grid[:-1], grid[-2:-1]])}

    return wrong


def _first_of_the_table(p, m):
    bar = alpha_bar_of(p["schedule"], m)[:1]
    grid = sigmas(p, m)["sigmas"]
    return {"sigmas": np.concatenate([grid[:-1], m.sqrt((1 - bar) / bar)])}


def _geometric(factor):
    """factor(smax) (smin^2 / smax^2)^(i / (N - 1))."""

    def wrong(p, m):
        share = even(0, 1, p["N"], m)
        fall = 2 * m.log(p["sigma_min"] / p["sigma_max"])
        return _grid(factor(p["sigma_max"]) * m.exp(share * fall), m)

    return wrong


def _grid(values, m):
    return {"sigmas": ended(values, 0.0, m)}


def _ten_times_the_least(p, m):
    if p["sigma_min"] != 0.002:
        raise ValueError
    return karras_sigmas({**p, "sigma_min": m.number(0.02)}, m)


def _range_of_19(p, m):
    if p["beta_max"] != 20:
        raise ValueError
    return vp_sigmas({**p, "beta_max": p["beta_min"] + m.number(19.1)}, m)


def _vp_without_half(p, m):
    t = even(1, p["eps"], p["N"], m)
    rate = t * t * (p["beta_max"] - p["beta_min"]) + p["beta_min"] * t
    return _grid(m.sqrt(m.exp(rate) - 1), m)


def _vp_slope(p, m):
    return vp_sigmas({**p, "beta_max": p["beta_max"] + p["beta_min"]}, m)


def _vp_not_rooted(p, m):
    return {"sigmas": vp_sigmas(p, m)["sigmas"] ** 2}


def _vp_noise(p, m):
    s = vp_sigmas(p, m)["sigmas"]
    return {"sigmas": s / m.sqrt(1 + s * s)}


def _time_reversed(p, m):
    return karras_log_snr({**p, "t": 1 - p["t"]}, m)


def _log_snr_sign(p, m):
    return {"log_snr": -karras_log_snr(p, m)["log_snr"]}


def _not_raised(p, m):
    low, high = (p[k] ** (1 / p["rho"]) for k in ("sigma_min", "sigma_max"))
    return _grid(even(high, low, p["N"], m), m)


def _rho_is_1(p, m):
    return karras_sigmas({**p, "rho": m.number(1.0)}, m)


def _widths_of_N(truth):
    """N in the denominator where N - 1 belongs: the lowest level is missed."""

    def wrong(p, m):
        return {"sigmas": np.delete(truth({**p, "N": p["N"] + 1}, m)["sigmas"], -2)}

    return wrong


def _rising(truth):
    def wrong(p, m):
        return {"sigmas": truth(p, m)["sigmas"][::-1]}

    return wrong


def _no_end(truth):
    def wrong(p, m):
        return {"sigmas": truth(p, m)["sigmas"][:-1]}

    return wrong


def _even_in_sigma(p, m):
    return _grid(even(p["sigma_max"], p["sigma_min"], p["N"], m), m)


def _bar(p, m):
    return alpha_bar_of(p["schedule"], m)[p["timesteps"]]


def _sigmas_squared(p, m):
    return _grid((1 - _bar(p, m)) / _bar(p, m), m)


def _sigmas_inverted(p, m):
    return _grid(m.sqrt(_bar(p, m) / (1 - _bar(p, m))), m)


def _sigmas_of_noise(p, m):
    return _grid(m.sqrt(1 - _bar(p, m)), m)


def _sigmas_of_neighbour(p, m):
    times = [max(k - 1, 0) for k in p["timesteps"]]
    return sigmas({**p, "timesteps": times}, m)


LISTS = {
    "karras_sigmas": karras_sigmas,
    "exponential_sigmas": exponential_sigmas,
    "vp_sigmas": vp_sigmas,
}


def _each(change):
    return {name: change(truth) for name, truth in LISTS.items()}


EXHIBITS = (
    real(
        "STP-03",
        _each(_last_repeated),
        "the list ends in its lowest level twice",
        "the list ends in 0",
        "github.com/huggingface/diffusers/pull/6477",
        "A",
    ),
    real(
        "final_sigma=first",
        {"sigmas": _first_of_the_table},
        "the list ends in the table's first level",
        "the list ends in 0",
        "github.com/huggingface/diffusers/pull/6477",
        "convention",
    ),
    real(
        "SCH-04",
        {"exponential_sigmas": _geometric(lambda s: s)},
        "smax (smin^2 / smax^2)^(i/(N-1)): variances' ratio, a deviation in front",
        "smax (smin / smax)^(i/(N-1))",
        "github.com/huggingface/diffusers/issues/590",
        "A",
    ),
    real(
        "SCH-04-mended",
        {"exponential_sigmas": _geometric(lambda s: s * s)},
        "smax^2 (smin^2 / smax^2)^(i/(N-1)): variances, used as deviations",
        "smax (smin / smax)^(i/(N-1))",
        "github.com/huggingface/diffusers/pull/627",
        "B",
    ),
    real(
        "SCH-05",
        {"karras_sigmas": _ten_times_the_least},
        "EDM's default sigma_min = 0.02",
        "sigma_min = 0.002",
        "github.com/Stability-AI/generative-models/pull/114",
        "A",
    ),
    real(
        "SCH-06",
        {"vp_sigmas": _range_of_19},
        "default range of VP from beta_max - beta_min = 19.1",
        "beta_max - beta_min = 19.9",
        "github.com/NVlabs/edm/issues/5",
        "A",
    ),
    real(
        "SCH-10",
        {"karras_log_snr": _time_reversed},
        "time axis reversed: log SNR rises with t",
        "log SNR falls with t",
        "github.com/bayesflow-org/bayesflow/pull/560",
        "A",
    ),
    synthetic("grid-of-N", _each(_widths_of_N), "i / N", "i / (N - 1)"),
    synthetic("grid-rising", _each(_rising), "rising", "falling"),
    synthetic("grid-without-0", _each(_no_end), "no 0 at the end", "0 at the end"),
    synthetic(
        "rho-not-raised", {"karras_sigmas": _not_raised}, "the root", "its power"
    ),
    synthetic("rho-1", {"karras_sigmas": _rho_is_1}, "even in sigma", "in its root"),
    synthetic(
        "exponential-even",
        {"exponential_sigmas": _even_in_sigma},
        "even in sigma",
        "even in log sigma",
    ),
    synthetic("vp-half", {"vp_sigmas": _vp_without_half}, "t^2 slope", "t^2 slope / 2"),
    synthetic("vp-slope", {"vp_sigmas": _vp_slope}, "slope bmax", "slope bmax - bmin"),
    synthetic("vp-variance", {"vp_sigmas": _vp_not_rooted}, "sigma^2", "sigma"),
    synthetic("vp-noise", {"vp_sigmas": _vp_noise}, "noise", "noise / signal"),
    synthetic(
        "karras-log-snr-sign", {"karras_log_snr": _log_snr_sign}, "2 log s", "-2 log s"
    ),
    synthetic("sigmas-variance", {"sigmas": _sigmas_squared}, "sigma^2", "sigma"),
    synthetic("sigmas-inverse", {"sigmas": _sigmas_inverted}, "1 / sigma", "sigma"),
    synthetic("sigmas-noise", {"sigmas": _sigmas_of_noise}, "noise", "noise / signal"),
    synthetic("sigmas-late", {"sigmas": _sigmas_of_neighbour}, "of k - 1", "of k"),
)
