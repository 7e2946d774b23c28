"""DPM-Solver and DPM-Solver++, single steps, at 50 digits.

lam = log(signal / noise) and h is a step's rise of it. The first derivations are the
papers'; the second ones are in y = x / signal and sigma = noise / signal, where the
flow is dy = eps_hat dsigma, or in y / sigma, where it is d(y / sigma) = x0_hat d(1/sigma).
"""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.levels import (
    Y_2,
    X,
    between,
    ends,
    is_x0,
    now_then,
    plain,
    said,
    scaled,
    x0_eps,
)


def rise(now, then, m):
    """The rise h = lam' - lam."""
    return m.log(then[0] / then[1]) - m.log(now[0] / now[1])


def ratio(at):
    """The noise level sigma = noise / signal."""
    return at[1] / at[0]


def dpm_from(p, m, eps, then):
    """(signal' / signal) x - noise' (e^h - 1) eps;  noise' e^h is finite at no noise."""
    now, _ = now_then(p, m)
    if then[1] == 0:
        return then[0] / now[0] * (p["x"] - now[1] * eps)
    grown = then[1] * (m.exp(rise(now, then, m)) - 1)
    return then[0] / now[0] * p["x"] - grown * eps


def dpmpp_from(p, m, x0, then):
    """(noise' / noise) x - signal' (e^-h - 1) x0, and x0 at no noise."""
    now, _ = now_then(p, m)
    if then[1] == 0:
        return then[0] * x0
    left = then[0] * (m.exp(-rise(now, then, m)) - 1)
    return then[1] / now[1] * p["x"] - left * x0


def drift(p, m, change, then):
    """The state signal' (y + change) at a later level, change being that of y."""
    now, _ = now_then(p, m)
    return then[0] * (p["x"] / now[0] + change)


def blend(p, m, x0, then):
    """The state signal' (q y + (1 - q) x0), q = sigma' / sigma."""
    now, _ = now_then(p, m)
    q = ratio(then) / ratio(now)
    return then[0] * (q * p["x"] / now[0] + (1 - q) * x0)


def start(p, m):
    """The levels of a step, and x0_hat and eps_hat where it starts."""
    now, then = now_then(p, m)
    return now, then, *x0_eps(p, m, p["x"], p["output"], now)


def dpm_1(p, m):
    """DPM-Solver-1."""
    _, then, _, eps = start(p, m)
    return {"x_prev": dpm_from(p, m, eps, then)}


def dpm_1_again(p, m):
    """Euler in sigma."""
    now, then, _, eps = start(p, m)
    return {"x_prev": drift(p, m, (ratio(then) - ratio(now)) * eps, then)}


def dpm_2(p, m):
    """DPM-Solver-1 to the middle; then ... - noise'/(2r) (e^h - 1) (eps_2 - eps)."""
    now, then, _, eps = start(p, m)
    if ends(p):
        return dpm_1(p, m)
    r = p["r"] * 1
    middle = between(p, m, r)
    u = dpm_from(p, m, eps, middle)
    _, eps_2 = x0_eps(p, m, u, p["output_2"], middle)
    bent = then[1] / (2 * r) * (m.exp(rise(now, then, m)) - 1) * (eps_2 - eps)
    return {"x_prev": dpm_from(p, m, eps, then) - bent}


def dpm_2_again(p, m):
    """Euler in sigma with eps_hat at half the rise, on the line through both."""
    now, then, _, eps = start(p, m)
    if ends(p):
        return dpm_1_again(p, m)
    middle = between(p, m, p["r"] * 1)
    u = drift(p, m, (ratio(middle) - ratio(now)) * eps, middle)
    _, eps_2 = x0_eps(p, m, u, p["output_2"], middle)
    half = eps + (eps_2 - eps) / (2 * p["r"])
    return {"x_prev": drift(p, m, (ratio(then) - ratio(now)) * half, then)}


def bend(now, then, m):
    """Noise' ((e^h - 1) / h - 1): what a slope in lam weighs, times h."""
    h = rise(now, then, m)
    return then[1] * ((m.exp(h) - 1) / h - 1)


