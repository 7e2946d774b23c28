"""Wrong weights of losses, and a wrongly wrapped network."""

import numpy as np

from refdiff.oracle.museum.machine import over
from refdiff.oracle.museum.schedules import real, synthetic
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.tables import log_snr, snr
from refdiff.oracle.truth.weights import (
    logit_normal_weight,
    loss_weight,
    snr_of,
    x0_weight,
)


def _only(p, **wanted):
    """Refuse problems that differ from what is wanted."""
    if any(p[key] != value for key, value in wanted.items()):
        raise ValueError


def _numbers(values):
    return {"weight": np.array(list(values))}


def _snr_plus_1_bounded(p, m):
    _only(p, kind="min-snr", target="v")
    g = p["gamma"]
    return _numbers(min(snr + 1, g) / (snr + 1) for snr in snr_of(p, m)[0])


def _zero_over_zero(p, m):
    _only(p, kind="min-snr", target="eps")
    snr, _ = snr_of(p, m)
    return {"weight": over(np.array([min(s, p["gamma"]) for s in snr]), snr, m)}


def _stale(truth):
    """What a family answers of the table before it was rescaled."""

    def wrong(p, m):
        if not p["schedule"].get("zero_snr"):
            raise ValueError
        return truth({**p, "schedule": {**p["schedule"], "zero_snr": False}}, m)

    return wrong


def _precedence(p, m):
    _only(p, kind="elbo", target="x0")
    bar = alpha_bar_of(p["schedule"], m)[p["k"]]
    return {"weight": m.sqrt(bar) / 2 / (2 * 1 - bar)}


def _precedence_mended(p, m):
    _only(p, kind="elbo", target="x0")
    bar = alpha_bar_of(p["schedule"], m)[p["k"]]
    return {"weight": m.sqrt(bar) / 2 / (2 * (1 - bar))}


def _of_targets(change):
    """change(weight of x0, SNR) for one target, where it has one."""

    def wrong(p, m):
        if p["kind"] == "simple":
            raise ValueError
        pairs = zip(*snr_of(p, m), strict=True)
        return _numbers(
            change(x0_weight(now, prev, p), now, p["target"]) for now, prev in pairs
        )

    return {"loss_weight": wrong}


def _same_for_all(weight, snr, target):
    return weight


def _v_like_eps(weight, snr, target):
    if target != "v":
        raise ValueError
    return weight / snr


def _v_squared(weight, snr, target):
    if target != "v":
        raise ValueError
    return weight / (snr + 1) ** 2


def _root_snr(weight, snr, target):
    if target != "eps":
        raise ValueError
    return weight / snr**0.5


def _bounded_below(p, m):
    _only(p, kind="min-snr", target="x0")
    return _numbers(max(snr, p["gamma"]) for snr in snr_of(p, m)[0])


def _truncated_above(p, m):
    _only(p, kind="truncated-snr", target="x0")
    return _numbers(min(snr, m.number(1.0)) for snr in snr_of(p, m)[0])


def _without_half(p, m):
    _only(p, kind="elbo")
    return {"weight": 2 * loss_weight(p, m)["weight"]}


def _fall_to_the_next(p, m):
    _only(p, kind="elbo", target="x0")
    bar = alpha_bar_of(p["schedule"], m)
    snr = np.concatenate([bar / (1 - bar), m.number(np.zeros(1))])
    return _numbers((snr[k] - snr[k + 1]) / 2 for k in p["k"])


def _ratio_of_snr(p, m):
    _only(p, kind="elbo", target="x0")
    now, prev = snr_of(p, m)
    return {"weight": prev / (2 * now) - m.number(0.5)}


def _fresh_draw(p, m):
    draws = m.number([0.49, -1.32, 0.81, -0.27, 1.64, -0.66])  # any
    return {"weight": 1 / (1 + m.exp(-(p["mean"] + p["std"] * draws)))}


