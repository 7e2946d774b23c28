"""Wrong times between entries, and wrong look-ups of an entry."""

import numpy as np

from refdiff.oracle.museum.machine import bfloat16
from refdiff.oracle.museum.schedules import real, synthetic
from refdiff.oracle.truth.flow_grids import flow_timesteps
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.timesteps import quadratic_times, sigma_timesteps

DIFFUSERS = "github.com/huggingface/diffusers/"


def _list(values):
    return {"timesteps": list(values)}


def _whole(values, m):
    """Cut off to whole numbers."""
    return m.number(np.array([float(int(v)) for v in values]))


def _quadratic_whole(p, m):
    return {"times": _whole(quadratic_times(p, m)["times"], m)}


def _quadratic_even(p, m):
    i = m.number(np.arange(p["N"] + 1.0))
    return {"times": p["first"] + i / p["N"] * (p["last"] - p["first"])}


def _quadratic_short(p, m):
    i = m.number(np.arange(p["N"] + 1.0))
    top, low = m.sqrt(p["first"]), m.sqrt(p["last"])
    return {"times": (top + i / (p["N"] + 1) * (low - top)) ** 2}


def _sigma_rounded(p, m):
    times = sigma_timesteps(p, m)["timesteps"]
    return _list(m.number(np.array([float(round(t)) for t in times])))


def _in_bfloat16(truth):
    def wrong(p, m):
        return _list(bfloat16(truth(p, m)["timesteps"], m))

    return wrong


def _sigma_linear(p, m):
    bar = alpha_bar_of(p["schedule"], m)
    table, found = m.sqrt((1 - bar) / bar), []
    for v in p["sigma"]:
        k = max(i for i in range(len(table) - 1) if table[i] <= v)
        found.append(k + (v - table[k]) / (table[k + 1] - table[k]))
    return _list(found)


def _sigma_below(p, m):
    return _list(_whole(sigma_timesteps(p, m)["timesteps"], m))


def _sigma_from_1(p, m):
    return _list(sigma_timesteps(p, m)["timesteps"] + 1)


def _places(entries, t):
    return [i for i, entry in enumerate(entries) if entry == t]


def _second_match(p, m):
    entries = [int(v) for v in p["timesteps"]]
    found = [_places(entries, int(t)) for t in p["t"]]
    if not all(found):
        raise ValueError
    return {"index": [places[min(1, len(places) - 1)] for places in found]}


def _by_equality(p, m):
    found = [_places(p["timesteps"], t) for t in p["t"]]
    return {"index": [places[0] if places else -1 for places in found]}


EXHIBITS = (
    real(
        "IDX-10",
        {"sigma_timesteps": _sigma_rounded, "step_index": _second_match},
        "real times rounded to integers: some stand twice, and the second is looked up",
        "real times kept, each once",
        DIFFUSERS + "pull/14718",
        "A",
    ),
    real(
        "SDE-13",
        {"quadratic_times": _quadratic_whole},
        "quadratic spacing cut off to integers: small times stand twice",
        "real times, each once",
        "github.com/qsh-zh/deis/pull/1",
        "A",
    ),
    real(
        "NUM-03",
        {
            "sigma_timesteps": _in_bfloat16(sigma_timesteps),
            "flow_timesteps": _in_bfloat16(flow_timesteps),
        },
        "time cast to bfloat16: 998.39 becomes 1000, 988.49 and 987.17 both 988",
        "time in float32 or better",
        "github.com/modelscope/DiffSynth-Studio/issues/562",
        "A",
    ),
    real(
        "NUM-04",
        {"step_index": _by_equality},
        "looked up by equality of floats: 254.00001526 is not 254, and nothing is found",
        "the nearest entry",
        DIFFUSERS + "issues/11749",
        "B",
    ),
    synthetic(
        "quadratic-even",
        {"quadratic_times": _quadratic_even},
        "even",
        "even in the root",
    ),
    synthetic(
        "quadratic-short",
        {"quadratic_times": _quadratic_short},
        "i / (N + 1)",
        "i / N, which reaches the last",
    ),
    synthetic(
        "sigma-linear",
        {"sigma_timesteps": _sigma_linear},
        "interpolated in sigma",
        "in log sigma",
    ),
    synthetic("sigma-below", {"sigma_timesteps": _sigma_below}, "entry below", "real"),
    synthetic("sigma-from-1", {"sigma_timesteps": _sigma_from_1}, "from 1", "from 0"),
)
