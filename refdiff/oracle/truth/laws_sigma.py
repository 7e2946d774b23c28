"""Samplers on a falling list of noise levels at 50 digits: Euler, Heun, flow, correctors.

States are x0 + sigma eps (flow: (1 - sigma) x0 + sigma eps), and the model is told sigma.
"""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.laws import LAWS, drive, given, heard, known, law_of


def levels_of(p, m):
    """(signal, noise) at each sigma, as a program of low precision rounds them."""
    sigmas = [p["sigmas"][i] * 1 for i in range(len(p["sigmas"]))]
    flow = p["scaling"] == "flow"
    return [(1 - s if flow else m.number(1.0), s) for s in sigmas]


def asked_of(p, m):
    """The levels as the model takes them: exactly the sigmas that it is told."""
    flow = p["scaling"] == "flow"
    return [(1 - s if flow else m.number(1.0), s) for s in p["sigmas"]]


def run(p, m, step):
    """Drive a step through the sigmas, hearing the model as p["target"]."""
    levels = levels_of(p, m)
    return drive(p, m, step, levels, heard(p, m, levels, asked_of(p, m)))


def again(p, m, step):
    """Drive a step through the sigmas, hearing E[x0 | x]."""
    levels = levels_of(p, m)
    return drive(p, m, step, levels, known(p, m, levels))


def euler_step(p, i, x, say, levels, m):
    """Return x + (sigma' - sigma) eps_hat."""
    return x + (levels[i + 1][1] - levels[i][1]) * say(x, i)[1]


def _euler_step_again(p, i, x, say, levels, m):
    share = levels[i + 1][1] / levels[i][1]
    return share * x + (1 - share) * say(x, i)[0]


def euler(p, m):
    """Euler's method on dx/dsigma = eps_hat."""
    return run(p, m, euler_step)


def euler_again(p, m):
    """Each step is a weighted mean of x and x0_hat."""
    return again(p, m, _euler_step_again)


def heun_step(p, i, x, say, levels, m):
    """Return x + h (d + d_2) / 2, d_2 the slope at Euler's end; Euler's step to sigma' = 0."""
    h, d = levels[i + 1][1] - levels[i][1], say(x, i)[1]
    if p["sigmas"][i + 1] == 0:
        return x + h * d
    return x + h * (d + say(x + h * d, i + 1)[1]) / 2


def _heun_step_again(p, i, x, say, levels, m):
    end = _euler_step_again(p, i, x, say, levels, m)
    if p["sigmas"][i + 1] == 0:
        return end
    now, then = levels[i][1], levels[i + 1][1]
    other = x + (1 - now / then) * (end - say(end, i + 1)[0])
    return (end + other) / 2


def heun(p, m):
    """EDM's deterministic sampler."""
    return run(p, m, heun_step)


def heun_again(p, m):
    """The mean of two ends: Euler's, and from x by the second slope."""
    return again(p, m, _heun_step_again)


def flow_euler_step(p, i, x, say, levels, m):
    """Return x + (s' - s) v, v = eps - x0."""
    x0, eps = say(x, i)
    return x + (levels[i + 1][1] - levels[i][1]) * (eps - x0)


def flow_euler(p, m):
    """Euler's method on dx/ds = E[eps - x0 | x]."""
    return run(p, m, flow_euler_step)


def langevin_step(p, i, x, say, levels, m):
    """Return x + tau score + sqrt(2 tau) z."""
    score = -say(x, i)[1] / levels[i][1]
    return x + p["tau"] * score + m.sqrt(2 * p["tau"]) * p["z"][i]


def _langevin_step_again(p, i, x, say, levels, m):
    pull = (say(x, i)[0] - x) / (levels[i][1] * levels[i][1])
    return (
        x + p["tau"] * 1 * pull + m.sqrt(p["tau"]) * m.sqrt(m.number(2.0)) * p["z"][i]
    )


def langevin(p, m):
    """N Langevin steps at one noise level."""
    return run(still(p), m, langevin_step)


def langevin_again(p, m):
    """The same from E[x0 | x]."""
    return again(still(p), m, _langevin_step_again)


def still(p):
    """A list that stays at sigma, a step for each z."""
    return {**p, "sigmas": [p["sigma"]] * (len(p["z"]) + 1), "scaling": "ve"}


def pc_step(p, i, x, say, levels, m):
    """Reverse diffusion to sigma', then Langevin steps of tau = size sigma'^2 there."""
    now, then, z = levels[i][1], levels[i + 1][1], noises(p, i)
    gap = now * now - then * then
    x = x - gap / now * say(x, i)[1] + m.sqrt(gap) * z[0]
    for z_k in z[1:]:
        x = x - p["size"] * then * say(x, i + 1)[1] + corrected(p, then, m) * z_k
    return x


def corrected(p, then, m):
    """Noise of a corrector's step."""
    return m.sqrt(2 * p["size"]) * then


def noises(p, i):
    """The noise of the i-th prediction and of its corrections; none at sigma = 0."""
    each = 1 + p["corrections"]
    used = 1 if p["sigmas"][i + 1] == 0 else each
    return p["z"][each * i : each * i + used]


