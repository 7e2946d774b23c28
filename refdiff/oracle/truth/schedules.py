"""Schedules at 50 digits, as libraries count: tables of T entries, k = 0..T-1.

Our t is k + 1. The formulas are the textbook's own; 50 digits need no better ones.
"""

import numpy as np


def beta_of(schedule, m):
    """The variances beta[0..T-1] of a schedule {"kind", "T", and its numbers}."""
    if not schedule.get("zero_snr"):
        return _beta(schedule, m)
    bar = alpha_bar_of(schedule, m)
    return 1 - bar / before(bar, m)


def _beta(schedule, m):
    """The same of a schedule that is not rescaled."""
    T, kind = schedule["T"], schedule["kind"]
    if kind == "constant":
        return _filled(T, m.number(schedule["beta"]) * 1, m)
    if kind == "cosine":
        return _cosine(
            T, m.number(schedule["s"]), m.number(schedule["beta_max"]) * 1, m
        )
    first, last = m.number(schedule["beta_1"]), m.number(schedule["beta_T"])
    if kind == "scaled-linear":
        root = _between(m.sqrt(first), m.sqrt(last), T, m)
        return root * root
    if kind == "sigmoid":
        x = _between(m.number(-6.0), m.number(6.0), T, m)
        return first + (last - first) / (1 + m.exp(-x))
    if kind == "linear":
        return _between(first, last, T, m)
    raise ValueError(f"unknown schedule {kind!r}")


def _filled(T, value, m):
    """T times the same number, rounded once."""
    table = m.number(np.zeros(T))
    table[:] = value
    return table


def _between(first, last, T, m):
    """T numbers evenly spaced from first to last, both included."""
    k = m.number(np.arange(float(T)))
    return first + k * ((last - first) / max(T - 1, 1))


def _cosine(T, s, beta_max, m):
    """1 - f(k+1)/f(k), at most beta_max;  f(k) = cos^2((k/T + s) / (1 + s) pi/2)."""
    k = m.number(np.arange(T + 1.0))
    f = [m.cos((t / T + s) / (1 + s) * m.pi / 2) ** 2 for t in k]
    return np.array([min(1 - f[i + 1] / f[i], beta_max) for i in range(T)])


def kept(name, schedule, m, make):
    """make(schedule, m), made once by each arithmetic, since many ask."""
    tables = m.__dict__.setdefault("tables", {})
    key = name, repr(sorted(schedule.items()))
    if key not in tables:
        tables[key] = make(schedule, m)
    return tables[key]


def alpha_bar_of(schedule, m):
    """The cumulative products of 1 - beta; {"zero_snr": True} rescales them after."""
    return kept("alpha_bar", schedule, m, _alpha_bar)


def _alpha_bar(schedule, m):
    """alpha_bar, by its definition."""
    bar = np.cumprod(_alpha(schedule, m))
    return zero_snr_of(bar, m) if schedule.get("zero_snr") else bar


def _alpha(schedule, m):
    """1 - beta, which in a constant schedule is rounded the same way at every step."""
    alpha = 1 - _beta(schedule, m)
    constant = schedule["kind"] == "constant"
    return _filled(len(alpha), alpha[0], m) if constant else alpha


def zero_snr_of(bar, m):
    """Shift sqrt(alpha_bar) so that it ends at 0, scale it so that the first stays."""
    root = m.sqrt(bar)
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return root * root


def before(bar, m):
    """alpha_bar one step nearer to the data: 1, and all but the last."""
    return np.concatenate([m.number(np.ones(1)), bar[:-1]])


def signal_again(schedule, m):
    """sqrt(alpha_bar) once more: e^(L/2), L the sum of the logarithms of 1 - beta."""
    return kept("signal", schedule, m, _signal_again)


def _signal_again(schedule, m):
    """Of a rescaled one as r_T (e^((L - L_T)/2) - 1), over what makes the first stay."""
    half = _half_log(schedule, m)
    if not schedule.get("zero_snr"):
        return m.exp(half)
    fall = m.expm1(half - half[-1])
    return m.exp(half[0]) * fall / fall[0]


def _half_log(schedule, m):
    """Half the logarithm of alpha_bar; of a constant schedule, a multiple of one."""
    if schedule["kind"] == "constant":
        k = m.number(np.arange(1.0, schedule["T"] + 1))
        return k * (m.log1p(-m.number(schedule["beta"]) * 1) / 2)
    return np.cumsum(m.log1p(-beta_again(schedule, m)) / 2)


def beta_again(schedule, m):
    """The variances by other formulas, of a schedule that is not rescaled."""
    T, kind = schedule["T"], schedule["kind"]
    if kind == "constant":
        return _filled(T, -m.expm1(m.log1p(-m.number(schedule["beta"]))), m)
    if kind == "cosine":
        return _cosine_again(schedule, m)
    first, last = m.number(schedule["beta_1"]), m.number(schedule["beta_T"])
    if kind == "sigmoid":
        half = m.number(np.arange(float(T))) * 6 / max(T - 1, 1) - 3
        share = (1 + m.tanh(half)) / 2
        return (1 - share) * first + share * last
    w = m.number(np.arange(float(T))) / max(T - 1, 1)
    middle = m.sqrt(first * last) if kind == "scaled-linear" else (first + last) / 2
    return (1 - w) ** 2 * first + 2 * w * (1 - w) * middle + w**2 * last


def _cosine_again(schedule, m):
    """sin(a + b) sin(a - b) / sin(a)^2, a and b the angles left before and after."""
    T, s = schedule["T"], m.number(schedule["s"])
    left = (T - m.number(np.arange(T + 1.0))) / T / (1 + s) * m.pi / 2
    a, b = left[:-1], left[1:]
    drop = m.sin(a + b) * m.sin(a - b) / m.sin(a) ** 2
    return np.minimum(drop, _filled(T, m.number(schedule["beta_max"]) * 1, m))


def timesteps_of(T, N, spacing):
    """The N visited k, falling; integer arithmetic, halves to even. All start at k >= 0.

    leading: i (T // N); trailing: round(T - i T/N) - 1; linspace: round of even spacing
    """
    if spacing == "leading":
        return [i * (T // N) for i in reversed(range(N))]
    if spacing == "trailing":
        return [_round(T * (N - i), N) - 1 for i in range(N)]
    if spacing == "linspace":
        steps = [_round(i * (T - 1), N - 1) for i in range(N)] if N > 1 else [0]
        return steps[::-1]
    raise ValueError(f"unknown spacing {spacing!r}")


def _round(a, b):
    """The integer nearest to a / b, halves to the even one."""
    whole, left = divmod(a, b)
    return whole + (2 * left > b or (2 * left == b and whole % 2))