def area(now, then, m):
    """Integral of lam - lam_now over dsigma from now to then, by parts."""
    s, t = ratio(now), ratio(then)
    return rise(now, then, m) * t - (s - t)


def dpm_3_mid(p, m):
    """u_2 at r_2: ... - (r_2 / r_1) noise_2 ((e^(r_2 h) - 1) / (r_2 h) - 1) (eps_2 - eps)."""
    now, _, _, eps = start(p, m)
    r_1, r_2 = p["r_1"] * 1, p["r_2"] * 1
    first, second = between(p, m, r_1), between(p, m, r_2)
    _, eps_2 = x0_eps(p, m, dpm_from(p, m, eps, first), p["output_2"], first)
    bent = r_2 / r_1 * bend(now, second, m) * (eps_2 - eps)
    return {"x_prev": dpm_from(p, m, eps, second) - bent}


def dpm_3_mid_again(p, m):
    """The exact integral of the line in lam through eps and eps_2."""
    now, then, _, eps = start(p, m)
    first, second = (between(p, m, p[r] * 1) for r in ("r_1", "r_2"))
    u = drift(p, m, (ratio(first) - ratio(now)) * eps, first)
    _, eps_2 = x0_eps(p, m, u, p["output_2"], first)
    slope = (eps_2 - eps) / (p["r_1"] * rise(now, then, m))
    change = (ratio(second) - ratio(now)) * eps + area(now, second, m) * slope
    return {"x_prev": drift(p, m, change, second)}


def dpm_3(p, m):
    """... - noise' / r_2 ((e^h - 1) / h - 1) (eps_3 - eps), eps_3 at u_2, which is given."""
    now, then, _, eps = start(p, m)
    if ends(p):
        return dpm_1(p, m)
    _, eps_3 = x0_eps(p, m, p["x_3"], p["output_3"], between(p, m, p["r_2"] * 1))
    bent = bend(now, then, m) / p["r_2"] * (eps_3 - eps)
    return {"x_prev": dpm_from(p, m, eps, then) - bent}


def dpm_3_again(p, m):
    """The exact integral of the line in lam through eps and eps_3."""
    now, then, _, eps = start(p, m)
    if ends(p):
        return dpm_1_again(p, m)
    _, eps_3 = x0_eps(p, m, p["x_3"], p["output_3"], between(p, m, p["r_2"] * 1))
    slope = (eps_3 - eps) / (p["r_2"] * rise(now, then, m))
    change = (ratio(then) - ratio(now)) * eps + area(now, then, m) * slope
    return {"x_prev": drift(p, m, change, then)}


def dpmpp_1(p, m):
    """DPM-Solver++ of order 1."""
    _, then, x0, _ = start(p, m)
    return {"x_prev": dpmpp_from(p, m, x0, then)}


def dpmpp_1_again(p, m):
    """The straight line from x to x0_hat, in y."""
    _, then, x0, _ = start(p, m)
    return {"x_prev": blend(p, m, x0, then)}


def dpmpp_2s(p, m):
    """Order 1 to the middle, u; then order 1 with (1 - 1/(2r)) x0 + x0_2 / (2r)."""
    _, then, x0, _ = start(p, m)
    if ends(p):
        return dpmpp_1(p, m)
    r = p["r"] * 1
    middle = between(p, m, r)
    u = dpmpp_from(p, m, x0, middle)
    x0_2, _ = x0_eps(p, m, u, p["output_2"], middle)
    return {"x_prev": dpmpp_from(p, m, (1 - 1 / (2 * r)) * x0 + x0_2 / (2 * r), then)}


def dpmpp_2s_again(p, m):
    """The same by mixtures: u by eps_hat, and x0_hat at half the rise."""
    now, then, x0, eps = start(p, m)
    if ends(p):
        return dpmpp_1_again(p, m)
    middle = between(p, m, p["r"] * 1)
    u = drift(p, m, (ratio(middle) - ratio(now)) * eps, middle)
    x0_2, _ = x0_eps(p, m, u, p["output_2"], middle)
    return {"x_prev": blend(p, m, x0 + (x0_2 - x0) * (m.number(0.5) / p["r"]), then)}


