"""The tables that a schedule makes: beta, alpha_bar, SNR, noise, and zero terminal SNR."""

from refdiff.oracle.truth.family import Case, Family
from refdiff.oracle.truth.schedules import (
    alpha_bar_of,
    before,
    beta_again,
    beta_of,
    signal_again,
)


def _linear(T, beta_1, beta_T):
    return {"kind": "linear", "T": T, "beta_1": beta_1, "beta_T": beta_T}


def _cosine(T):
    return {"kind": "cosine", "T": T, "s": 0.008, "beta_max": 0.999}


LINEAR = _linear(1000, 1e-4, 0.02)
SCALED = {"kind": "scaled-linear", "T": 1000, "beta_1": 0.00085, "beta_T": 0.012}
SIGMOID = {"kind": "sigmoid", "T": 1000, "beta_1": 1e-4, "beta_T": 0.02}
SCHEDULES = {
    "linear-T1000": LINEAR,
    "linear-T137": _linear(137, 1e-3, 0.14),
    "linear-T2": _linear(2, 0.0625, 0.3125),
    "linear-T1": _linear(1, 0.0625, 0.3125),
    "scaled-linear-T1000": SCALED,
    "scaled-linear-T137": {**SCALED, "T": 137, "beta_T": 0.1},
    "cosine-T1000": _cosine(1000),
    "cosine-T137": _cosine(137),
    "cosine-T2": _cosine(2),
    "sigmoid-T1000": SIGMOID,
    "sigmoid-T137": {**SIGMOID, "T": 137, "beta_T": 0.15},
    "constant-T1000": {"kind": "constant", "T": 1000, "beta": 0.005},
    "constant-T137": {"kind": "constant", "T": 137, "beta": 0.03},
}
RESCALED = {
    f"{name}-zero-snr": {**SCHEDULES[name], "zero_snr": True}
    for name in (
        "linear-T1000",
        "linear-T137",
        "linear-T2",
        "scaled-linear-T1000",
        "cosine-T137",
        "sigmoid-T137",
    )
}
LARGE = {
    "linear-T4000": _linear(4000, 2.5e-5, 0.005),
    "scaled-linear-T250": {**SCALED, "T": 250, "beta_T": 0.048},
    "cosine-T4000": _cosine(4000),
    "sigmoid-T250": {**SIGMOID, "T": 250},
    "constant-T1": {"kind": "constant", "T": 1, "beta": 0.25},
}


