"""The EDM view: the noise level is the time, and Heun's method with churned noise.

In y = x / signal and sigma = noise / signal every linear process is y = x0 + sigma eps,
and the probability flow is dy/dsigma = eps_hat = (y - x0_hat) / sigma. So the sampler
stands once, for levels of any process; with `sde.edm` they are (1, sigma).
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, Scale, above_zero, alike, finite, positive, whole
from refdiff.chain import Chain
from refdiff.probe import tabulate
from refdiff.reversal import falling
from refdiff.schedule import Level
from refdiff.sde import SDE
from refdiff.targets import Model, eps_from_score


def karras(
    N: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Array:
    """Noise levels of N steps, dense near sigma_min, which end at 0: a falling grid.

    sigma_i = [sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho))]^rho
    for i = 0..N-1, then 0  ->  (N+1,);  one step is from sigma_max to 0
    Logarithms keep the digits at every rho; rho = inf would be a geometric grid.
    ValueError unless 0 < sigma_min < sigma_max, N >= 1 and rho > 0.
    Source: Karras22 (5)
    Test: test_edm.py::test_the_karras_grid_is_even_in_a_root_of_sigma
    """
    positive(sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
    whole(N=N)
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_max must be above {sigma_min}; got {sigma_max}")
    share = np.arange(1, N - 1) / max(N - 1, 1)
    fall = np.expm1(np.log(sigma_min / sigma_max) / rho)
    inner = sigma_max * np.exp(rho * np.log1p(share * fall))
    ends = [sigma_min] if N > 1 else []
    return np.array([sigma_max, *inner, *ends, 0.0])


def times_of(sde: SDE, sigma: Array) -> Array:
    """Times at which noise / signal has the given values: a Karras grid on any process.

    sigma (N+1,), which may end at 0, t = 0  ->  (N+1,)
    ValueError if a sigma is below 0, or not reached by sde: VE has noise at t = 0
    Source: Karras22 Table 1
    Test: test_edm.py::test_a_karras_grid_has_its_times_on_every_process
    """
    (sigma,) = finite(sigma=sigma)
    least = np.exp(-sde.log_snr(0.0))
    if sigma.ndim != 1 or (sigma < least * (1 - 1e-12)).any():
        raise ValueError(f"sigma must be (N+1,), at least {least} here; got {sigma}")
    return np.array([sde.time(-np.log(s)) if s else 0.0 for s in sigma])


def edm_step(
    x: Array,
    now: Level,
    hat: Level,
    then: Level,
    model: Model,
    z: Array,
    s_noise: float = 1.0,
) -> Array:
    """One step of EDM's stochastic sampler: noise is added up to `hat`, then Heun.

    y_hat = y + s_noise sqrt(sigma_hat^2 - sigma^2) z,  y = x / signal
    y_then = y_hat + (sigma_then - sigma_hat) d,  d = eps_hat at y_hat, and where
    sigma_then > 0 the mean of d and of eps_hat at that y_then in its place
    x, z (..., d), model(x, level) the score  ->  (..., d)
    Source: Karras22 Algorithm 2
    Test: test_edm.py::test_without_churn_it_is_heun_on_the_probability_flow
    """
    x, z = alike(x=x, z=z)
    sigma, sigma_hat, sigma_then = (at.noise / at.signal for at in (now, hat, then))
    added = np.sqrt((sigma_hat - sigma) * (sigma_hat + sigma))
    x_hat = hat.signal / now.signal * x + hat.signal * s_noise * added * z
    y, h = x_hat / hat.signal, sigma_then - sigma_hat
    d = _slope(model, x_hat, hat)
    y_then = y + h * d
    if sigma_then > 0:
        y_then = y + h * (d + _slope(model, then.signal * y_then, then)) / 2
    return then.signal * y_then


def _slope(model, x, level):
    """dy/dsigma = eps_hat."""
    return eps_from_score(x, model(x, level), level.signal, level.noise)


def edm_chain(
    sde: SDE,
    grid: Array,
    churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float = np.inf,
    s_noise: float = 1.0,
) -> Chain:
    """Return EDM's sampler on a falling grid of times as a Chain.

    sigma_hat = (1 + gamma) sigma,  gamma = min(churn / N, sqrt(2) - 1) where
    s_min <= sigma <= s_max, and 0 elsewhere. The grid is of times: karras(N) for edm(),
    times_of(sde, karras(N, ...)) for another
    ValueError if the grid does not fall, churn or s_noise is below 0, s_min is above
    s_max, or sigma_hat lies beyond T: lower s_max, or make T larger.
    Source: Karras22 Algorithm 2
    Test: test_edm.py::test_churned_samples_have_the_exact_law_of_the_chain
    """
    times = falling(grid)
    if not (churn >= 0 and 0 <= s_noise < np.inf):
        raise ValueError(f"churn and s_noise must be >= 0; got {churn}, {s_noise}")
    if not s_min <= s_max:
        raise ValueError(f"s_min must be at most s_max; got {s_min}, {s_max}")
    most = min(churn / (len(times) - 1), np.sqrt(2) - 1)

    def at(t, t_next):
        now, then = sde.level(t), sde.level(t_next)
        churned = most > 0 and s_min <= now.noise / now.signal <= s_max
        hat = _raised(sde, now, most) if churned else now
        return lambda x, z, model: edm_step(x, now, hat, then, model, z, s_noise)

    return tabulate([at(*pair) for pair in pairwise(times)])


def _raised(sde, now, gamma):
    """Level whose sigma is 1 + gamma times that of now, or now if rounding hides it."""
    sigma, (signal, noise) = now.noise / now.signal, sde.marginal(sde.T)
    sigma_hat = (1 + gamma) * sigma
    if sigma_hat > noise / signal:
        raise ValueError(
            f"sigma_hat must be at most {noise / signal}, that of T; got {sigma_hat}: "
            "lower s_max, or make T larger"
        )
    hat = sde.level(sde.time(max(-np.log(sigma_hat), sde.log_snr(sde.T))))
    return hat if hat.noise / hat.signal > sigma else now


class Precondition(NamedTuple):
    """Factors that give a network's input and target variance 1 at every sigma.

    x0_hat(y, sigma) = c_skip y + c_out F(c_in y, c_noise);  weight: lambda(sigma), with
    which the loss of x0_hat is that of F with weight 1
    Source: Karras22 Table 1
    Test: test_edm.py::test_preconditioning_gives_unit_variances
    """

    c_skip: Scale
    c_out: Scale
    c_in: Scale
    c_noise: Scale
    weight: Scale


def precondition(sigma: Scale, sigma_data: float = 0.5) -> Precondition:
    """Return EDM's preconditioning at a noise level, for data of variance sigma_data^2.

    c_skip = sigma_data^2 / r^2,  c_out = sigma sigma_data / r,  c_in = 1 / r,
    c_noise = log(sigma) / 4,  weight = 1 / c_out^2,  r = sqrt(sigma^2 + sigma_data^2)
    sigma a number or array above 0
    Source: Karras22 Table 1, B.6
    Test: test_edm.py::test_preconditioning_gives_unit_variances
    """
    (sigma,) = above_zero(sigma=sigma)
    positive(sigma_data=sigma_data)
    r = np.hypot(sigma, sigma_data)
    c_out = sigma * sigma_data / r
    skip = (sigma_data / r) ** 2
    return Precondition(skip, c_out, 1 / r, np.log(sigma) / 4, 1 / c_out**2)
