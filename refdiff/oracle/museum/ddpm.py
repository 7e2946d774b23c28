"""Wrong forms of the posterior and of the ancestral step: one piece replaced."""

import numpy as np

from refdiff.oracle.museum.ancestral import both, law, low_of, means, step, tables
from refdiff.oracle.museum.targets import READINGS
from refdiff.oracle.truth.clipping import ddpm_clipped
from refdiff.oracle.truth.ddpm import bounds, noise_std
from refdiff.oracle.truth.family import Exhibit
from refdiff.oracle.truth.posterior import coefficients
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.walks import betas, is_last

DIFFUSERS = "https://github.com/huggingface/diffusers/"


def _linear_range(p, low, high, m):
    if p["variance"] != "learned-range" or is_last(p):
        raise ValueError("the variance is not learned")
    share = (p["range"] + 1) / 2
    return m.sqrt(share * high + (1 - share) * low)


def _range(change):
    """Another reading of the model's second output: change(range) -> range."""

    def std(p, low, high, m):
        if p["variance"] != "learned-range":
            raise ValueError("the variance is not learned")
        return noise_std(p | {"range": change(p["range"])}, low, high, m)

    return {"ddpm": step(std=std)}


def _own_beta(p, m):
    return betas(p["schedule"], m)[p["timesteps"][p["index"]]]


def _raw_step(p, m):
    """VAR-02 in the step: beta[t], as if every time were visited."""
    beta = _own_beta(p, m)
    low = lambda a, b, m: beta * (1 - b) / (1 - a)
    return step(low=low, high=lambda p, a, b, m: beta)(p, m)


def _raw_law(p, m):
    beta = _own_beta(p, m)
    return law(low=lambda a, b, m: beta * (1 - b) / (1 - a))(p, m)


def _noise_at_the_end(p, low, high, m):
    if not is_last(p) or p["variance"] != "large":
        raise ValueError("there is noise, or no variance")
    return m.sqrt(high)


def _clipped_noise_at_the_end(p, m):
    noise = _noise_at_the_end(p, *bounds(p, m), m) * p["z"]
    return {"x_prev": ddpm_clipped(p, m)["x_prev"] + noise}


def _by_eps(weight, divisor):
    """The mean (x - weight eps) / divisor, of other pieces."""
    return lambda x, x0, eps, a, b, m: (x - weight(a, b, m) * eps) / divisor(a, b, m)


def _weight(a, b, m):
    return (1 - a / b) / m.sqrt(1 - a)


def _by_x0(of_x0, of_x):
    """The mean of_x0 x0 + of_x x, of other pieces."""
    return lambda x, x0, eps, a, b, m: of_x0(a, b, m) * x0 + of_x(a, b, m) * x


def _of_x0(a, b, m):
    return coefficients(a, b, m)[0]


def _of_x(a, b, m):
    return coefficients(a, b, m)[1]


def _first_log(p, m):
    """The first logarithm that of 1e-20, where it would be log 0."""
    a = alpha_bar_of(p["schedule"], m)
    b = np.concatenate([[m.number(1.0)], a[:-1]])
    low = low_of(a, b, m)
    low[0] = m.number(1e-20)
    return {"log_variance": m.log(low)}


def _synthetic(name, families, wrong, right):
    return Exhibit(f"SYN-ddpm-{name}", families, wrong, right, "", "synthetic")


