"""Wrong forms of linear multistep methods, and of the orders they run in."""

from refdiff.oracle.museum.readings import synthetic
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.levels import level, past, x0_eps
from refdiff.oracle.truth.lms import lagrange_integral

CONSTANTS = {1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12)}
CONSTANTS[4] = (55 / 24, -59 / 24, 37 / 24, -9 / 24)


def _even(p, m):
    """The constants of even steps."""
    told, (_, end) = past(p, m), level(p, m, p["index"] + 1)
    h, weights = end - told[0][0][1], CONSTANTS[len(told)]
    pairs = zip(weights, told, strict=True)
    return {"x_prev": p["x"] + h * sum(m.number(c) * eps for c, (_, _, eps) in pairs)}


def _lms(turn=False, here=False, most=None):
    """LMS with its slopes in the other order, or of lower order."""

    def wrong(p, m):
        told, (_, end) = past(p, m)[:most], level(p, m, p["index"] + 1)
        nodes = [at[1] for at, _, _ in told]
        slopes = [eps for _, _, eps in told]
        if here:
            said = [y for _, y in p["history"]][::-1]
            at = level(p, m, p["index"])
            slopes[1:] = [x0_eps(p, m, p["x"], y, at)[1] for y in said]
        slopes = slopes[::-1] if turn else slopes
        weights = [lagrange_integral(nodes, j, end, m) for j in range(len(nodes))]
        parts = zip(weights, slopes, strict=True)
        return {"x_prev": p["x"] + sum(c * eps for c, eps in parts)}

    return wrong


def _down_to_zero(p, m):
    """IDX-19: the steps left counted without the present one."""
    N = p["N"]
    return {"order": [min(p["order"], i + 1, N - 1 - i) for i in range(N)]}


def _no_warm_up(p, m):
    return {"order": [min(p["order"], p["N"] - i) for i in range(p["N"])]}


EXHIBITS = (
    Exhibit(
        "IDX-19",
        {"multistep_orders": _down_to_zero},
        "an order of 0 at the end",
        "min(order, steps done + 1, steps left), at least 1",
        "https://github.com/Wan-Video/Wan2.1/pull/108",
        "B",
        "TABLE",
    ),
    *(
        synthetic(
            f"lms-{slug}", {"lms": form}, wrong, "Lagrange's integrals on this grid"
        )
        for slug, form, wrong in (
            ("even", _even, "Adams-Bashforth's constants of even steps"),
            ("turned", _lms(turn=True), "the slopes in the other order"),
            ("here", _lms(here=True), "old outputs converted at the new x and level"),
            ("euler", _lms(most=1), "the memory not used"),
            ("order", _lms(most=3), "at most order 3"),
        )
    ),
    synthetic(
        "orders-cold",
        {"multistep_orders": _no_warm_up},
        "full order from the start",
        "1, 2, ... at the start",
    ),
)
