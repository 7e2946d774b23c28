"""Solvers in the noise level at 50 digits: Euler, Euler ancestral, Heun, churn, DPM2.

States are x0 + sigma eps, and along the probability flow dx/dsigma = eps_hat.
"""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.levels import (
    GRIDS,
    Y_2,
    X,
    Z,
    is_x0,
    now_then,
    plain,
    said,
    steps,
    x0_eps,
)


def slope(p, m, x, y, at):
    """dx/dsigma = (x - x0_hat) / sigma."""
    return (x - x0_eps(p, m, x, y, at)[0]) / at[1]


def euler(p, m):
    """State x + (sigma' - sigma) d."""
    now, then = now_then(p, m)
    d = slope(p, m, p["x"], p["output"], now)
    return {"x_prev": p["x"] + (then[1] - now[1]) * d}


def euler_again(p, m):
    """The straight line through x0_hat: x0 + sigma' eps."""
    now, (_, noise) = now_then(p, m)
    x0, eps = x0_eps(p, m, p["x"], p["output"], now)
    return {"x_prev": x0 + noise * eps}


def split(sigma, then, eta, m):
    """sigma_up = eta sqrt(sigma'^2 (sigma^2 - sigma'^2) / sigma^2), and what it leaves."""
    up = eta * then / sigma * m.sqrt(sigma * sigma - then * then)
    return up, m.sqrt(then * then - up * up)


def euler_ancestral(p, m):
    """State x + (sigma_down - sigma) d + sigma_up z."""
    now, then = now_then(p, m)
    up, down = split(now[1], then[1], p["eta"] * 1, m)
    d = slope(p, m, p["x"], p["output"], now)
    return {"x_prev": p["x"] + (down - now[1]) * d + up * p["z"]}


def euler_ancestral_again(p, m):
    """The law of x' given x and x0, a product of two Gaussians, with its noise times eta."""
    (_, s), (_, t) = now_then(p, m)
    x0, eps = x0_eps(p, m, p["x"], p["output"], (m.number(1.0), s))
    var = (p["eta"] * 1) ** 2 * t * t * (1 - (t / s) ** 2)
    return {"x_prev": x0 + m.sqrt(t * t - var) * eps + m.sqrt(var) * p["z"]}


def heun_from(p, m, x, now, then):
    """Heun's step from x, or Euler's if it ends at sigma = 0."""
    h, d = then[1] - now[1], slope(p, m, x, p["output"], now)
    if then[1] == 0:
        return {"x_prev": x + h * d}
    d_2 = slope(p, m, x + h * d, p["output_2"], then)
    return {"x_prev": x + h * (d + d_2) / 2}


def heun_from_again(p, m, x, now, then):
    """The mean of two Euler ends: from x by its own slope, and by the second one."""
    x0, eps = x0_eps(p, m, x, p["output"], now)
    end = x0 + then[1] * eps
    if then[1] == 0:
        return {"x_prev": end}
    _, eps_2 = x0_eps(p, m, end, p["output_2"], then)
    return {"x_prev": (end + (x + (then[1] - now[1]) * eps_2)) / 2}


def heun(p, m):
    """State x + h (d + d_2) / 2, d_2 at x + h d."""
    return heun_from(p, m, p["x"], *now_then(p, m))


def heun_again(p, m):
    """The same by ends."""
    return heun_from_again(p, m, p["x"], *now_then(p, m))


def gamma(p, m):
    """min(churn / N, sqrt(2) - 1) where s_min <= sigma <= s_max, else 0."""
    sigma, N = p["sigmas"][p["index"]], len(p["sigmas"]) - 1
    share, most = p["churn"] / N, m.sqrt(m.number(2.0)) - 1
    inside = p["s_min"] <= sigma <= p["s_max"]
    return min(share, most) if inside else m.number(0.0)


def edm_heun(p, m):
    """Noise is added up to sigma_hat = (1 + gamma) sigma; from there Heun's step."""
    (one, sigma), then = now_then(p, m)
    g = gamma(p, m)
    if g == 0:
        return heun(p, m)
    hat = sigma * (1 + g)
    grown = p["s_noise"] * m.sqrt(hat * hat - sigma * sigma)
    return heun_from(p, m, p["x"] + grown * p["z"], (one, hat), then)


def edm_heun_again(p, m):
    """The same, with sigma_hat^2 - sigma^2 = gamma (2 + gamma) sigma^2."""
    (one, sigma), then = now_then(p, m)
    g = gamma(p, m)
    x = p["x"] + p["s_noise"] * 1 * sigma * m.sqrt(g * (2 + g)) * p["z"]
    return heun_from_again(p, m, x, (one, sigma + g * sigma), then)


def dpm2(p, m):
    """The slope at the geometric middle of sigma and sigma'; Euler's if sigma' = 0."""
    (one, s), (_, t) = now_then(p, m)
    if t == 0:
        return euler(p, m)
    middle = m.exp((m.log(s) + m.log(t)) / 2)
    x_2 = p["x"] + (middle - s) * slope(p, m, p["x"], p["output"], (one, s))
    d_2 = slope(p, m, x_2, p["output_2"], (one, middle))
    return {"x_prev": p["x"] + (t - s) * d_2}


