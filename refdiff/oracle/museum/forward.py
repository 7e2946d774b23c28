"""Wrong forms of forward noising and of RePaint's halves."""

import numpy as np

from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.forward import at_times, denoised, noised
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.walks import betas, pair

DIFFUSERS = "https://github.com/huggingface/diffusers/"


def _unrooted_noise(x0, eps, ab, m):
    return m.sqrt(ab) * x0 + (1 - ab) * eps


def _unrooted_signal(x0, eps, ab, m):
    return ab * x0 + m.sqrt(1 - ab) * eps


def _swapped(x0, eps, ab, m):
    return m.sqrt(1 - ab) * x0 + m.sqrt(ab) * eps


def _minus(x0, eps, ab, m):
    return m.sqrt(ab) * x0 - m.sqrt(1 - ab) * eps


def _whole_signal(x0, eps, ab, m):
    return x0 + m.sqrt(1 - ab) * eps


def everywhere(form):
    """A wrong form of the noising, wherever it is used."""

    def repaint(p, m):
        known = form(p["x0"], p["eps"], pair(p, m)[1], m)
        return {"x_prev": p["mask"] * known + (1 - p["mask"]) * denoised(p, m)}

    return {
        "add_noise": lambda p, m: {"xt": form(p["x0"], p["eps"], at_times(p, m), m)},
        "repaint_known": lambda p, m: {
            "x_prev": form(p["x0"], p["eps"], pair(p, m)[1], m)
        },
        "repaint_step": repaint,
    }


def _at(change):
    """Noising at other times or by another table: change(table, beta, t) -> (n,)."""

    def wrong(p, m):
        table, beta = alpha_bar_of(p["schedule"], m), betas(p["schedule"], m)
        ab = change(table, beta, np.asarray(p["t"]))[:, None]
        return {"xt": noised(p["x0"], p["eps"], ab, m)}

    return {"add_noise": wrong}


def _later(table, beta, t):
    if t.max() + 1 == len(table):
        raise ValueError("the table ends there")
    return table[t + 1]


def _earlier(table, beta, t):
    if t.min() == 0:
        raise ValueError("the table begins there")
    return table[t - 1]


def _one_step(form):
    """A wrong single step: form(x, eps, beta, ab, m)."""

    def wrong(p, m):
        k = p["t"]
        beta, ab = betas(p["schedule"], m)[k], alpha_bar_of(p["schedule"], m)[k]
        return {"xt": form(p["x"], p["eps"], beta, ab, m)}

    return {"one_step_forward": wrong}


def _known_where_it_was(p, m):
    return {"x_prev": noised(p["x0"], p["eps"], pair(p, m)[0], m)}


def _mask_turned(p, m):
    known = noised(p["x0"], p["eps"], pair(p, m)[1], m)
    return {"x_prev": (1 - p["mask"]) * known + p["mask"] * denoised(p, m)}


def _overwritten(p, m):
    return {"x_prev": noised(p["x0"], p["eps"], pair(p, m)[1], m)}


def _synthetic(name, families, wrong, right):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic")


ROOTED = "sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps"
STEP = "sqrt(1 - beta) x + sqrt(beta) eps"
EXHIBITS = (
    Exhibit(
        "FWD-01",
        everywhere(_unrooted_noise),
        "noise scaled by 1 - alpha_bar",
        "noise scaled by sqrt(1 - alpha_bar)",
        DIFFUSERS + "pull/10185",
        "A",
    ),
    Exhibit(
        "FWD-03",
        _one_step(lambda x, eps, beta, ab, m: m.sqrt(1 - beta) * x + beta * eps),
        "one step adds beta eps",
        "one step adds sqrt(beta) eps",
        "https://github.com/acids-ircam/diffusion_models/issues/1",
        "B",
    ),
    Exhibit(
        "FWD-07",
        {"repaint_step": _overwritten},
        "x overwritten everywhere by the noised input, the model's part lost",
        "the noised input only where the mask says so",
        "https://github.com/OmicsML/scDiff/issues/3",
        "A",
    ),
    Exhibit(
        "IDX-13",
        _at(_later),
        "noised at t + 1, where the run starts from t",
        "noised at t",
        "https://github.com/CompVis/stable-diffusion/pull/533",
        "B",
    ),
    _synthetic("noise-signal-unrooted", everywhere(_unrooted_signal), "ab x0", ROOTED),
    _synthetic("noise-swapped", everywhere(_swapped), "the factors swapped", ROOTED),
    _synthetic("noise-minus", everywhere(_minus), "eps subtracted", ROOTED),
    _synthetic("noise-added-only", everywhere(_whole_signal), "x0 not scaled", ROOTED),
    _synthetic("noise-earlier", _at(_earlier), "noised at t - 1", "noised at t"),
    _synthetic(
        "noise-one-time",
        _at(lambda table, beta, t: table[np.full_like(t, t[0])]),
        "every row at the first row's time",
        "each row at its own",
    ),
    _synthetic(
        "noise-alpha",
        _at(lambda table, beta, t: 1 - beta[t]),
        "one step's alpha where alpha_bar belongs",
        ROOTED,
    ),
    _synthetic(
        "step-keep-unrooted",
        _one_step(lambda x, eps, beta, ab, m: (1 - beta) * x + m.sqrt(beta) * eps),
        "(1 - beta) x",
        STEP,
    ),
    _synthetic(
        "step-keeps-all",
        _one_step(lambda x, eps, beta, ab, m: x + m.sqrt(beta) * eps),
        "x not scaled",
        STEP,
    ),
    _synthetic(
        "step-by-alpha-bar",
        _one_step(lambda x, eps, beta, ab, m: noised(x, eps, ab, m)),
        "alpha_bar where one step's alpha belongs",
        STEP,
    ),
    _synthetic(
        "step-noise-halved",
        _one_step(lambda x, eps, beta, ab, m: (1 - beta / 2) * x + m.sqrt(beta) * eps),
        "1 - beta / 2 for its root, as in Euler's step",
        STEP,
    ),
    _synthetic(
        "known-where-it-was",
        {"repaint_known": _known_where_it_was},
        "the known half noised to the time that the step leaves",
        "to the time that it leads to",
    ),
    _synthetic(
        "mask-turned", {"repaint_step": _mask_turned}, "mask inverted", "1 is known"
    ),
)
