"""Tables of the continuous processes, drifts and likelihoods, as refdiff has them."""

import numpy as np

from refdiff import elbo, forward, gaussian, likelihood, reversal, vae
from refdiff.ddpm import mu_from_eps
from refdiff.oracle.families.gaussian_flow import gaussian_flow
from refdiff.oracle.families.schedules import schedule_of
from refdiff.oracle.models import law_of, sde_of


def sde_marginal(p):
    """Signal and noise at each time."""
    signal, noise = sde_of(p).marginal(np.array(p["t"]))
    return {"signal": signal, "noise": noise}


def sde_coefficients(p):
    """Rate of the drift, and squared diffusion."""
    process, t = sde_of(p), np.array(p["t"])
    return {"a": process.a(t), "g2": process.g2(t)}


def sde_log_snr(p):
    """log(signal^2 / noise^2), twice refdiff's own."""
    return 2 * sde_of(p).log_snr(np.array(p["t"]))


def time_label(p):
    """The nearest entry of a discrete model."""
    return np.rint(np.array(p["t"]) * (p["T"] - 1)).astype(int)


def _drift(p, process):
    return process(sde_of(p), lambda x, level: p["score"]).f(p["x"], p["t"])


def reverse_drift(p):
    """Drift of the reverse SDE."""
    return _drift(p, reversal.reverse)


def flow_drift(p):
    """Drift of the probability flow."""
    return _drift(p, reversal.probability_flow)


def _prior(p):
    d = p["x"].shape[1]
    cov = p["prior_std"] ** 2 * np.eye(d)
    return lambda x: gaussian.logpdf(x, np.zeros(d), cov)


def gaussian_flow_loglik(p):
    """Closed form of the log density along the flow."""
    mean, cov = (np.array(p["law"][k][0]) for k in ("means", "covs"))
    x_T, log_det = gaussian_flow(p["x"], mean, cov, sde_of(p), p["t_0"], p["t_T"])
    return {"log_p": _prior(p)(x_T) + log_det, "x_T": x_T}


def flow_loglik(p):
    """The same integrated along the flow by RK4, on grids that are finer near t_0."""
    model, process = likelihood.linearised_mixture(law_of(p)), sde_of(p)

    def solved(N):
        grid = np.linspace(p["t_0"] ** 0.5, p["t_T"] ** 0.5, N + 1) ** 2
        grid[[0, -1]] = p["t_0"], p["t_T"]
        return likelihood.log_likelihood(p["x"], process, model, grid, _prior(p))[0]

    return np.array([solved(N) for N in p["steps"]])


def hutchinson(p):
    """The mean over probes."""
    x = np.zeros((1, len(p["J"])))
    push = p["J"].T
    return likelihood.divergence(lambda v: v @ push, x, p["probes"][:, None])


def elbo_terms(p):
    """Terms of the bound for given noise and predictions."""
    sched, x0 = schedule_of(p["schedule"]), p["x0"]
    eye = np.eye(x0.shape[1])
    kls = []
    for t in range(1, sched.T + 1):
        xt = forward.q_sample(x0, t, p["eps"][t - 1], sched)
        mu_hat = mu_from_eps(xt, t, p["eps_hat"][t - 1], sched)
        if t == 1:  # where mu_hat is x0_hat
            reconstruction = vae.log_decoder(x0, mu_hat, np.sqrt(sched.beta[1]))
        elif p["variance"] == "small":
            kls.append(
                elbo.mean_kl(forward.q_posterior(x0, xt, t, sched)[0], mu_hat, t, sched)
            )
        else:
            mu, var = forward.q_posterior(x0, xt, t, sched)
            kls.append(gaussian.kl(mu, var * eye, mu_hat, sched.beta[t] * eye))
    prior = vae.prior_kl(sched.signal[-1] * x0, np.full(x0.shape, sched.noise[-1]))
    bound = reconstruction - prior - sum(kls)
    return {
        "prior_kl": prior,
        "kl": np.array(kls),
        "reconstruction": reconstruction,
        "elbo": bound,
    }


def bits_per_dim(p):
    """Bits, from the width of a bin."""
    width = (p["high"] - p["low"]) / p["levels"]
    return likelihood.bits_per_dim(p["log_p"], p["d"], width)
