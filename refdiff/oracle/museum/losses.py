"""Wrong losses."""

import numpy as np

from refdiff.oracle.museum.descent import slip
from refdiff.oracle.truth import losses
from refdiff.oracle.truth.family import Exhibit


def _changed(of, change):
    """The loss whose input, target and weight are changed."""

    def parts(p, m):
        return change(p, m, *of(p, m))

    return losses.loss_by(parts)


def _turned(p, m, x, y, weight):
    return x, -y, weight


def _other_sign_of_v(p, m, x, y, weight):
    if p["target"] != "v":
        raise ValueError
    return x, -y, weight


def _snr_plus_1(p, m, x, y, weight):
    if p["target"] != "v" or p["weight"] != "min-snr":
        raise ValueError
    signal, noise = losses.levels(p, m)
    snr = (signal / noise) ** 2
    return x, y, np.frompyfunc(lambda s: min(s + 1, p["gamma"]), 1, 1)(snr) / (snr + 1)


def _no_weight(p, m, x, y, weight):
    return x, y, weight / weight


def _unweighted_discrete(p, m, x, y, weight):
    if p["weight"] == "simple":
        raise ValueError
    return x, y, weight / weight


def _of_x0(p, m, x, y, weight):
    if p["weight"] == "simple" or p["target"] == "x0":
        raise ValueError
    signal, noise = losses.levels(p, m)
    return (
        x,
        y,
        np.frompyfunc(lambda s: min(s, p["gamma"]), 1, 1)((signal / noise) ** 2),
    )


def _next_time(p, m, x, y, weight):
    times = [m.number(float(k) + 1) / p["schedule"]["T"] for k in p["k"]]
    return losses.with_time(x[:, :2], times, m), y, weight


def _level_before(p, m):
    if min(p["k"]) == 0:
        raise ValueError
    x, y, weight = losses.discrete({**p, "k": [k - 1 for k in p["k"]]}, m)
    return x, y, weight


def _variance_for_std(p, m, x, y, weight):
    signal, noise = losses.levels(p, m)
    return (
        np.concatenate([signal * p["x0"] + noise**2 * p["eps"], x[:, 2:]], axis=1),
        y,
        weight,
    )


def _twice(p, m, x, y, weight):
    return x, y, weight * 2


def _mean_of_all(of):
    """The mean over rows and coordinates."""
    return _changed(of, lambda p, m, x, y, weight: (x, y, weight / 2))


def _unsquared_sigma(p, m, x, y, weight):
    return x, y * x[:, 2:], weight


def _whole_target(p, m, x, y, weight):
    return x, p["eps"], weight


def _discrete(change):
    return {"denoising_loss": _changed(losses.discrete, change)}


EVERY = {
    "denoising_loss": losses.discrete,
    "score_matching_loss": losses.score_matching,
    "flow_loss": losses.flow,
}
EXHIBITS = (
    slip(
        "LOS-07",
        {"score_matching_loss": _changed(losses.score_matching, _turned)},
        "the score's target eps / sigma, an inverted energy",
        "-eps / sigma",
        "A",
        "https://github.com/soran-ghaderi/torchebm/pull/333",
    ),
    slip(
        "LOS-01-loss",
        _discrete(_snr_plus_1),
        "min(SNR + 1, gamma) / (SNR + 1) in the loss of v",
        "min(SNR, gamma) / (SNR + 1)",
        "A",
        "https://github.com/huggingface/diffusers/pull/6307",
    ),
    slip(
        "SYN-loss-v-sign",
        _discrete(_other_sign_of_v),
        "v = noise x0 - signal eps",
        "signal eps - noise x0",
    ),
    slip(
        "SYN-loss-unweighted",
        _discrete(_unweighted_discrete),
        "weight 1",
        "the weight asked for",
    ),
    slip(
        "SYN-loss-weight-of-x0",
        _discrete(_of_x0),
        "min(SNR, gamma), the weight of x0",
        "over the target's own SNR",
    ),
    slip(
        "SYN-loss-time-late", _discrete(_next_time), "the network told (k + 1)/T", "k/T"
    ),
    slip(
        "SYN-loss-level-early",
        {"denoising_loss": losses.loss_by(_level_before)},
        "alpha_bar[k - 1]",
        "alpha_bar[k]",
    ),
    slip("SYN-loss-variance", _discrete(_variance_for_std), "noise^2 eps", "noise eps"),
    slip(
        "SYN-loss-eps-always",
        _discrete(_whole_target),
        "eps for a target, whatever is asked",
        "the target asked for",
    ),
    slip(
        "SYN-loss-twice",
        {k: _changed(of, _twice) for k, of in EVERY.items()},
        "twice the loss",
        "no factor beside the weight",
    ),
    slip(
        "SYN-dsm-no-sigma",
        {"score_matching_loss": _changed(losses.score_matching, _unsquared_sigma)},
        "target -eps",
        "-eps / sigma",
    ),
    slip(
        "SYN-dsm-unweighted",
        {"score_matching_loss": _changed(losses.score_matching, _no_weight)},
        "weight 1",
        "sigma^2 / 2",
    ),
    slip(
        "SYN-flow-turned",
        {"flow_loss": _changed(losses.flow, _turned)},
        "x0 - eps",
        "eps - x0",
    ),
    Exhibit(
        "loss_reduction=mean",
        {k: _mean_of_all(of) for k, of in EVERY.items()},
        "the mean over rows and coordinates",
        "the sum over coordinates, the mean over rows",
        "",
        "convention",
        "LAW",
    ),
)