def _one(large):
    for name, problem in scaled(large):
        yield Case(
            name, problem, {"x": X, "output": said(problem)}, degenerate=is_x0(problem)
        )


def _two(large):
    for name, problem in scaled(large):
        for r in (0.5, 0.375):
            if large or r == 0.5 or plain(name):
                yield Case(
                    f"r{r:g}/{name}",
                    problem | {"r": r},
                    {"x": X, "output": said(problem), "output_2": said(problem, Y_2)},
                    degenerate=is_x0(problem),
                )


X_3 = [[0.75, -0.5], [0.25, 1.5]]
THIRDS = {"thirds": (1 / 3, 2 / 3), "uneven": (0.25, 0.625)}


def _three(large, mid=False):
    for name, problem in scaled(large):
        for kind, (r_1, r_2) in THIRDS.items():
            covered = large or kind == "thirds" or plain(name)
            if covered and not (mid and ends(problem)):
                later = said(problem, Y_2)
                inner = {"output_2": later} if mid else {"x_3": X_3, "output_3": later}
                yield Case(
                    f"{kind}/{name}",
                    problem | {"r_1": r_1, "r_2": r_2},
                    {"x": X, "output": said(problem)} | inner,
                    degenerate=is_x0(problem),
                )


def _step(name, source, text, pair, cases, *inputs):
    """A family of steps that are affine in x and in what the model said."""
    affine = ("x", "output", *inputs)
    return Family(name, "STEP", "step", source, text + LEVELS, *pair, cases, {}, affine)


LEVELS = (
    "Levels are sigmas of the scaling: x = signal x0 + noise eps with (1, s) for ve, both "
    "over sqrt(1 + s^2) for vp, (1 - s, s) for flow. v is (eps - s x0) / sqrt(1 + s^2) for "
    "vp and ve, and flow is eps - x0. A step to no noise is of order 1. "
)
FAMILIES = (
    _step(
        "dpm_solver_1",
        "Lu22 (3.7)",
        "One step of order 1, of eps_hat. ",
        (dpm_1, dpm_1_again),
        _one,
    ),
    _step(
        "dpm_solver_2",
        "Lu22 Algorithm 1",
        "One step of order 2, of eps_hat; output_2 is what the model said at the order-1 "
        "point at a fraction r of the rise in log(signal / noise). ",
        (dpm_2, dpm_2_again),
        _two,
        "output_2",
    ),
    _step(
        "dpm_solver_3_mid",
        "Lu22 Algorithm 2",
        "The second inner point, at r_2, of a step of order 3; output_2 is what the model "
        "said at the order-1 point at r_1. ",
        (dpm_3_mid, dpm_3_mid_again),
        lambda large: _three(large, mid=True),
        "output_2",
    ),
    _step(
        "dpm_solver_3",
        "Lu22 Algorithm 2",
        "The end of a step by the line in log(signal / noise) through eps_hat and its value "
        "at the inner point x_3, at r_2, where the model said output_3: of order 3 only for "
        "r_2 = 2/3. ",
        (dpm_3, dpm_3_again),
        _three,
        "x_3",
        "output_3",
    ),
    _step(
        "dpmpp_1",
        "Lu23 Algorithm 1 at order 1",
        "One step of order 1, of x0_hat: the same map as dpm_solver_1. ",
        (dpmpp_1, dpmpp_1_again),
        _one,
    ),
    _step(
        "dpmpp_2s",
        "Lu23 Algorithm 1",
        "One step of order 2, of x0_hat; output_2 is what the model said at the order-1 "
        "point at a fraction r of the rise in log(signal / noise). ",
        (dpmpp_2s, dpmpp_2s_again),
        _two,
        "output_2",
    ),
)
