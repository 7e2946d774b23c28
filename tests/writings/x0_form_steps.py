"""Predicted-data writing: what a model says as x0_hat, and the steps of the chain."""

from typing import NamedTuple

import numpy as np

from tests.writings.x0_form_tables import (
    Array,
    number,
    posterior_parts,
    real,
    shares,
    variances,
)


class Level(NamedTuple):
    """x = signal x0 + noise eps."""

    signal: float
    noise: float


def level_of(share: float) -> Level:
    """The level of an alpha_bar."""
    return Level(np.sqrt(share), np.sqrt(1 - share))


def data_of(x: Array, output: Array, target: str, level: Level) -> Array:
    """x0_hat, whatever the model predicts; ValueError where it cannot be known."""
    a, s = level
    if target == "x0":
        return output
    if target == "v":
        return (a * x - s * np.hypot(a, s) * output) / (a**2 + s**2)
    if target == "flow":
        return (x - s * output) / (a + s)
    if a == 0:
        raise ValueError(f"{target} says nothing of x0 where the signal is 0")
    if target == "eps":
        return (x - s * output) / a
    if target == "score":
        return (x + s**2 * output) / a
    raise ValueError(f"target must be eps, x0, v, score or flow; got {target!r}")


def score_of(x: Array, x0_hat: Array, level: Level) -> Array:
    """The score that predicted data stand for."""
    return (level.signal * x0_hat - x) / level.noise**2


def noise_of(x: Array, x0_hat: Array, level: Level) -> Array:
    """The noise that predicted data leave."""
    return (x - level.signal * x0_hat) / level.noise


def velocity_of(x: Array, x0_hat: Array, level: Level) -> Array:
    """v = signal eps - noise x0 of predicted data, signal^2 + noise^2 = 1."""
    return (level.signal * x - x0_hat) / level.noise


SAY = {"eps": noise_of, "score": score_of, "v": velocity_of}


def converted(p: dict, level: Level) -> Array:
    """One prediction as another; eps and the score are a factor apart."""
    x, output, to = p["x"], p["output"], p["to"]
    if {p["from"], to} == {"eps", "score"}:
        factor = -level.noise if p["from"] == "score" else -1 / level.noise
        return factor * output
    x0_hat = data_of(x, output, p["from"], level)
    return x0_hat if to == "x0" else SAY[to](x, x0_hat, level)


def convert(p):
    return converted(p, level_of(number(p, "alpha_bar")))


def convert_ve(p):
    f = real(p)
    return converted(p, Level(f(1), number(p, "sigma")))


def add_noise(p):
    a, s = level_of(shares(p)[p["t"]][:, None])
    return a * p["x0"] + s * p["eps"]


def one_step_forward(p):
    beta = variances(p["schedule"], real(p))[p["t"]]
    return np.sqrt(1 - beta) * p["x"] + np.sqrt(beta) * p["eps"]


def pair(p: dict) -> tuple:
    """alpha_bar here and where the step leads to; 1 after the last."""
    share, times, i = shares(p), p["timesteps"], p["index"]
    after = share[times[i + 1]] if i + 1 < len(times) else real(p)(1)
    return share[times[i]], after


def repaint_known(p):
    a, s = level_of(pair(p)[1])
    return a * p["x0"] + s * p["eps"]


def repaint_step(p):
    free = ddpm({**p, "target": "eps", "variance": "small"})
    return p["mask"] * repaint_known(p) + (1 - p["mask"]) * free


def posterior(p):
    of_x0, of_x, variance = posterior_parts(*pair(p))
    return {"mean": of_x0 * p["x0"] + of_x * p["x"], "variance": variance}


def ancestral(p: dict, x0_hat: Array) -> Array:
    """The posterior of predicted data, and noise except in the last step."""
    here, after = pair(p)
    of_x0, of_x, small = posterior_parts(here, after)
    mean = of_x0 * x0_hat + of_x * p["x"]
    if after == 1:
        return mean
    return mean + np.sqrt(ancestral_variance(p, small, 1 - here / after)) * p["z"]


def ancestral_variance(p: dict, small: float, large: float) -> Array:
    """The variance of the step, of three kinds."""
    if p["variance"] == "small":
        return small
    if p["variance"] == "large":
        return large
    share = (p["range"] + 1) / 2
    return np.exp(share * np.log(large) + (1 - share) * np.log(small))


def seen(p: dict) -> Array:
    """x0_hat of a step of the chain."""
    return data_of(p["x"], p["output"], p["target"], level_of(pair(p)[0]))


def ddpm(p):
    return ancestral(p, seen(p))


def ddpm_clipped(p):
    clip = number(p, "clip")
    return ancestral(p, np.clip(seen(p), -clip, clip))


def implicit(p: dict, x0_hat: Array) -> Array:
    """DDIM's step: predicted data, the noise that they leave, and fresh noise."""
    here, after = pair(p)
    (a, s), eta = level_of(after), number(p, "eta")
    fresh = eta * np.sqrt((1 - after) / (1 - here)) * np.sqrt(1 - here / after)
    left = noise_of(p["x"], x0_hat, level_of(here))
    return a * x0_hat + np.sqrt(s**2 - fresh**2) * left + fresh * p["z"]


def ddim(p):
    return implicit(p, seen(p))


def ddim_clipped(p):
    clip = number(p, "clip")
    return implicit(p, np.clip(seen(p), -clip, clip))


def ddim_thresholded(p):
    x0_hat = seen(p)
    s = np.quantile(np.abs(x0_hat), p["ratio"], axis=-1, keepdims=True)
    s = np.clip(s, 1, p["most"]).astype(x0_hat.dtype)
    return implicit(p, np.clip(x0_hat, -s, s) / s)


def ddim_inverse(p):
    above, below = pair(p)
    low, high = level_of(below), level_of(above)
    x0_hat = data_of(p["x"], p["output"], p["target"], low)
    if low.noise > 0:
        return high.signal * x0_hat + high.noise * noise_of(p["x"], x0_hat, low)
    if p["target"] not in ("eps", "v"):
        raise ValueError(f"without noise {p['target']} says nothing of eps")
    return high.signal * x0_hat + high.noise * p["output"]
