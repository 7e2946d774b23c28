"""DDIM at 50 digits: the step of any eta, from any parametrisation, and its inverse."""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.forward import Z
from refdiff.oracle.truth.targets import OUTPUT, X, x0_by_score, x0_eps
from refdiff.oracle.truth.walks import (
    TARGETS,
    hardly_moves,
    is_last,
    pair,
    step_id,
    walks,
    zero_walks,
)

ETAS = (0.37, 0.0, 1.0)


def variance(p, a, b):
    """eta^2 (1-b)/(1-a) (1 - a/b)."""
    return p["eta"] ** 2 * (1 - b) / (1 - a) * (1 - a / b)


def toward(p, x0, eps, m):
    """Mean sqrt(b) x0 + sqrt(1 - b - s^2) eps, noise s."""
    a, b = pair(p, m)
    var = variance(p, a, b)
    return m.sqrt(b) * x0 + m.sqrt(1 - b - var) * eps + m.sqrt(var) * p["z"]


def conditioned(p, x0, m):
    """The same step collected by x and x0: no eps stands in it.

    k x + (sqrt(b) - k sqrt(a)) x0 + s z,  k^2 = (1 - b - s^2) / (1 - a)
    """
    a, b = pair(p, m)
    std = p["eta"] * m.sqrt((a - b) * (1 - b) / (b * (a - 1)))
    k = m.sqrt((1 - b - std * std) / (1 - a))
    return k * p["x"] + (m.sqrt(b) - k * m.sqrt(a)) * x0 + std * p["z"]


def ddim(p, m):
    """From x0_hat and eps_hat."""
    x0, eps = x0_eps(p, m, pair(p, m)[0])
    return {"x_prev": toward(p, x0, eps, m)}


def ddim_again(p, m):
    """By conditioning on x0_hat, which is found by the score."""
    return {"x_prev": conditioned(p, x0_by_score(p, m, pair(p, m)[0]), m)}


def inverse(p, m):
    """Up the list: x0_hat and eps_hat where x stands, noised to timesteps[index]."""
    a, b = pair(p, m)
    x0, eps = x0_eps(p, m, b)
    return {"x_next": m.sqrt(a) * x0 + m.sqrt(1 - a) * eps}


def inverse_again(p, m):
    """Euler's step of dx/dsigma = eps, in units where the signal is 1."""
    a, b = pair(p, m)
    eps = x0_eps(p, m, b)[1]
    if b < 1:
        eps = (p["x"] - m.sqrt(b) * x0_by_score(p, m, b)) / m.sqrt(1 - b)
    sigma, sigma_next = m.sqrt((1 - b) / b), m.sqrt((1 - a) / a)
    return {"x_next": m.sqrt(a) * (p["x"] / m.sqrt(b) + (sigma_next - sigma) * eps)}


def float32_fails(name, problem, more):
    """Whether 1 - b - s^2 is below rounding: eta = 1 from the cosine's end."""
    return more["eta"] == 1 and name.startswith("cosine") and problem["index"] == 0


def _case(name, problem, more, **marks):
    problem = problem | more
    end = f"eta{more['eta']:g}/{more['target']}/{step_id(problem)}"
    inputs = {"x": X, "output": OUTPUT, "z": Z}
    return Case(f"{name}/{end}", problem, inputs, **marks)


def _cases(large):
    """All walks, and first steps from alpha_bar = 0."""
    for name, problem, more in walks(large, target=TARGETS, eta=ETAS):
        if not float32_fails(name, problem, more):
            same = is_last(problem) and more["target"] == "x0"  # it is x0_hat
            same = same or hardly_moves(problem | more)
            yield _case(name, problem, more, degenerate=same)
    for name, problem in zero_walks():
        for target in TARGETS:
            result = "must-refuse" if target in ("eps", "score") else "valid"
            same = is_last(problem) and target == "x0"
            more = {"eta": 0.37, "target": target}
            yield _case(name, problem, more, result=result, degenerate=same)


def _inverse_cases(large):
    """At the clean end v = eps, and x0 and the score say nothing of it."""
    for name, problem, more in walks(large, target=TARGETS):
        if not is_last(problem) or more["target"] in ("eps", "v"):
            inputs = {"x": X, "output": OUTPUT}
            end = f"{more['target']}/{step_id(problem)}"
            problem = problem | more
            little = hardly_moves(problem)
            yield Case(f"{name}/{end}", problem, inputs, degenerate=little)


FAMILIES = (
    Family(
        "ddim",
        "STEP",
        "step",
        "SongJ21 (12), (16)",
        "One DDIM step from timesteps[index] to the next of the list, or to alpha_bar = 1 "
        "after the last. output is what the model said at x, and target names it: eps, "
        "x0, v = signal eps - noise x0, or the score; z is the noise.",
        ddim,
        ddim_again,
        _cases,
        affine=("x", "output", "z"),
    ),
    Family(
        "ddim_inverse",
        "STEP",
        "step",
        "SongJ21 4.3",
        "The step of eta = 0 the other way: x stands at the time after timesteps[index], "
        "or at alpha_bar = 1 if that is the last, and goes up to timesteps[index]. output "
        "is what the model said at x; without noise x0 and the score say nothing of eps, "
        "and are not asked.",
        inverse,
        inverse_again,
        _inverse_cases,
        affine=("x", "output"),
    ),
)
