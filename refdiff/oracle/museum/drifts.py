"""Wrong drifts of the reverse SDE and of the probability flow, and wrong steps of both."""

from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.laws import drive, heard
from refdiff.oracle.truth.laws_sde import euler_maruyama_step, levels_of
from refdiff.oracle.truth.sdes import coefficients, drift, half, marginal, whole

GITHUB = "https://github.com/"
QUARTER = 0.25


def sampler(share, noisy, rates=coefficients, step=euler_maruyama_step):
    """Euler's method with another share of g^2 before the score, or other coefficients."""

    def wrong(p, m):
        levels, asked = levels_of(p, m), [marginal(p["sde"], t, m) for t in p["times"]]
        say = heard(p, m, levels, asked)
        return drive({**p, "rates": rates}, m, step(share, noisy), levels, say)

    return wrong


def _share(x):
    return lambda m: m.number(x)


def _of_score(family, x):
    """A drift with x g^2 before the score, and its sampler."""
    name, noisy = {
        "reverse_drift": ("reverse_sde_sampler", True),
        "flow_drift": ("flow_ode_sampler", False),
    }[family]
    return {family: drift(_share(x))[0], name: sampler(_share(x), noisy)}


def _only(kind, answers):
    """Wrong forms of one kind of process, which refuse the others."""

    def guarded(f):
        def wrong(p, m):
            if p["sde"]["kind"] != kind:
                raise ValueError(f"only of {kind}")
            return f(p, m)

        return wrong

    return {name: guarded(f) for name, f in answers.items()}


def _full_step(share, noisy):
    """The noise of a step multiplied by h, not by its root."""

    def step(p, i, x, say, levels, m):
        t, z = p["times"], p["z"][i]
        still = euler_maruyama_step(share, False)(p, i, x, say, levels, m)
        _, g2 = coefficients(p["sde"], t[i], m)
        return still + (t[i] - t[i + 1]) * m.sqrt(g2) * z

    return step


def _synthetic(name, families, wrong, right, tier="STEP"):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", tier)


EXHIBITS = (
    Exhibit(
        "SDE-01",
        _only("vp", _of_score("flow_drift", QUARTER)),
        "d sigma/dt of VP short by a factor 2: a x - g^2/4 score",
        "a x - g^2/2 score",
        GITHUB + "deepinv/deepinv/pull/1343",
        "A",
    ),
    Exhibit(
        "SDE-09",
        _of_score("reverse_drift", -1.0),
        "f + g^2 score",
        "f - g^2 score",
        GITHUB + "atong01/conditional-flow-matching/issues/85",
        "A",
    ),
    _synthetic(
        "flow-whole",
        _of_score("flow_drift", 1.0),
        "probability flow f - g^2 score",
        "f - g^2/2 score",
    ),
    _synthetic(
        "reverse-half",
        _of_score("reverse_drift", 0.5),
        "reverse SDE f - g^2/2 score, with all its noise",
        "f - g^2 score",
    ),
    _synthetic("flow-sign", _of_score("flow_drift", -0.5), "f + g^2/2 score", "minus"),
    _synthetic(
        "noise-by-h",
        {"reverse_sde_sampler": sampler(whole, True, step=_full_step)},
        "h g z",
        "sqrt(h) g z",
        "LAW",
    ),
    _synthetic(
        "flow-noisy",
        {"flow_ode_sampler": sampler(half, True)},
        "noise added on the probability flow",
        "none",
        "LAW",
    ),
)
