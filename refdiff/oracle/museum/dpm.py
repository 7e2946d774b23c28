"""Wrong forms of DPM-Solver's single steps: each with one piece replaced."""

from refdiff.oracle.museum.readings import applies, synthetic
from refdiff.oracle.truth import dpm as right
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.levels import SCALINGS, between, ends, now_then, x0_eps


def _rise(now, then, m):
    return right.rise(now, then, m)


def _fall(now, then, m):
    """H with the wrong sign."""
    return -right.rise(now, then, m)


def _twice(now, then, m):
    """The rise of the log of the squared ratio."""
    return 2 * right.rise(now, then, m)


def _in_sigma(now, then, m):
    """The fall of sigma, where the rise of -log sigma belongs."""
    return right.ratio(now) - right.ratio(then)


def _of_noise(now, then, m):
    """The fall of log noise alone, the signal's rise forgotten."""
    return m.log(now[1] / then[1])


def _eps_form(h=_rise, kept=None, one=1):
    """(signal' / signal) x - noise' (e^h - 1) eps with another h, first factor or 1."""

    def wrong(p, m):
        applies(not ends(p))
        now, then, _, eps = right.start(p, m)
        factor = kept(now, then) if kept else then[0] / now[0]
        return factor * p["x"] - then[1] * (m.exp(h(now, then, m)) - one) * eps

    return wrong


def _x0_form(h=_rise, weight=None, one=1):
    """(noise' / noise) x - signal' (e^-h - 1) x0 with another h, weight or 1."""

    def wrong(p, m):
        applies(not ends(p))
        now, then, x0, _ = right.start(p, m)
        w = weight(now, then, m) if weight else then[0]
        left = w * (m.exp(-h(now, then, m)) - one)
        return then[1] / now[1] * p["x"] - left * x0

    return wrong


def _first(name, form):
    """An exhibit's function for a family of order 1."""
    return {name: lambda p, m: {"x_prev": form(p, m)}}


def _geometric(p, m, r):
    return between(p, m, r)


def _straight(p, m, r):
    """The level at a fraction of the way in sigma."""
    (a, b), (c, d) = now_then(p, m)
    s = (1 - r) * b / a + r * d / c
    flow = p["scaling"] == "flow"
    return SCALINGS[p["scaling"]](s / (1 + s) if flow else s, m)


def _second(middle=_geometric, weight=None, first=False):
    """DPM-Solver-2 with another middle, or weight of the change of eps_hat."""

    def wrong(p, m):
        applies(not ends(p))
        now, then, _, eps = right.start(p, m)
        at = middle(p, m, p["r"])
        u = p["x"] if first else right.dpm_from(p, m, eps, at)
        _, eps_2 = x0_eps(p, m, u, p["output_2"], at)
        grown = then[1] * (m.exp(right.rise(now, then, m)) - 1)
        w = weight(p["r"], right.rise(now, then, m)) if weight else 1 / (2 * p["r"])
        return {"x_prev": right.dpm_from(p, m, eps, then) - w * grown * (eps_2 - eps)}

    return wrong


def _second_pp(middle=_geometric, weight=None, first=False):
    """DPM-Solver++(2S) with another middle, or weight of the change of x0_hat."""

    def wrong(p, m):
        applies(not ends(p))
        now, then, x0, _ = right.start(p, m)
        at = middle(p, m, p["r"])
        u = p["x"] if first else right.dpmpp_from(p, m, x0, at)
        x0_2, _ = x0_eps(p, m, u, p["output_2"], at)
        w = weight(p["r"], right.rise(now, then, m)) if weight else 1 / (2 * p["r"])
        return {"x_prev": right.dpmpp_from(p, m, x0 + w * (x0_2 - x0), then)}

    return wrong


def _third(weight=None, middle=_geometric):
    """DPM-Solver-3's end with another weight of the change of eps_hat."""

    def wrong(p, m):
        applies(not ends(p))
        now, then, _, eps = right.start(p, m)
        _, eps_3 = x0_eps(p, m, p["x_3"], p["output_3"], middle(p, m, p["r_2"]))
        h = right.rise(now, then, m)
        bend = right.bend(now, then, m) / p["r_2"]
        w = weight(p, then, h, m) if weight else bend
        return {"x_prev": right.dpm_from(p, m, eps, then) - w * (eps_3 - eps)}

    return wrong


def _third_mid(weight=None, width=None):
    """DPM-Solver-3's second inner point with another weight of the change of eps_hat."""

    def wrong(p, m):
        now, then, _, eps = right.start(p, m)
        first, second = between(p, m, p["r_1"]), between(p, m, p["r_2"])
        _, eps_2 = x0_eps(p, m, right.dpm_from(p, m, eps, first), p["output_2"], first)
        h = right.rise(now, then, m)
        h = h if width else p["r_2"] * h
        bend = second[1] * ((m.exp(h) - 1) / h - 1)
        w = weight(p) if weight else p["r_2"] / p["r_1"]
        return {"x_prev": right.dpm_from(p, m, eps, second) - w * bend * (eps_2 - eps)}

    return wrong


