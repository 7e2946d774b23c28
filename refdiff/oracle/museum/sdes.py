"""Wrong processes in continuous time: tables, and what is made of them."""

import numpy as np

from refdiff.oracle.museum.drifts import sampler
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.likelihood import flow_loglik
from refdiff.oracle.truth.sdes import (
    beta_B,
    coefficients,
    gone,
    half,
    log_snr,
    marginal,
    table,
    whole,
)

GITHUB = "https://github.com/"


def only(kind, f):
    """A wrong f(sde, t, m) of one kind of process."""

    def wrong(sde, t, m):
        if sde["kind"] not in kind:
            raise ValueError(f"only of {kind}")
        return f(sde, t, m)

    return wrong


def _marginal(kind, f):
    return {"sde_marginal": table(only(kind, f), "signal", "noise")}


def _rates(kind, f):
    """The families that are wrong where a(t) and g(t)^2 are."""
    f = only(kind, f)

    def drifts(share):
        def wrong(p, m):
            a, g2 = f(p["sde"], p["t"] * 1, m)
            return {"drift": a * p["x"] - share * g2 * p["score"]}

        return wrong

    return {
        "sde_coefficients": table(f, "a", "g2"),
        "reverse_drift": drifts(1.0),
        "flow_drift": drifts(0.5),
        "reverse_sde_sampler": sampler(whole, True, f),
        "flow_ode_sampler": sampler(half, False, f),
    }


def _ve_by_sigma(sde, t, m):
    return 0 * t, marginal(sde, t, m)[1] ** 2


def _deviation(sde, t, m):
    a, g2 = coefficients(sde, t, m)
    return a, m.sqrt(g2)


def _one_draw(sde, t, m):
    """SDE-10: g is another normal number at each call; here one of them."""
    a, g2 = coefficients(sde, t, m)
    return a, g2 * m.number(1.4375) ** 2


def _drift_without_half(sde, t, m):
    a, g2 = coefficients(sde, t, m)
    return 2 * a, g2


def _not_rooted(sde, t, m):
    signal, noise = marginal(sde, t, m)
    return signal, noise * noise


def _vps(sde, t, m):
    return marginal(sde | {"kind": "vp"}, t, m)


def _vps_rates(sde, t, m):
    return coefficients(sde | {"kind": "vp"}, t, m)


def _single_B(sde, t, m):
    beta, B = beta_B(sde, t, m)
    return -beta / 2, beta * gone(B, m)


def _whole_B(sde, t, m):
    """Signal e^-B, whose square is short by another e^-B."""
    signal, noise = marginal(sde, t, m)
    return signal * signal, noise


def _slope_not_halved(sde, t, m):
    low, high = (m.number(sde[k]) for k in ("beta_min", "beta_max"))
    B = t * low + t * t * (high - low)
    var = gone(B, m)
    return m.exp(-B / 2), m.sqrt(var) if sde["kind"] == "vp" else var


def _from_zero(sde, t, m):
    low, noise = m.number(sde["sigma_min"]), marginal(sde, t, m)[1]
    var = np.where(t == 0, 0 * t, noise * noise - low * low)[()]
    return 1 + 0 * t, m.sqrt(var)


def _log_snr_from_zero(sde, t, m):
    signal, noise = _from_zero(sde, t, m)
    return (2 * m.log(signal / noise),)


def _flow_from_zero(p, m):
    return flow_loglik(p, m, only(("ve",), _from_zero))


def _time_reversed(sde, t, m):
    return (log_snr(sde, t, m)[0][::-1],)


def _half_log_snr(sde, t, m):
    return (log_snr(sde, t, m)[0] / 2,)


def _unrounded(p, m):
    return {"label": [float(t) * (p["T"] - 1) for t in p["t"]]}


def _cut(p, m):
    return {"label": [int(float(t) * (p["T"] - 1)) for t in p["t"]]}


def _times_T(p, m):
    return {"label": [int(float(t) * p["T"] + 0.5) for t in p["t"]]}


def _log_snr(f):
    return {"sde_log_snr": table(f, "log_snr")}


def _synthetic(name, families, wrong, right, tier="STEP"):
    return Exhibit(f"SYN-{name}", families, wrong, right, "", "synthetic", tier)


