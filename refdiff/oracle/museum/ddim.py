"""Wrong forms of DDIM: the step with one piece replaced."""

from refdiff.oracle.museum.targets import READINGS, converting, root
from refdiff.oracle.truth.ddim import variance
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.targets import from_output
from refdiff.oracle.truth.walks import betas, is_last, pair


def _var(p, a, b, m):
    return variance(p, a, b)


def _left(p, a, b, var, m):
    return root(1 - b - var, m)


def _std(p, a, b, var, m):
    return root(var, m)


def step(levels=pair, read=from_output, var=_var, left=_left, std=_std, keep=None):
    """DDIM's step of these pieces.

    levels(p, m) -> a, b;  read: as `from_output`;  var, left and std: the variance, and
    the factors of eps and of z;  keep: the factor of x0, sqrt(b) unless given
    """

    def wrong(p, m):
        a, b = levels(p, m)
        signal, noise = m.sqrt(a), m.sqrt(1 - a)
        x0, eps = read(p["target"], p["x"], p["output"], signal, noise)
        v = var(p, a, b, m)
        factor = m.sqrt(b) if keep is None else keep(a, b, m)
        mean = factor * x0 + left(p, a, b, v, m) * eps
        return {"x_prev": mean + std(p, a, b, v, m) * p["z"]}

    return wrong


def earlier(p, m):
    """IDX-02: the table of previous alpha_bar in place of alpha_bar, at both ends."""
    table, times, i = alpha_bar_of(p["schedule"], m), p["timesteps"], p["index"]
    ks = [*times[i : i + 2], 0][:2]
    one = m.number(1.0)
    return tuple(table[k - 1] if k > 0 else one for k in ks)


def later(p, m):
    """Tables counted from 1: every entry one too late."""
    table, times, i = alpha_bar_of(p["schedule"], m), p["timesteps"], p["index"]
    ks = [k + 1 for k in [*times, -1][i : i + 2]]
    if ks[0] == len(table):
        raise ValueError("the table ends there")
    return table[ks[0]], table[ks[1]]


def one_alpha(p, m):
    """VAR-09: one step's alpha where the next alpha_bar belongs."""
    if is_last(p):
        raise ValueError("no next time")
    k = p["timesteps"][p["index"] + 1]
    return pair(p, m)[0], 1 - betas(p["schedule"], m)[k]


def swapped(p, m):
    """The two levels exchanged."""
    a, b = pair(p, m)
    return b, a


def twice(form):
    """IDX-17: the step made twice, with the same output and noise."""

    def wrong(p, m):
        if is_last(p):
            raise ValueError("there is no second step")
        once = form(p, m)["x_prev"]
        return form(p | {"x": once, "index": p["index"] + 1}, m)

    return wrong


def _here(p, a, b, m):
    return p["eta"] ** 2 * (1 - a)


def _clamped(p, a, b, var, m):
    left = 1 - b - var
    return m.sqrt(left) if left > 0 else 0 * left


def _eta(power):
    """The variance with another power of eta."""
    return lambda p, a, b, m: p["eta"] ** power * variance(p | {"eta": 1}, a, b)


def _synthetic(name, wrong, right, **pieces):
    return Exhibit(
        f"SYN-ddim-{name}", {"ddim": step(**pieces)}, wrong, right, "", "synthetic"
    )


DIRECTION = "direction sqrt(1 - b - s^2)"
VARIANCE = "s^2 = eta^2 (1 - b) / (1 - a) (1 - a / b)"
EXHIBITS = (
    Exhibit(
        "VAR-05-i",
        {"ddim": step(var=_here, left=_clamped)},
        "s^2 = eta^2 (1 - a), and a direction that vanishes where it is larger than 1 - b",
        VARIANCE,
        "https://github.com/jsboige/CoursIA/pull/16158",
        "A",
    ),
    Exhibit(
        "VAR-05-ii",
        {"ddim": step(left=_std)},
        "direction s",
        DIRECTION,
        "https://github.com/jsboige/CoursIA/pull/16158",
        "A",
    ),
    Exhibit(
        "VAR-06",
        {
            "ddim": step(
                left=lambda p, a, b, v, m: root(
                    1 - b - p["eta"] * _eta(0)(p, a, b, m), m
                )
            )
        },
        "direction sqrt(1 - b - eta v)",
        "direction sqrt(1 - b - eta^2 v)",
        "https://github.com/inbarhub/DDPM_inversion/issues/12",
        "B",
    ),
    Exhibit(
        "VAR-07",
        {"ddim": step(left=lambda p, a, b, v, m: 1 - b - v)},
        "direction 1 - b - s^2",
        DIRECTION,
        "https://github.com/mathpluscode/ImgX-DiffSeg/issues/4",
        "A",
    ),
    _synthetic("late", "tables counted from 1", "k = 0..T-1", levels=later),
    _synthetic("swapped", "the two levels exchanged", "from a to b", levels=swapped),
    _synthetic("eta", "s^2 = eta v", VARIANCE, var=_eta(1)),
    _synthetic("eta-twice", "s = eta^2 sqrt(v)", VARIANCE, var=_eta(4)),
    _synthetic("std-squared", "s^2 z", "s z", std=lambda p, a, b, v, m: v),
    _synthetic(
        "direction-whole",
        "direction sqrt(1 - b)",
        DIRECTION,
        left=lambda p, a, b, v, m: root(1 - b, m),
    ),
    _synthetic(
        "direction-here",
        "direction sqrt(1 - a - s^2)",
        DIRECTION,
        left=lambda p, a, b, v, m: root(1 - a - v, m),
    ),
    _synthetic(
        "direction-std",
        "direction sqrt(1 - b) - s",
        DIRECTION,
        left=lambda p, a, b, v, m: root(1 - b, m) - root(v, m),
    ),
    _synthetic(
        "direction-sign",
        "the direction subtracted",
        DIRECTION,
        left=lambda p, a, b, v, m: -root(1 - b - v, m),
    ),
    _synthetic("x0-unrooted", "b x0", "sqrt(b) x0", keep=lambda a, b, m: b),
    _synthetic("x0-here", "sqrt(a) x0", "sqrt(b) x0", keep=lambda a, b, m: m.sqrt(a)),
    _synthetic(
        "x0-quotient",
        "sqrt(b / a) x0",
        "sqrt(b) x0",
        keep=lambda a, b, m: m.sqrt(b / a),
    ),
    _synthetic(
        "variance-no-quotient",
        "s^2 = eta^2 (1 - b) / (1 - a)",
        VARIANCE,
        var=lambda p, a, b, m: p["eta"] ** 2 * (1 - b) / (1 - a),
    ),
    _synthetic(
        "variance-beta",
        "s^2 = eta^2 (1 - a / b)",
        VARIANCE,
        var=lambda p, a, b, m: p["eta"] ** 2 * (1 - a / b),
    ),
    _synthetic(
        "variance-turned",
        "s^2 = eta^2 (1 - a) / (1 - b) (1 - a / b)",
        VARIANCE,
        var=lambda p, a, b, m: p["eta"] ** 2 * (1 - a) / (1 - b) * (1 - a / b),
    ),
    _synthetic(
        "variance-by-alpha",
        "s^2 = eta^2 (1 - b) / (1 - a) (1 - a)",
        VARIANCE,
        var=lambda p, a, b, m: p["eta"] ** 2 * (1 - b),
    ),
    _synthetic("noise-sign", "s z subtracted", "s z added", std=lambda *a: -_std(*a)),
)
READ = {name: step(read=reading) for name, reading, _, _ in READINGS}
CONVERT = {name: converting(reading) for name, reading, _, _ in READINGS}
