"""Diffusions in continuous time at 50 digits: VP, VE and sub-VP.

dx = a(t) x dt + g(t) dw on 0..1, x_t = signal x0 + noise eps. VP and sub-VP have
beta(t) = beta_min + t (beta_max - beta_min), B(t) its integral from 0; VE has
sigma(t) = sigma_min (sigma_max / sigma_min)^t.
"""

import numpy as np

from refdiff.oracle.truth.family import Case, Family

SDES = {
    "vp": {"kind": "vp", "beta_min": 0.1, "beta_max": 20.0},
    "vp-slow": {"kind": "vp", "beta_min": 0.3, "beta_max": 7.0},
    "ve": {"kind": "ve", "sigma_min": 0.01, "sigma_max": 50.0},
    "sub-vp": {"kind": "sub-vp", "beta_min": 0.1, "beta_max": 20.0},
}
TIMES = [0.0, 1e-5, 1e-3, 0.0625, 0.25, 0.4375, 0.75, 1.0]


def _numbers(sde, m):
    """The two numbers of a process; a program of low precision rounds them."""
    return [m.number(sde[k]) * 1 for k in sde if k != "kind"]


def beta_B(sde, t, m):
    """beta(t) and its integral from 0."""
    low, high = _numbers(sde, m)
    return low + t * (high - low), t * low + t * t * (high - low) / 2


def marginal(sde, t, m):
    """(signal, noise) at time t, a number or an array."""
    if sde["kind"] == "ve":
        low, high = _numbers(sde, m)
        return 1 + 0 * t, low * m.exp(t * m.log(high / low))
    _, B = beta_B(sde, t, m)
    var = gone(B, m)
    return m.exp(-B / 2), m.sqrt(var) if sde["kind"] == "vp" else var


def gone(B, m):
    """1 - e^-B as most programs have it, which loses digits near 0 but is 0 there."""
    return np.where(B == 0, 0 * B, 1 - m.exp(-B))[()]


def coefficients(sde, t, m):
    """a(t) and g(t)^2."""
    if sde["kind"] == "ve":
        low, high = _numbers(sde, m)
        sigma = low * m.exp(t * m.log(high / low))
        return 0 * t, sigma * sigma * (2 * m.log(high / low))
    beta, B = beta_B(sde, t, m)
    return -beta / 2, beta * (1 if sde["kind"] == "vp" else gone(2 * B, m))


def marginal_again(sde, t, m):
    """The same by signal^2 + noise^2 = 1 (VP) and signal^2 + noise = 1 (sub-VP)."""
    if sde["kind"] == "ve":
        low, high = _numbers(sde, m)
        return 1 + 0 * t, m.exp((1 - t) * m.log(low) + t * m.log(high))
    low, high = _numbers(sde, m)
    signal = m.exp(-t * (low + (low + t * (high - low))) / 4)  # by beta's mean
    var = np.where(t == 0, 0 * t, (1 - signal) * (1 + signal))[()]
    return signal, m.sqrt(var) if sde["kind"] == "vp" else var


def coefficients_again(sde, t, m):
    """By moments: a = signal'/signal, g^2 = (noise^2)' - 2 a noise^2, derivatives by hand.

    VE: g^2 = d sigma^2/dt, as a difference of both ends' logarithms
    sub-VP: noise = 1 - e^-B, so (noise^2)' = 2 noise beta e^-B
    """
    if sde["kind"] == "ve":
        low, high = _numbers(sde, m)
        rate = m.log(high) - m.log(low)
        return 0 * t, 2 * rate * m.exp(2 * (m.log(low) + rate * t))
    low, high = _numbers(sde, m)
    beta = (1 - t) * low + t * high
    signal, noise = marginal_again(sde, t, m)
    if sde["kind"] == "vp":
        return -beta / 2, beta * signal * signal + beta * noise * noise
    return -beta / 2, 2 * noise * beta * signal**2 + beta * noise * noise


def table(f, *names):
    """A family's answer from f(sde, t, m), one output a name."""

    def answer(p, m):
        values = f(p["sde"], p["t"], m)
        return dict(zip(names, values, strict=True))

    return answer


def log_snr(sde, t, m):
    """log(signal^2 / noise^2)."""
    signal, noise = marginal(sde, t, m)
    return (2 * m.log(signal / noise),)