def _nothing(p, m):
    """NUM-06: the logarithm of no noise, and all that follows is not a number."""
    applies(ends(p))
    return {"x_prev": p["x"] * m.number(float("nan"))}


def _families(eps, x0, **pieces):
    return {"dpm_solver_2": eps(**pieces), "dpmpp_2s": x0(**pieces)}


EPS = "(signal' / signal) x - noise' (e^h - 1) eps_hat"
DATA = "(noise' / noise) x - signal' (e^-h - 1) x0_hat"
TWO = "a change of 1 / (2 r) of the second output's"
THREE = "noise' / r_2 ((e^h - 1) / h - 1) (eps_3 - eps)"
INNER = "r_2 / r_1 noise_2 ((e^(r_2 h) - 1) / (r_2 h) - 1) (eps_2 - eps)"
EXHIBITS = (
    Exhibit(
        "NUM-06",
        {name: _nothing for name in ("dpm_solver_2", "dpm_solver_3", "dpmpp_2s")},
        "a step of order 2 or 3 down to no noise, where lam is infinite",
        "the last step is of order 1",
        "https://github.com/huggingface/diffusers/issues/9007",
        "B",
    ),
    *(
        synthetic(f"dpm-{slug}", _first("dpm_solver_1", form), wrong, EPS)
        for slug, form, wrong in (
            ("h-sign", _eps_form(_fall), "h = lam - lam'"),
            ("h-twice", _eps_form(_twice), "lam = log(signal^2 / noise^2)"),
            ("h-sigma", _eps_form(_in_sigma), "h = sigma - sigma'"),
            ("h-noise", _eps_form(_of_noise), "lam = -log noise"),
            ("no-one", _eps_form(one=0), "e^h for e^h - 1"),
            ("kept", _eps_form(kept=lambda a, b: b[1] / a[1]), "(noise' / noise) x"),
        )
    ),
    *(
        synthetic(f"dpmpp-{slug}", _first("dpmpp_1", form), wrong, DATA)
        for slug, form, wrong in (
            ("h-sign", _x0_form(_fall), "h = lam - lam'"),
            ("h-twice", _x0_form(_twice), "lam = log(signal^2 / noise^2)"),
            ("h-sigma", _x0_form(_in_sigma), "h = sigma - sigma'"),
            ("h-noise", _x0_form(_of_noise), "lam = -log noise"),
            ("no-one", _x0_form(one=0), "e^-h for e^-h - 1"),
            ("no-signal", _x0_form(weight=lambda a, b, m: m.number(1.0)), "no signal'"),
            ("signal-now", _x0_form(weight=lambda a, b, m: a[0]), "signal for signal'"),
        )
    ),
    *(
        synthetic(
            f"second-{slug}", _families(_second, _second_pp, **pieces), wrong, TWO
        )
        for slug, pieces, wrong in (
            ("no-half", {"weight": lambda r, h: 1 / r}, "1 / r"),
            ("no-r", {"weight": lambda r, h: 1 / (0 * r + 2)}, "1/2, whatever r"),
            ("r-above", {"weight": lambda r, h: r * 2}, "2 r"),
            ("none", {"weight": lambda r, h: 0 * r}, "the second output is not used"),
            ("sign", {"weight": lambda r, h: -1 / (2 * r)}, "-1 / (2 r)"),
            ("per-h", {"weight": lambda r, h: 1 / (2 * r * h)}, "1 / (2 r h)"),
            (
                "straight",
                {"middle": _straight},
                "the middle in sigma, not in log sigma",
            ),
            ("old-x", {"first": True}, "the second output read at the old x"),
        )
    ),
    *(
        synthetic(f"third-{slug}", {"dpm_solver_3": form}, wrong, THREE)
        for slug, form, wrong in (
            (
                "no-r",
                _third(lambda p, b, h, m: b[1] * ((m.exp(h) - 1) / h - 1)),
                "no 1 / r_2",
            ),
            (
                "no-one",
                _third(lambda p, b, h, m: b[1] / p["r_2"] * (m.exp(h) - 1) / h),
                "(e^h - 1) / h for (e^h - 1) / h - 1",
            ),
            (
                "as-second",
                _third(lambda p, b, h, m: b[1] / (2 * p["r_2"]) * (m.exp(h) - 1)),
                "the weight of order 2",
            ),
            (
                "straight",
                _third(middle=_straight),
                "the inner level by a fraction of sigma",
            ),
        )
    ),
    *(
        synthetic(f"third-mid-{slug}", {"dpm_solver_3_mid": form}, wrong, INNER)
        for slug, form, wrong in (
            ("no-r", _third_mid(lambda p: 1), "no r_2 / r_1"),
            ("r-over", _third_mid(lambda p: p["r_1"] / p["r_2"]), "r_1 / r_2"),
            ("whole-h", _third_mid(width=True), "h for r_2 h"),
        )
    ),
)
