"""Wrong lists of times, and wrong look-ups in them."""

import math
from fractions import Fraction

from refdiff.oracle.museum.schedules import real, synthetic
from refdiff.oracle.truth.schedules import timesteps_of
from refdiff.oracle.truth.timesteps import (
    lcm_timesteps,
)

DIFFUSERS = "github.com/huggingface/diffusers/"


def _exactly(p):
    """The list in fractions, before any rounding."""
    T, N = p["T"], p["N"]
    if p["spacing"] == "trailing":
        return [Fraction(T * (N - i), N) - 1 for i in range(N)]
    if p["spacing"] == "linspace":
        return [Fraction(i * (T - 1), max(N - 1, 1)) for i in reversed(range(N))]
    raise ValueError


def _only(p, *spacings):
    if p["spacing"] not in spacings:
        raise ValueError


def _list(values):
    return {"timesteps": list(values)}


def _from_1(p, m):
    _only(p, "leading")
    return _list(k + 1 for k in timesteps_of(p["T"], p["N"], "leading"))


def _one_more_point(p, m):
    _only(p, "leading", "linspace")
    more = p["N"] + 1
    return _list(timesteps_of(p["T"], more, p["spacing"])[:-1])


def _one_more_from_1(p, m):
    _only(p, "leading")
    return _list(k + 1 for k in _one_more_point(p, m)["timesteps"])


def _rounded_down(p, m):
    return _list(math.floor(k) for k in _exactly(p))


def _halves_up(p, m):
    return _list(math.floor(k + Fraction(1, 2)) for k in _exactly(p))


def _not_rounded(p, m):
    return _list(m.number(float(k.numerator)) / k.denominator for k in _exactly(p))


def _surplus(p, m):
    _only(p, "leading")
    return _list(reversed(range(0, p["T"], p["T"] // p["N"])))


def _beyond_the_table(p, m):
    _only(p, "trailing")
    return _list(k + 1 for k in timesteps_of(p["T"], p["N"], "trailing"))


def _from_T(p, m):
    _only(p, "linspace")
    return _list(timesteps_of(p["T"] + 1, p["N"], "linspace"))


def _open_end(p, m):
    _only(p, "linspace")
    return _list(round(Fraction(i * p["T"], p["N"])) for i in reversed(range(p["N"])))


def _real_steps(p, m):
    _only(p, "leading")
    return _list(i * p["T"] // p["N"] for i in reversed(range(p["N"])))


def _rising(p, m):
    return _list(reversed(timesteps_of(p["T"], p["N"], p["spacing"])))


def _short_list(p, m):
    trained = lcm_timesteps({**p, "N": p["original"]}, m)["timesteps"]
    return _list(trained[:: p["original"] // p["N"]][: p["N"]])


def _spread_to_the_end(p, m):
    trained = lcm_timesteps({**p, "N": p["original"]}, m)["timesteps"]
    last = Fraction(p["original"] - 1, max(p["N"] - 1, 1))
    return _list(trained[math.floor(i * last)] for i in range(p["N"]))


EXHIBITS = (
    real(
        "IDX-11",
        {"lcm_timesteps": _short_list},
        "each (original // N)-th of the distilled times, cut off after N",
        "index floor(i original / N), which spans them",
        DIFFUSERS + "issues/5815",
        "B",
    ),
    real(
        "leading_offset=1",
        {"timesteps": _from_1},
        "leading times from 1: steps_offset = 1",
        "from 0",
        DIFFUSERS + "blob/main/src/diffusers/schedulers/scheduling_ddim.py",
        "convention",
    ),
    real(
        "timesteps_points=N+1",
        {"timesteps": _one_more_point},
        "the first N of N + 1 times, as DPM-Solver's schedulers take them",
        "N times",
        DIFFUSERS
        + "blob/main/src/diffusers/schedulers/scheduling_dpmsolver_multistep.py",
        "convention",
    ),
    real(
        "leading_offset=1&timesteps_points=N+1",
        {"timesteps": _one_more_from_1},
        "both: the first N of N + 1 leading times, from 1",
        "N times from 0",
        DIFFUSERS
        + "blob/main/src/diffusers/schedulers/scheduling_dpmsolver_multistep.py",
        "convention",
    ),
    real(
        "timesteps_rounding=down",
        {"timesteps": _rounded_down},
        "times rounded down",
        "rounded to the nearest",
        "arxiv.org/abs/2305.08891",
        "convention",
    ),
    real(
        "timesteps_rounding=half-up",
        {"timesteps": _halves_up},
        "halves rounded up",
        "halves to the even number",
        "arxiv.org/abs/2305.08891",
        "convention",
    ),
    real(
        "timesteps_rounding=none",
        {"timesteps": _not_rounded},
        "real times, where the table is interpolated",
        "rounded to the nearest",
        DIFFUSERS + "blob/main/src/diffusers/schedulers/scheduling_euler_discrete.py",
        "convention",
    ),
    synthetic(
        "leading-surplus",
        {"timesteps": _surplus},
        "all of range(0, T, T // N), which may be more than N",
        "the first N",
    ),
    synthetic(
        "leading-real", {"timesteps": _real_steps}, "floor(i T / N)", "i floor(T / N)"
    ),
    synthetic(
        "trailing-from-T",
        {"timesteps": _beyond_the_table},
        "trailing times not lowered by 1: T is beyond the table",
        "round(T - i T/N) - 1",
    ),
    synthetic(
        "linspace-from-T", {"timesteps": _from_T}, "T down to 0", "T - 1 down to 0"
    ),
    synthetic(
        "linspace-open",
        {"timesteps": _open_end},
        "the upper end left out: steps of T / N",
        "both ends: steps of (T - 1) / (N - 1)",
    ),
    synthetic("timesteps-rising", {"timesteps": _rising}, "rising", "falling"),
    synthetic(
        "lcm-to-the-end",
        {"lcm_timesteps": _spread_to_the_end},
        "index floor(i (original - 1) / (N - 1))",
        "index floor(i original / N)",
    ),
)
