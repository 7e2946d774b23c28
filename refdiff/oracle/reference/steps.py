"""One step of the discrete samplers, as refdiff's chapters have it."""

import numpy as np

from refdiff import ddim as of_ddim
from refdiff import ddpm as of_ddpm
from refdiff import forward, targets
from refdiff.oracle.families.schedules import schedule_of
from refdiff.oracle.families.thresholding import dynamic_threshold

TARGETS = {"eps": targets.EPS, "x0": targets.X0, "v": targets.V, "score": targets.SCORE}
MEANS = {
    "eps": of_ddpm.mu_from_eps,
    "x0": of_ddpm.mu_from_x0,
    "v": of_ddpm.mu_from_v,
    "score": of_ddpm.mu_from_score,
}


def walk(p):
    """The schedule of the visited times alone, and the step's own t in it."""
    sched = schedule_of(p["schedule"]).respace(1 + np.array(p["timesteps"][::-1]))
    return len(p["timesteps"]) - p["index"], sched


def convert(p):
    """From one target to another, at alpha_bar."""
    return _converted(p, np.sqrt(p["alpha_bar"]), np.sqrt(1 - p["alpha_bar"]))


def convert_ve(p):
    """From one target to another, of x0 + sigma eps."""
    return _converted(p, 1.0, p["sigma"])


def _converted(p, signal, noise):
    if signal == 0 and p["from"] in ("eps", "score"):
        raise ValueError("eps and the score say nothing of x0 where signal = 0")
    return getattr(targets, f"{p['to']}_from_{p['from']}")(
        p["x"], p["output"], signal, noise
    )


def add_noise(p):
    """x_t, each row at its own time."""
    t = 1 + np.asarray(p["t"])
    return forward.q_sample(p["x0"], t, p["eps"], schedule_of(p["schedule"]))


def one_step_forward(p):
    """x_t from x_{t-1}."""
    mean, var = forward.q_step(p["x"], 1 + p["t"], schedule_of(p["schedule"]))
    return mean + np.sqrt(var) * p["eps"]


def repaint_known(p):
    """x0 noised to the time that the step leads to."""
    t, sched = walk(p)
    return forward.q_sample(p["x0"], t - 1, p["eps"], sched)


def repaint_step(p):
    """Known where the mask is 1, the ancestral step where it is 0."""
    t, sched = walk(p)
    denoised = of_ddpm.ddpm_step(p["x"], t, p["output"], p["z"], sched)
    return np.where(p["mask"] == 1, repaint_known(p), denoised)


def posterior(p):
    """Mean and variance of x_prev given x and x0."""
    t, sched = walk(p)
    mean, variance = forward.q_posterior(p["x0"], p["x"], t, sched)
    return {"mean": mean, "variance": variance}


def posterior_variance(p):
    """Of every k."""
    sched = schedule_of(p["schedule"])
    return forward.sigma_q(np.arange(1, sched.T + 1), sched)[:, 0] ** 2


def posterior_log_variance(p):
    """Of every k, the first entry as the second."""
    sched = schedule_of(p["schedule"])
    t = np.arange(1, sched.T + 1)
    return np.log(of_ddpm.learned_var(0.0, t, sched)[:, 0])


def posterior_mean_coefficients(p):
    """Of x0 and of x, for every k."""
    sched = schedule_of(p["schedule"])
    t, one, none = np.arange(1, sched.T + 1), np.ones((1, 1)), np.zeros((1, 1))
    of_x0, _ = forward.q_posterior(one, none, t, sched)
    of_x, _ = forward.q_posterior(none, one, t, sched)
    return {"of_x0": of_x0[:, 0], "of_x": of_x[:, 0]}


def _std(p, t, sched):
    """Standard deviation of an ancestral step's noise."""
    if p["variance"] == "small":
        return forward.sigma_q(t, sched)
    share = (p["range"] + 1) / 2 if p["variance"] == "learned-range" else 1.0
    return np.sqrt(of_ddpm.learned_var(share, t, sched)) * (t > 1)


def ddpm(p):
    """One ancestral step of the visited times, from any target."""
    t, sched = walk(p)
    mean = MEANS[p["target"]](p["x"], t, p["output"], sched)
    return mean + _std(p, t, sched) * p["z"]


def ddpm_clipped(p):
    """The same with x0_hat kept in a box."""
    t, sched = walk(p)
    mean = of_ddpm.mu_from_x0(p["x"], t, _boxed(p, t, sched), sched)
    return mean + _std(p, t, sched) * p["z"]


def _boxed(p, t, sched):
    x0 = TARGETS[p["target"]].to_x0(p["x"], p["output"], t, sched)
    return np.clip(x0, -p["clip"], p["clip"])


def ddim(p):
    """One DDIM step of the visited times, from any target."""
    t, sched = walk(p)
    x, y = p["x"], p["output"]
    sigma = of_ddim.sigma_eta(p["eta"], t, sched)
    if p["target"] == "score":
        y = targets.eps_from_score(x, y, sched.signal[t], sched.noise[t])
    if p["target"] in ("eps", "score"):
        return of_ddim.ddim_step(x, t, y, sigma, p["z"], sched)
    x0 = TARGETS[p["target"]].to_x0(x, y, t, sched)
    return of_ddim.ddim_step_x0(x, t, x0, sigma, p["z"], sched)


def ddim_clipped(p):
    """The same with x0_hat kept in a box."""
    t, sched = walk(p)
    sigma = of_ddim.sigma_eta(p["eta"], t, sched)
    x0 = _boxed(p, t, sched)
    return of_ddim.ddim_step_x0(p["x"], t, x0, sigma, p["z"], sched)


def ddim_thresholded(p):
    """The same with dynamic thresholding of x0_hat."""
    t, sched = walk(p)
    sigma = of_ddim.sigma_eta(p["eta"], t, sched)
    x0 = TARGETS[p["target"]].to_x0(p["x"], p["output"], t, sched)
    x0 = dynamic_threshold(x0, p["ratio"], p["most"])
    return of_ddim.ddim_step_x0(p["x"], t, x0, sigma, p["z"], sched)


def ddim_inverse(p):
    """One step up, from where x stands."""
    t, sched = walk(p)
    x, y, signal, noise = p["x"], p["output"], sched.signal[t - 1], sched.noise[t - 1]
    if p["target"] != "eps":
        y = getattr(targets, f"eps_from_{p['target']}")(x, y, signal, noise)
    return of_ddim.ddim_undo(x, t, y, sched)
