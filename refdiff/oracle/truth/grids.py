"""Grids of noise levels: Karras, exponential, VP, a schedule's own, flow matching."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.schedules import alpha_bar_of, signal_again, timesteps_of
from refdiff.oracle.truth.tables import SCHEDULES
from refdiff.oracle.truth.timesteps import STEPS


def ended(values, last, m):
    """A grid with its last entry appended."""
    return np.concatenate([values, m.number(np.full(1, last))])


def even(first, last, N, m):
    """N numbers evenly spaced from first to last; of one, the first."""
    i = m.number(np.arange(float(N)))
    return first + i / max(N - 1, 1) * (last - first)


def sigmas(p, m):
    """sqrt((1 - alpha_bar) / alpha_bar) at the timesteps, then 0."""
    bar = alpha_bar_of(p["schedule"], m)[p["timesteps"]]
    return {"sigmas": ended(m.sqrt((1 - bar) / bar), 0.0, m)}


def _sigmas_again(p, m):
    """The noise over the signal."""
    y = signal_again(p["schedule"], m)[p["timesteps"]]
    return {"sigmas": ended(m.sqrt(1 - y) * m.sqrt(1 + y) / y, 0.0, m)}


def _sigmas_cases(large):
    """Every length for three schedules, 7 for the others, unless large."""
    whole = ("linear-T1000", "linear-T137", "scaled-linear-T1000")
    for name, schedule in SCHEDULES.items():
        T = schedule["T"]
        few = STEPS[:-2] if name in whole else (1, 7)
        for spacing in ("leading", "trailing", "linspace"):
            for N in STEPS if large else few:
                if N <= T and (N > 1 or large or T < 7 or name in whole):
                    times = timesteps_of(T, N, spacing)
                    problem = {"schedule": schedule, "timesteps": times}
                    yield Case(f"{name}/{spacing}/N{N}", problem)


def karras_sigmas(p, m):
    """[smax^(1/rho) + i/(N-1) (smin^(1/rho) - smax^(1/rho))]^rho, i = 0..N-1, then 0."""
    low, high = (p[k] ** (1 / p["rho"]) for k in ("sigma_min", "sigma_max"))
    return {"sigmas": ended(even(high, low, p["N"], m) ** p["rho"], 0.0, m)}


def _karras_again(p, m):
    """The same by logarithms."""
    return {"sigmas": ended(_karras_at(even(0, 1, p["N"], m), p, m), 0.0, m)}


def _karras_at(share, p, m):
    """Karras' level at a share of the way down, by logarithms."""
    fall = m.expm1(m.log(p["sigma_min"] / p["sigma_max"]) / p["rho"])
    return p["sigma_max"] * m.exp(p["rho"] * m.log1p(share * fall))


EDM = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


def _karras_cases(large):
    for N in (*STEPS, 18):
        yield Case(f"defaults/N{N}", {"N": N, **EDM, "defaults": True})
    ranges = {
        "sd": (0.0291675, 14.614642, 7.0),
        "rho3": (0.03125, 10.0, 3.0),
        "rho1": (0.5, 700.0, 1.0),
    }
    for name, (low, high, rho) in ranges.items():
        for N in range(1, 65) if large else STEPS:
            problem = {"N": N, "sigma_min": low, "sigma_max": high, "rho": rho}
            yield Case(f"{name}/N{N}", problem)


def exponential_sigmas(p, m):
    """Evenly spaced in log sigma, from smax to smin, then 0."""
    low, high = m.log(p["sigma_min"]), m.log(p["sigma_max"])
    return {"sigmas": ended(m.exp(even(high, low, p["N"], m)), 0.0, m)}


def _exponential_again(p, m):
    """Each from the one before, by the N - 1st root of smin / smax."""
    N = p["N"]
    step = (p["sigma_min"] / p["sigma_max"]) ** (m.number(1.0) / max(N - 1, 1))
    grid = np.cumprod(np.array([p["sigma_max"]] + (N - 1) * [step]))
    return {"sigmas": ended(grid, 0.0, m)}


