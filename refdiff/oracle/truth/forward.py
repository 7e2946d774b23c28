"""Forward noising at 50 digits: to any time at once, one step, and RePaint's halves."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.posterior import by_bayes
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.targets import OUTPUT, X0, X
from refdiff.oracle.truth.walks import SCHEDULES, betas, is_last, pair, step_id, walks

EPS = [[-0.6875, 0.9375], [1.4375, -0.1875]]
Z = [[0.8125, -1.3125], [-0.5625, 0.4375]]
MASK = [[1.0, 0.0], [0.0, 1.0]]


def noised(x0, eps, ab, m):
    """sqrt(ab) x0 + sqrt(1 - ab) eps."""
    return m.sqrt(ab) * x0 + m.sqrt(1 - ab) * eps


def at_times(p, m):
    """alpha_bar at each row's own time, (n, 1)."""
    return alpha_bar_of(p["schedule"], m)[np.asarray(p["t"])][:, None]


def add_noise(p, m):
    """x_t = sqrt(ab) x0 + sqrt(1 - ab) eps, each row at its own time."""
    return {"xt": noised(p["x0"], p["eps"], at_times(p, m), m)}


def add_noise_again(p, m):
    """Step after step: signal <- sqrt(a) signal, noise^2 <- a noise^2 + beta."""
    signal, noise2 = _iterated(p["schedule"], m)
    k = np.asarray(p["t"])
    s, n2 = signal[k][:, None], noise2[k][:, None]
    return {"xt": s * p["x0"] + m.sqrt(n2) * p["eps"]}


def _iterated(schedule, m):
    """Signal and noise^2 of every k, by the steps; kept by the arithmetic."""
    kept = m.__dict__.setdefault("tables", {})
    key = "iterated" + repr(sorted(schedule.items()))
    if key not in kept:
        beta = betas(schedule, m)
        signal, noise2 = np.cumprod(m.sqrt(1 - beta)), beta.copy()
        for k in range(1, len(beta)):
            noise2[k] = (1 - beta[k]) * noise2[k - 1] + beta[k]
        kept[key] = signal, noise2
    return kept[key]


def one_step(p, m):
    """x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps."""
    beta = betas(p["schedule"], m)[p["t"]]
    return {"xt": m.sqrt(1 - beta) * p["x"] + m.sqrt(beta) * p["eps"]}


def one_step_again(p, m):
    """The same from alpha_bar, whose quotient is the step's alpha."""
    k, table = p["t"], alpha_bar_of(p["schedule"], m)
    before = table[k - 1] if k else m.number(1.0)
    keep, fresh = table[k] / before, (before - table[k]) / before
    return {"xt": m.sqrt(keep) * p["x"] + m.sqrt(fresh) * p["eps"]}


def repaint_known(p, m):
    """x0 noised to the time that the step leads to; x0 itself at the end."""
    return {"x_prev": noised(p["x0"], p["eps"], pair(p, m)[1], m)}


def repaint_known_again(p, m):
    """The same by angles: signal = cos w, noise = sin w, tan w = sqrt((1 - b) / b)."""
    b = pair(p, m)[1]
    tan = m.sqrt((1 - b) / b)
    return {"x_prev": (p["x0"] + tan * p["eps"]) / m.sqrt(1 + tan * tan)}


def denoised(p, m):
    """The ancestral step from a predicted eps, the unknown half of RePaint's.

    [x - (1 - a/b) / sqrt(1 - a) eps] / sqrt(a/b) + sqrt((1 - b)/(1 - a) (1 - a/b)) z
    """
    a, b = pair(p, m)
    beta = 1 - a / b
    mean = (p["x"] - beta / m.sqrt(1 - a) * p["output"]) / m.sqrt(1 - beta)
    return mean + m.sqrt((1 - b) / (1 - a) * beta) * p["z"]


def repaint(p, m):
    """Known where the mask is 1, denoised where it is 0."""
    known = noised(p["x0"], p["eps"], pair(p, m)[1], m)
    return {"x_prev": p["mask"] * known + (1 - p["mask"]) * denoised(p, m)}


def repaint_again(p, m):
    """The same chosen entry by entry, the denoised half by Bayes' rule at x0_hat."""
    a, b = pair(p, m)
    x0 = (p["x"] - m.sqrt(1 - a) * p["output"]) / m.sqrt(a)
    of_x0, of_x, var = by_bayes(a, b, m)
    left = of_x0 * x0 + of_x * p["x"] + m.sqrt(var) * p["z"]
    known = repaint_known_again(p, m)["x_prev"]
    return {"x_prev": np.where(np.asarray(p["mask"] == 1, bool), known, left)}


def _noising_cases(large):
    """All schedules; early rows beside late ones, and each alone."""
    for name, schedule in SCHEDULES.items():
        T = schedule["T"]
        for t in ([0, T // 2], [T - 1, 1], [T // 3, 3], [2, T - 2]):
            where = "-".join(map(str, t))
            problem = {"schedule": schedule, "t": t}
            yield Case(f"{name}/t{where}", problem, {"x0": X0, "eps": EPS})


def _step_cases(large):
    for name, schedule in SCHEDULES.items():
        T = schedule["T"]
        for t in (0, 1, 2, T // 2, T - 2, T - 1):
            problem = {"schedule": schedule, "t": t}
            yield Case(f"{name}/t{t}", problem, {"x": X, "eps": EPS})


def _known_cases(large):
    for name, problem, _ in walks(large):
        inputs = {"x0": X0, "eps": EPS}
        last = is_last(problem)  # x0 itself
        yield Case(f"{name}/{step_id(problem)}", problem, inputs, degenerate=last)


def _repaint_cases(large):
    for name, problem, _ in walks(large):
        inputs = {"x": X, "output": OUTPUT, "z": Z, "x0": X0, "eps": EPS, "mask": MASK}
        yield Case(f"{name}/{step_id(problem)}", problem, inputs)


FAMILIES = (
    Family(
        "add_noise",
        "STEP",
        "step",
        "Ho20 (4)",
        "x_t from x0 and the noise eps; row i stands at time t[i], k = 0..T-1.",
        add_noise,
        add_noise_again,
        _noising_cases,
    ),
    Family(
        "one_step_forward",
        "STEP",
        "step",
        "Ho20 (2)",
        "x_t from x_{t-1} and fresh noise: the one step of the time t, k = 0..T-1.",
        one_step,
        one_step_again,
        _step_cases,
        affine=("x", "eps"),
    ),
    Family(
        "repaint_known",
        "STEP",
        "step",
        "Lugmayr22 (8) with Ho20 (4)",
        "RePaint's known half: x0 noised to the time that the step leads to, from "
        "timesteps[index] to the next of the list, or to x0 itself after the last.",
        repaint_known,
        repaint_known_again,
        _known_cases,
        affine=("x0", "eps"),
    ),
    Family(
        "repaint_step",
        "STEP",
        "step",
        "Lugmayr22 (8) with Ho20 (4), (11)",
        "RePaint's step: the known half where mask is 1; the ancestral step of x, with "
        "output = eps, the small variance and noise z, where it is 0.",
        repaint,
        repaint_again,
        _repaint_cases,
    ),
)
