"""Wrong forms of the solvers that remember, and two conventions of theirs."""

from refdiff.oracle.museum.readings import applies, synthetic
from refdiff.oracle.truth import multistep as right
from refdiff.oracle.truth.dpm import dpmpp_from, drift, ratio, rise, start
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.levels import ends, level, now_then, past, x0_eps


def _second(p, m):
    """What a step of (2M) is made of: x0, the change of x0, h and h_last."""
    applies(p["index"] > 0 and not ends(p))
    now, then = now_then(p, m)
    (_, x0, _), (last, x0_last, _) = past(p, m)
    return x0, x0 - x0_last, rise(now, then, m), rise(last, now, m)


def _2m(point):
    """Both (2M) steps with another point in place of x0 + (x0 - x0_last) / (2 r)."""

    def flow(p, m):
        return {"x_prev": dpmpp_from(p, m, point(p, m), now_then(p, m)[1])}

    def noisy(p, m):
        return {"x_prev": right.sde(p, m, point(p, m))}

    return {"dpmpp_2m": flow, "dpmpp_sde_2m": noisy}


def _weighted(weight):
    """The point x0 + weight(h, h_last) (x0 - x0_last)."""

    def point(p, m):
        x0, change, h, h_last = _second(p, m)
        return x0 + weight(h, h_last) * change

    return _2m(point)


def _sigma_ratio(p, m):
    """The ratio of the two steps taken in sigma."""
    x0, change, _, _ = _second(p, m)
    a, b, c = (ratio(level(p, m, p["index"] + j)) for j in (-1, 0, 1))
    return x0 + change * (b - c) / (2 * (a - b))


def _last_here(p, m):
    """The old output made into x0_hat at the present x and level."""
    x0, _, h, h_last = _second(p, m)
    now, _ = now_then(p, m)
    x0_last, _ = x0_eps(p, m, p["x"], p["history"][-1][1], now)
    return x0 + (x0 - x0_last) * h / (2 * h_last)


def _exchanged(p, m):
    """The new and the old x0_hat exchanged."""
    x0, change, h, h_last = _second(p, m)
    return x0 - change - change * h / (2 * h_last)


def _first_always(p, m):
    """The first step like any other, with an empty memory of zeros."""
    applies(p["index"] == 0 and not ends(p))
    return start(p, m)[2] * 3 / 2


def _heun_type(p, m):
    """solver_type=heun: the exact integral of the line, not its middle."""
    x0, change, h, h_last = _second(p, m)
    _, then = now_then(p, m)
    bent = then[0] * ((m.exp(-h) - 1) / h + 1) * change * h / h_last
    return {"x_prev": dpmpp_from(p, m, x0, then) + bent}


def _heun_type_sde(p, m):
    """The same for the SDE, whose exponent is (1 + eta) h."""
    x0, change, h, h_last = _second(p, m)
    (_, then), k = now_then(p, m), (1 + p["eta"]) * h
    bent = then[0] * ((m.exp(-k) - 1) / k + 1) * change * h / h_last
    return {"x_prev": right.sde(p, m, x0) + bent}


def _adams_bashforth(p, m):
    """STP-07: the line through the last two slopes, in sigma and not in lam."""
    applies(p["index"] > 0)
    (now, _, eps), (last, _, eps_last) = past(p, m)
    _, then = now_then(p, m)
    a, b, c = (ratio(at) for at in (last, now, then))
    tilt = (eps - eps_last) / (b - a)
    return {"x_prev": drift(p, m, (c - b) * eps + (c - b) ** 2 / 2 * tilt, then)}


def _ancestral(p, m):
    """STP-08: an ancestral step without its noise."""
    applies(not ends(p))
    now, then, x0, eps = start(p, m)
    t = ratio(then)
    return {"x_prev": then[0] * (x0 + t * t / ratio(now) * eps)}


def _split(p, m):
    """STP-05: the flow to sigma_down, then noise sigma_up, for eta times the SDE's noise."""
    applies(not ends(p))
    now, then = now_then(p, m)
    x0 = right.middle_of(p, m) if p["index"] else past(p, m)[0][1]
    s, t = ratio(now), ratio(then)
    up = p["eta"] * t * m.sqrt(1 - (t / s) ** 2)
    down = m.sqrt(t * t - up * up)
    y = x0 + down / s * (p["x"] / now[0] - x0) + up * p["z"]
    return {"x_prev": then[0] * y}


def _sde(kept=None, pulled=None, noise=None):
    """The SDE's step with another exponent of what is kept, of the pull, or noise."""

    def wrong(p, m):
        applies(not ends(p))
        (now, then), eta = now_then(p, m), p["eta"]
        x0 = right.middle_of(p, m) if p["index"] else past(p, m)[0][1]
        h = rise(now, then, m)
        a, b = (kept or _eta)(eta), (pulled or _one_eta)(eta)
        z = noise(eta, h, m) if noise else m.sqrt(1 - m.exp(-2 * eta * h))
        held = then[1] / now[1] * m.exp(-a * h) * p["x"]
        return {
            "x_prev": held + then[0] * (1 - m.exp(-b * h)) * x0 + then[1] * z * p["z"]
        }

    return wrong


