"""Grids of flow matching: the levels, the times, what the network is told."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.grids import ended, even
from refdiff.oracle.truth.timesteps import STEPS


def shifted(s, k):
    """The shift of a flow's time: s -> k s / (1 + (k - 1) s)."""
    return k * s / (1 + (k - 1) * s)


def flow_grid(p, m):
    """The grid before the shift, without its last 0."""
    N, T = p["N"], p["T"]
    if p["grid"] == "to-zero":
        return even(m.number(1.0), 0, N + 1, m)[:-1]
    return even(m.number(1.0), m.number(1.0) / T, N, m)


def _flow_grid_again(p, m):
    """Both ends weighted, which add up to 1."""
    i = m.number(np.arange(float(p["N"])))
    if p["grid"] == "to-zero":
        return (p["N"] - i) / p["N"]
    share = i / max(p["N"] - 1, 1)
    return (1 - share) + share / p["T"]


def flow_sigmas(p, m):
    """The shifted grid, then 0."""
    return {"sigmas": ended(shifted(flow_grid(p, m), p["shift"]), 0.0, m)}


def _flow_again(p, m):
    """The odds of clean against noise, divided by the shift."""
    return {"sigmas": ended(_by_odds(p, m), 0.0, m)}


def _by_odds(p, m):
    s = _flow_grid_again(p, m)
    return 1 / (1 + (1 - s) / (s * p["shift"]))


def flow_times(p, m):
    """1 - sigma: the same grid for whoever counts from noise, 0, up to data, 1."""
    return {"times": 1 - flow_sigmas(p, m)["sigmas"]}


def _flow_times_again(p, m):
    """The shift t -> t / (k - (k - 1) t) of the unshifted t = 1 - s."""
    t = 1 - _flow_grid_again(p, m)
    k = p["shift"]
    return {"times": ended(t / (k - (k - 1) * t), 1.0, m)}


def flow_timesteps(p, m):
    """T sigma, what the network is told, without the last 0."""
    return {"timesteps": p["T"] * shifted(flow_grid(p, m), p["shift"])}


def _flow_timesteps_again(p, m):
    return {"timesteps": p["T"] * _by_odds(p, m)}


def _flow_cases(large):
    """Every length for two shifts, 7 for the others, unless large."""
    for grid in ("to-last", "to-zero"):
        for shift in (1.0, 3.0, 6.5, 0.375):
            every = (*STEPS, 28) if shift in (3.0, 0.375) else (7,)
            for N in range(1, 65) if large else every:
                problem = {"N": N, "T": 1000, "shift": shift, "grid": grid}
                yield Case(f"{grid}/shift{shift:g}/N{N}", problem)


def _fewer_cases(large):
    """Without the longest: they are asked as sigmas."""
    return (c for c in _flow_cases(large) if large or c.problem["N"] < 33)


def _times_cases(large):
    """Without N = 1 besides, whose grid is 0 and 1 whatever is done."""
    return (c for c in _fewer_cases(large) if c.problem["N"] > 1)


def _family(name, text, truth, again, cases, output):
    kinds = {output: "entry"}
    return Family(
        name, "TABLE", "table", "definition", text, truth, again, cases, kinds
    )


FLOW = (
    "N entries, from 1 evenly down to 1/T (grid to-last) or to one step above 0 "
    "(to-zero), shifted by s -> shift s / (1 + (shift - 1) s)"
)

FAMILIES = (
    _family(
        "flow_sigmas",
        f"Noise levels of flow matching: {FLOW}, then 0.",
        flow_sigmas,
        _flow_again,
        _flow_cases,
        "sigmas",
    ),
    _family(
        "flow_times",
        f"1 - sigma, from noise at 0 up to data at 1. sigma: {FLOW}, then 0.",
        flow_times,
        _flow_times_again,
        _times_cases,
        "times",
    ),
    _family(
        "flow_timesteps",
        f"T sigma, the real time that a network is told. sigma: {FLOW}, no 0 at the end.",
        flow_timesteps,
        _flow_timesteps_again,
        _fewer_cases,
        "timesteps",
    ),
)
