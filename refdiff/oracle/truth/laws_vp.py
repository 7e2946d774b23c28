"""Samplers on a DDPM schedule at 50 digits: DDIM, ancestral, DPM-Solver++(2M).

They visit p["timesteps"], falling, and end at alpha_bar = 1; the model is told k.
"""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.laws import LAWS, drive, given, heard, known, law_of
from refdiff.oracle.truth.schedules import alpha_bar_of, beta_of, timesteps_of

LINEAR = {"kind": "linear", "T": 1000, "beta_1": 1e-4, "beta_T": 0.02}
SCALED = {"kind": "scaled-linear", "T": 137, "beta_1": 0.004, "beta_T": 0.1}


def levels_of(p, m, table=None):
    """(signal, noise) at each visited k, and (1, 0) at the end."""
    table = alpha_bar_of(p["schedule"], m) if table is None else table
    at = [(m.sqrt(table[k]), m.sqrt(1 - table[k])) for k in p["timesteps"]]
    return [*at, (m.number(1.0), m.number(0.0))]


def asked_of(p, m):
    """The levels again, with roundings of their own: a model does not share a table."""
    kept = m.__dict__.setdefault("tables of models", {})
    key = repr(sorted(p["schedule"].items()))
    if key not in kept:
        kept[key] = np.cumprod(1 - beta_of(p["schedule"], m))
    return levels_of(p, m, kept[key])


def run(p, m, step):
    """Drive a step through the visited times, hearing the model as p["target"]."""
    levels = levels_of(p, m)
    return drive(p, m, step, levels, heard(p, m, levels, asked_of(p, m)))


def _again(p, m, step):
    levels = levels_of(p, m)
    return drive(p, m, step, levels, known(p, m, levels))


def ddim_step(p, i, x, say, levels, m):
    """Step s' x0 + sqrt(n'^2 - var) eps + sqrt(var) z, var = eta^2 n'^2/n^2 (1 - s^2/s'^2)."""
    (s, n), (s2, n2) = levels[i : i + 2]
    x0, eps = say(x, i)
    var = p["eta"] ** 2 * (n2 / n) ** 2 * (1 - (s / s2) ** 2)
    return s2 * x0 + m.sqrt(n2 * n2 - var) * eps + m.sqrt(var) * p["z"][i]


def ddim_step_again(p, i, x, say, levels, m):
    """Slope x + (s' - slope s) x0 + std z: the Gaussian of the family given x and x0."""
    (s, n), (s2, n2) = levels[i : i + 2]
    x0, _ = say(x, i)
    std = p["eta"] * n2 / n * m.sqrt((s2 - s) * (s2 + s)) / s2
    slope = m.sqrt((n2 - std) * (n2 + std)) / n
    return slope * x + (s2 - slope * s) * x0 + std * p["z"][i]


def ddim(p, m):
    """DDIM with eta, from x at timesteps[0] to alpha_bar = 1."""
    return run(p, m, ddim_step)


def ddim_again(p, m):
    """The same from E[x0 | x]."""
    return _again(p, m, ddim_step_again)


def ddpm_step(p, i, x, say, levels, m):
    """Posterior mean at x0_hat, with variance small or large; no noise in the last step."""
    a, b = squares(p, i, m)
    x0, _ = say(x, i)
    mean = (m.sqrt(b) * (1 - a / b) * x0 + m.sqrt(a / b) * (1 - b) * x) / (1 - a)
    return mean + m.sqrt(ddpm_variance(p, i, a, b)) * p["z"][i]


def squares(p, i, m):
    """alpha_bar at the i-th visited time and at the next, 1 after the last."""
    table, times = alpha_bar_of(p["schedule"], m), p["timesteps"]
    later = table[times[i + 1]] if i + 1 < len(times) else m.number(1.0)
    return table[times[i]], later


def ddpm_variance(p, i, a, b):
    """1 - a/b, the beta of the respaced step, times (1-b)/(1-a) if small; 0 at the end."""
    if i == len(p["timesteps"]) - 1:
        return 0 * a
    return (1 - a / b) * ((1 - b) / (1 - a) if p["variance"] == "small" else 1)


def ddpm_step_again(p, i, x, say, levels, m):
    """[x - (1-alpha) / n eps] / sqrt(alpha), and the same noise."""
    (s, n), (s2, n2) = levels[i : i + 2]
    _, eps = say(x, i)
    root = s / s2
    beta = (s2 - s) * (s2 + s) / (s2 * s2)
    mean = (x - beta / n * eps) / root
    last = i == len(p["timesteps"]) - 1
    std = m.sqrt(beta) * (0 if last else n2 / n if p["variance"] == "small" else 1)
    return mean + std * p["z"][i]


def ddpm(p, m):
    """Ancestral sampling on the visited times, from x at timesteps[0] to alpha_bar = 1."""
    return run(p, m, ddpm_step)


def ddpm_again(p, m):
    """The same from E[x0 | x]."""
    return _again(p, m, ddpm_step_again)


def dpmpp_2m(p, m):
    """n'/n x - s' (e^-h - 1) D, D = x0 + (h / (2 h_last)) (x0 - x0_last).

    h is the rise of log(s/n); D = x0 in the first step, and the last one ends at x0
    """
    levels = levels_of(p, m)
    say, x, last = heard(p, m, levels, asked_of(p, m)), p["x"], None
    lam = [m.log(s / n) for s, n in levels[:-1]]
    for i in range(len(lam)):
        x0, _ = say(x, i)
        if i == len(lam) - 1:
            return {"x0": x0}
        h = lam[i + 1] - lam[i]
        D = x0 if i == 0 else x0 + h / (2 * (lam[i] - lam[i - 1])) * (x0 - last)
        x = levels[i + 1][1] / levels[i][1] * x
        x, last = x - levels[i + 1][0] * (m.exp(-h) - 1) * D, x0
    return {"x0": x}