BETAS = ("vp", "sub-vp")
FROM_ZERO = {
    **_marginal(("ve",), _from_zero),
    **_log_snr(only(("ve",), _log_snr_from_zero)),
    "gaussian_flow_loglik": _flow_from_zero,
}
EXHIBITS = (
    Exhibit(
        "SDE-02",
        _rates(("ve",), _ve_by_sigma),
        "g = sigma(t)",
        "g = sigma(t) sqrt(2 log(sigma_max / sigma_min))",
        GITHUB + "deepinv/deepinv/issues/775",
        "A",
        "TABLE",
    ),
    Exhibit(
        "SDE-10",
        {"sde_coefficients": table(_one_draw, "a", "g2")},
        "g times a fresh normal number (here one draw, 1.4375)",
        "g, the same at every call",
        GITHUB + "eje24/iap-diffusion-labs/pull/28",
        "A",
        "TABLE",
    ),
    Exhibit(
        "SDE-11",
        {"time_label": _unrounded},
        "t (T - 1), such as 500.1, for a model trained on integers",
        "rounded to the nearest integer",
        GITHUB + "yang-song/score_sde_pytorch/issues/2",
        "A",
        "TABLE",
    ),
    Exhibit(
        "SCH-10",
        _log_snr(_time_reversed),
        "time axis reversed: log SNR rises with t",
        "log SNR falls with t",
        GITHUB + "bayesflow-org/bayesflow/pull/560",
        "A",
        "TABLE",
    ),
    Exhibit(
        "log_snr=half",
        _log_snr(_half_log_snr),
        "log(signal / noise), which DPM-Solver calls lambda",
        "log(signal^2 / noise^2)",
        "https://arxiv.org/abs/2206.00927",
        "convention",
        "TABLE",
    ),
    Exhibit(
        "ve_noise=from_zero",
        FROM_ZERO,
        "noise^2 = sigma(t)^2 - sigma_min^2, so that t = 0 has none; samplers are given "
        "a model of the other noise, which it does not concern",
        "noise = sigma(t)",
        "",
        "convention",
        "TABLE",
    ),
    _synthetic(
        "g-for-g2", _rates(("vp", "ve", "sub-vp"), _deviation), "g", "g^2", "TABLE"
    ),
    _synthetic(
        "drift-beta",
        _rates(BETAS, _drift_without_half),
        "drift -beta x",
        "drift -beta/2 x",
        "TABLE",
    ),
    _synthetic(
        "sub-vp-noise-of-vp",
        _marginal(("sub-vp",), _vps),
        "noise sqrt(1 - e^-B)",
        "noise 1 - e^-B",
        "TABLE",
    ),
    _synthetic(
        "sub-vp-noise-squared",
        _marginal(("sub-vp",), _not_rooted),
        "noise (1 - e^-B)^2",
        "noise 1 - e^-B",
        "TABLE",
    ),
    _synthetic(
        "vp-noise-squared",
        _marginal(("vp",), _not_rooted),
        "noise 1 - e^-B",
        "noise sqrt(1 - e^-B)",
        "TABLE",
    ),
    _synthetic(
        "sub-vp-g-of-vp",
        _rates(("sub-vp",), _vps_rates),
        "g^2 = beta",
        "g^2 = beta (1 - e^-2B)",
        "TABLE",
    ),
    _synthetic(
        "sub-vp-g-single",
        _rates(("sub-vp",), _single_B),
        "g^2 = beta (1 - e^-B)",
        "g^2 = beta (1 - e^-2B)",
        "TABLE",
    ),
    _synthetic(
        "signal-e-B", _marginal(BETAS, _whole_B), "signal e^-B", "e^(-B/2)", "TABLE"
    ),
    _synthetic(
        "B-not-halved",
        _marginal(BETAS, _slope_not_halved),
        "B = t beta_min + t^2 (beta_max - beta_min)",
        "t^2/2",
        "TABLE",
    ),
    _synthetic("label-cut", {"time_label": _cut}, "cut off", "rounded", "TABLE"),
    _synthetic("label-T", {"time_label": _times_T}, "t T", "t (T - 1)", "TABLE"),
)