def _eta(eta):
    return eta


def _one_eta(eta):
    return 1 + eta


def _half_curved(p, m):
    return right.dpmpp_3m(p, m, curvature=1)


def _3m(line=None, turn=False):
    """(3M) with another slope D1, or its memory the other way round."""

    def wrong(p, m):
        if turn:
            p = p | {"history": p["history"][::-1]}
        h, x0, D1, D2 = right.parabola(p, m)
        if line:
            now, (last, _, _) = level(p, m, p["index"]), past(p, m)[1]
            D1 = line(D1, D2, rise(last, now, m) / h)
        _, then = now_then(p, m)
        phi = (m.exp(-h) - 1) / h + 1
        psi = (m.exp(-h) - 1 + h) / (h * h) - m.number(0.5)
        bent = then[0] * (phi * D1 - 2 * psi * D2)
        return {"x_prev": dpmpp_from(p, m, x0, then) + bent}

    return wrong


DPM = "https://github.com/LuChengTHU/dpm-solver"
TWO = "x0 + (x0 - x0_last) h / (2 h_last), h in log(signal / noise)"
NOISE = "noise' sqrt(1 - e^(-2 eta h)) z about the flow's mean with (1 + eta) h"
CURVE = "the parabola x0 + u D1 + u^2 D2 through three x0_hat"
EXHIBITS = (
    Exhibit(
        "STP-07",
        {"dpmpp_2m": _adams_bashforth},
        "two-step Adams-Bashforth in sigma under the name of DPM-Solver++(2M)",
        TWO,
        "https://github.com/NVIDIA/physicsnemo/pull/1932",
        "B",
    ),
    Exhibit(
        "STP-08",
        {"dpmpp_2m": _ancestral},
        "an ancestral step under the name of DPM-Solver++(2M)",
        TWO,
        "https://github.com/152334H/tortoise-tts-fast/issues/2",
        "A",
    ),
    Exhibit(
        "STP-05",
        {"dpmpp_sde_2m": _split},
        "the flow to sigma_down and noise on top, under the name of the SDE's solver",
        NOISE,
        "https://github.com/crowsonkb/k-diffusion/issues/59",
        "A",
    ),
    Exhibit(
        "solver_type=heun",
        {"dpmpp_2m": _heun_type, "dpmpp_sde_2m": _heun_type_sde},
        "the line's exact integral, signal' ((e^-h - 1) / h + 1)",
        "the line at mid-step, as the paper has it",
        "https://arxiv.org/abs/2211.01095",
        "convention",
    ),
    Exhibit(
        "third_order_curvature=half",
        {"dpmpp_3m": _half_curved},
        "half the weight of the curvature D2, as in the authors' code: of order 2",
        "the exact integral of the parabola, of order 3",
        DPM,
        "convention",
    ),
    *(
        synthetic(f"2m-{slug}", forms, wrong, TWO)
        for slug, forms, wrong in (
            ("r-inverse", _weighted(lambda h, b: b / (2 * h)), "h_last / (2 h)"),
            ("no-half", _weighted(lambda h, b: h / b), "h / h_last"),
            ("sign", _weighted(lambda h, b: -h / (2 * b)), "-h / (2 h_last)"),
            ("even", _weighted(lambda h, b: h / (2 * h)), "1/2, as for even steps"),
            ("first-order", _weighted(lambda h, b: 0 * h), "the memory not used"),
            ("sigma", _2m(_sigma_ratio), "the ratio of steps in sigma"),
            ("last-here", _2m(_last_here), "old output converted at the new level"),
            ("exchanged", _2m(_exchanged), "new and old x0_hat exchanged"),
            ("cold", _2m(_first_always), "the first step with a memory of zeros"),
        )
    ),
    *(
        synthetic(f"sde-{slug}", {"dpmpp_sde_2m": form}, wrong, NOISE)
        for slug, form, wrong in (
            (
                "h",
                _sde(noise=lambda e, h, m: m.sqrt(1 - m.exp(-e * h))),
                "eta h, not twice",
            ),
            ("no-root", _sde(noise=lambda e, h, m: 1 - m.exp(-2 * e * h)), "no root"),
            ("silent", _sde(noise=lambda e, h, m: 0 * h), "no noise"),
            (
                "flow-mean",
                _sde(lambda e: 0, lambda e: 1),
                "the flow's mean, noise added",
            ),
            ("not-kept", _sde(kept=lambda e: 0), "x kept as the flow keeps it"),
            ("pull", _sde(pulled=lambda e: 1), "x0_hat weighed as by the flow"),
            ("eta-two", _sde(pulled=lambda e: 2), "x0_hat weighed as for eta = 1"),
        )
    ),
    *(
        synthetic(f"3m-{slug}", {"dpmpp_3m": form}, wrong, CURVE)
        for slug, form, wrong in (
            ("line", _3m(lambda d, c, r: d - r * c), "D1 without r D2"),
            ("turned", _3m(turn=True), "the memory read newest first"),
        )
    ),
)
