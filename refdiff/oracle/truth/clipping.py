"""Steps whose x0_hat is kept in a box, at 50 digits: piecewise affine."""

import math

import numpy as np

from refdiff.oracle.truth.ddim import ETAS, conditioned, float32_fails, toward
from refdiff.oracle.truth.ddpm import VARIANCES, bounds, inputs_of, noise_std
from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.posterior import by_bayes, coefficients
from refdiff.oracle.truth.targets import x0_by_score, x0_eps
from refdiff.oracle.truth.walks import (
    SCHEDULES,
    TARGETS,
    hardly_moves,
    pair,
    step_id,
    walk,
    walks,
)

CLIP = 1.0
WIDE = {  # eight numbers a row, whose quantile of sizes is below 1, between, above 1.5
    "below": [0.25, -0.5, 0.875, -0.125, 0.4375, -0.9375, 0.75, 0.3125],
    "between": [0.25, -1.25, 1.375, -0.125, 0.4375, -1.125, 0.75, -0.3125],
    "above": [2.25, -1.25, 3.375, -0.125, 2.4375, -4.125, 0.75, 1.875],
}
NOISE = [[0.8125, -1.3125, 0.5, -0.25, 1.125, -0.0625, -0.75, 0.4375]]


def clip(x, low, high):
    """Keep each entry in low..high."""
    return np.minimum(np.maximum(x, low), high)


def eps_of(p, x0, m):
    """The eps that makes x from x0."""
    a = pair(p, m)[0]
    return (p["x"] - m.sqrt(a) * x0) / m.sqrt(1 - a)


def box(p, m):
    """x0_hat kept in -clip..clip."""
    return clip(x0_eps(p, m, pair(p, m)[0])[0], -p["clip"], p["clip"])


def ddim_clipped(p, m):
    """DDIM from the clipped x0_hat and the eps that it makes."""
    x0 = box(p, m)
    return {"x_prev": toward(p, x0, eps_of(p, x0, m), m)}


def ddim_clipped_again(p, m):
    """By conditioning on the clipped x0_hat, which is found by the score."""
    x0 = clip(x0_by_score(p, m, pair(p, m)[0]), -p["clip"], p["clip"])
    return {"x_prev": conditioned(p, x0, m)}


def ddpm_clipped(p, m):
    """The posterior's mean at the clipped x0_hat, and noise."""
    of_x0, of_x, _ = coefficients(*pair(p, m), m)
    std = noise_std(p, *bounds(p, m), m)
    return {"x_prev": of_x0 * box(p, m) + of_x * p["x"] + std * p["z"]}


def ddpm_clipped_again(p, m):
    """The same by Bayes' rule, x0_hat by the score."""
    a, b = pair(p, m)
    of_x0, of_x, low = by_bayes(a, b, m)
    x0 = clip(x0_by_score(p, m, a), -p["clip"], p["clip"])
    std = noise_std(p, low, (b - a) / b, m)
    return {"x_prev": of_x0 * x0 + of_x * p["x"] + std * p["z"]}


def quantile(row, ratio):
    """Linear between the order statistics about (n - 1) ratio."""
    ordered, place = sorted(row), (len(row) - 1) * ratio
    below = math.floor(float(place))
    share = place - below
    return (1 - share) * ordered[below] + share * ordered[below + 1]


def threshold(x0, p):
    """Imagen's: a row x0 kept in -s..s and divided by s.

    s is the quantile of |x0| at ratio, at least 1 and at most `most`
    """
    s = quantile([abs(v) for v in x0], p["ratio"])
    s = clip(s, 1, p["most"])
    return clip(x0, -s, s) / s


def thresholded(p, m):
    """DDIM from the thresholded x0_hat and the eps that it makes."""
    x0, _ = x0_eps(p, m, pair(p, m)[0])
    x0 = np.array([threshold(row, p) for row in x0])
    return {"x_prev": toward(p, x0, eps_of(p, x0, m), m)}


def thresholded_again(p, m):
    """By conditioning; each entry divided first and then kept in -1..1."""
    x0 = x0_by_score(p, m, pair(p, m)[0])
    sizes = np.sort(np.abs(x0), axis=1)
    place = (sizes.shape[1] - 1) * p["ratio"]
    k = math.floor(float(place))
    s = sizes[:, k] + (place - k) * (sizes[:, k + 1] - sizes[:, k])
    s = clip(s, 1, p["most"])[:, None]
    return {"x_prev": conditioned(p, clip(x0 / s, -1, 1), m)}


def _ddim_cases(large):
    for name, problem, more in walks(large, target=TARGETS, eta=ETAS):
        if not float32_fails(name, problem, more):
            problem = problem | more | {"clip": CLIP}
            end = f"eta{more['eta']:g}/{more['target']}/{step_id(problem)}"
            little = hardly_moves(problem)
            yield Case(f"{name}/{end}", problem, inputs_of(problem), degenerate=little)


def _ddpm_cases(large):
    for name, problem, more in walks(large, variance=VARIANCES, target=TARGETS):
        problem = problem | more | {"clip": CLIP}
        end = f"{more['variance']}/{more['target']}/{step_id(problem)}"
        yield Case(f"{name}/{end}", problem, inputs_of(problem))


def _threshold_cases(large):
    """Each side of both thresholds, alone and beside each other in one batch."""
    schedule = SCHEDULES["scaled-linear-T1000"]
    groups = [["below"], ["between"], ["above"], ["below", "between", "above"]]
    for rows in groups:
        for target in TARGETS:
            for index in (0, 3, 6) if len(rows) == 3 else (3,):
                problem = walk(schedule, "trailing", 7, index)
                ratio = 0.9 if len(rows) == 3 else 0.95
                problem |= {"eta": 0.37, "target": target, "ratio": ratio, "most": 1.5}
                end = f"{'-'.join(rows)}/{target}/{step_id(problem)}"
                yield Case(f"scaled-linear-T1000/{end}", problem, _rows(rows))


def _rows(names):
    """Rows whose x0_hat is what their names say, when output is x0."""
    x0 = [WIDE[name] for name in names]
    x = [[v * 0.5 + n for v, n in zip(row, NOISE[0], strict=True)] for row in x0]
    return {"x": x, "output": x0, "z": NOISE * len(names)}


FAMILIES = (
    Family(
        "ddim_clipped",
        "STEP",
        "step",
        "SongJ21 (12) with Ho20 4",
        "The step of ddim with x0_hat kept in -clip..clip and eps_hat made anew from it.",
        ddim_clipped,
        ddim_clipped_again,
        _ddim_cases,
    ),
    Family(
        "ddpm_clipped",
        "STEP",
        "step",
        "Ho20 (7)",
        "The step of ddpm with x0_hat kept in -clip..clip.",
        ddpm_clipped,
        ddpm_clipped_again,
        _ddpm_cases,
    ),
    Family(
        "ddim_thresholded",
        "STEP",
        "step",
        "Saharia22 2.3",
        "The step of ddim with dynamic thresholding: s is the quantile of |x0_hat| at "
        "ratio over the row, linear between its entries, at least 1 and at most `most`; "
        "x0_hat is kept in -s..s and divided by s, and eps_hat made anew from it.",
        thresholded,
        thresholded_again,
        _threshold_cases,
    ),
)
