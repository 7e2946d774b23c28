"""DDIM: every reversal that keeps the marginals, from ancestral to deterministic.

`alpha_bar` is the tutorial's alpha of section 2.6; alpha is one step's everywhere. To
take few steps, give a respaced Schedule. sigma is a number or (..., 1), from 0 up to
noise[t-1]; sigma_q gives DDPM, 0 gives a deterministic map, whose steps have an inverse.
A chain asks its model for the score, and x0_hat from a score loses 1e-16 / signal.
Each function refuses, with a ValueError that names it, what is not finite.
"""

from operator import index

import numpy as np

from refdiff._check import Array, Scale, finite, positive, vectors
from refdiff.chain import Chain
from refdiff.forward import sigma_q
from refdiff.probe import tabulate
from refdiff.schedule import Level, Schedule
from refdiff.targets import EPS, X0, ask


def sigma_eta(eta: float, t: int | Array, sched: Schedule) -> Array:
    """Standard deviation eta sigma_q(t): eta = 1 is DDPM, eta = 0 is deterministic.

    eta up to noise[t-1] / sigma_q(t) = noise[t] / sqrt(beta[t]) >= 1 is admissible
    t in 1..T  ->  (..., 1)
    ValueError if t is outside 1..T, or eta is below 0 or too large at some t.
    Source: SongJ21 (16)
    Test: test_ddim.py::test_ddim_with_sigma_q_is_ddpm
    """
    if not (np.ndim(eta) == 0 and np.isfinite(eta) and eta >= 0):
        raise ValueError(f"eta must be a finite number of at least 0; got {eta}")
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    if (eta * np.sqrt(now.beta) > now.noise * (1 + 1e-14))[before.noise > 0].any():
        raise ValueError(f"eta must keep sigma in 0..noise[t-1]; got {eta} (t={t})")
    return np.minimum(eta * sigma_q(t, sched), before.noise)  # but for rounding


def ddim_posterior(
    x0: Array, xt: Array, t: int | Array, sigma: Scale, sched: Schedule
) -> tuple[Array, Array]:
    """Law of x_{t-1} given x_t and x_0 in the family that keeps every q(x_t | x_0).

    mean = signal[t-1] x0 + sqrt(noise[t-1]^2 - sigma^2) (xt - signal[t] x0) / noise[t]
    var  = sigma^2
    x0, xt (..., d), t in 1..T  ->  mean (..., d), var (..., 1)
    ValueError if t is outside 1..T or sigma outside 0..noise[t-1].
    Source: Chan v3 Thm 2.9, (2.53)-(2.57). Departs: it writes alpha for alpha_bar.
    Test: test_ddim.py::test_the_whole_family_keeps_the_marginals
    """
    x0, xt = vectors(x0=x0, xt=xt)
    now = sched.at(t, first=1)
    return _toward(x0, (xt - now.signal * x0) / now.noise, t, sigma, sched)


def _toward(x0, eps, t, sigma, sched):
    """Law of x_{t-1} from x0 and from the direction eps that points to x_t."""
    before, (sigma,) = sched.at(np.asarray(t) - 1), finite(sigma=sigma)
    if sigma.ndim and sigma.shape[-1] != 1:
        raise ValueError(f"sigma must be a number or (..., 1); got shape {sigma.shape}")
    outside = (sigma < 0) | (sigma > before.noise)
    if outside.any():
        bad = np.broadcast_to(sigma, outside.shape)[outside][0]
        raise ValueError(f"sigma must be in 0..noise[t-1]; got {bad} (t={t})")
    left = np.sqrt((before.noise - sigma) * (before.noise + sigma))
    return before.signal * x0 + left * eps, sigma**2 + 0 * before.noise


def ddim_step(
    xt: Array, t: int, eps_hat: Array, sigma: Scale, z: Array, sched: Schedule
) -> Array:
    """One step of the family, from the predicted noise.

    x0_hat = (xt - noise[t] eps_hat) / signal[t]
    x_prev = signal[t-1] x0_hat + sqrt(noise[t-1]^2 - sigma^2) eps_hat + sigma z
    xt, eps_hat, z (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, sigma outside 0..noise[t-1], or alpha_bar[t] = 0.
    Source: Chan v3 (2.58), (2.59); SongJ21 (12). Departs: alpha is alpha_bar there.
    Test: test_ddim.py::test_ddim_with_sigma_q_is_ddpm
    """
    xt, eps_hat, z = vectors(xt=xt, eps_hat=eps_hat, z=z)
    now = sched.at(t, first=1)
    if (now.signal == 0).any():
        raise ValueError(f"eps says nothing of x_prev where alpha_bar[t] = 0 (t={t})")
    x0_hat = (xt - now.noise * eps_hat) / now.signal
    mean, var = _toward(x0_hat, eps_hat, t, sigma, sched)
    return mean + np.sqrt(var) * z


def ddim_step_x0(
    xt: Array, t: int, x0_hat: Array, sigma: Scale, z: Array, sched: Schedule
) -> Array:
    """One step of the family, from the predicted x0; it holds at alpha_bar[t] = 0 too.

    x_prev = mean + sigma z, with the mean of `ddim_posterior` at x0_hat
    xt, x0_hat, z (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T or sigma outside 0..noise[t-1].
    Source: Chan v3 (2.57), (2.58)
    Test: test_ddim.py::test_both_forms_of_the_step_are_one
    """
    mean, var = ddim_posterior(x0_hat, xt, t, sigma, sched)
    return mean + np.sqrt(var) * z


