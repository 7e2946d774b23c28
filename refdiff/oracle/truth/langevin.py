"""Langevin steps, correctors and predictors of score-based models, at 50 digits."""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.levels import (
    X,
    Y,
    Z,
    level,
    now_then,
    plain,
    said,
    steps,
    x0_eps,
)
from refdiff.oracle.truth.schedules import alpha_bar_of, beta_of, kept


def langevin(p, m):
    """State x + tau score + sqrt(2 tau) z."""
    tau = p["tau"] * 1
    return {"x_next": p["x"] + tau * p["score"] + m.sqrt(2 * tau) * p["z"]}


def langevin_again(p, m):
    """Euler-Maruyama on dx = score/2 dt + dw over dt = 2 tau."""
    dt = p["tau"] * 2
    return {"x_next": p["x"] + p["score"] / 2 * dt + m.sqrt(dt) * p["z"]}


def score_of(p, m, at):
    """The score, from a model of score or eps_hat."""
    noise = at[1]
    return p["output"] if p["target"] == "score" else -p["output"] / noise


def annealed(p, m):
    """State x + alpha/2 score + sqrt(alpha) z,  alpha = eps sigma^2 / sigma_last^2."""
    now = level(p, m, p["index"])
    alpha = p["eps"] * now[1] ** 2 / (p["sigmas"][-1] * 1) ** 2
    score = score_of(p, m, now)
    return {"x_next": p["x"] + alpha / 2 * score + m.sqrt(alpha) * p["z"]}


def annealed_again(p, m):
    """In units of sigma: x + sigma (c^2/2 (-eps_hat) + c z),  c = sqrt(eps) / sigma_last."""
    signal, noise = level(p, m, p["index"])
    _, eps_hat = x0_eps(p, m, p["x"], p["output"], (signal, noise))
    c = m.sqrt(p["eps"] * 1) / p["sigmas"][-1]
    return {"x_next": p["x"] + noise * (c * p["z"] - c * c / 2 * eps_hat)}


def reverse_ve(p, m):
    """State x + g^2 score + g z,  g^2 = sigma^2 - sigma'^2."""
    now, then = now_then(p, m)
    g2 = now[1] * now[1] - then[1] * then[1]
    return {"x_prev": p["x"] + g2 * score_of(p, m, now) + m.sqrt(g2) * p["z"]}


def reverse_ve_again(p, m):
    """The same of eps_hat, in units of sigma."""
    now, (_, t) = now_then(p, m)
    _, eps_hat = x0_eps(p, m, p["x"], p["output"], now)
    share = (1 - t / now[1]) * (1 + t / now[1])
    move = m.sqrt(share) * p["z"] - share * eps_hat
    return {"x_prev": p["x"] + now[1] * move}


def vp_at(p, m):
    """Beta and (signal, noise) of the discrete chain at k."""
    bar = alpha_bar_of(p["schedule"], m)[p["k"]]
    return kept("beta", p["schedule"], m, beta_of)[p["k"]], (
        m.sqrt(bar),
        m.sqrt(1 - bar),
    )


def reverse_vp(p, m):
    """(2 - sqrt(1 - beta)) x + beta score + sqrt(beta) z."""
    beta, at = vp_at(p, m)
    moved = (2 - m.sqrt(1 - beta)) * p["x"] + beta * score_of(p, m, at)
    return {"x_prev": moved + m.sqrt(beta) * p["z"]}


def reverse_vp_again(p, m):
    """Step x - (f - g^2 score) + g z, f = (sqrt(1 - beta) - 1) x the forward chain's change."""
    beta, at = vp_at(p, m)
    _, eps_hat = x0_eps(p, m, p["x"], p["output"], at)
    f, g = (m.sqrt(1 - beta) - 1) * p["x"], m.sqrt(beta)
    return {"x_prev": p["x"] - (f + g * g / at[1] * eps_hat) + g * p["z"]}


def ancestral_vp(p, m):
    """(x + beta score) / sqrt(1 - beta) + sqrt(beta) z."""
    beta, at = vp_at(p, m)
    mean = (p["x"] + beta * score_of(p, m, at)) / m.sqrt(1 - beta)
    return {"x_prev": mean + m.sqrt(beta) * p["z"]}


def ancestral_vp_again(p, m):
    """Ho20's form, of eps_hat: [x - beta / noise eps] / sqrt(alpha), and its larger noise."""
    beta, at = vp_at(p, m)
    _, eps_hat = x0_eps(p, m, p["x"], p["output"], at)
    alpha = 1 - beta
    mean = p["x"] / m.sqrt(alpha) - beta * eps_hat / m.sqrt(alpha * at[1] * at[1])
    return {"x_prev": mean + m.sqrt(beta) * p["z"]}


def norms(rows, m):
    """Euclidean length of each row."""
    return [m.sqrt(sum(v * v for v in row)) for row in rows]


def factor(p, m):
    """alpha_bar at k for a VP chain, and 1 for VE."""
    vp = "schedule" in p
    return alpha_bar_of(p["schedule"], m)[p["k"]] if vp else m.number(1.0)


