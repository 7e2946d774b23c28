"""Wrong forms of Langevin steps, correctors and reverse predictors."""

from refdiff.oracle.museum.readings import applies, synthetic
from refdiff.oracle.truth import langevin as right
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.levels import level, now_then
from refdiff.oracle.truth.schedules import beta_of, kept


def _step(pull, noise):
    """A Langevin step with another factor of the score, or of the noise, of tau."""

    def wrong(p, m):
        tau = p["tau"]
        return {"x_next": p["x"] + pull(tau) * p["score"] + noise(tau, m) * p["z"]}

    return wrong


def _annealed(alpha=None, pull=2, noise=None):
    """An annealed step with another alpha, divisor of the pull, or noise."""

    def wrong(p, m):
        at = level(p, m, p["index"])
        a = (alpha or _alpha)(p["eps"], at[1], p["sigmas"])
        z = noise(a, m) if noise else m.sqrt(a)
        score = right.score_of(p, m, at)
        return {"x_next": p["x"] + a / pull * score + z * p["z"]}

    return wrong


def _alpha(eps, s, sigmas):
    return eps * s * s / (sigmas[-1] * sigmas[-1])


def _ve(g2=None, pull=1, noise=None):
    """The VE predictor with another g^2, factor of the score, or noise."""

    def wrong(p, m):
        now, then = now_then(p, m)
        s, t = now[1], then[1]
        g = g2(s, t) if g2 else s * s - t * t
        z = noise(g, s, t, m) if noise else m.sqrt(g)
        score = right.score_of(p, m, now)
        return {"x_prev": p["x"] + pull * g * score + z * p["z"]}

    return wrong


def _vp(factor=None, pull=1, noise=None, earlier=False):
    """The VP predictor with another factor of x, of the score, or noise."""

    def wrong(p, m):
        applies(not earlier or p["k"] > 0)
        _, at = right.vp_at(p, m)
        beta = kept("beta", p["schedule"], m, beta_of)[p["k"] - bool(earlier)]
        c = factor(beta, m) if factor else 2 - m.sqrt(1 - beta)
        z = noise(beta, m) if noise else m.sqrt(beta)
        score = right.score_of(p, m, at)
        return {"x_prev": c * p["x"] + pull * beta * score + z * p["z"]}

    return wrong


def _ancestral(pull=1, root=True, noise=None, all_x=False):
    """The ancestral step with another factor of the score, or of the whole mean."""

    def wrong(p, m):
        beta, at = right.vp_at(p, m)
        score, z = right.score_of(p, m, at), noise(beta, m) if noise else m.sqrt(beta)
        below = m.sqrt(1 - beta) if root else 1 - beta
        mean = (p["x"] + pull * beta * score) / below
        if all_x:
            mean = p["x"] / below + pull * beta * score
        return {"x_prev": mean + z * p["z"]}

    return wrong


def _corrector(alpha=right.factor, ratio=None, pull=1, grow=2):
    """The corrector with another alpha, ratio of norms, or factors of its size."""

    def wrong(p, m):
        lengths = right.norms(p["z"], m), right.norms(p["score"], m)
        r = (ratio or _of_means)(p["r"], *lengths)
        e = grow * alpha(p, m) * r * r
        return {"x_next": p["x"] + pull * e * p["score"] + m.sqrt(2 * e) * p["z"]}

    return wrong


def _of_means(r, z, score):
    return r * sum(z) / sum(score)


def _by_row(p, m):
    """corrector_norm=row: every row has its own size."""
    lengths = zip(right.norms(p["z"], m), right.norms(p["score"], m), strict=True)
    alpha, rows = right.factor(p, m), []
    for k, (z, pull) in enumerate(lengths):
        e = 2 * alpha * (p["r"] * z / pull) ** 2
        rows.append(p["x"][k] + e * p["score"][k] + m.sqrt(2 * e) * p["z"][k])
    return {"x_next": 0 * p["x"] + rows}


def _one_less_beta(p, m):
    """corrector_alpha=one_minus_beta (SDE-06)."""
    applies("schedule" in p)
    return 1 - kept("beta", p["schedule"], m, beta_of)[p["k"]]


def _one(p, m):
    applies("schedule" in p)
    return m.number(1.0)