def spread(T, large):
    """The entries asked for: the first and last few, and some between; all if large."""
    if large:
        return list(range(T))
    ks = {0, 1, 2, T // 100, T // 20, *(i * T // 8 for i in range(1, 8))}
    return sorted(k for k in ks | {T - 3, T - 2, T - 1} if 0 <= k < T)


def schedules(large):
    """Every schedule that is asked about, by name."""
    return SCHEDULES | RESCALED | (LARGE if large else {})


def _cases(large):
    for name, schedule in schedules(large).items():
        yield Case(name, {"schedule": schedule, "k": spread(schedule["T"], large)})


def _plain_cases(large):
    """Of schedules that are not rescaled: their rescaling is a family of its own."""
    for case in _cases(large):
        if "zero_snr" not in case.problem["schedule"]:
            yield case


def _rescaled_cases(large):
    for case in _cases(large):
        if "zero_snr" in case.problem["schedule"]:
            yield case


def _noisy_cases(large):
    """Without the last entry of a rescaled schedule, where log SNR is minus infinity."""
    for case in _cases(large):
        schedule, k = case.problem["schedule"], case.problem["k"]
        if "zero_snr" in schedule:
            k = k[:-1]
        yield case._replace(problem={"schedule": schedule, "k": k})


def beta(p, m):
    """The variances themselves."""
    return {"beta": beta_of(p["schedule"], m)[p["k"]]}


def _beta_again(p, m):
    return {"beta": beta_again(p["schedule"], m)[p["k"]]}


def alpha_bar(p, m):
    """The product of 1 - beta."""
    return {"alpha_bar": alpha_bar_of(p["schedule"], m)[p["k"]]}


def _alpha_bar_again(p, m):
    return {"alpha_bar": signal_again(p["schedule"], m)[p["k"]] ** 2}


def alpha_bar_prev(p, m):
    """alpha_bar[k - 1], and 1 at k = 0."""
    return {"alpha_bar_prev": before(alpha_bar_of(p["schedule"], m), m)[p["k"]]}


def _alpha_bar_prev_again(p, m):
    """What alpha_bar was before its last factor."""
    schedule = p["schedule"]
    bar = signal_again(schedule, m) ** 2
    return {"alpha_bar_prev": (bar / (1 - beta_again(schedule, m)))[p["k"]]}


def noise_std(p, m):
    """sqrt(1 - alpha_bar)."""
    return {"noise_std": m.sqrt(1 - alpha_bar_of(p["schedule"], m)[p["k"]])}


def _noise_std_again(p, m):
    y = signal_again(p["schedule"], m)[p["k"]]
    return {"noise_std": m.sqrt((1 - y) * (1 + y))}


def snr(p, m):
    """alpha_bar / (1 - alpha_bar)."""
    bar = alpha_bar_of(p["schedule"], m)[p["k"]]
    return {"snr": bar / (1 - bar)}


def _snr_again(p, m):
    y = signal_again(p["schedule"], m)[p["k"]]
    return {"snr": y**2 / ((1 - y) * (1 + y))}


def log_snr(p, m):
    """log(alpha_bar / (1 - alpha_bar)), the whole of it: twice DPM-Solver's lambda."""
    bar = alpha_bar_of(p["schedule"], m)[p["k"]]
    return {"log_snr": m.log(bar / (1 - bar))}


def _log_snr_again(p, m):
    y = signal_again(p["schedule"], m)[p["k"]]
    return {"log_snr": 2 * m.log(y) - m.log(1 - y) - m.log(1 + y)}


def zero_snr(p, m):
    """alpha_bar and beta, rescaled."""
    schedule, k = p["schedule"], p["k"]
    return {
        "alpha_bar": alpha_bar_of(schedule, m)[k],
        "beta": beta_of(schedule, m)[k],
    }


def _zero_snr_again(p, m):
    """The betas by the difference of squares of sqrt(alpha_bar), factored."""
    y = signal_again(p["schedule"], m)
    last = before(y, m)
    beta = (last - y) * (last + y) / last**2
    return {"alpha_bar": y[p["k"]] ** 2, "beta": beta[p["k"]]}


def _family(name, source, asked, truth, again, cases, outputs=None):
    text = f"{asked} Asked at the entries k of the table, which count from 0."
    kinds = dict.fromkeys(outputs or (name,), "entry")
    return Family(name, "TABLE", "table", source, text, truth, again, cases, kinds)


FAMILIES = (
    _family(
        "beta",
        "Ho20 4; Nichol21 (17)",
        "The variances of a schedule's steps: linear, scaled-linear (linear in the root), "
        "cosine (capped at beta_max), sigmoid (of -6 to 6), constant.",
        beta,
        _beta_again,
        _plain_cases,
    ),
    _family(
        "alpha_bar",
        "Ho20 (4)",
        "The cumulative product of 1 - beta; with zero_snr, rescaled afterwards.",
        alpha_bar,
        _alpha_bar_again,
        _cases,
    ),
    _family(
        "alpha_bar_prev",
        "Ho20 (7)",
        "alpha_bar[k - 1], and 1 at k = 0.",
        alpha_bar_prev,
        _alpha_bar_prev_again,
        _plain_cases,
    ),
    _family(
        "noise_std",
        "Ho20 (4)",
        "sqrt(1 - alpha_bar).",
        noise_std,
        _noise_std_again,
        _cases,
    ),
    _family(
        "snr",
        "Kingma21 for the signal-to-noise ratio",
        "alpha_bar / (1 - alpha_bar).",
        snr,
        _snr_again,
        _cases,
    ),
    _family(
        "log_snr",
        "Kingma21 for the signal-to-noise ratio",
        "log(alpha_bar / (1 - alpha_bar)).",
        log_snr,
        _log_snr_again,
        _noisy_cases,
    ),
    _family(
        "zero_snr",
        "Lin24 Algorithm 1",
        "alpha_bar and beta of a schedule rescaled to a last alpha_bar of 0: "
        "sqrt(alpha_bar) is shifted, then scaled so that its first entry stays.",
        zero_snr,
        _zero_snr_again,
        _rescaled_cases,
        ("alpha_bar", "beta"),
    ),
)