def _pc_step_again(p, i, x, say, levels, m):
    now, then, z = levels[i][1], levels[i + 1][1], noises(p, i)
    share = (then / now) ** 2
    x = share * x + (1 - share) * say(x, i)[0] + now * m.sqrt(1 - share) * z[0]
    for z_k in z[1:]:
        tau = p["size"] * then * then
        x = (1 - p["size"]) * x + p["size"] * say(x, i + 1)[0] + m.sqrt(2 * tau) * z_k
    return x


def pc(p, m):
    """Predictor-corrector sampling with fixed steps."""
    return run(p, m, pc_step)


def pc_again(p, m):
    """The same as weighted means of x and x0_hat."""
    return again(p, m, _pc_step_again)


def karras(N, low=0.002, high=80.0):
    """EDM's grid of N levels to six digits, then 0."""
    a, b = high ** (1 / 7), low ** (1 / 7)
    grid = [(a + i / max(N - 1, 1) * (b - a)) ** 7 for i in range(N)]
    return [*(float(f"{s:.6g}") for s in grid), 0.0]


GRIDS = {
    "plain-N7": [14.5, 8.0, 4.25, 2.0, 0.875, 0.375, 0.125, 0.0],
    "two-N2": [3.0, 0.75, 0.0],
    "karras-N18": karras(18),
    "open-N5": [6.0, 3.5, 1.75, 1.125, 0.5, 0.25],
}
FLOWS = {
    "even-N7": [1.0, 0.875, 0.75, 0.5, 0.375, 0.25, 0.125, 0.0],
    "shifted-N2": [1.0, 0.75, 0.0],
    "late-N4": [0.9375, 0.75, 0.5, 0.25, 0.0],
}


def cases_on(grids, scaling, targets, more=None, each=1):
    """cases(large) of a sampler on lists of sigmas: every grid and law, targets in turn."""

    def cases(large):
        for g, (name, sigmas) in enumerate(grids.items()):
            for w, law in enumerate(LAWS):
                for t, target in enumerate(targets):
                    if large or (g + w + t) % len(targets) == 0:
                        problem = {
                            "sigmas": sigmas,
                            "scaling": scaling,
                            "target": target,
                            "law": LAWS[law],
                            "time": "sigma",
                            "start": sigmas[0],
                            **(more or {}),
                        }
                        inputs = given(each * (len(sigmas) - 1), sigmas[0])
                        yield Case(f"{name}/{target}/{law}", problem, inputs)

    return cases


def _langevin_cases(large):
    for N in (2, 7, 26) if large else (7, 26):
        for law in LAWS:
            for tau in (0.0625, 0.005):
                problem = {
                    "tau": tau,
                    "sigma": 0.5,
                    "target": "score",
                    "law": LAWS[law],
                    "time": "sigma",
                    "start": 1.0,
                }
                yield Case(f"tau{tau:g}/N{N}/{law}", problem, given(N))


TARGETS = ("eps", "x0", "v", "score")
TEXT = (
    "The whole sampler from x at sigmas[0], over all of sigmas. model(x, sigma) says what "
    "p['target'] is at x, in x's own scaling; v is (eps - sigma x0) / sqrt(1 + sigma^2). "
    "z is noise that a deterministic sampler does not use. Returns the last x."
)


def _law(name, source, text, f, second, cases):
    return Family(name, "LAW", "sample", source, text, f, second, cases, law=law_of(f))


FAMILIES = (
    _law(
        "euler_sampler",
        "Karras22 (3)",
        f"Euler's method on dx/dsigma = eps_hat, x = x0 + sigma eps. {TEXT}",
        euler,
        euler_again,
        cases_on(GRIDS, "ve", TARGETS),
    ),
    _law(
        "heun_sampler",
        "Karras22 Algorithm 1",
        f"Heun's method on dx/dsigma = eps_hat; a step to sigma 0 is Euler's. {TEXT}",
        heun,
        heun_again,
        cases_on(GRIDS, "ve", TARGETS),
    ),
    _law(
        "flow_euler_sampler",
        "definition",
        "Euler's method on dx/ds = v, x = (1 - s) x0 + s eps, v = E[eps - x0 | x], for s "
        "over all of sigmas. model(x, s) says what p['target'] is at x, flow: v. z is "
        "noise that it does not use. Returns the last x.",
        flow_euler,
        euler_again,
        cases_on(FLOWS, "flow", ("flow", "x0")),
    ),
    _law(
        "langevin_sampler",
        "Chan v3 (3.1)",
        "len(z) steps x + tau score + sqrt(2 tau) z[i], the score that of the data noised "
        "by sigma: model(x, sigma). Returns the last x.",
        langevin,
        langevin_again,
        _langevin_cases,
    ),
    _law(
        "pc_sampler",
        "Song21 Algorithm 2",
        "For each sigma and the next, x + (sigma^2 - sigma'^2) score + sqrt(sigma^2 - "
        "sigma'^2) z, then `corrections` steps x + tau score + sqrt(2 tau) z at sigma', "
        "tau = size sigma'^2, none at sigma' = 0. z has 1 + corrections entries for each "
        "pair, used in this order. model(x, sigma) says what p['target'] is at x. "
        "Returns the last x.",
        pc,
        pc_again,
        cases_on(
            {k: GRIDS[k] for k in ("plain-N7", "open-N5")},
            "ve",
            ("score", "eps", "x0"),
            {"corrections": 2, "size": 0.15625},
            3,
        ),
    ),
)
