"""Wrong tables of a right beta: products, indices, noise, SNR, rescaling."""

import numpy as np

from refdiff.oracle.museum.machine import bfloat16, over
from refdiff.oracle.museum.schedules import made_of, real, synthetic
from refdiff.oracle.truth.grids import karras_log_snr
from refdiff.oracle.truth.schedules import alpha_bar_of, before, beta_of

LUCIDRAINS = "github.com/lucidrains/denoising-diffusion-pytorch/"


def _not_multiplied(schedule, m):
    return 1 - beta_of(schedule, m)


def _summed(schedule, m):
    return 1 - np.cumsum(beta_of(schedule, m))


def _one_late(schedule, m):
    return before(alpha_bar_of(schedule, m), m)


def _in_bfloat16(schedule, m):
    return bfloat16(alpha_bar_of(schedule, m), m)


def _prev_padded_right(p, m):
    bar = alpha_bar_of(p["schedule"], m)
    padded = np.concatenate([bar[:-1], m.number(np.ones(1))])
    return {"alpha_bar_prev": padded[p["k"]]}


def _prev_is_next(p, m):
    bar = alpha_bar_of(p["schedule"], m)
    padded = np.concatenate([bar[1:], m.number(np.ones(1))])
    return {"alpha_bar_prev": padded[p["k"]]}


def _prev_padded_first(p, m):
    bar = alpha_bar_of(p["schedule"], m)
    return {"alpha_bar_prev": np.concatenate([bar[:1], bar[:-1]])[p["k"]]}


def _noise_not_rooted(p, m):
    return {"noise_std": 1 - alpha_bar_of(p["schedule"], m)[p["k"]]}


def _noise_of_signal(p, m):
    return {"noise_std": 1 - m.sqrt(alpha_bar_of(p["schedule"], m)[p["k"]])}


def _snr(p, m):
    bar = alpha_bar_of(p["schedule"], m)[p["k"]]
    return over(bar, 1 - bar, m)


def _snr_rooted(p, m):
    return {"snr": m.sqrt(_snr(p, m))}


def _snr_inverted(p, m):
    return {"snr": over(m.number(np.ones(len(p["k"]))), _snr(p, m), m)}


def _snr_without_noise(p, m):
    return {"snr": alpha_bar_of(p["schedule"], m)[p["k"]]}


def _half_log_snr(p, m):
    return {"log_snr": m.log(_snr(p, m)) / 2}


def _half_karras(p, m):
    return {"log_snr": karras_log_snr(p, m)["log_snr"] / 2}


def _minus_log_snr(p, m):
    return {"log_snr": -m.log(_snr(p, m))}


def _log10_snr(p, m):
    return {"log_snr": m.log(_snr(p, m)) / m.log(m.number(10.0))}


def _rescaled(change):
    """alpha_bar and beta from change(bar, root, m), the table that should be rescaled."""

    def wrong(p, m):
        bar = alpha_bar_of({**p["schedule"], "zero_snr": False}, m)
        table = change(bar, m.sqrt(bar), m)
        beta = 1 - over(table, before(table, m), m)
        return {"alpha_bar": table[p["k"]], "beta": beta[p["k"]]}

    return {"zero_snr": wrong}


def _shift_only(bar, root, m):
    return (root - root[-1]) ** 2


def _shifted_without_root(bar, root, m):
    return (bar - bar[-1]) * bar[0] / (bar[0] - bar[-1])


def _scaled_to_1(bar, root, m):
    return ((root - root[-1]) / (root[0] - root[-1])) ** 2


def _not_squared_back(bar, root, m):
    return (root - root[-1]) * root[0] / (root[0] - root[-1])


def _last_set_to_0(bar, root, m):
    return np.concatenate([bar[:-1], 0 * bar[-1:]])


EXHIBITS = (
    real(
        "IDX-01",
        {"alpha_bar_prev": _prev_padded_right},
        "1 appended on the right: alpha_bar_prev is alpha_bar itself, and ends in 1",
        "1 on the left, all but the last after it",
        LUCIDRAINS + "issues/18",
        "A",
    ),
    real(
        "NUM-02",
        made_of(_in_bfloat16),
        "alpha_bar kept in bfloat16: 0.9999 becomes 1, its noise 0",
        "tables in float32 or better",
        "github.com/huggingface/diffusers/pull/4254",
        "A",
    ),
    real(
        "log_snr=half",
        {"log_snr": _half_log_snr, "karras_log_snr": _half_karras},
        "log(signal / noise), which DPM-Solver calls lambda",
        "log(signal^2 / noise^2)",
        "arxiv.org/abs/2206.00927",
        "convention",
    ),
    synthetic(
        "no-product", made_of(_not_multiplied), "alpha for alpha_bar", "its product"
    ),
    synthetic("sum", made_of(_summed), "1 - sum of beta", "product of 1 - beta"),
    synthetic("one-late", made_of(_one_late), "alpha_bar[k - 1]", "alpha_bar[k]"),
    synthetic(
        "prev-is-next", {"alpha_bar_prev": _prev_is_next}, "of k + 1", "of k - 1"
    ),
    synthetic(
        "prev-first",
        {"alpha_bar_prev": _prev_padded_first},
        "alpha_bar[0] before the first entry",
        "1 before the first entry",
    ),
    synthetic(
        "noise-variance", {"noise_std": _noise_not_rooted}, "1 - ab", "sqrt(1 - ab)"
    ),
    synthetic(
        "noise-of-signal", {"noise_std": _noise_of_signal}, "1 - sqrt(ab)", "sqrt(1-ab)"
    ),
    synthetic("snr-root", {"snr": _snr_rooted}, "signal / noise", "its square"),
    synthetic("snr-inverse", {"snr": _snr_inverted}, "(1 - ab) / ab", "ab / (1 - ab)"),
    synthetic("snr-signal", {"snr": _snr_without_noise}, "ab", "ab / (1 - ab)"),
    synthetic("log-snr-sign", {"log_snr": _minus_log_snr}, "-log SNR", "log SNR"),
    synthetic("log-snr-10", {"log_snr": _log10_snr}, "log10", "natural logarithm"),
    synthetic(
        "zero-snr-shift", _rescaled(_shift_only), "shifted alone", "and scaled back"
    ),
    synthetic(
        "zero-snr-no-root",
        _rescaled(_shifted_without_root),
        "alpha_bar shifted and scaled",
        "its root shifted and scaled",
    ),
    synthetic(
        "zero-snr-root", _rescaled(_not_squared_back), "the root", "squared again"
    ),
    synthetic(
        "zero-snr-last", _rescaled(_last_set_to_0), "the last set to 0", "all moved"
    ),
    synthetic(
        "zero-snr-to-1",
        _rescaled(_scaled_to_1),
        "scaled so that the first entry is 1",
        "scaled so that the first entry stays",
    ),
)