SONG = "https://github.com/yang-song/score_sde_pytorch/"
LANGEVIN = "x + tau score + sqrt(2 tau) z"
ANNEALED = "x + alpha/2 score + sqrt(alpha) z, alpha = eps sigma^2 / sigma_last^2"
VE = "x + g^2 score + g z, g^2 = sigma^2 - sigma'^2"
VP = "(2 - sqrt(1 - beta)) x + beta score + sqrt(beta) z"
ANCESTRAL = "(x + beta score) / sqrt(1 - beta) + sqrt(beta) z"
SIZE = "e = 2 alpha (r mean|z| / mean|score|)^2, x + e score + sqrt(2 e) z"
EXHIBITS = (
    Exhibit(
        "SDE-04",
        {
            "langevin": _step(lambda t: t, lambda t, m: 2 * t),
            "annealed_langevin": _annealed(noise=lambda a, m: a),
        },
        "noise with std eps beside a drift of eps / 2",
        "sqrt(eps)",
        "https://github.com/blei-lab/edward/issues/722",
        "A",
    ),
    Exhibit(
        "SDE-09",
        {
            "reverse_diffusion_ve": _ve(pull=-1),
            "reverse_diffusion_vp": _vp(pull=-1),
            "ancestral_vp": _ancestral(pull=-1),
        },
        "the score with the wrong sign",
        "the drift f - g^2 score, run backwards",
        "https://github.com/atong01/conditional-flow-matching/issues/85",
        "A",
    ),
    Exhibit(
        "corrector_alpha=one_minus_beta",
        {"langevin_corrector": _corrector(_one_less_beta)},
        "alpha = 1 - beta, as in the authors' code (SDE-06)",
        "alpha_bar, the text's product",
        SONG + "issues/73",
        "convention",
    ),
    Exhibit(
        "corrector_norm=row",
        {"langevin_corrector": _by_row},
        "each row's own |z| / |score|",
        "the ratio of the means over the batch, as in the authors' code",
        SONG + "blob/main/sampling.py",
        "convention",
    ),
    *(
        synthetic(f"langevin-{slug}", {"langevin": form}, wrong, LANGEVIN)
        for slug, form, wrong in (
            ("no-two", _step(lambda t: t, lambda t, m: m.sqrt(t)), "sqrt(tau)"),
            ("half", _step(lambda t: t / 2, lambda t, m: m.sqrt(2 * t)), "tau/2 score"),
            ("sign", _step(lambda t: -t, lambda t, m: m.sqrt(2 * t)), "-tau score"),
            ("silent", _step(lambda t: t, lambda t, m: 0 * t), "no noise"),
        )
    ),
    *(
        synthetic(f"annealed-{slug}", {"annealed_langevin": form}, wrong, ANNEALED)
        for slug, form, wrong in (
            (
                "linear",
                _annealed(lambda e, s, g: e * s / g[-1]),
                "eps sigma / sigma_last",
            ),
            (
                "largest",
                _annealed(lambda e, s, g: e * s * s / (g[0] * g[0])),
                "sigma_1",
            ),
            ("constant", _annealed(lambda e, s, g: e), "alpha = eps"),
            ("whole", _annealed(pull=1), "alpha score"),
            ("two", _annealed(noise=lambda a, m: m.sqrt(2 * a)), "sqrt(2 alpha) z"),
            ("sign", _annealed(pull=-2), "-alpha/2 score"),
        )
    ),
    *(
        synthetic(f"reverse-ve-{slug}", {"reverse_diffusion_ve": form}, wrong, VE)
        for slug, form, wrong in (
            ("difference", _ve(lambda s, t: (s - t) ** 2), "g = sigma - sigma'"),
            ("no-root", _ve(noise=lambda g, s, t, m: g), "g^2 z"),
            ("half", _ve(pull=0.5), "g^2/2 score, which is the flow's"),
            ("end", _ve(noise=lambda g, s, t, m: t), "sigma' z"),
            ("all", _ve(lambda s, t: s * s), "g = sigma"),
        )
    ),
    *(
        synthetic(f"reverse-vp-{slug}", {"reverse_diffusion_vp": form}, wrong, VP)
        for slug, form, wrong in (
            ("half", _vp(pull=0.5), "beta/2 score, half of what the SDE has"),
            ("factor", _vp(lambda b, m: m.sqrt(1 - b)), "the forward chain's factor"),
            ("no-root", _vp(lambda b, m: 1 + b), "2 - (1 - beta)"),
            ("ancestral", _vp(lambda b, m: 1 / m.sqrt(1 - b)), "x / sqrt(1 - beta)"),
            ("noise", _vp(noise=lambda b, m: b), "beta z"),
            ("earlier", _vp(earlier=True), "beta of k - 1"),
        )
    ),
    *(
        synthetic(f"ancestral-vp-{slug}", {"ancestral_vp": form}, wrong, ANCESTRAL)
        for slug, form, wrong in (
            ("half", _ancestral(0.5), "beta/2 score, as the tutorial prints it"),
            ("no-root", _ancestral(root=False), "1 - beta without a root"),
            ("noise", _ancestral(noise=lambda b, m: b), "beta z"),
            ("x-alone", _ancestral(all_x=True), "the score not divided"),
        )
    ),
    *(
        synthetic(f"corrector-{slug}", {"langevin_corrector": form}, wrong, SIZE)
        for slug, form, wrong in (
            ("no-alpha", _corrector(_one), "alpha = 1 for VP"),
            ("no-two", _corrector(grow=1), "alpha (r ...)^2"),
            (
                "inverse",
                _corrector(ratio=lambda r, z, g: r * sum(g) / sum(z)),
                "|score| / |z|",
            ),
            ("half", _corrector(pull=0.5), "e/2 score"),
            ("sign", _corrector(pull=-1), "-e score"),
        )
    ),
)
