"""Schedules that the chapters leave out, and the one that a problem names."""

import numpy as np

from refdiff._check import positive, whole
from refdiff.schedule import Schedule, cosine, from_beta, linear


def scaled_linear(T: int, beta_1: float = 0.00085, beta_T: float = 0.012) -> Schedule:
    """Schedule whose sqrt(beta) rises linearly: latent diffusion's.

    beta[t] = [sqrt(beta_1) + (t-1)/(T-1) (sqrt(beta_T) - sqrt(beta_1))]^2
    """
    whole(T=T)
    positive(beta_1=beta_1, beta_T=beta_T)
    return from_beta(np.linspace(np.sqrt(beta_1), np.sqrt(beta_T), T) ** 2)


def sigmoid(T: int, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """Schedule whose beta follows the middle of a sigmoid.

    beta[t] = beta_1 + (beta_T - beta_1) / (1 + e^-x),  x evenly from -6 to 6
    """
    whole(T=T)
    share = 1 / (1 + np.exp(-np.linspace(-6, 6, T)))
    return from_beta(beta_1 + (beta_T - beta_1) * share)


def zero_snr(sched: Schedule) -> Schedule:
    """Return the schedule rescaled so that its last alpha_bar is 0.

    signal[t] -> (signal[t] - signal[T]) signal[1] / (signal[1] - signal[T])
    beta by the difference of squares, factored.
    ValueError if T < 2: a single step cannot keep its signal and lose it.
    Source: Lin24 Algorithm 1
    """
    whole(least=2, T=sched.T)
    y = sched.signal[1:]
    signal = np.array([1.0, *(y - y[-1]) * (y[0] / (y[0] - y[-1]))])
    before, now = signal[:-1], signal[1:]
    return Schedule(
        alpha=np.array([1.0, *(now / before) ** 2]),
        beta=np.array([0.0, *(before - now) * (before + now) / before**2]),
        alpha_bar=signal**2,
        signal=signal,
        noise=np.sqrt((1 - signal) * (1 + signal)),
        noise2=(1 - signal) * (1 + signal),
        label=sched.label,
    )


def schedule_of(problem: dict) -> Schedule:
    """Return the schedule {"kind", "T", and its numbers}; our t is the oracle's k + 1.

    KeyError for a kind that is not known.
    """
    T = problem["T"]
    if problem["kind"] == "constant":
        made = from_beta(np.full(T, problem["beta"]))
    elif problem["kind"] == "cosine":
        made = cosine(T, problem["s"], problem["beta_max"])
    else:
        made = BY_ENDS[problem["kind"]](T, problem["beta_1"], problem["beta_T"])
    return zero_snr(made) if problem.get("zero_snr") else made


BY_ENDS = {"linear": linear, "scaled-linear": scaled_linear, "sigmoid": sigmoid}