SMALL = "(1 - a/b) (1 - b) / (1 - a)"
EPS_FORM = "[x - (1 - k) / sqrt(1 - a) eps] / sqrt(k), k = a/b"
X0_FORM = "[(1 - b) sqrt(k) x + (1 - k) sqrt(b) x0] / (1 - a), k = a/b"
MEANS = (  # slug, mean, wrong, right
    (
        "weight-unrooted",
        _by_eps(lambda a, b, m: (1 - a / b) / (1 - a), lambda a, b, m: m.sqrt(a / b)),
        "(1 - k) / (1 - a) eps",
        EPS_FORM,
    ),
    (
        "weight-rooted",
        _by_eps(lambda a, b, m: m.sqrt(1 - a / b), lambda a, b, m: m.sqrt(a / b)),
        "sqrt(1 - k) eps",
        EPS_FORM,
    ),
    ("not-divided", _by_eps(_weight, lambda a, b, m: 1), "no 1 / sqrt(k)", EPS_FORM),
    ("divided-by-k", _by_eps(_weight, lambda a, b, m: a / b), "1 / k", EPS_FORM),
    (
        "divided-by-signal",
        _by_eps(_weight, lambda a, b, m: m.sqrt(a)),
        "1 / sqrt(a)",
        EPS_FORM,
    ),
    (
        "weight-sign",
        _by_eps(lambda a, b, m: -_weight(a, b, m), lambda a, b, m: m.sqrt(a / b)),
        "eps added",
        EPS_FORM,
    ),
    ("mean-swapped", _by_x0(_of_x, _of_x0), "the two coefficients swapped", X0_FORM),
    (
        "mean-x0-unrooted",
        _by_x0(lambda a, b, m: (1 - a / b) * b / (1 - a), _of_x),
        "b for sqrt(b)",
        X0_FORM,
    ),
    (
        "mean-x0-here",
        _by_x0(lambda a, b, m: (1 - a / b) * m.sqrt(a) / (1 - a), _of_x),
        "sqrt(a) for sqrt(b)",
        X0_FORM,
    ),
    (
        "mean-x-unrooted",
        _by_x0(_of_x0, lambda a, b, m: (1 - b) * (a / b) / (1 - a)),
        "k for sqrt(k)",
        X0_FORM,
    ),
    (
        "mean-x-whole",
        _by_x0(_of_x0, lambda a, b, m: m.sqrt(a / b)),
        "sqrt(k) x without (1 - b) / (1 - a)",
        X0_FORM,
    ),
    (
        "mean-noised",
        lambda x, x0, eps, a, b, m: m.sqrt(b) * x0 + m.sqrt(1 - b) * eps,
        "the mean of DDIM at eta = 0 beside DDPM's noise",
        X0_FORM,
    ),
)
EXHIBITS = (
    Exhibit(
        "VAR-01",
        {"ddpm": step(std=_linear_range)},
        "learned variance between its bounds in a straight line",
        "between their logarithms",
        DIFFUSERS + "pull/2090",
        "A",
    ),
    Exhibit(
        "VAR-02",
        {"ddpm": _raw_step, "posterior": _raw_law},
        "beta[t] in the variance, when steps are skipped",
        "1 - a/b",
        DIFFUSERS + "pull/3006",
        "A",
    ),
    Exhibit(
        "VAR-04",
        tables(lambda a, b, m: (1 - a / b) * (1 - b)),
        "(1 - a/b) (1 - b)",
        SMALL,
        "https://github.com/varun-ml/diffusion-models-tutorial/pull/1",
        "A",
    ),
    Exhibit(
        "last_noise=added",
        {
            "ddpm": step(std=_noise_at_the_end),
            "ddpm_clipped": _clipped_noise_at_the_end,
        },
        "with the large variance the last step is given noise, too",
        "the last step has none",
        "",
        "convention",
    ),
    Exhibit(
        "first_log_variance=1e-20",
        {"posterior_log_variance": _first_log},
        "log 1e-20 for the first entry",
        "the second entry for the first",
        "",
        "convention",
    ),
    *(
        _synthetic(name, both(mean=f) if right is EPS_FORM else means(f), wrong, right)
        for name, f, wrong, right in MEANS
    ),
    _synthetic(
        "variance-rooted",
        tables(lambda a, b, m: (1 - a / b) * (1 - m.sqrt(b)) / (1 - a)),
        "1 - sqrt(b), as the tutorial's (2.26) prints it",
        SMALL,
    ),
    _synthetic(
        "variance-share",
        tables(lambda a, b, m: (1 - b) / (1 - a)),
        "(1 - b) / (1 - a), without 1 - a/b",
        SMALL,
    ),
    _synthetic(
        "variance-direct",
        both(low=lambda a, b, m: (1 - a / b) * (1 - a / b) / (1 - a)),
        "(1 - a/b)^2 / (1 - a)",
        SMALL,
    ),
    _synthetic(
        "std-squared",
        {"ddpm": step(std=lambda p, low, high, m: noise_std(p, low, high, m) ** 2)},
        "the variance times z",
        "its root times z",
    ),
    _synthetic(
        "bounds-exchanged",
        {"ddpm": step(std=lambda p, low, high, m: noise_std(p, high, low, m))},
        "small and large variance exchanged",
        "small: the posterior's",
    ),
    _synthetic(
        "range-unshifted", _range(lambda r: 2 * r - 1), "f = range", "(range + 1) / 2"
    ),
    _synthetic(
        "range-turned", _range(lambda r: -r), "f = (1 - range) / 2", "(range + 1) / 2"
    ),
)
READ = {name: step(read=reading) for name, reading, _, _ in READINGS}
