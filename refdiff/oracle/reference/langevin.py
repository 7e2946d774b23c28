"""Langevin steps and the predictors of score-based models, as refdiff's chapters have them."""

import numpy as np

from refdiff import langevin as of_langevin
from refdiff import predictors, targets
from refdiff.oracle.families.schedules import schedule_of


def langevin(p):
    """One Langevin step."""
    return of_langevin.langevin_step(p["x"], p["score"], p["tau"], p["z"])


def _score(p, signal, noise):
    y = p["output"]
    return (
        targets.score_from_eps(p["x"], y, signal, noise) if p["target"] == "eps" else y
    )


def annealed_langevin(p):
    """One step of annealed Langevin."""
    s = p["sigmas"][p["index"]]
    alpha = p["eps"] * (s / p["sigmas"][-1]) ** 2
    return of_langevin.annealed_step(p["x"], _score(p, 1.0, s), alpha, p["z"])


def langevin_corrector(p):
    """Song's corrector, its norms averaged over the batch."""
    vp = "schedule" in p
    alpha = schedule_of(p["schedule"]).alpha_bar[p["k"] + 1] if vp else 1.0
    e = predictors.corrector_size(p["score"], p["z"], p["r"], alpha, over_batch=True)
    return p["x"] + e * p["score"] + np.sqrt(2 * e) * p["z"]


def reverse_diffusion_ve(p):
    """SMLD's reverse-diffusion step on the rising ladder."""
    i = len(p["sigmas"]) - 1 - p["index"]
    ladder, score = p["sigmas"][::-1], _score(p, 1.0, p["sigmas"][p["index"]])
    return predictors.smld_reverse_step(p["x"], i, score, p["z"], ladder)


def _vp(p, step):
    """A predictor of DDPM at t = k + 1."""
    sched, t = schedule_of(p["schedule"]), p["k"] + 1
    score = _score(p, sched.signal[t], sched.noise[t])
    return step(p["x"], t, score, p["z"], sched)


def reverse_diffusion_vp(p):
    """DDPM's reverse-diffusion step."""
    return _vp(p, predictors.reverse_diffusion_step)


def ancestral_vp(p):
    """DDPM's reverse step with the score."""
    return _vp(p, predictors.reverse_step)
