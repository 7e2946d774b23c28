"""Steps of a discrete chain in score form: noising, DDPM, DDIM, RePaint."""

import numpy as np

from tests.writings.score_form_levels import (
    alpha_bars,
    betas,
    denoise,
    family,
    predict,
    score_of,
    score_to,
    step_bars,
    ve,
    visited,
    vp,
)

# From one target to another.


def _v_of(score, x0, level):
    signal, noise = level
    return -(signal * noise * score + noise * x0) / np.hypot(signal, noise)


@family
def convert(p):
    return _converted(p, vp(p["alpha_bar"]))


@family
def convert_ve(p):
    return _converted(p, ve(p["sigma"]))


def _converted(p, level):
    score = score_of(p["from"], p["output"], p["x"], level)
    if p["to"] == "score":
        return score
    if p["to"] == "eps":
        return -level[1] * score
    x0 = predict(p["from"], p["output"], p["x"], level)[1]
    return x0 if p["to"] == "x0" else _v_of(score, x0, level)


# Noise added.


def _noised(x0, eps, bar):
    signal, noise = vp(bar)
    return signal * x0 + noise * eps


@family
def add_noise(p):
    return _noised(p["x0"], p["eps"], alpha_bars(p)[p["t"]][:, None])


@family
def one_step_forward(p):
    return _noised(p["x"], p["eps"], 1 - betas(p)[p["t"]])


@family
def repaint_known(p):
    return _noised(p["x0"], p["eps"], step_bars(p)[1])


# Ancestral steps, from alpha_bar a to b: the mean is (x + (1 - a/b) score) / sqrt(a/b).


def ancestral_mean(x, score, x0, a, b):
    """Mean of the step; from pure noise it is the noised x0, as x says nothing."""
    if a == 0:
        return np.sqrt(b) * x0
    return (x + (1 - a / b) * score) / np.sqrt(a / b)


def posterior_mean(x, x0, a, b):
    """The same of an x0 that is known: its score would be a small part of x / noise^2."""
    return (np.sqrt(b) * (1 - a / b) * x0 + np.sqrt(a / b) * (1 - b) * x) / (1 - a)


def own_variance(a, b):
    """Variance of x at b, given x at a and x0."""
    return (1 - b) / (1 - a) * (1 - a / b)


def drawn(p, mean, a, b):
    """Mean and noise; none at the data."""
    return mean if b == 1 else mean + np.sqrt(_variance(p, a, b)) * p["z"]


def ancestral(p, score, x0, a, b):
    """The step along a score."""
    return drawn(p, ancestral_mean(p["x"], score, x0, a, b), a, b)


def _variance(p, a, b):
    small, large = own_variance(a, b), 1 - a / b
    if p["variance"] == "small":
        return small
    if p["variance"] == "large":
        return large
    share = (p["range"] + 1) / 2
    return np.exp(share * np.log(large) + (1 - share) * np.log(small))


@family
def ddpm(p):
    a, b = step_bars(p)
    return ancestral(p, *predict(p["target"], p["output"], p["x"], vp(a)), a, b)


@family
def ddpm_clipped(p):
    a, b = step_bars(p)
    _, x0 = predict(p["target"], p["output"], p["x"], vp(a))
    x0 = np.clip(x0, -p["clip"], p["clip"])
    return drawn(p, posterior_mean(p["x"], x0, a, b), a, b)


@family
def posterior(p):
    a, b = step_bars(p)
    mean = posterior_mean(p["x"], p["x0"], a, b)
    return {"mean": mean, "variance": np.array([own_variance(a, b)])}


@family
def repaint_step(p):
    a, b = step_bars(p)
    p = {**p, "variance": "small"}
    unknown = ancestral(p, *predict("eps", p["output"], p["x"], vp(a)), a, b)
    known = _noised(p["x0"], p["eps"], b)
    return p["mask"] * known + (1 - p["mask"]) * unknown


# DDIM: x0 noised anew along the score, which is -eps / noise.


def ddim_step(x, score, x0, a, b, eta, z):
    """From alpha_bar a to b, with eta times the ancestral noise."""
    variance = eta**2 * own_variance(a, b)
    kept = np.sqrt(np.maximum(1 - b - variance, 0))
    mean = np.sqrt(b) * x0 - np.sqrt(1 - a) * kept * score
    return mean + np.sqrt(variance) * z


def _ddim(p, x0_of):
    a, b = step_bars(p)
    score, x0 = predict(p["target"], p["output"], p["x"], vp(a))
    if x0_of is not None:
        x0 = x0_of(x0)
        score = score_to(x0, p["x"], vp(a))
    return ddim_step(p["x"], score, x0, a, b, p["eta"], p["z"])


@family
def ddim(p):
    return _ddim(p, None)


@family
def ddim_clipped(p):
    return _ddim(p, lambda x0: np.clip(x0, -p["clip"], p["clip"]))


@family
def ddim_thresholded(p):
    def kept(x0):
        s = np.quantile(np.abs(x0), p["ratio"], axis=1, keepdims=True)
        s = np.clip(s, 1, p["most"]).astype(p["real"])
        return np.clip(x0, -s, s) / s

    return _ddim(p, kept)


@family
def ddim_inverse(p):
    to, at = step_bars(p)
    x, output = p["x"], p["output"]
    if at == 1:  # clean data have no score: what the model says is its eps alone
        return _noised(x, _eps_of_data(p["target"], output), to)
    score = score_of(p["target"], output, x, vp(at))
    x0 = denoise(score, x, vp(at))
    return np.sqrt(to) * x0 - np.sqrt(1 - at) * np.sqrt(1 - to) * score


def _eps_of_data(target, output):
    """eps at noise 0: v is eps there, the score times 0 is 0, and x0 tells nothing."""
    if target == "x0":
        raise ValueError("x0 says nothing of eps where there is no noise")
    return 0 * output if target == "score" else output


# Whole samplers.


def _asked(p, x, k, bar):
    """Score and x0 at entry k."""
    return predict(p["target"], p["model"](x, int(k)), x, vp(bar))


def _pairs(p):
    """k, and alpha_bar there and next, of each step."""
    bars = visited(p)
    return zip(p["timesteps"], bars[:-1], bars[1:], strict=True)


@family
def ddim_sampler(p):
    x = p["x"]
    for (k, a, b), z in zip(_pairs(p), p["z"], strict=True):
        x = ddim_step(x, *_asked(p, x, k, a), a, b, p["eta"], z)
    return x


@family
def img2img_sampler(p):
    x = _noised(p["x0"], p["eps"], visited(p)[0])
    for k, a, b in _pairs(p):
        x = ddim_step(x, *_asked(p, x, k, a), a, b, 0, 0)
    return x


@family
def ddpm_sampler(p):
    x = p["x"]
    for (k, a, b), z in zip(_pairs(p), p["z"], strict=True):
        x = ancestral({**p, "x": x, "z": z}, *_asked(p, x, k, a), a, b)
    return x


# The chain's own predictors.


def _rate_and_score(p):
    level = vp(alpha_bars(p)[p["k"]])
    return betas(p)[p["k"]], score_of(p["target"], p["output"], p["x"], level)


@family
def reverse_diffusion_vp(p):
    beta, score = _rate_and_score(p)
    mean = (2 - np.sqrt(1 - beta)) * p["x"] + beta * score
    return mean + np.sqrt(beta) * p["z"]


@family
def ancestral_vp(p):
    beta, score = _rate_and_score(p)
    return (p["x"] + beta * score) / np.sqrt(1 - beta) + np.sqrt(beta) * p["z"]
