"""Wrong grids of flow matching."""

import numpy as np

from refdiff.oracle.museum.schedules import real, synthetic
from refdiff.oracle.truth.flow_grids import (
    flow_grid,
    flow_times,
    flow_timesteps,
    shifted,
)
from refdiff.oracle.truth.grids import ended, even


def _flow(change):
    """Every flow family from a changed list of N levels; 1 level is the same."""

    def levels(p, m):
        return change(flow_grid(p, m), p, m)

    return {
        "flow_sigmas": lambda p, m: {"sigmas": ended(levels(p, m), 0.0, m)},
        "flow_times": lambda p, m: {"times": 1 - ended(levels(p, m), 0.0, m)},
        "flow_timesteps": lambda p, m: {"timesteps": p["T"] * levels(p, m)},
    }


def _shifted_twice(s, p, m):
    if p["grid"] != "to-last":
        raise ValueError
    bounds = shifted(np.array([s[0], m.number(1.0) / p["T"]]), p["shift"])
    return shifted(even(*bounds, p["N"], m), p["shift"])


def _shift_inverted(s, p, m):
    return shifted(s, 1 / p["shift"])


def _shift_of_k(s, p, m):
    return p["shift"] * s / (1 + p["shift"] * s)


def _shift_product(s, p, m):
    return p["shift"] * s


def _shift_forgotten(s, p, m):
    return s


def _other_grid(s, p, m):
    other = {"to-last": "to-zero", "to-zero": "to-last"}[p["grid"]]
    return shifted(flow_grid({**p, "grid": other}, m), p["shift"])


def _ends_in_0(p, m):
    times = flow_times(p, m)["times"]
    return {"times": ended(times[:-1], 0.0, m)}


def _labels_whole(p, m):
    times = flow_timesteps(p, m)["timesteps"]
    return {"timesteps": m.number(np.array([float(int(t)) for t in times]))}


def _labels_in_0_1(p, m):
    return {"timesteps": flow_timesteps(p, m)["timesteps"] / p["T"]}


EXHIBITS = (
    real(
        "SCH-08",
        _flow(_shifted_twice),
        "bounds kept after the shift, and shifted again",
        "bounds kept before the shift",
        "github.com/huggingface/diffusers/pull/13246",
        "B",
    ),
    real(
        "IDX-20",
        {"flow_times": _ends_in_0},
        "0 appended to a rising list",
        "1 appended",
        "github.com/dgrauet/Hunyuan3D-2.1-mlx/pull/8",
        "B",
    ),
    synthetic("shift-inverse", _flow(_shift_inverted), "shift 1/k", "shift k"),
    synthetic("shift-k", _flow(_shift_of_k), "/(1 + k s)", "/(1 + (k - 1) s)"),
    synthetic("shift-product", _flow(_shift_product), "k s", "k s / (1 + (k - 1) s)"),
    synthetic("shift-forgotten", _flow(_shift_forgotten), "not shifted", "shifted"),
    synthetic("flow-grid", _flow(_other_grid), "the other grid", "the grid asked for"),
    synthetic("labels-whole", {"flow_timesteps": _labels_whole}, "integers", "real"),
    synthetic("labels-1", {"flow_timesteps": _labels_in_0_1}, "sigma", "T sigma"),
)
