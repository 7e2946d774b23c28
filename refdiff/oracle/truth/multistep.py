"""DPM-Solver++ that remembers, at 50 digits: (2M), (3M), and (2M) for the SDE.

p["history"] holds (x, output) at the earlier sigmas, oldest first. The first
derivations are the papers' formulas; the second ones integrate the same polynomials, or
take them at the middle of the step.
"""

from refdiff.oracle.truth.dpm import (
    LEVELS,
    blend,
    dpmpp_1,
    dpmpp_1_again,
    dpmpp_from,
    ratio,
    rise,
)
from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.levels import (
    Z,
    ends,
    is_x0,
    now_then,
    past,
    plain,
    scaled,
    told,
)


def dpmpp_2m(p, m):
    """Order 1 with D = x0 + (x0 - x0_last) / (2 r),  r = h_last / h."""
    now, then = now_then(p, m)
    if ends(p) or p["index"] == 0:
        return dpmpp_1(p, m)
    (_, x0, _), (last, x0_last, _) = past(p, m)
    r = rise(last, now, m) / rise(now, then, m)
    return {"x_prev": dpmpp_from(p, m, x0 + (x0 - x0_last) / (2 * r), then)}


def middle_of(p, m):
    """x0_hat at half the step in lam, on the line through the last two."""
    now, then = now_then(p, m)
    (_, x0, _), (last, x0_last, _) = past(p, m)
    a, b, c = (-m.log(ratio(at)) for at in (last, now, then))
    half = (b + c) / 2
    return ((half - a) * x0 + (b - half) * x0_last) / (b - a)


def dpmpp_2m_again(p, m):
    """Lagrange's line at the middle, in y."""
    if ends(p) or p["index"] == 0:
        return dpmpp_1_again(p, m)
    return {"x_prev": blend(p, m, middle_of(p, m), now_then(p, m)[1])}


def sde(p, m, x0):
    """The exact solution for a constant x0, with eta times the flow's own noise.

    (noise' / noise) e^(-eta h) x + signal' (1 - e^(-(1+eta) h)) x0
    + noise' sqrt(1 - e^(-2 eta h)) z
    """
    (now, then), eta = now_then(p, m), p["eta"] * 1
    if ends(p):
        return then[0] * x0
    h = rise(now, then, m)
    kept = then[1] / now[1] * m.exp(-eta * h)
    pulled = then[0] * (1 - m.exp(-(1 + eta) * h))
    return (
        kept * p["x"] + pulled * x0 + then[1] * m.sqrt(1 - m.exp(-2 * eta * h)) * p["z"]
    )


def sde_again(p, m, x0):
    """The same in y, by q = sigma' / sigma: an Ornstein-Uhlenbeck process about x0."""
    (now, then), eta = now_then(p, m), p["eta"] * 1
    if ends(p):
        return then[0] * x0
    s, t = ratio(now), ratio(then)
    q = m.exp(eta * (m.log(t) - m.log(s)))
    y = x0 + t / s * q * (p["x"] / now[0] - x0) + t * m.sqrt((1 - q) * (1 + q)) * p["z"]
    return then[0] * y


def sde_2m(p, m):
    """The SDE's solution, x0_hat as in (2M)."""
    now, then = now_then(p, m)
    found = past(p, m)
    if ends(p) or p["index"] == 0:
        return {"x_prev": sde(p, m, found[0][1])}
    (_, x0, _), (last, x0_last, _) = found
    r = rise(last, now, m) / rise(now, then, m)
    return {"x_prev": sde(p, m, x0 + (x0 - x0_last) / (2 * r))}


def sde_2m_again(p, m):
    """The same from the middle of the line."""
    if ends(p) or p["index"] == 0:
        return {"x_prev": sde_again(p, m, past(p, m)[0][1])}
    return {"x_prev": sde_again(p, m, middle_of(p, m))}


