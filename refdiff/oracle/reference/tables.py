"""Tables, grids and weights, as refdiff's chapters have them. Our t is k + 1."""

import numpy as np

from refdiff import edm, losses, rates, schedule, sde, targets
from refdiff.oracle.families import grids, weights
from refdiff.oracle.families import timesteps as times
from refdiff.oracle.families.schedules import schedule_of

SPACINGS = {
    "leading": schedule.leading,
    "trailing": schedule.trailing,
    "linspace": schedule.linspace,
}
TARGETS = {"eps": targets.EPS, "x0": targets.X0, "v": targets.V}


def _asked(p):
    """The schedule, and the times t = k + 1 that are asked for."""
    return schedule_of(p["schedule"]), np.array(p["k"]) + 1


def beta(p):
    """Beta of the entries k."""
    sched, t = _asked(p)
    return sched.beta[t]


def alpha_bar(p):
    """alpha_bar of the entries k."""
    sched, t = _asked(p)
    return sched.alpha_bar[t]


def alpha_bar_prev(p):
    """alpha_bar one step nearer to the data, where our table holds 1 itself."""
    sched, t = _asked(p)
    return sched.alpha_bar[t - 1]


def noise_std(p):
    """sqrt(1 - alpha_bar)."""
    sched, t = _asked(p)
    return sched.noise[t]


def snr(p):
    """alpha_bar / (1 - alpha_bar)."""
    sched, t = _asked(p)
    return sched.snr[t]


def log_snr(p):
    """The logarithm of the SNR."""
    sched, t = _asked(p)
    return np.log(sched.snr[t])


def zero_snr(p):
    """alpha_bar and beta of a rescaled schedule."""
    sched, t = _asked(p)
    return {"alpha_bar": sched.alpha_bar[t], "beta": sched.beta[t]}


def timesteps(p):
    """The visited entries, falling."""
    return SPACINGS[p["spacing"]](p["T"], p["N"])[::-1] - 1


def lcm_timesteps(p):
    """A latent consistency model's times."""
    return times.lcm_timesteps(p["T"], p["original"], p["N"])


def quadratic_times(p):
    """Times that are even in their root."""
    return times.quadratic_times(p["N"], p["first"], p["last"])


def sigma_timesteps(p):
    """Real times of given noise levels."""
    return times.sigma_timesteps(p["sigma"], schedule_of(p["schedule"]))


def step_index(p):
    """Places of given times."""
    return times.step_index(np.array(p["timesteps"]), p["t"])


def sigmas(p):
    """Noise / signal at the visited entries, then 0."""
    sched, t = schedule_of(p["schedule"]), np.array(p["timesteps"]) + 1
    return np.array([*sched.noise[t] / sched.signal[t], 0.0])


def karras_sigmas(p):
    """Karras' grid."""
    return edm.karras(p["N"], p["sigma_min"], p["sigma_max"], p["rho"])


def karras_log_snr(p):
    """-2 log sigma(t): Karras' grid by a real index, its t-th part from below."""
    root = 1 / p["rho"]
    low, high = p["sigma_min"] ** root, p["sigma_max"] ** root
    return -2 * p["rho"] * np.log(low + p["t"] * (high - low))


def exponential_sigmas(p):
    """Levels that are even in their logarithm."""
    return grids.exponential_sigmas(p["N"], p["sigma_min"], p["sigma_max"])


def vp_sigmas(p):
    """Noise / signal of the variance-preserving process."""
    process = sde.vp(rates.linear_beta(p["beta_min"], p["beta_max"]))
    signal, noise = process.marginal(np.linspace(1, p["eps"], p["N"]))
    return np.array([*noise / signal, 0.0])


def _flow(p):
    """The shifted levels of a flow, before the last 0."""
    N, T = p["N"], p["T"]
    s = grids.to_zero(N) if p["grid"] == "to-zero" else grids.to_last(N, T)
    return grids.shift(s, p["shift"])


def flow_sigmas(p):
    """Levels of flow matching, then 0."""
    return np.array([*_flow(p), 0.0])


def flow_times(p):
    """The same, counted from noise to data."""
    return 1 - flow_sigmas(p)


def flow_timesteps(p):
    """What a flow's network is told."""
    return p["T"] * _flow(p)


def loss_weight(p):
    """Weight of a target's squared error; the chapter refuses the limit at SNR = 0."""
    sched, t = _asked(p)
    weighting = {
        "simple": None,
        "snr": losses.weight_snr,
        "truncated-snr": losses.weight_truncated_snr,
        "min-snr": losses.weighting_min_snr(p.get("gamma", 5.0)),
        "elbo": losses.weight_elbo,
    }[p["kind"]]
    weight = np.ones(len(t))
    bounded = p["target"] == "eps" and p["kind"] in ("snr", "min-snr")
    told = sched.signal[t] > 0 if bounded else np.full(len(t), True)
    target = TARGETS[p["target"]]
    weight[told] = losses.target_weight(target, weighting, t[told], sched)[..., 0]
    return weight


def logit_normal_weight(p):
    """Density of a logit-normal time."""
    return weights.logit_normal(p["t"], p["mean"], p["std"])


def edm_precondition(p):
    """The four factors of EDM's wrapping."""
    found = edm.precondition(p["sigma"], p["sigma_data"])
    return {name: getattr(found, name) for name in found._fields[:4]}


def edm_weight(p):
    """Weight of EDM's loss."""
    return edm.precondition(p["sigma"], p["sigma_data"]).weight
