"""One step of a chain, written in eps_hat: x = a x0 + b eps, a^2 + b^2 = 1."""

import numpy as np

from tests.writings.eps_form_tables import chain, numbers, rates, real


def to_eps(target, x, output, a, b):
    """eps_hat from what the model said at x = a x0 + b eps, a and b any two levels."""
    if target == "eps":
        return output
    if target == "x0":
        return (x - a * output) / b
    if target == "score":
        return -b * output
    if target == "flow":
        return (x + a * output) / (a + b)
    r = np.sqrt(a * a + b * b)
    return (b * x + a * r * output) / (r * r)


def to_x0(target, x, output, a, b):
    """x0_hat by way of eps_hat; where there is no signal, from the output alone."""
    if a > 0:
        return (x - b * to_eps(target, x, output, a, b)) / a
    if target not in ("x0", "v", "flow"):
        raise ValueError(f"{target} says nothing of x0 where there is no signal")
    return {"x0": output, "v": -output, "flow": x / b - output}[target]


def from_eps(target, x, eps, a, b):
    """The other way, from eps_hat to what a model of this target says."""
    if target == "eps":
        return eps
    if target == "score":
        return -eps / b
    if not a > 0:
        raise ValueError("eps says nothing of x0 where there is no signal")
    if target == "x0":
        return (x - b * eps) / a
    return (eps - b * x) / a


def convert(p):
    """alpha_bar 0 has no way back from eps; there v is -x0."""
    (bar,) = numbers(p, "alpha_bar")
    a, b = np.sqrt(bar), np.sqrt(1 - bar)
    if not a > 0 and p["from"] in ("x0", "v") and p["to"] in ("x0", "v"):
        return p["output"] if p["from"] == p["to"] else -p["output"]
    eps = to_eps(p["from"], p["x"], p["output"], a, b)
    return from_eps(p["to"], p["x"], eps, a, b)


def convert_ve(p):
    (sigma,) = numbers(p, "sigma")
    one = real(p)(1)
    eps = to_eps(p["from"], p["x"], p["output"], one, sigma)
    return from_eps(p["to"], p["x"], eps, one, sigma)


def add_noise(p):
    bar = chain(p)[1][p["t"]][:, None]
    return np.sqrt(bar) * p["x0"] + np.sqrt(1 - bar) * p["eps"]


def one_step_forward(p):
    rate = chain(p)[0][p["t"]]
    return np.sqrt(1 - rate) * p["x"] + np.sqrt(rate) * p["eps"]


def ends(p):
    """alpha_bar where a step starts and where it leads."""
    bars, times, i = chain(p)[1], p["timesteps"], p["index"]
    after = bars[times[i + 1]] if i + 1 < len(times) else bars.dtype.type(1)
    return bars[times[i]], after


def repaint_known(p):
    after = ends(p)[1]
    return np.sqrt(after) * p["x0"] + np.sqrt(1 - after) * p["eps"]


def repaint_step(p):
    unknown = ddpm(p | {"target": "eps", "variance": "small"})
    return p["mask"] * repaint_known(p) + (1 - p["mask"]) * unknown


def together(x0, eps, bar, after):
    """Mean of the ancestral step; no difference of large terms where alpha is small."""
    kept = np.sqrt(bar / after) * (1 - after) / np.sqrt(1 - bar)
    return np.sqrt(after) * x0 + kept * eps


def posterior(p):
    """The mean is that of eps = (x - a x0) / b."""
    bar, after = ends(p)
    eps = (p["x"] - np.sqrt(bar) * p["x0"]) / np.sqrt(1 - bar)
    variance = (1 - bar / after) * (1 - after) / (1 - bar)
    return {"mean": together(p["x0"], eps, bar, after), "variance": variance}


def ddpm_mean(x, eps, bar, after):
    """The same from x, where the model says eps."""
    rate = 1 - bar / after
    return (x - rate / np.sqrt(1 - bar) * eps) / np.sqrt(bar / after)


def ddpm_noise(p, bar, after):
    """What is added to the mean; nothing in the last step."""
    rate = 1 - bar / after
    least = rate * (1 - after) / (1 - bar)
    if after == 1:
        return np.zeros_like(p["x"])
    if p["variance"] == "large":
        return np.sqrt(rate) * p["z"]
    if p["variance"] == "small":
        return np.sqrt(least) * p["z"]
    part = (p["range"] + 1) / 2
    return np.exp((part * np.log(rate) + (1 - part) * np.log(least)) / 2) * p["z"]


def ddpm(p):
    bar, after = ends(p)
    said = p["target"], p["x"], p["output"], np.sqrt(bar), np.sqrt(1 - bar)
    if bar > 0:
        mean = ddpm_mean(p["x"], to_eps(*said), bar, after)
    else:  # x is noise alone and drops out
        mean = np.sqrt(after) * to_x0(*said)
    return mean + ddpm_noise(p, bar, after)


