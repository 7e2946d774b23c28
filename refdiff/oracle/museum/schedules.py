"""Wrong schedules: betas and cosines, and all the tables that they spoil."""

import numpy as np

from refdiff.oracle.museum.machine import log, over
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.schedules import beta_of


def _only(schedule, kind):
    """Refuse schedules of another kind, or rescaled."""
    if schedule["kind"] != kind or schedule.get("zero_snr"):
        raise ValueError


def made_of(wrong):
    """Each table that a wrong alpha_bar spoils: wrong(schedule, m) -> (T,)."""

    def asked(p, m):
        return wrong(p["schedule"], m)[p["k"]]

    def ratio(p, m):
        return over(asked(p, m), 1 - asked(p, m), m)

    return {
        "alpha_bar": lambda p, m: {"alpha_bar": asked(p, m)},
        "noise_std": lambda p, m: {"noise_std": m.sqrt(1 - asked(p, m))},
        "snr": lambda p, m: {"snr": ratio(p, m)},
        "log_snr": lambda p, m: {"log_snr": log(ratio(p, m), m)},
    }


def first_of(families, *names):
    """Those families in which rounding leaves a wrong form its own number."""
    return {name: families[name] for name in names}


def made_of_beta(wrong):
    """The same of a wrong beta, and beta itself."""

    def beta(p, m):
        return {"beta": wrong(p["schedule"], m)[p["k"]]}

    return {"beta": beta} | made_of(lambda s, m: np.cumprod(1 - wrong(s, m)))


def _f(schedule, m, power=2, steps=None):
    """The cosine's f(k), k = 0..T."""
    T, s = schedule["T"], m.number(schedule["s"])
    k = m.number(np.arange(T + 1.0))
    return m.cos((k / (steps or T) + s) / (1 + s) * m.pi / 2) ** power


def _capped(f, schedule, m):
    """The beta of a table f(0..T), cut off at beta_max and not below 0."""
    cap = m.number(schedule["beta_max"])
    return np.maximum(np.minimum(1 - f[1:] / f[:-1], cap), 0 * cap)


def _cosine_from_0(schedule, m):
    _only(schedule, "cosine")
    f = _f(schedule, m)
    return f[:-1] / f[0]


def _cosine_offset(schedule, m):
    _only(schedule, "cosine")
    return beta_of({**schedule, "s": 10 * schedule["s"]}, m)


def _cosine_one_line(schedule, m):
    _only(schedule, "cosine")
    return _capped(_f(schedule, m, steps=schedule["T"] + 1), schedule, m)


def _cosine_t_minus_1(schedule, m):
    _only(schedule, "cosine")
    return _capped(_f(schedule, m, steps=max(schedule["T"] - 1, 1)), schedule, m)


def _cosine_not_squared(schedule, m):
    _only(schedule, "cosine")
    return _capped(_f(schedule, m, power=1), schedule, m)


def _cosine_uncapped(schedule, m):
    _only(schedule, "cosine")
    f = _f(schedule, m)
    return 1 - f[1:] / f[:-1]


def _cosine_not_divided(schedule, m):
    _only(schedule, "cosine")
    return _f(schedule, m)[1:]


def _even(first, last, T, m, steps):
    k = m.number(np.arange(float(T)))
    return first + k * ((last - first) / max(steps, 1))


def _ends(schedule, m):
    return m.number(schedule["beta_1"]), m.number(schedule["beta_T"])


def _linear_open(schedule, m):
    _only(schedule, "linear")
    return _even(*_ends(schedule, m), schedule["T"], m, schedule["T"])


def _scaled_not_squared(schedule, m):
    _only(schedule, "scaled-linear")
    first, last = _ends(schedule, m)
    return _even(m.sqrt(first), m.sqrt(last), schedule["T"], m, schedule["T"] - 1)


def _scaled_no_root(schedule, m):
    _only(schedule, "scaled-linear")
    return _even(*_ends(schedule, m), schedule["T"], m, schedule["T"] - 1) ** 2


def _scaled_is_linear(schedule, m):
    _only(schedule, "scaled-linear")
    return beta_of({**schedule, "kind": "linear"}, m)


def _sigmoid_of_3(schedule, m):
    _only(schedule, "sigmoid")
    first, last = _ends(schedule, m)
    x = _even(m.number(-3.0), m.number(3.0), schedule["T"], m, schedule["T"] - 1)
    return first + (last - first) / (1 + m.exp(-x))


def _sigmoid_not_scaled(schedule, m):
    _only(schedule, "sigmoid")
    first, last = _ends(schedule, m)
    x = _even(m.number(-6.0), m.number(6.0), schedule["T"], m, schedule["T"] - 1)
    return first + last / (1 + m.exp(-x))


def real(id, families, wrong, right, link, grade):
    """An error of a table that a project had, or a convention that it chose."""
    return Exhibit(id, families, wrong, right, f"https://{link}", grade, "TABLE")


def synthetic(slug, families, wrong, right):
    """An error that nobody was caught with, of a table."""
    return Exhibit(f"SYN-{slug}", families, wrong, right, "", "synthetic", "TABLE")


EXHIBITS = (
    real(
        "SCH-01",
        made_of(_cosine_from_0),
        "cosine alpha_bar taken from f(0)/f(0) on, so that the first entry is 1",
        "alpha_bar = product of 1 - min(beta, cap)",
        "github.com/Project-MONAI/GenerativeModels/issues/489",
        "A",
    ),
    real(
        "SCH-03",
        made_of_beta(_cosine_offset),
        "cosine offset s = 0.08",
        "s = 0.008",
        "github.com/probml/pml2-book/issues/489",
        "A",
    ),
    synthetic(
        "cosine-one-line",
        made_of_beta(_cosine_one_line),
        "k / (T + 1) of k = 0..T in the cosine",
        "k / T",
    ),
    synthetic(
        "cosine-t-minus-1",
        made_of_beta(_cosine_t_minus_1),
        "k / (T - 1) of k = 0..T in the cosine",
        "k / T",
    ),
    synthetic("cosine-root", made_of_beta(_cosine_not_squared), "f = cos", "f = cos^2"),
    synthetic(
        "cosine-uncapped", made_of_beta(_cosine_uncapped), "beta up to 1", "a cap"
    ),
    synthetic(
        "cosine-f0",
        first_of(made_of(_cosine_not_divided), "alpha_bar", "noise_std", "snr"),
        "alpha_bar = f(k+1)",
        "f(k+1)/f(0)",
    ),
    synthetic(
        "linear-open",
        made_of_beta(_linear_open),
        "steps of (beta_T - beta_1) / T, so that beta_T is missed",
        "steps of (beta_T - beta_1) / (T - 1)",
    ),
    synthetic(
        "scaled-not-squared",
        made_of_beta(_scaled_not_squared),
        "linear in sqrt(beta), and not squared",
        "squared",
    ),
    synthetic(
        "scaled-no-root",
        first_of(made_of_beta(_scaled_no_root), "beta", "alpha_bar"),
        "linear in beta, then squared",
        "linear in sqrt(beta), then squared",
    ),
    synthetic(
        "scaled-is-linear",
        made_of_beta(_scaled_is_linear),
        "linear in beta",
        "linear in sqrt(beta), then squared",
    ),
    synthetic(
        "sigmoid-3", made_of_beta(_sigmoid_of_3), "sigmoid of -3 to 3", "of -6 to 6"
    ),
    synthetic(
        "sigmoid-scale",
        made_of_beta(_sigmoid_not_scaled),
        "beta_1 + beta_T sigmoid",
        "beta_1 + (beta_T - beta_1) sigmoid",
    ),
)