def ddim_chain(sched: Schedule, eta: float = 0.0) -> Chain:
    """Return the DDIM sampler as a Chain, from t = T down to 1.

    Where alpha_bar[T] = 0 the first step is that of x0.
    ValueError if eta is not admissible at some t.
    Source: Chan v3 (2.59); SongJ21 (12), (16)
    Test: test_ddim.py::test_ddim_with_sigma_q_is_ddpm
    """

    def at(t):
        sigma = sigma_eta(eta, t, sched)
        step, target = (ddim_step, EPS) if sched.signal[t] else (ddim_step_x0, X0)

        def one(x, z, model):
            y = ask(model, x, t, sched, target)
            return step(x, t, y, sigma, z if eta else 0 * z, sched)

        return one

    return tabulate([at(t) for t in range(sched.T, 0, -1)])


def ddim_undo(x_prev: Array, t: int, eps_hat: Array, sched: Schedule) -> Array:
    """x_t whose deterministic step with this eps_hat led to x_prev: the step's inverse.

    xt = signal[t] (x_prev - noise[t-1] eps_hat) / signal[t-1] + noise[t] eps_hat
    x_prev, eps_hat (..., d), t in 1..T  ->  (..., d)
    ValueError if t is outside 1..T, or alpha_bar[t-1] = 0: x0 is forgotten there.
    Source: SongJ21 4.3
    Test: test_ddim.py::test_undo_is_the_inverse_of_the_step
    """
    x_prev, eps_hat = vectors(x_prev=x_prev, eps_hat=eps_hat)
    now, before = sched.at(t, first=1), sched.at(np.asarray(t) - 1)
    if (before.signal == 0).any():
        raise ValueError(f"nothing leads on from alpha_bar[t-1] = 0 (t={t})")
    x0_hat = (x_prev - before.noise * eps_hat) / before.signal
    return now.signal * x0_hat + now.noise * eps_hat


def ddim_inversion(sched: Schedule) -> Chain:
    """Return the encoder as a Chain, from x_0 up to x_T, that nearly inverts eta = 0.

    Each step is `ddim_undo` with the noise predicted where it stands, at (x_{t-1}, t-1),
    which stands in for that at (x_t, t): an error of second order in the step. At t = 0
    there is no noise to predict, eps_hat = 0, and no model is asked.
    ValueError if alpha_bar reaches 0 before T.
    Source: SongJ21 4.3
    Test: test_ddim.py::test_inversion_closes_at_first_order
    """

    def at(t):
        ddim_undo(np.zeros(1), t, np.zeros(1), sched)  # refuses what has no way on

        def one(x, z, model):
            eps_hat = ask(model, x, t - 1, sched, EPS) if t > 1 else 0 * x
            return ddim_undo(x, t, eps_hat, sched)

        return one

    return tabulate([at(t) for t in range(1, sched.T + 1)])


def indi_mix(x0: Array, y: Array, t: Scale) -> Array:
    """Point on the straight way from the clean x0 to the degraded y: (1-t) x0 + t y.

    x0, y (..., d), t in 0..1 a number or (..., 1)  ->  (..., d)
    ValueError if t is outside 0..1.
    Source: Chan v1 2.9
    Test: test_ddim.py::test_the_straight_way_is_met_by_its_steps
    """
    (x0, y), (t,) = vectors(x0=x0, y=y), finite(t=t)
    if not ((t >= 0) & (t <= 1)).all():
        raise ValueError(f"t must be in 0..1; got {t}")
    return (1 - t) * x0 + t * y


def indi_step(xt: Array, t: float, tau: float, x0_hat: Array) -> Array:
    """One step of inversion by direct denoising, from time t to t - tau.

    E[x_{t-tau} | x_t] = (1 - tau/t) xt + (tau/t) E[x0 | x_t]
    xt, x0_hat (..., d), 0 < tau <= t <= 1  ->  (..., d)
    ValueError if tau is outside (0, t] or t outside (0, 1].
    Source: Chan v1 2.9
    Test: test_ddim.py::test_the_straight_way_is_met_by_its_steps
    """
    xt, x0_hat = vectors(xt=xt, x0_hat=x0_hat)
    if not 0 < tau <= t <= 1:
        raise ValueError(f"0 < tau <= t <= 1 must hold; got tau = {tau}, t = {t}")
    return (1 - tau / t) * xt + tau / t * x0_hat


def indi_chain(steps: int, noise: float | None = None) -> Chain:
    """Return inversion by direct denoising as a Chain, in equal steps from t = 1 to 0.

    noise None: y is pure noise, x_t = (1-t) x0 + t eps, and the chain is Euler's method
    on the straight flow dx/dt = (x - x0_hat) / t; a number: y = x0 + noise eps, which
    is denoised, x_t = x0 + t noise eps.
    ValueError if steps is below 1 or noise is not above 0.
    Source: Chan v1 2.9
    Test: test_ddim.py::test_direct_denoising_is_euler_on_the_straight_flow
    """
    steps = index(steps)
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    if noise is not None:
        positive(noise=noise)

    def at(k):
        t = k / steps
        level = Level(1 - t, t, t) if noise is None else Level(1.0, t * noise, t)

        def one(x, z, model):
            y = model(x, level)
            clean = (x + level.noise**2 * y) / level.signal if level.signal else y
            return indi_step(x, t, 1 / steps, clean)

        return one

    return tabulate([at(k) for k in range(steps, 0, -1)])