def dpm2_again(p, m):
    """The same with the middle as a root of a product, and eps_hat for the slopes."""
    (one, s), (_, t) = now_then(p, m)
    if t == 0:
        return euler_again(p, m)
    middle = m.sqrt(s * t)
    x0, eps = x0_eps(p, m, p["x"], p["output"], (one, s))
    _, eps_2 = x0_eps(p, m, x0 + middle * eps, p["output_2"], (one, middle))
    return {"x_prev": p["x"] + (t - s) * eps_2}


def calls(p, m):
    """Heun's two evaluations a step, and one in the last: which sigma each is at."""
    N = len(p["sigmas"]) - 1
    return {"index": [i for k in range(N) for i in (k, k + 1) if i < N]}


def calls_again(p, m):
    """0 and twice each of 1..N-1."""
    return {"index": [(k + 1) // 2 for k in range(2 * len(p["sigmas"]) - 3)]}


def _inputs(problem, **more):
    return {"x": X, "output": said(problem)} | more


def _one(large):
    for name, problem in steps(large):
        yield Case(name, problem, _inputs(problem), degenerate=is_x0(problem))


def _two(large):
    for name, problem in steps(large):
        inputs = _inputs(problem, output_2=said(problem, Y_2))
        yield Case(name, problem, inputs, degenerate=is_x0(problem))


def _ancestral(large):
    for name, problem in steps(large):
        for eta in (0.37, 1.0) if large or plain(name) else (0.37,):
            head, tail = name.split("/", 1)
            yield Case(
                f"{head}/eta{eta:g}/{tail}",
                problem | {"eta": eta},
                _inputs(problem, z=Z),
                degenerate=is_x0(problem),
            )


def _churned(large):
    most = {"churn": 40.0, "s_min": 0.05, "s_max": 50.0, "s_noise": 1.003}
    some = {"churn": 2.5, "s_min": 0.375, "s_max": 8.0, "s_noise": 0.9375}
    for kind, numbers in (("most", most), ("some", some)):
        for name, problem in steps(large):
            if large or kind == "most" or name.startswith(("plain", "open")):
                head, tail = name.split("/", 1)
                yield Case(
                    f"{head}/churn-{kind}/{tail}",
                    problem | numbers,
                    _inputs(problem, output_2=said(problem, Y_2), z=Z),
                    degenerate=is_x0(problem),
                )


def _runs(large):
    for name, sigmas in GRIDS.items():
        if sigmas[-1] == 0:
            yield Case(name, {"sigmas": sigmas}, degenerate=name == "one-N1")


VE = (
    "x = x0 + sigma eps; output is what the model said at x; v is (eps - sigma x0) / "
    "sqrt(1 + sigma^2). "
)
FAMILIES = (
    Family(
        "euler",
        "STEP",
        "step",
        "Karras22 (3)",
        "One Euler step of the probability flow, sigmas[index] to the next. " + VE,
        euler,
        euler_again,
        _one,
        affine=("x", "output"),
    ),
    Family(
        "euler_ancestral",
        "STEP",
        "step",
        "Song21 F; SongJ21 (16)",
        "Euler to sigma_down, then noise sigma_up z; sigma_up has a factor eta. " + VE,
        euler_ancestral,
        euler_ancestral_again,
        _ancestral,
        affine=("x", "output", "z"),
    ),
    Family(
        "heun",
        "STEP",
        "step",
        "Karras22 Algorithm 1",
        "One Heun step; output_2 is what the model said at the end of the Euler step and "
        "sigmas[index + 1]. A step to sigma = 0 is Euler's. " + VE,
        heun,
        heun_again,
        _two,
        affine=("x", "output", "output_2"),
    ),
    Family(
        "edm_heun",
        "STEP",
        "step",
        "Karras22 Algorithm 2",
        "Noise s_noise sqrt(sigma_hat^2 - sigma^2) z is added, up to sigma_hat = (1 + "
        "gamma) sigma, gamma = min(churn / N, sqrt(2) - 1) where s_min <= sigma <= s_max, "
        "else 0, and none is added; Heun from there: output at the noisy x "
        "and sigma_hat, output_2 at the Euler end. N = len(sigmas) - 1. " + VE,
        edm_heun,
        edm_heun_again,
        _churned,
        affine=("x", "output", "output_2", "z"),
    ),
    Family(
        "dpm2",
        "STEP",
        "step",
        "Karras22 (3); Lu22 Algorithm 1 for the middle",
        "One midpoint step in sigma: output_2 is what the model said at the Euler point of "
        "sqrt(sigma sigma'). A step to sigma = 0 is Euler's. " + VE,
        dpm2,
        dpm2_again,
        _two,
        affine=("x", "output", "output_2"),
    ),
    Family(
        "heun_calls",
        "TABLE",
        "table",
        "Karras22 Algorithm 1",
        "The calls of a whole Heun run down to sigma = 0, in order: index of the sigma at "
        "which each asks the model.",
        calls,
        calls_again,
        _runs,
        kinds={"index": "exact"},
    ),
)