def corrector(p, m):
    """State x + e score + sqrt(2 e) z,  e = 2 alpha (r mean|z| / mean|score|)^2."""
    z, pull = sum(norms(p["z"], m)), sum(norms(p["score"], m))
    e = 2 * factor(p, m) * (p["r"] * 1 * z / pull) ** 2
    return {"x_next": p["x"] + e * p["score"] + m.sqrt(2 * e) * p["z"]}


def corrector_again(p, m):
    """The noise has 2 sqrt(alpha) r times the ratio of the lengths; the pull half its square."""
    n = len(p["z"])
    means = [sum(norms(p[name], m)) / n for name in ("z", "score")]
    c = 2 * m.sqrt(factor(p, m)) * p["r"] * means[0] / means[1]
    return {"x_next": p["x"] + c * c / 2 * p["score"] + c * p["z"]}


SCHEDULES = {
    "linear-T1000": {"kind": "linear", "T": 1000, "beta_1": 1e-4, "beta_T": 0.02},
    "linear-T137": {"kind": "linear", "T": 137, "beta_1": 1e-4, "beta_T": 0.02},
    "cosine-T137": {"kind": "cosine", "T": 137, "s": 0.008, "beta_max": 0.999},
}


def _langevin(large):
    for tau in (0.005, 0.0625, 0.37, 1.5):
        yield Case(f"tau{tau:g}", {"tau": tau}, {"x": X, "score": Y, "z": Z})


def _inputs(problem):
    return {"x": X, "output": said(problem), "z": Z}


def _sigmas(large):
    for name, problem in steps(large, ("score", "eps")):
        yield Case(name, problem, _inputs(problem))


def _levels(large):
    """Annealed Langevin's grids end at their least level, above 0."""
    for name, problem in steps(large, ("score", "eps")):
        above = [s for s in problem["sigmas"] if s]
        for eps in (2.0**-16, 2e-5) if large or plain(name) else (2e-5,):
            annealed = problem | {"sigmas": above, "eps": eps}
            yield Case(f"eps{eps:g}/{name}", annealed, _inputs(problem))


SIZES = {0: 64.0, 1: 32.0, 26: 4.0}  # about 1 / noise there, as large as a score is


def _chain(large):
    for name, schedule in SCHEDULES.items():
        for k in (0, 1, 26, schedule["T"] // 2, schedule["T"] - 1):
            for target in ("score", "eps"):
                problem = {"schedule": schedule, "k": k, "target": target}
                size = SIZES.get(k, 1.0) if target == "score" else 1.0
                output = [[size * y for y in row] for row in Y]
                inputs = {"x": X, "output": output, "z": Z}
                yield Case(f"{name}/{target}/k{k:03d}", problem, inputs)


ROWS = {
    "x": [*X, [0.5, -1.75]],
    "score": [[-1.5, 0.75], [0.625, -2.25], [-0.375, 1.125]],
    "z": [*Z, [0.3125, 1.1875]],
}


def _corrector(large):
    for r in (0.16, 0.375):
        yield Case(f"ve/r{r:g}", {"r": r}, ROWS)
        for name, schedule in SCHEDULES.items():
            for k in (0, 26, schedule["T"] // 2, schedule["T"] - 2):
                problem = {"r": r, "schedule": schedule, "k": k}
                yield Case(f"vp/{name}/r{r:g}/k{k:03d}", problem, ROWS)


def _step(name, source, text, pair, cases, affine=("x", "output", "z")):
    return Family(name, "STEP", "step", source, text, *pair, cases, {}, affine)


VE = "x = x0 + sigma eps; output is what the model said at x and sigmas[index]. "
VP = "k counts from 0: the chain of beta[0..T-1]; output is what the model said at x and k. "
FAMILIES = (
    _step(
        "langevin",
        "Chan v3 (3.1)",
        "One Langevin step of size tau, with noise sqrt(2 tau) z.",
        (langevin, langevin_again),
        _langevin,
        ("x", "score", "z"),
    ),
    _step(
        "annealed_langevin",
        "SongE19 Algorithm 1",
        "One step at sigmas[index], with alpha = eps sigma^2 / sigmas[-1]^2, drift alpha/2. "
        + VE,
        (annealed, annealed_again),
        _levels,
    ),
    _step(
        "langevin_corrector",
        "Song21 Algorithm 4 and Algorithm 5",
        "One corrector step whose size is e = 2 alpha (r mean|z| / mean|score|)^2, means "
        "over the rows; alpha = alpha_bar[k] of a schedule (k from 0), 1 without one (VE).",
        (corrector, corrector_again),
        _corrector,
        (),
    ),
    _step(
        "reverse_diffusion_ve",
        "Song21 Algorithm 2",
        "One step of the reverse-diffusion predictor, sigmas[index] to the next. " + VE,
        (reverse_ve, reverse_ve_again),
        _sigmas,
    ),
    _step(
        "reverse_diffusion_vp",
        "Song21 Algorithm 3",
        "One step of the reverse-diffusion predictor, from k to k - 1. " + VP,
        (reverse_vp, reverse_vp_again),
        _chain,
    ),
    _step(
        "ancestral_vp",
        "Song21 (4)",
        "One ancestral step with the score and noise sqrt(beta) z, from k to k - 1. "
        + VP,
        (ancestral_vp, ancestral_vp_again),
        _chain,
    ),
)
