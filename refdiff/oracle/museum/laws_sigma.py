"""Wrong whole samplers on a list of noise levels."""

from refdiff.oracle.truth import laws_sigma
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.laws import drive, heard
from refdiff.oracle.truth.mixtures import output, x0_eps

GITHUB = "https://github.com/"


def sigma(step, change=lambda p: p, asked=laws_sigma.asked_of):
    """A sampler on noise levels, with another step, problem, or levels for its model."""

    def wrong(p, m):
        p = change(p)
        levels = laws_sigma.levels_of(p, m)
        return drive(p, m, step, levels, heard(p, m, levels, asked(p, m)))

    return wrong


def _stale_heun(p, i, x, say, levels, m):
    """STP-01: sigma for sigma' in the second x0_hat, and under it."""
    if p["target"] == "eps":
        raise ValueError("hidden by eps-prediction")
    (one, now), then = levels[i], levels[i + 1]
    h, d = then[1] - now, say(x, i)[1]
    end = x + h * d
    if p["sigmas"][i + 1] == 0:
        return end
    x0, _ = x0_eps(p, end, output(p, end, *then, m), one, now, m)
    return x + h * (d + (end - x0) / now) / 2


def _other_time(p, m):
    """SDE-08: the model asked at 1 - s as s falls."""
    return [(noise, signal) for signal, noise in laws_sigma.asked_of(p, m)]


def _langevin(std):
    def step(p, i, x, say, levels, m):
        score = -say(x, i)[1] / levels[i][1]
        return x + p["tau"] * score + std(p["tau"], m) * p["z"][i]

    return lambda p, m: laws_sigma.run(laws_sigma.still(p), m, step)


def _pc_sign(p, i, x, say, levels, m):
    """SDE-09: the score's sign turned in the predictor."""

    def turned(x, j):
        x0, eps = say(x, j)
        return x0, -eps if j == i else eps

    return laws_sigma.pc_step(p, i, x, turned, levels, m)


def _pc_root(p, m):
    """The corrector's noise sqrt(tau) for sqrt(2 tau)."""
    each = 1 + p["corrections"]
    z = [
        z if k % each == 0 else z / m.sqrt(m.number(2.0)) for k, z in enumerate(p["z"])
    ]
    return laws_sigma.pc({**p, "z": z}, m)


def _synthetic(name, families, wrong, right):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", "LAW")


EXHIBITS = (
    Exhibit(
        "STP-01",
        {"heun_sampler": sigma(_stale_heun)},
        "Heun's second slope with sigma for sigma', in x0_hat and under it",
        "both at sigma'",
        GITHUB + "huggingface/diffusers/pull/1512",
        "A",
    ),
    Exhibit(
        "SDE-04",
        {"langevin_sampler": _langevin(lambda tau, m: 2 * tau)},
        "noise of deviation lr, where x moves by lr/2 score",
        "sqrt(lr)",
        GITHUB + "blei-lab/edward/issues/722",
        "A",
    ),
    Exhibit(
        "SDE-08",
        {"flow_euler_sampler": sigma(laws_sigma.flow_euler_step, asked=_other_time)},
        "time reversed twice: the model asked at 1 - s while s falls",
        "the model asked at s",
        GITHUB + "hustvl/LightningDiT/issues/89",
        "B",
    ),
    Exhibit(
        "SDE-09",
        {"pc_sampler": sigma(_pc_sign)},
        "x minus the score's part",
        "x plus the score's part",
        GITHUB + "atong01/conditional-flow-matching/issues/85",
        "A",
    ),
    _synthetic(
        "heun-first-order",
        {"heun_sampler": laws_sigma.euler},
        "Euler's step under the name of Heun's",
        "the mean of two slopes",
    ),
    _synthetic(
        "langevin-root-2",
        {
            "langevin_sampler": _langevin(lambda tau, m: m.sqrt(tau)),
            "pc_sampler": _pc_root,
        },
        "sqrt(tau) z",
        "sqrt(2 tau) z",
    ),
    _synthetic(
        "euler-backwards",
        {
            "euler_sampler": sigma(
                lambda p, i, x, say, levels, m: (
                    2 * x - laws_sigma.euler_step(p, i, x, say, levels, m)
                )
            )
        },
        "x + (sigma - sigma') eps",
        "x + (sigma' - sigma) eps",
    ),
)
