"""The ancestral step and the posterior of any pieces, for one of them to be wrong."""

import numpy as np

from refdiff.oracle.truth.ddpm import noise_std
from refdiff.oracle.truth.posterior import coefficients, log_variance
from refdiff.oracle.truth.schedules import alpha_bar_of
from refdiff.oracle.truth.targets import from_output
from refdiff.oracle.truth.walks import pair


def _mean(x, x0, eps, a, b, m):
    of_x0, of_x, _ = coefficients(a, b, m)
    return of_x0 * x0 + of_x * x


def low_of(a, b, m):
    """The posterior's variance."""
    return coefficients(a, b, m)[2]


def _no_range(p, a, b, m):
    return 1 - a / b


def step(
    levels=pair, read=from_output, mean=_mean, low=low_of, high=_no_range, std=None
):
    """The ancestral step of these pieces.

    levels(p, m) -> a, b;  read: as `from_output`;  mean(x, x0, eps, a, b, m)
    low(a, b, m), high(p, a, b, m): the two variances;  std(p, low, high, m) -> number
    """
    std = noise_std if std is None else std

    def wrong(p, m):
        a, b = levels(p, m)
        roots = m.sqrt(a), m.sqrt(1 - a)
        x0, eps = read(p["target"], p["x"], p["output"], *roots)
        noise = std(p, low(a, b, m), high(p, a, b, m), m) * p["z"]
        return {"x_prev": mean(p["x"], x0, eps, a, b, m) + noise}

    return wrong


def law(levels=pair, mean=_mean, low=low_of):
    """The posterior of these pieces."""

    def wrong(p, m):
        (a, b), x, x0 = levels(p, m), p["x"], p["x0"]
        eps = (x - m.sqrt(a) * x0) / m.sqrt(1 - a)
        return {
            "mean": mean(x, x0, eps, a, b, m),
            "variance": np.array([low(a, b, m)]),
        }

    return wrong


def both(**pieces):
    """The same pieces in the step and in the posterior."""
    return {"ddpm": step(**pieces), "posterior": law(**pieces)}


def tables(low):
    """A wrong variance in the tables of every k, too."""

    def columns(p, m):
        a = alpha_bar_of(p["schedule"], m)
        b = np.concatenate([[m.number(1.0)], a[:-1]])
        return low(a, b, m)

    return both(low=low) | {
        "posterior_variance": lambda p, m: {"variance": columns(p, m)},
        "posterior_log_variance": lambda p, m: {
            "log_variance": log_variance(columns(p, m), m)
        },
    }


def means(mean):
    """A wrong mean in the step, the posterior, and the tables of coefficients."""

    def columns(p, m):
        a = alpha_bar_of(p["schedule"], m)
        b = np.concatenate([[m.number(1.0)], a[:-1]])
        slope = m.sqrt(a) / m.sqrt(1 - a)  # eps = (x - signal x0) / noise
        return {
            "of_x0": mean(0, 1, -slope, a, b, m),
            "of_x": mean(1, 0, 1 / m.sqrt(1 - a), a, b, m),
        }

    return both(mean=mean) | {"posterior_mean_coefficients": columns}