def parabola(p, m):
    """h, and D1, D2 of x0_hat = x0 + u D1 + u^2 D2 through the last three, u in steps."""
    now, then = now_then(p, m)
    (_, x0, _), (last, x0_1, _), (older, x0_2, _) = past(p, m)
    h = rise(now, then, m)
    r_0, r_1 = rise(last, now, m) / h, rise(older, last, m) / h
    d_0, d_1 = (x0 - x0_1) / r_0, (x0_1 - x0_2) / r_1
    D2 = (d_0 - d_1) / (r_0 + r_1)
    return h, x0, d_0 + r_0 * D2, D2


def dpmpp_3m(p, m, curvature=2):
    """Order 1 + signal' (phi D1 - 2 psi D2): the exact integral of the parabola.

    phi = (e^-h - 1) / h + 1,  psi = (e^-h - 1 + h) / h^2 - 1/2
    """
    h, x0, D1, D2 = parabola(p, m)
    _, then = now_then(p, m)
    phi = (m.exp(-h) - 1) / h + 1
    psi = (m.exp(-h) - 1 + h) / (h * h) - m.number(0.5)
    bent = then[0] * (phi * D1 - curvature * psi * D2)
    return {"x_prev": dpmpp_from(p, m, x0, then) + bent}


def dpmpp_3m_again(p, m):
    """Integral of x0_hat d(1/sigma), Lagrange's parabola in log(1/sigma), by parts."""
    now, then = now_then(p, m)
    points = past(p, m)
    c = [m.log(ratio(now) / ratio(at)) for at, _, _ in points]  # lam from now on
    a, b = 1 / ratio(now), 1 / ratio(then)
    L = m.log(b / a)
    moments = (b - a, b * L - (b - a), b * L * L - 2 * (b * L - (b - a)))
    y = p["x"] / now[0] / ratio(now)
    for j, (_, x0, _) in enumerate(points):
        k, n = (i for i in range(3) if i != j)
        area = moments[2] - (c[k] + c[n]) * moments[1] + c[k] * c[n] * moments[0]
        y = y + area / ((c[j] - c[k]) * (c[j] - c[n])) * x0
    return {"x_prev": then[0] * ratio(then) * y}


def _2m(large):
    for name, problem in scaled(large):
        yield Case(name, problem, told(problem, 1), degenerate=is_x0(problem))


def _sde(large):
    for name, problem in scaled(large):
        both = large or plain(name)
        for eta in (0.37, 1.0) if both else (0.37,):
            inputs = told(problem, 1, z=Z)
            problem_ = problem | {"eta": eta}
            yield Case(
                f"eta{eta:g}/{name}", problem_, inputs, degenerate=is_x0(problem)
            )


def _3m(large):
    for name, problem in scaled(large, first=2):
        i, N = problem["index"], len(problem["sigmas"]) - 1
        if 2 <= i < N - 2 or i == N - 1 and not ends(problem):
            yield Case(name, problem, told(problem, 2))


def _step(name, source, text, pair, cases, *inputs):
    """A family of steps that are affine in x, the outputs and the history."""
    affine = ("x", "output", "history", *inputs)
    text = text + PAST + LEVELS
    return Family(name, "STEP", "step", source, text, *pair, cases, {}, affine)


PAST = (
    "history holds (x, output) at the sigmas before index, oldest first, as many as are "
    "asked for or exist. "
)
FAMILIES = (
    _step(
        "dpmpp_2m",
        "Lu23 Algorithm 2",
        "One step of order 2: that of order 1 with x0 + (x0 - x0_before) h / (2 h_before) "
        "for x0_hat, h in log(signal / noise); the first is of order 1. ",
        (dpmpp_2m, dpmpp_2m_again),
        _2m,
    ),
    _step(
        "dpmpp_sde_2m",
        "Lu23 for SDE-DPM-Solver++(2M); Zhang23 for eta",
        "The same for the SDE whose noise has variance rate eta times the reverse SDE's: z "
        "has std noise' sqrt(1 - e^(-2 eta h)), eta = 1 is the reverse SDE. ",
        (sde_2m, sde_2m_again),
        _sde,
        "z",
    ),
    _step(
        "dpmpp_3m",
        "Lu23 for the order 3 of exponential multistep methods",
        "One step of order 3: the exact integral of the parabola in log(signal / noise) "
        "through x0_hat now and twice before. ",
        (dpmpp_3m, dpmpp_3m_again),
        _3m,
    ),
)