def _exponential_cases(large):
    ranges = {"sd": (0.0291675, 14.614642), "ve": (0.02, 100.0), "few": (0.5, 3.0)}
    for name, (low, high) in ranges.items():
        for N in range(1, 65) if large else STEPS:
            problem = {"N": N, "sigma_min": low, "sigma_max": high}
            yield Case(f"{name}/N{N}", problem)


def vp_sigmas(p, m):
    """sqrt(exp(t^2 (bmax - bmin)/2 + t bmin) - 1), t from 1 to eps, then 0."""
    t = even(1, p["eps"], p["N"], m)
    slope, least = p["beta_max"] - p["beta_min"], p["beta_min"]
    return {"sigmas": ended(m.sqrt(m.exp(t * t * slope / 2 + least * t) - 1), 0.0, m)}


def _vp_again(p, m):
    """The integral of a linear rate as width times middle height."""
    t = even(1, p["eps"], p["N"], m)
    middle = (1 - t / 2) * p["beta_min"] + t / 2 * p["beta_max"]
    return {"sigmas": ended(m.sqrt(m.expm1(t * middle)), 0.0, m)}


def _vp_cases(large):
    kinds = {"defaults": (0.1, 20.0, 1e-3), "mild": (0.25, 8.0, 0.0078125)}
    for name, (low, high, eps) in kinds.items():
        flag = {"defaults": True} if name == "defaults" else {}
        for N in range(1, 65) if large else (*STEPS, 18):
            problem = {"N": N, "beta_min": low, "beta_max": high, "eps": eps, **flag}
            yield Case(f"{name}/N{N}", problem)


def karras_log_snr(p, m):
    """-2 log sigma, sigma at the share 1 - t of Karras' way down: t = 1 is all noise."""
    low, high = (p[k] ** (1 / p["rho"]) for k in ("sigma_min", "sigma_max"))
    return {"log_snr": -2 * m.log((low + p["t"] * (high - low)) ** p["rho"])}


def _karras_log_snr_again(p, m):
    return {"log_snr": -2 * m.log(_karras_at(1 - p["t"], p, m))}


def _karras_log_snr_cases(large):
    for name, rho in (("rho7", 7.0), ("rho3", 3.0)):
        t = [0.0, 0.0625, 0.3125, 0.375, 0.5625, 0.75, 0.96875, 1.0]
        yield Case(name, {**EDM, "rho": rho}, {"t": t})
        yield Case(f"{name}/alone", {**EDM, "rho": rho}, {"t": [0.3125]})


def _family(name, source, text, truth, again, cases, output="sigmas"):
    kinds = {output: "entry"}
    return Family(name, "TABLE", "table", source, text, truth, again, cases, kinds)


FAMILIES = (
    _family(
        "sigmas",
        "Karras22 Table 1",
        "sqrt((1 - ab) / ab) of the schedule at the listed entries, then 0.",
        sigmas,
        _sigmas_again,
        _sigmas_cases,
    ),
    _family(
        "karras_sigmas",
        "Karras22 (5)",
        "N noise levels, even in sigma^(1/rho), from sigma_max to sigma_min, then 0; N = 1 "
        "is sigma_max, 0. defaults: these numbers are EDM's, ask the library for its own.",
        karras_sigmas,
        _karras_again,
        _karras_cases,
    ),
    _family(
        "exponential_sigmas",
        "Karras22 Table 1",
        "N noise levels, even in log sigma, from sigma_max to sigma_min, then 0.",
        exponential_sigmas,
        _exponential_again,
        _exponential_cases,
    ),
    _family(
        "vp_sigmas",
        "Song21 (32)-(33); Karras22 Table 1",
        "noise / signal of the variance-preserving process with rate beta_min to beta_max "
        "over t in 0..1, at N times from 1 evenly down to eps, then 0. "
        "defaults: these numbers are Song21's, ask the library for its own.",
        vp_sigmas,
        _vp_again,
        _vp_cases,
    ),
    _family(
        "karras_log_snr",
        "Karras22 (5)",
        "-2 log sigma(t), sigma^(1/rho) linear in t, sigma_min at t = 0, sigma_max at 1.",
        karras_log_snr,
        _karras_log_snr_again,
        _karras_log_snr_cases,
        "log_snr",
    ),
)
