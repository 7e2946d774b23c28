"""Wrong forms of clipping and of dynamic thresholding."""

import numpy as np

from refdiff.oracle.truth.clipping import (
    clip,
    conditioned,
    eps_of,
    quantile,
    threshold,
)
from refdiff.oracle.truth.ddim import ddim, toward
from refdiff.oracle.truth.ddpm import ddpm
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.targets import x0_eps
from refdiff.oracle.truth.walks import pair

LUCIDRAINS = "https://github.com/lucidrains/denoising-diffusion-pytorch/"


def _read(p, m):
    return x0_eps(p, m, pair(p, m)[0])


def _eps_kept(p, m):
    x0, eps = _read(p, m)
    return {"x_prev": toward(p, clip(x0, -p["clip"], p["clip"]), eps, m)}


def _eps_kept_thresholded(p, m):
    x0, eps = _read(p, m)
    x0 = np.array([threshold(row, p) for row in x0])
    return {"x_prev": toward(p, x0, eps, m)}


def _output_clipped(step):
    """The box around what the step returns, not around x0_hat."""

    def wrong(p, m):
        return {"x_prev": clip(step(p, m)["x_prev"], -p["clip"], p["clip"])}

    return wrong


def _positive(p, m):
    x0 = clip(_read(p, m)[0], 0 * p["clip"], p["clip"])
    return {"x_prev": toward(p, x0, eps_of(p, x0, m), m)}


def rows(form):
    """DDIM from x0_hat changed row by row: form(row, p) -> row."""

    def wrong(p, m):
        x0 = np.array([form(row, p) for row in _read(p, m)[0]])
        return {"x_prev": toward(p, x0, eps_of(p, x0, m), m)}

    return wrong


def _sizes(row):
    return [abs(v) for v in row]


def _scaled(row, s):
    return clip(row, -s, s) / s


def _at_most(row, p):
    return _scaled(row, max(quantile(_sizes(row), p["ratio"]), p["most"]))


def _no_floor(row, p):
    return _scaled(row, min(quantile(_sizes(row), p["ratio"]), p["most"]))


def _no_cap(row, p):
    return _scaled(row, max(quantile(_sizes(row), p["ratio"]), 1))


def _signed(row, p):
    return _scaled(row, clip(quantile(row, p["ratio"]), 1, p["most"]))


def _nearest(row, p):
    place = round(float((len(row) - 1) * p["ratio"]))
    return _scaled(row, clip(sorted(_sizes(row))[place], 1, p["most"]))


def _lower(row, p):
    place = int((len(row) - 1) * p["ratio"])
    return _scaled(row, clip(sorted(_sizes(row))[place], 1, p["most"]))


def _not_divided(row, p):
    s = clip(quantile(_sizes(row), p["ratio"]), 1, p["most"])
    return clip(row, -s, s)


def _divided_only(row, p):
    return row / clip(quantile(_sizes(row), p["ratio"]), 1, p["most"])


def _largest(row, p):
    return _scaled(row, clip(max(_sizes(row)), 1, p["most"]))


def _whole_batch(p, m):
    x0 = _read(p, m)[0]
    s = clip(quantile(_sizes(x0.ravel()), p["ratio"]), 1, p["most"])
    return {"x_prev": conditioned(p, _scaled(x0, s), m)}


def _synthetic(name, families, wrong, right):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic")


def _threshold(name, form, wrong, right):
    return _synthetic(
        f"threshold-{name}", {"ddim_thresholded": rows(form)}, wrong, right
    )


S = "s = quantile of |x0_hat|, at least 1, at most `most`"
EXHIBITS = (
    Exhibit(
        "PAR-02",
        {"ddim_clipped": _eps_kept, "ddim_thresholded": _eps_kept_thresholded},
        "x0_hat clipped, eps_hat as it was",
        "eps_hat made anew from the clipped x0_hat",
        LUCIDRAINS + "pull/84",
        "A",
    ),
    Exhibit(
        "PAR-03",
        {"ddim_thresholded": rows(_at_most)},
        "s at least `most`",
        S,
        "https://github.com/huggingface/diffusers/pull/3003",
        "A",
    ),
    _synthetic(
        "clip-ignored",
        {"ddim_clipped": ddim, "ddpm_clipped": ddpm},
        "x0_hat not clipped, as where the mean is made from eps",
        "x0_hat clipped",
    ),
    _synthetic(
        "clip-output",
        {"ddim_clipped": _output_clipped(ddim), "ddpm_clipped": _output_clipped(ddpm)},
        "what the step returns is clipped",
        "x0_hat is clipped",
    ),
    _synthetic(
        "clip-positive",
        {"ddim_clipped": _positive},
        "x0_hat kept in 0..clip",
        "in -clip..clip",
    ),
    _synthetic(
        "threshold-batch",
        {"ddim_thresholded": _whole_batch},
        "one s for the whole batch",
        "each row its own s",
    ),
    _synthetic("threshold-ignored", {"ddim_thresholded": ddim}, "no thresholding", S),
    _threshold("static", lambda row, p: _scaled(row, 1), "a box of 1, no s", S),
    _threshold("no-floor", _no_floor, "s may be below 1", S),
    _threshold("no-cap", _no_cap, "s may be above `most`", S),
    _threshold("signed", _signed, "quantile of x0_hat with its sign", S),
    _threshold("nearest", _nearest, "the nearest entry's size", "linear between"),
    _threshold("lower", _lower, "the next lower entry's size", "linear between"),
    _threshold("not-divided", _not_divided, "not divided by s", "divided by s"),
    _threshold("divided-only", _divided_only, "not kept in -s..s", "kept in -s..s"),
    _threshold("largest", _largest, "s the largest size", S),
)
