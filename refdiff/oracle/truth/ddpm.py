"""Ancestral sampling at 50 digits: any variance, any parametrisation, any spacing."""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.forward import Z
from refdiff.oracle.truth.posterior import by_bayes, coefficients
from refdiff.oracle.truth.targets import OUTPUT, X, x0_by_score, x0_eps
from refdiff.oracle.truth.walks import (
    SCHEDULES,
    TARGETS,
    hardly_moves,
    is_last,
    pair,
    step_id,
    walk,
    walks,
    zero_walks,
)

VARIANCES = ("small", "large", "learned-range")
RANGE = [[-1.0, 0.0], [1.0, 0.375]]


def bounds(p, m):
    """The least and the largest variance: the posterior's, and the step's own beta."""
    a, b = pair(p, m)
    return coefficients(a, b, m)[2], 1 - a / b


def noise_std(p, low, high, m):
    """Standard deviation of the noise; the last step has none.

    small: low;  large: high;  learned-range: exp(f log high + (1-f) log low),
    f = (range + 1) / 2
    """
    if is_last(p):
        return m.number(0.0)
    if p["variance"] == "learned-range":
        share = (p["range"] + 1) / 2
        return m.exp((share * m.log(high) + (1 - share) * m.log(low)) / 2)
    return m.sqrt(low if p["variance"] == "small" else high)


def ddpm(p, m):
    """The posterior's mean at x0_hat, and noise."""
    a, b = pair(p, m)
    x0, _ = x0_eps(p, m, a)
    of_x0, of_x, _ = coefficients(a, b, m)
    return {
        "x_prev": of_x0 * x0 + of_x * p["x"] + noise_std(p, *bounds(p, m), m) * p["z"]
    }


def ddpm_again(p, m):
    """The same by Bayes' rule, x0_hat by the score, the learned range by powers."""
    a, b = pair(p, m)
    of_x0, of_x, low = by_bayes(a, b, m)
    high, std = (b - a) / b, m.number(0.0)
    if p["variance"] == "learned-range" and not is_last(p):
        ratio = m.log(high / low)
        std = m.sqrt(low) * m.exp((p["range"] + 1) * ratio / 4)
    elif not is_last(p):
        std = m.sqrt({"small": low, "large": high}[p["variance"]])
    return {"x_prev": of_x0 * x0_by_score(p, m, a) + of_x * p["x"] + std * p["z"]}


def inputs_of(problem):
    """What is fed: the model's second output only where the variance is learned."""
    given = {"x": X, "output": OUTPUT, "z": Z}
    learned = problem.get("variance") == "learned-range"
    return given | ({"range": RANGE} if learned else {})


def _case(name, problem, more, **marks):
    problem = problem | more
    end = f"{more['variance']}/{more['target']}/{step_id(problem)}"
    return Case(f"{name}/{end}", problem, inputs_of(problem), **marks)


def _cases(large):
    for name, problem, more in walks(large, variance=VARIANCES, target=TARGETS):
        same = is_last(problem) and more["target"] == "x0"  # it is x0_hat
        same = same or hardly_moves(problem | more)
        yield _case(name, problem, more, degenerate=same)
    yield from _early(large)
    yield from _zero()


def _early(large):
    """The steps from k = 2 and 1 of a full run, where the variances differ most."""
    for name in SCHEDULES if large else ("linear-T1000", "cosine-T137"):
        T = SCHEDULES[name]["T"]
        for variance in VARIANCES:
            for k in (2, 1):
                problem = walk(SCHEDULES[name], "leading", T, T - 1 - k)
                problem["timesteps"] = problem["timesteps"][-4:]  # 3, 2, 1, 0
                problem["index"] = 3 - k
                more = {"variance": variance, "target": "eps"}
                little = hardly_moves(problem | more)
                yield _case(f"{name}/to-the-end", problem, more, degenerate=little)


def _zero():
    """First steps from alpha_bar = 0, whence eps and the score do not lead back."""
    for name, problem in zero_walks():
        for target in TARGETS:
            more = {"variance": "small", "target": target}
            refuse = target in ("eps", "score")
            result = "must-refuse" if refuse else "valid"
            same = target == "x0" and is_last(problem)
            yield _case(name, problem, more, result=result, degenerate=same)


FAMILIES = (
    Family(
        "ddpm",
        "STEP",
        "step",
        "Ho20 (7), Algorithm 2; Nichol21 (15), 4",
        "One ancestral step from timesteps[index] to the next of the list, or to "
        "alpha_bar = 1 after the last, where no noise is added. output is what the model "
        "said at x, and target names it, as for ddim; z is the noise. variance small: "
        "the posterior's; large: 1 - a/b, of the step as respaced; learned-range: "
        "between their logarithms, by range in -1..1, the model's second output.",
        ddpm,
        ddpm_again,
        _cases,
        affine=("x", "output", "z"),
    ),
)