def log_snr_again(sde, t, m):
    """The same; VP: -log(e^B - 1)."""
    if sde["kind"] == "vp":
        return (-m.log(m.exp(beta_B(sde, t, m)[1]) - 1),)
    signal, noise = marginal_again(sde, t, m)
    return (m.log(signal * signal) - m.log(noise * noise),)


def label(p, m):
    """Nearest integer to t (T - 1)."""
    return {"label": [int(float(t) * (p["T"] - 1) + 0.5) for t in p["t"]]}


def label_again(p, m):
    """The integer k for which t (T-1) is within 1/2 of it."""
    ks = np.arange(p["T"])
    at = [float(t) * (p["T"] - 1) for t in p["t"]]
    return {"label": [int(abs(ks - v).argmin()) for v in at]}


def drift(share):
    """A family's answer a x - share g^2 score: 1 for the reverse SDE, 1/2 for the flow."""

    def answer(p, m):
        a, g2 = coefficients(p["sde"], p["t"] * 1, m)
        return {"drift": a * p["x"] - g2 * share(m) * p["score"]}

    def again(p, m):
        a, g2 = coefficients_again(p["sde"], p["t"] * 1, m)
        return {"drift": a * p["x"] - share(m) * (g2 * p["score"])}

    return answer, again


def whole(m):
    """All of g^2."""
    return m.number(1.0)


def half(m):
    """Half of g^2."""
    return m.number(0.5)


def _table_cases(times):
    def cases(large):
        for name, sde in SDES.items():
            yield Case(name, {"sde": sde, "t": times})

    return cases


def _drift_cases(large):
    inputs = {
        "x": [[1.25, -0.625], [-0.4375, 2.125]],
        "score": [[0.5625, -1.1875], [0.8125, 0.3125]],
    }
    for name, sde in SDES.items():
        for t in TIMES[1:]:
            yield Case(f"{name}/t{t:g}", {"sde": sde, "t": t}, inputs)


def _labels(large):
    for T in (1000, 137):
        times = [1.0, 0.8759375, 0.5005, 0.3, 0.1234, 0.001, 0.0]
        yield Case(f"T{T}", {"T": T, "t": times})


NOTE = (
    "sde: vp (beta linear on 0..1 from beta_min to beta_max), sub-vp (the same) or ve "
    "(sigma geometric from sigma_min to sigma_max, and noise = sigma(t), so that it is "
    "sigma_min at t = 0); dx = a x dt + g dw."
)
ENTRY = {
    "signal": "entry",
    "noise": "entry",
    "a": "entry",
    "g2": "entry",
    "log_snr": "entry",
}
FAMILIES = (
    Family(
        "sde_marginal",
        "TABLE",
        "table",
        "Song21 (29)-(31)",
        f"signal and noise of x_t = signal x0 + noise eps at each of t. {NOTE}",
        table(marginal, "signal", "noise"),
        table(marginal_again, "signal", "noise"),
        _table_cases(TIMES),
        ENTRY,
    ),
    Family(
        "sde_coefficients",
        "TABLE",
        "table",
        "Song21 (9), (11), (28)",
        f"a, the rate of the drift, and g2 = g^2 at each of t. {NOTE}",
        table(coefficients, "a", "g2"),
        table(coefficients_again, "a", "g2"),
        _table_cases(TIMES),
        ENTRY,
    ),
    Family(
        "sde_log_snr",
        "TABLE",
        "table",
        "Kingma21 for log SNR",
        f"log(signal^2 / noise^2) at each of t. {NOTE}",
        table(log_snr, "log_snr"),
        table(log_snr_again, "log_snr"),
        _table_cases(TIMES[1:]),
        ENTRY,
    ),
    Family(
        "time_label",
        "TABLE",
        "table",
        "Song21 C for the discrete models",
        "The integer that a model trained on k = 0..T-1 is told at each of t in 0..1: "
        "t (T - 1), to the nearest.",
        label,
        label_again,
        _labels,
        {"label": "exact"},
    ),
    Family(
        "reverse_drift",
        "STEP",
        "step",
        "Song21 (6)",
        f"The drift of the reverse SDE at time t, given the score at x. {NOTE}",
        *drift(whole),
        _drift_cases,
        affine=("x", "score"),
    ),
    Family(
        "flow_drift",
        "STEP",
        "step",
        "Song21 (13)",
        f"The drift of the probability flow at time t, given the score at x. {NOTE}",
        *drift(half),
        _drift_cases,
        affine=("x", "score"),
    ),
)
