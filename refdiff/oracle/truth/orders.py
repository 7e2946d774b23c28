"""Order of convergence at 50 digits: end points of a mixture's flow, known exactly.

In one dimension the probability flow keeps the share of mass on each side of a point,
so it carries quantiles to quantiles: F_end(x_end) = F_start(x). The second derivation
solves dx/dlog sigma = sigma eps_hat by extrapolation to order 32.
"""

from itertools import pairwise

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.mixtures import LINE, components, output, score, x0_eps

HIGH, LOW = 4.0, 0.25
FLOWS = {}  # ends by integration: many families ask for the same, and it is slow
MACRO, COLUMNS = 20, 16  # steps of the extrapolation, and columns of its triangle


def share_below(x, law, sigma, m):
    """F(x) = sum_k w_k Phi((x - m_k) / sqrt(C_k + sigma^2)), and its derivative."""
    F, density = 0, 0
    for w, mean, cov in components(law, m):
        std = m.sqrt(cov[0, 0] + sigma * sigma)
        u = (x - mean[0]) / std
        F = F + w * (1 + m.erf(u / m.sqrt(m.number(2.0)))) / 2
        density = density + w * m.exp(-u * u / 2) / (std * m.sqrt(2 * m.pi))
    return F, density


def carried(p, m):
    """The end of the flow from sigma_max to sigma_min, by quantiles."""
    wanted = share_below(p["x"], p["law"], p["sigma_max"], m)[0]
    low, high = p["x"] * 0 - 64, p["x"] * 0 + 64
    for _ in range(24):  # halve the bracket, and then Newton doubles the digits
        x = (low + high) / 2
        below = share_below(x, p["law"], p["sigma_min"], m)[0] < wanted
        low, high = np.where(below, x, low), np.where(below, high, x)
    for _ in range(8):
        F, density = share_below(x, p["law"], p["sigma_min"], m)
        x = x - (F - wanted) / density
    return {"x": x}


def integrated(p, m):
    """The same by Gragg's midpoint steps in log sigma, extrapolated (Bulirsch-Stoer)."""
    key = repr([p["law"], p["sigma_max"], p["sigma_min"], p["x"].tolist()])
    if key not in FLOWS:
        start, end = m.log(p["sigma_max"]), m.log(p["sigma_min"])
        x, h = p["x"], (end - start) / MACRO
        for k in range(MACRO):
            x = _extrapolated(p, m, x, start + k * h, h)
        FLOWS[key] = x
    return {"x": FLOWS[key]}


def _extrapolated(p, m, x, u, h):
    """Aitken-Neville in the square of the substep, for 2, 4, ... substeps."""
    rows = []
    for j in range(COLUMNS):
        row = [_midpoint(p, m, x, u, h, 2 * j + 2)]
        for i in range(j):
            ratio = ((j + 1) ** 2 - (j - i) ** 2) * m.number(1.0) / (j - i) ** 2
            row.append(row[i] + (row[i] - rows[i]) / ratio)
        rows = row
    return rows[-1]


def _midpoint(p, m, x, u, h, n):
    """Gragg's modified midpoint rule with n substeps."""
    step = h / n
    before, now = x, x + step * _slope(p, m, x, u)
    for k in range(1, n):
        before, now = now, before + 2 * step * _slope(p, m, now, u + k * step)
    return (before + now + step * _slope(p, m, now, u + h)) / 2


def _slope(p, m, x, u):
    """dx/dlog sigma = -sigma^2 score."""
    sigma = m.exp(u)
    return -sigma * sigma * score(x, p["law"], m.number(1.0), sigma, m)


def method(solver):
    """What a solver answers: its end points over each grid, (len(steps), n, d)."""

    def answer(p, m):
        return {"x": np.array([solver(p, m, p["grids"][str(N)]) for N in p["steps"]])}

    return answer


def say(p, m, x, sigma):
    """x0_hat and eps_hat at a sigma, from what the model of p["target"] says."""
    one, sigma = m.number(1.0), m.number(sigma)
    return x0_eps(p, x, output(p, x, one, sigma, m), one, sigma, m)


def euler(p, m, grid):
    """Euler's method on dx/dsigma = eps_hat, which is DDIM and DPM-Solver-1."""
    x = p["x"]
    for now, then in pairs(grid, m):
        x = x + (then - now) * say(p, m, x, now)[1]
    return x


def heun(p, m, grid):
    """Heun's method in sigma."""
    x = p["x"]
    for now, then in pairs(grid, m):
        h, d = then - now, say(p, m, x, now)[1]
        x = x + h * (d + say(p, m, x + h * d, then)[1]) / 2
    return x


def dpm_2(p, m, grid):
    """DPM-Solver-2: the slope halfway in log sigma."""
    x = p["x"]
    for now, then in pairs(grid, m):
        mid = m.sqrt(now * then)
        u = x + (mid - now) * say(p, m, x, now)[1]
        x = x + (then - now) * say(p, m, u, mid)[1]
    return x


