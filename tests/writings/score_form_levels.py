"""What all of the score form stands on: numbers of one precision, levels, the score.

A level is (signal, noise) of x = signal x0 + noise eps. The score of x there is
-eps / noise, and Tweedie's x0 is (x + noise^2 score) / signal.
"""

import functools

import numpy as np


def family(function):
    """Let a function see its problem with every float in the inputs' own precision."""

    @functools.wraps(function)
    def asked(p):
        real = precision(p)
        return function({**numbers(p, real), "real": real})

    return asked


def precision(p):
    """The dtype of the arrays that are fed; without any, what p["dtype"] says."""
    fed = [v.dtype for v in p.values() if isinstance(v, np.ndarray)]
    floats = [d for d in fed if d.kind == "f"]
    return (floats or [np.dtype(p.get("dtype", "float64"))])[0].type


def numbers(value, real):
    """Floats as real, lists as arrays, dictionaries entry by entry, the rest as it is."""
    if isinstance(value, dict):
        return {k: numbers(v, real) for k, v in value.items()}
    if isinstance(value, list):
        array = np.array(value)
        return array.astype(real) if array.dtype.kind == "f" else array
    return real(value) if isinstance(value, float) else value


# Schedules: alpha_bar of the entries k = 0..T-1.


def _linear(s, real):
    return np.linspace(s["beta_1"], s["beta_T"], s["T"], dtype=real)


def _scaled_linear(s, real):
    first, last = np.sqrt(s["beta_1"]), np.sqrt(s["beta_T"])
    return np.linspace(first, last, s["T"], dtype=real) ** 2


def _cosine(s, real):
    t = np.arange(s["T"] + 1, dtype=real) / s["T"]
    f = np.cos((t + s["s"]) / (1 + s["s"]) * real(np.pi) / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], s["beta_max"])


def _sigmoid(s, real):
    rise = 1 / (1 + np.exp(-np.linspace(-6, 6, s["T"], dtype=real)))
    return s["beta_1"] + (s["beta_T"] - s["beta_1"]) * rise


def _constant(s, real):
    return np.full(s["T"], s["beta"], dtype=real)


KINDS = {
    "linear": _linear,
    "scaled-linear": _scaled_linear,
    "cosine": _cosine,
    "sigmoid": _sigmoid,
    "constant": _constant,
}


def plain_betas(p):
    """The steps' variances (T,), before any rescaling to zero SNR."""
    return KINDS[p["schedule"]["kind"]](p["schedule"], p["real"])


def alpha_bars(p):
    """alpha_bar (T,), rescaled to a last one of 0 if the schedule says so."""
    bars = np.cumprod(1 - plain_betas(p))
    if not p["schedule"].get("zero_snr"):
        return bars
    root = np.sqrt(bars)
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def betas(p):
    """The steps' variances (T,) that belong to alpha_bars."""
    if not p["schedule"].get("zero_snr"):
        return plain_betas(p)
    return 1 - alpha_bars(p) / before(alpha_bars(p))


def before(bars):
    """Each entry's alpha_bar one step nearer to the data: 1, then all but the last."""
    return np.concatenate([np.ones(1, bars.dtype), bars[:-1]])


def visited(p):
    """alpha_bar of p["timesteps"], then that of the data: 1."""
    bars = alpha_bars(p)[p["timesteps"]]
    return np.append(bars, np.ones(1, bars.dtype))


def step_bars(p):
    """alpha_bar where a step stands, and where it leads."""
    bars = visited(p)
    return bars[p["index"]], bars[p["index"] + 1]


def vp(bar):
    """The level of an alpha_bar."""
    return np.sqrt(bar), np.sqrt(1 - bar)


def ve(sigma):
    """The level of noise sigma on unscaled data."""
    return type(sigma)(1), sigma


# The score, from whatever a model predicts.


def _from_score(score, x, signal, noise):
    return score


def _from_eps(eps, x, signal, noise):
    return -eps / noise


def _from_x0(x0, x, signal, noise):
    return (signal * x0 - x) / noise**2


def _from_v(v, x, signal, noise):
    # x and r v are (x0, eps) turned, so eps = (noise x + signal r v) / r^2.
    r = np.hypot(signal, noise)
    return -(x / r + signal * v / noise) / r


def _from_flow(flow, x, signal, noise):
    return -(x + signal * flow) / (noise * (signal + noise))


TARGETS = {
    "score": _from_score,
    "eps": _from_eps,
    "x0": _from_x0,
    "v": _from_v,
    "flow": _from_flow,
}


def score_of(target, output, x, level):
    """The score at x of what a model says there."""
    return TARGETS[target](output, x, *level)


def denoise(score, x, level):
    """Tweedie's x0."""
    signal, noise = level
    return (x + noise**2 * score) / signal


def predict(target, output, x, level):
    """Score and x0. Of pure noise the score knows no x0: the output must tell it."""
    score = score_of(target, output, x, level)
    if level[0] > 0:
        return score, denoise(score, x, level)
    return score, of_pure_noise(target, output, x, level[1])


def of_pure_noise(target, output, x, noise):
    """x0 at signal 0; ValueError from eps or the score, which are x over again."""
    if target == "x0":
        return output
    if target == "v":
        return -output
    if target == "flow":
        return x / noise - output
    raise ValueError(f"{target} says nothing of x0 where the signal is 0")


def score_to(x0, x, level):
    """The score that points from x to a given x0."""
    return _from_x0(x0, x, *level)