def ddpm_clipped(p):
    bar, after = ends(p)
    a, b = np.sqrt(bar), np.sqrt(1 - bar)
    x0 = np.clip(to_x0(p["target"], p["x"], p["output"], a, b), -p["clip"], p["clip"])
    eps = (p["x"] - a * x0) / b
    return together(x0, eps, bar, after) + ddpm_noise(p, bar, after)


def ddim_move(x0, eps, z, bar, after, eta):
    """x0_hat and eps_hat put together anew, a part of the noise fresh."""
    std = eta * np.sqrt((1 - after) / (1 - bar) * (1 - bar / after))
    kept = np.sqrt(np.maximum(1 - after - std * std, 0))
    return np.sqrt(after) * x0 + kept * eps + std * z


def ddim(p):
    bar, after = ends(p)
    said = p["target"], p["x"], p["output"], np.sqrt(bar), np.sqrt(1 - bar)
    (eta,) = numbers(p, "eta")
    return ddim_move(to_x0(*said), to_eps(*said), p["z"], bar, after, eta)


def ddim_inverse(p):
    end, start = ends(p)
    a, b = np.sqrt(start), np.sqrt(1 - start)
    eps = to_eps(p["target"], p["x"], p["output"], a, b)
    return np.sqrt(end) * (p["x"] - b * eps) / a + np.sqrt(1 - end) * eps


def _ddim_kept(p, keep):
    """DDIM with x0_hat changed by keep, and eps_hat made anew."""
    bar, after = ends(p)
    a, b = np.sqrt(bar), np.sqrt(1 - bar)
    x0 = keep(to_x0(p["target"], p["x"], p["output"], a, b))
    eps = (p["x"] - a * x0) / b
    return ddim_move(x0, eps, p["z"], bar, after, *numbers(p, "eta"))


def ddim_clipped(p):
    return _ddim_kept(p, lambda x0: np.clip(x0, -p["clip"], p["clip"]))


def ddim_thresholded(p):
    def keep(x0):
        s = np.quantile(np.abs(x0), p["ratio"], axis=-1, keepdims=True)
        s = np.clip(s, 1, p["most"]).astype(x0.dtype)
        return np.clip(x0, -s, s) / s

    return _ddim_kept(p, keep)


def langevin(p):
    (tau,) = numbers(p, "tau")
    return p["x"] + tau * p["score"] + np.sqrt(2 * tau) * p["z"]


def annealed_langevin(p):
    """alpha / 2 times the score is alpha / (2 sigma) times -eps_hat."""
    levels, (scale,) = np.asarray(p["sigmas"], real(p)), numbers(p, "eps")
    sigma = levels[p["index"]]
    alpha = scale * sigma**2 / levels[-1] ** 2
    eps = to_eps(p["target"], p["x"], p["output"], real(p)(1), sigma)
    return p["x"] - alpha / (2 * sigma) * eps + np.sqrt(alpha) * p["z"]


def langevin_corrector(p):
    alpha = chain(p)[1][p["k"]] if "schedule" in p else 1
    length = [np.linalg.norm(p[name], axis=-1).mean() for name in ("z", "score")]
    e = 2 * alpha * (real(p)(p["r"]) * length[0] / length[1]) ** 2
    return p["x"] + e * p["score"] + np.sqrt(2 * e) * p["z"]


def reverse_diffusion_ve(p):
    sigma, after = np.asarray(p["sigmas"], real(p))[p["index"] : p["index"] + 2]
    eps = to_eps(p["target"], p["x"], p["output"], real(p)(1), sigma)
    fall = sigma**2 - after**2
    return p["x"] - fall / sigma * eps + np.sqrt(fall) * p["z"]


def _of_chain(p):
    """beta, b and eps_hat at k."""
    betas, bars = chain(p)
    a, b = np.sqrt(bars[p["k"]]), np.sqrt(1 - bars[p["k"]])
    return betas[p["k"]], b, to_eps(p["target"], p["x"], p["output"], a, b)


def reverse_diffusion_vp(p):
    rate, b, eps = _of_chain(p)
    return (2 - np.sqrt(1 - rate)) * p["x"] - rate / b * eps + np.sqrt(rate) * p["z"]


def ancestral_vp(p):
    rate, b, eps = _of_chain(p)
    return (p["x"] - rate / b * eps) / np.sqrt(1 - rate) + np.sqrt(rate) * p["z"]


def reverse_drift(p):
    a, g2 = rates(p, *numbers(p, "t"))
    return a * p["x"] - g2 * p["score"]


def flow_drift(p):
    a, g2 = rates(p, *numbers(p, "t"))
    return a * p["x"] - g2 / 2 * p["score"]


def hutchinson(p):
    return np.mean(np.sum(p["probes"] @ p["J"] * p["probes"], axis=1))