def dpmpp_2m_again(p, m):
    """The same in y = x / noise over u = signal / noise: y' = y + (u' - u) D.

    D stands on the line through the last two x0 in log u, at the step's middle
    """
    levels = levels_of(p, m)
    say, u = known(p, m, levels), [s / n for s, n in levels[:-1]]
    y, said = p["x"] / levels[0][1], []
    for i in range(len(u) - 1):
        said.append(say(y * levels[i][1], i)[0])
        D = said[0]
        if i:
            share = m.log(u[i + 1] / u[i]) / m.log(u[i] / u[i - 1]) / 2
            D = (1 + share) * said[i] - share * said[i - 1]
        y = y + (u[i + 1] - u[i]) * D
    return {"x0": say(y * levels[-2][1], len(u) - 1)[0]}


def flow_step(p, i, x, say, levels, m):
    """DDIM's step without noise, s' x0 + n' eps."""
    x0, eps = say(x, i)
    return levels[i + 1][0] * x0 + levels[i + 1][1] * eps


def _flow_step_again(p, i, x, say, levels, m):
    (s, n), (s2, n2) = levels[i : i + 2]
    return n2 / n * x + (s2 - n2 / n * s) * say(x, i)[0]


def img2img(p, m):
    """DDIM without noise from x0 noised by eps at timesteps[0]."""
    s, n = levels_of(p, m)[0]
    return run({**p, "x": s * p["x0"] + n * p["eps"]}, m, flow_step)


def img2img_again(p, m):
    """The same from E[x0 | x]."""
    s, n = levels_of(p, m)[0]
    return _again({**p, "x": n * (s / n * p["x0"] + p["eps"])}, m, _flow_step_again)


def _grid(large):
    """(path, problem, N) of every schedule, spacing, length, target and law to be asked."""
    rows = [
        ("linear-T1000", LINEAR, "trailing", 7, "eps", "gaussian"),
        ("linear-T1000", LINEAR, "leading", 26, "v", "gaussian"),
        ("linear-T1000", LINEAR, "linspace", 7, "x0", "mixture"),
        ("scaled-T137", SCALED, "linspace", 2, "score", "mixture"),
        ("scaled-T137", SCALED, "leading", 7, "v", "mixture"),
        ("scaled-T137", SCALED, "trailing", 26, "x0", "gaussian"),
    ]
    if large:
        rows = [
            (name, schedule, spacing, N, target, law)
            for name, schedule in (("linear-T1000", LINEAR), ("scaled-T137", SCALED))
            for spacing in ("leading", "trailing", "linspace")
            for N in (2, 7, 26)
            for target in ("eps", "x0", "v", "score")
            for law in LAWS
        ]
    for name, schedule, spacing, N, target, law in rows:
        path = f"{name}/{spacing}/N{N}/{target}/{law}"
        problem = {
            "schedule": schedule,
            "timesteps": timesteps_of(schedule["T"], N, spacing),
            "target": target,
            "law": LAWS[law],
            "time": "k",
            "start": 1.0,
        }
        yield path, problem, N


def _ddim_cases(large):
    for j, (path, problem, N) in enumerate(_grid(large)):
        for eta in (0.0, 0.37, 1.0) if large else (0.37, (0.0, 1.0)[j % 2]):
            yield Case(f"{path}/eta{eta:g}", problem | {"eta": eta}, given(N))


def _ddpm_cases(large):
    for path, problem, N in _grid(large):
        for variance in ("small", "large"):
            more = {"variance": variance}
            yield Case(f"{path}/{variance}", problem | more, given(N))


def _dpmpp_cases(large):
    for path, problem, N in _grid(large):
        yield Case(path, problem, given(N))


def _img2img_cases(large):
    inputs = {"x0": given(1)["x"], "eps": given(1)["z"][0]}
    for path, problem, N in _grid(large):
        if N > 2:
            problem = problem | {"timesteps": problem["timesteps"][-3:]}
            yield Case(f"{path}/last-3", problem, inputs)


TEXT = (
    "The whole sampler from x at timesteps[0], k falling, to alpha_bar = 1. z[i] is the "
    "noise of step i. model(x, k) says what p['target'] is at x. Returns the last x."
)
FAMILIES = (
    Family(
        "ddim_sampler",
        "LAW",
        "sample",
        "SongJ21 (12), (16)",
        f"DDIM with eta. {TEXT}",
        ddim,
        ddim_again,
        _ddim_cases,
        law=law_of(ddim),
    ),
    Family(
        "ddpm_sampler",
        "LAW",
        "sample",
        "Ho20 Algorithm 2; Nichol21 4",
        "Ancestral sampling with the alpha of the visited times; variance: small is the "
        f"posterior's, large is beta's; the last step has no noise. {TEXT}",
        ddpm,
        ddpm_again,
        _ddpm_cases,
        law=law_of(ddpm),
    ),
    Family(
        "dpmpp_2m_sampler",
        "LAW",
        "sample",
        "Lu23 Algorithm 2",
        "DPM-Solver++(2M), whose first and last step are of order 1. It is deterministic: "
        f"z is there only to know a sampler that is not. {TEXT}",
        dpmpp_2m,
        dpmpp_2m_again,
        _dpmpp_cases,
        law=law_of(dpmpp_2m),
    ),
    Family(
        "img2img_sampler",
        "LAW",
        "sample",
        "SongJ21 (4), (12)",
        "x0 is noised by eps up to timesteps[0], and DDIM with eta 0 leads back from there "
        "to alpha_bar = 1. model(x, k) says what p['target'] is at x.",
        img2img,
        img2img_again,
        _img2img_cases,
    ),
)
