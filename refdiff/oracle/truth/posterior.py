"""The posterior q(x_s | x_t, x0) at 50 digits: one step's, and the tables of all."""

import numpy as np

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.targets import X0, X
from refdiff.oracle.truth.walks import SCHEDULES, betas, is_last, pair, step_id, walks


def coefficients(a, b, m):
    """Of x0, of x_t, and the variance: those of a step from alpha_bar a to b.

    (1 - a/b) sqrt(b) / (1-a);  (1-b) sqrt(a/b) / (1-a);  (1 - a/b) (1-b) / (1-a)
    """
    alpha, beta = a / b, 1 - a / b
    of_x0, of_x = beta * m.sqrt(b) / (1 - a), (1 - b) * m.sqrt(alpha) / (1 - a)
    return of_x0, of_x, beta * (1 - b) / (1 - a)


def by_bayes(a, b, m):
    """The same by Bayes' rule: the prior N(sqrt(b) x0, 1-b) of x_s, and the likelihood.

    It is N(x; sqrt(k) x_s, 1-k), k = a/b, and the precisions add up to
    (k (1-b) + 1 - k) / ((1-b) (1-k)).
    """
    k, fresh = a / b, (b - a) / b
    total = k * (1 - b) + fresh
    return (
        fresh * m.sqrt(b) / total,
        m.sqrt(k) * (1 - b) / total,
        (1 - b) * fresh / total,
    )


def _law(found, p):
    of_x0, of_x, var = found
    return {"mean": of_x0 * p["x0"] + of_x * p["x"], "variance": np.array([var])}


def posterior(p, m):
    """Mean and variance of x_s given x_t and x0."""
    return _law(coefficients(*pair(p, m), m), p)


def posterior_again(p, m):
    """The same by Bayes' rule."""
    return _law(by_bayes(*pair(p, m), m), p)


def _tables(form, p, m):
    """Columns of x0, x and variance for every k, each step being from k to k - 1."""
    table = alpha_bar_of(p["schedule"], m)
    before = np.concatenate([[m.number(1.0)], table[:-1]])
    rows = [form(a, b, m) for a, b in zip(table, before, strict=True)]
    return [np.array(column, object) for column in zip(*rows, strict=True)]


def _of_beta(p, m):
    """The columns with beta from the schedule, not from the quotient of alpha_bar."""
    table, beta = alpha_bar_of(p["schedule"], m), betas(p["schedule"], m)
    before = np.concatenate([[m.number(1.0)], table[:-1]])
    share = beta / (1 - table)
    of_x = m.sqrt(1 - beta) * (1 - before) / (1 - table)
    return share * m.sqrt(before), of_x, share * (1 - before)


def posterior_variance(p, m):
    """beta_k (1 - ab_{k-1}) / (1 - ab_k)."""
    return {"variance": _of_beta(p, m)[2]}


def posterior_variance_again(p, m):
    """The same by Bayes' rule."""
    return {"variance": _tables(by_bayes, p, m)[2]}


def log_variance(variance, m):
    """Its logarithm; the first, which is log 0, as the second."""
    return m.log(np.concatenate([variance[1:2], variance[1:]]))


def posterior_log_variance(p, m):
    """Log of the posterior variance, the first entry clipped to the second."""
    return {"log_variance": log_variance(_of_beta(p, m)[2], m)}


def posterior_log_variance_again(p, m):
    """The same by Bayes' rule."""
    return {"log_variance": log_variance(_tables(by_bayes, p, m)[2], m)}


def mean_coefficients(p, m):
    """Coefficients of x0 and of x_t in the posterior's mean, for every k."""
    of_x0, of_x, _ = _of_beta(p, m)
    return {"of_x0": of_x0, "of_x": of_x}


def mean_coefficients_again(p, m):
    """The same by Bayes' rule."""
    of_x0, of_x, _ = _tables(by_bayes, p, m)
    return {"of_x0": of_x0, "of_x": of_x}


def _cases(large):
    for name, problem, _ in walks(large):
        inputs, last = {"x": X, "x0": X0}, is_last(problem)  # x0 itself, variance 0
        yield Case(f"{name}/{step_id(problem)}", problem, inputs, degenerate=last)


def _table_cases(large):
    for name in SCHEDULES if large else ("linear-T1000", "cosine-T137", "sigmoid-T137"):
        schedule = SCHEDULES[name]
        T = schedule["T"]
        kept = (0, 1, 2, 3, T // 3, T // 2, T - 2, T - 1)
        yield Case(name, {"schedule": schedule}, at=kept)


FAMILIES = (
    Family(
        "posterior",
        "STEP",
        "step",
        "Ho20 (6), (7); Nichol21 4",
        "Mean and variance, one number, of x at the time that the step leads to, given "
        "x at timesteps[index] and x0; after the last time it is x0 itself.",
        posterior,
        posterior_again,
        _cases,
    ),
    Family(
        "posterior_variance",
        "TABLE",
        "table",
        "Ho20 (7)",
        "Variances (T,) of x_{k-1} given x_k and x0; that of k = 0 is 0.",
        posterior_variance,
        posterior_variance_again,
        _table_cases,
        kinds={"variance": "entry"},
    ),
    Family(
        "posterior_log_variance",
        "TABLE",
        "table",
        "Nichol21 (15) with Ho20 (7)",
        "Their logarithms (T,), where that of k = 0 is replaced by that of k = 1.",
        posterior_log_variance,
        posterior_log_variance_again,
        _table_cases,
        kinds={"log_variance": "entry"},
    ),
    Family(
        "posterior_mean_coefficients",
        "TABLE",
        "table",
        "Ho20 (7)",
        "Coefficients (T,) of x0 and of x_k in the mean of x_{k-1}.",
        mean_coefficients,
        mean_coefficients_again,
        _table_cases,
        kinds={"of_x0": "entry", "of_x": "entry"},
    ),
)