def _without_jacobian(p, m):
    t = p["t"]
    return {"weight": logit_normal_weight(p, m)["weight"] * t * (1 - t)}


def _variance_for_std(p, m):
    return logit_normal_weight({**p, "std": p["std"] ** 2}, m)


def _unnormalised(p, m):
    return {"weight": logit_normal_weight(p, m)["weight"] * m.sqrt(2 * m.pi)}


EXHIBITS = (
    real(
        "LOS-01",
        {"loss_weight": _snr_plus_1_bounded},
        "min(SNR + 1, gamma) / (SNR + 1) for v",
        "min(SNR, gamma) / (SNR + 1)",
        "github.com/huggingface/diffusers/pull/6307",
        "A",
    ),
    real(
        "LOS-03",
        {"loss_weight": _zero_over_zero},
        "min(SNR, gamma) / SNR is 0/0 at zero terminal SNR",
        "its limit, 1",
        "github.com/TiankaiHang/Min-SNR-Diffusion-Training/pull/4",
        "A",
    ),
    real(
        "SCH-12",
        {
            "loss_weight": _stale(loss_weight),
            "snr": _stale(snr),
            "log_snr": _stale(log_snr),
        },
        "SNR kept from before the table was rescaled to zero terminal SNR",
        "SNR of the table in use",
        "github.com/kohya-ss/sd-scripts/issues/1263",
        "B",
    ),
    real(
        "LOS-04",
        {"loss_weight": _precedence},
        "sqrt(ab) / 2 / (2 * 1 - ab): operator precedence",
        "(SNR[k-1] - SNR[k]) / 2",
        "github.com/CompVis/stable-diffusion/pull/907",
        "B",
    ),
    real(
        "LOS-04-mended",
        {"loss_weight": _precedence_mended},
        "sqrt(ab) / 2 / (2 (1 - ab)): precedence mended, not the bound's weight either",
        "(SNR[k-1] - SNR[k]) / 2",
        "github.com/CompVis/stable-diffusion/pull/907",
        "B",
    ),
    real(
        "LOS-05",
        {"logit_normal_weight": _fresh_draw},
        "a fresh logit-normal draw for a weight",
        "the density at the t that was drawn",
        "github.com/huggingface/diffusers/pull/8528",
        "A",
    ),
    synthetic(
        "weight-of-x0", _of_targets(_same_for_all), "x0's weight", "the target's"
    ),
    synthetic("v-over-snr", _of_targets(_v_like_eps), "w / SNR for v", "w / (SNR + 1)"),
    synthetic("v-squared", _of_targets(_v_squared), "w / (SNR + 1)^2", "w / (SNR + 1)"),
    synthetic("eps-root", _of_targets(_root_snr), "w / sqrt(SNR)", "w / SNR"),
    synthetic("max-snr", {"loss_weight": _bounded_below}, "max(SNR, g)", "min(SNR, g)"),
    synthetic("min-snr-1", {"loss_weight": _truncated_above}, "min(SNR, 1)", "max"),
    synthetic("elbo-half", {"loss_weight": _without_half}, "the fall", "half of it"),
    synthetic(
        "elbo-next", {"loss_weight": _fall_to_the_next}, "to k + 1", "from k - 1"
    ),
    synthetic(
        "elbo-ratio",
        {"loss_weight": _ratio_of_snr},
        "(SNR[k-1] / SNR[k] - 1) / 2, eps's weight",
        "(SNR[k-1] - SNR[k]) / 2",
    ),
    synthetic(
        "logit-jacobian",
        {"logit_normal_weight": _without_jacobian},
        "density of the logit",
        "of t: over t (1 - t)",
    ),
    synthetic(
        "logit-variance", {"logit_normal_weight": _variance_for_std}, "std^2", "std"
    ),
    synthetic(
        "logit-norm", {"logit_normal_weight": _unnormalised}, "no sqrt(2 pi)", "with it"
    ),
)