def dpm_3(p, m, grid):
    """DPM-Solver-3: slopes at one third and two thirds in log sigma, h = log(now / then)."""
    x = p["x"]
    for now, then in pairs(grid, m):
        h = m.log(now / then)
        s1, s2 = now * m.exp(-h / 3), now * m.exp(-2 * h / 3)
        eps = say(p, m, x, now)[1]
        u1 = x - s1 * (m.exp(h / 3) - 1) * eps
        turn = say(p, m, u1, s1)[1] - eps
        u2 = x - s2 * (m.exp(2 * h / 3) - 1) * eps
        u2 = u2 - 2 * s2 * ((m.exp(2 * h / 3) - 1) / (2 * h / 3) - 1) * turn
        rise = say(p, m, u2, s2)[1] - eps
        x = x - then * (m.exp(h) - 1) * eps
        x = x - then * ((m.exp(h) - 1) / h - 1) * rise * 3 / 2
    return x


def dpmpp_2m(p, m, grid):
    """DPM-Solver++(2M): the line in log sigma through the last two x0_hat."""
    x, last, h_last = p["x"], None, None
    for now, then in pairs(grid, m):
        h, x0 = m.log(now / then), say(p, m, x, now)[0]
        D = x0 if last is None else x0 + h / (2 * h_last) * (x0 - last)
        x = then / now * x + (1 - then / now) * D
        last, h_last = x0, h
    return x


def pairs(grid, m):
    """Neighbours of a list of sigmas, as numbers."""
    numbers = [m.number(s) for s in grid]
    return pairwise(numbers)


def even(high, low, N):
    """N + 1 sigmas from high to low, even in their logarithm."""
    return [high, *(high * (low / high) ** (k / N) for k in range(1, N)), low]


def uneven(high, low, N):
    """The same in steps of 2 and 3 parts in turn, so that no two neighbours are alike."""
    parts = [5 * (k // 2) + 2 * (k % 2) for k in range(1, N)]
    return [high, *(high * (low / high) ** (part / (2.5 * N)) for part in parts), low]


def _cases(order, steps, bound, rough=0.0):
    """One case a target; bound is half as much again as a right method's last error.

    The least right of them: DPM-Solver-2 with r = 1, (2M) with the line's exact integral.
    rough: the bound over uneven steps, for a method that remembers the step before
    """

    def cases(large):
        for target in ("eps", "x0", "v", "score"):
            yield _case(target, target, even, steps, order, bound)
        if rough:
            yield _case("uneven/x0", "x0", uneven, steps, order, rough)

    return cases


def _case(name, target, grid, steps, order, bound):
    problem = {
        "sigma_max": HIGH,
        "sigma_min": LOW,
        "steps": steps,
        "grids": {str(N): grid(HIGH, LOW, N) for N in steps},
        "order": order,
        "bound": bound,
        "target": target,
        "law": LINE,
        "scaling": "ve",
        "time": "sigma",
    }
    return Case(name, problem, {"x": [[-5.5], [1.25], [6.75]]})


def _family(name, source, text, *claims):
    return Family(
        name,
        "LAW",
        "sample",
        source,
        f"{text}, order {claims[0]}: end points from x over grids[str(N)], a list of "
        "sigmas, none of which is 0, for each N of steps: (len(steps), n, d), x = x0 + sigma "
        "eps. model(x, sigma) says what p['target'] is at x; v is (eps - sigma x0) / "
        "sqrt(1 + sigma^2).",
        carried,
        integrated,
        _cases(*claims),
        {"x": "truncation"},
    )


EIGHT, THREE = [8, 16, 32, 64], [3, 6, 12, 24]
SOLVERS = {
    "euler_order": (euler, 1, EIGHT, 0.03),
    "heun_order": (heun, 2, EIGHT, 6e-4),
    "dpm_solver_2_order": (dpm_2, 2, EIGHT, 6e-4),
    "dpm_solver_3_order": (dpm_3, 3, THREE, 1e-5),
    "dpmpp_2m_order": (dpmpp_2m, 2, EIGHT, 3.4e-4, 4.9e-4),
}
WORDS = {
    "euler_order": ("Karras22 (3)", "Euler's method in sigma, or DDIM"),
    "heun_order": ("Karras22 Algorithm 1", "Heun's method in sigma"),
    "dpm_solver_2_order": ("Lu22 Algorithm 1", "DPM-Solver-2, r = 1/2 or another"),
    "dpm_solver_3_order": ("Lu22 Algorithm 2", "DPM-Solver-3, r_1 = 1/3 and r_2 = 2/3"),
    "dpmpp_2m_order": ("Lu23 Algorithm 2", "DPM-Solver++(2M), of either solver type"),
}
FAMILIES = tuple(
    _family(name, *WORDS[name], *claims) for name, (_, *claims) in SOLVERS.items()
)
