"""The forward process as a stochastic differential equation: VP, VE, sub-VP, OU, EDM.

Each is linear, dx = a(t) x dt + g(t) dw, so that its law is known at any time in closed
form: x_t = signal(t) x0 + noise(t) eps. Time runs from 0 (data) to T (noise), and t may
be a number or an array. What runs backwards stands in `reversal`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refdiff._check import Array, Scale, finite, positive
from refdiff.schedule import Level


@dataclass(frozen=True)
class SDE:
    """dx = a(t) x dt + g(t) dw for t in 0..T.

    a(t), g2(t) = g(t)^2;  transition(s, t) -> (scale, var) of x_t = scale x_s +
    sqrt(var) eps for s <= t;  noise0: what the data carry at t = 0 already
    Source: Chan v3 Def 4.1, (4.10)
    Test: test_sde.py::test_the_marginal_solves_its_moment_equations
    """

    a: Callable[[Scale], Scale]
    g2: Callable[[Scale], Scale]
    transition: Callable[[Scale, Scale], tuple[Scale, Scale]]
    T: float
    noise0: float = 0.0

    def f(self, x: Array, t: Scale) -> Array:
        """Return the drift a(t) x; x (..., d)  ->  (..., d).

        Source: Chan v3 Def 4.1, (4.10)
        Test: test_sde.py::test_the_marginal_solves_its_moment_equations
        """
        return self.a(t) * x

    def g(self, t: Scale) -> Scale:
        """Return the diffusion coefficient, a standard deviation per root of time.

        Source: Chan v3 Def 4.1, (4.10)
        Test: test_sde.py::test_the_marginal_solves_its_moment_equations
        """
        return np.sqrt(self.g2(t))

    def marginal(self, t: Scale) -> tuple[Scale, Scale]:
        """Return (signal, noise) of x_t = signal x0 + noise eps.

        t in 0..T, a number or an array  ->  two of its shape
        ValueError if t is outside 0..T.
        Source: Song21 (29)
        Test: test_sde.py::test_the_marginal_agrees_with_50_digits
        """
        (t,) = finite(t=t)
        if not ((t >= 0) & (t <= self.T)).all():
            raise ValueError(f"t must be in 0..{self.T}; got {t}")
        signal, var = self.transition(0.0, t)
        return signal, np.hypot(np.sqrt(var), signal * self.noise0)

    def level(self, t: float) -> Level:
        """Return the Level of time t: its signal, noise and t itself, as plain numbers.

        Source: definition
        Test: test_sde.py::test_time_is_the_inverse_of_the_log_snr
        """
        signal, noise = self.marginal(t)
        return Level(float(signal), float(noise), float(t))

    def log_snr(self, t: Scale) -> Scale:
        """Return lambda = log(signal / noise), which falls with t; infinite without noise.

        Source: Lu22 (2.5) for its use
        Test: test_sde.py::test_time_is_the_inverse_of_the_log_snr
        """
        signal, noise = self.marginal(t)
        with np.errstate(divide="ignore"):
            return np.log(signal) - np.log(noise)

    def time(self, log_snr: float) -> float:
        """Return the time at which log(signal / noise) has a value: the inverse.

        ValueError if it has that value nowhere in 0..T.
        Source: definition
        Test: test_sde.py::test_time_is_the_inverse_of_the_log_snr
        """
        from scipy.optimize import brentq

        most, least = self.log_snr(0.0), self.log_snr(self.T)
        if not least <= log_snr <= most:
            raise ValueError(f"log_snr must be in {least}..{most}; got {log_snr}")
        if log_snr in (most, least):
            return 0.0 if log_snr == most else self.T

        def above(t):
            return max(-1e3, min(1e3, self.log_snr(t) - log_snr))  # finite at t = 0

        return brentq(above, 0.0, self.T, xtol=1e-300, rtol=1e-15, maxiter=2000)


def ou(alpha: float, beta: float, T: float = 1.0) -> SDE:
    """Ornstein-Uhlenbeck: dx = -(alpha/2) x dt + beta dw; alpha = 0 is Brownian motion.

    scale = exp(-alpha h/2),  var = beta^2 (1 - exp(-alpha h)) / alpha,  h = t - s
    Source: Chan v3 Ex 4.3, Ex 4.4
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    finite(alpha=alpha)
    positive(beta=beta, T=T)

    def transition(s, t):
        h = np.asarray(t) - s
        spread = -np.expm1(-alpha * h) / alpha if alpha else h
        return np.exp(-alpha * h / 2), beta**2 * spread

    return SDE(
        lambda t: -alpha / 2 + 0 * t, lambda t: beta**2 + 0 * t, transition, float(T)
    )


class Beta(NamedTuple):
    """A noise rate beta(t) for t in 0..T, and its integral B(s, t) from s to t.

    Source: Chan v3 Thm 4.1
    Test: test_sde.py::test_the_integral_of_beta_is_its_integral
    """

    beta: Callable[[Scale], Scale]
    B: Callable[[Scale, Scale], Scale]
    T: float


def linear_beta(beta_min: float = 0.1, beta_max: float = 20.0) -> Beta:
    """Linear beta(t) on 0..1.

    beta = beta_min + t (beta_max - beta_min);  B(s, t) = (t - s) times its mean
    Source: Song21 (32)
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    positive(beta_min=beta_min, beta_max=beta_max)

    def beta(t):
        return beta_min + t * (beta_max - beta_min)

    return Beta(beta, lambda s, t: (t - s) * (beta(s) + beta(t)) / 2, 1.0)


def cosine_beta(s: float = 0.008, T: float = 0.995) -> Beta:
    """Beta(t) of the cosine schedule on 0..T, T < 1.

    signal = cos w(t) / cos w(0),  w(t) = (t + s)/(1 + s) pi/2, so beta = 2 w' tan w(t),
    which is infinite at t = 1: the process ends before
    B(u, t) = 2 log(cos w(u) / cos w(t)), the difference factored into sines
    Source: Nichol21 (17) in continuous time
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    if not (np.isfinite(s) and s >= 0 and 0 < T < 1):
        raise ValueError(f"s must be >= 0 and T in (0, 1); got {s}, {T}")
    rate = np.pi / 2 / (1 + s)

    def beta(t):
        return 2 * rate / np.tan((1 - t) * rate)  # of the angle that is left

    def B(u, t):
        rise = np.sin((u + t + 2 * s) * rate / 2) * np.sin((t - u) * rate / 2)
        return 2 * np.log1p(2 * rise / np.sin((1 - t) * rate))

    return Beta(beta, B, T)


def vp(rate: Beta) -> SDE:
    """Variance-preserving: dx = -(beta(t)/2) x dt + sqrt(beta(t)) dw.

    scale = exp(-B(s, t) / 2),  var = 1 - exp(-B(s, t))
    Source: Chan v3 Thm 4.1, (4.14), (4.15), Ex 4.6; Song21 (11)
    Test: test_sde.py::test_the_marginal_solves_its_moment_equations
    """
    beta, B, T = rate

    def transition(s, t):
        return np.exp(-B(s, t) / 2), -np.expm1(-B(s, t))

    return SDE(lambda t: -beta(t) / 2, beta, transition, T)


def sub_vp(rate: Beta) -> SDE:
    """Sub-VP: VP's drift with less noise, g^2 = beta (1 - exp(-2 B(0, t))).

    scale = exp(-B(s, t) / 2),  var = (1 - exp(-B(s, t))) (1 - exp(-B(0, s) - B(0, t))),
    so that noise = 1 - exp(-B(0, t)): VP's noise squared
    Source: Song21 (28), (29)
    Test: test_sde.py::test_the_marginal_solves_its_moment_equations
    """
    beta, B, T = rate

    def transition(s, t):
        var = np.expm1(-B(s, t)) * np.expm1(-B(0.0, s) - B(0.0, t))
        return np.exp(-B(s, t) / 2), var

    def g2(t):
        return -beta(t) * np.expm1(-2 * B(0.0, t))

    return SDE(lambda t: -beta(t) / 2, g2, transition, T)


def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> SDE:
    """Variance-exploding: dx = sqrt(d sigma^2/dt) dw, sigma(t) geometric on 0..1.

    sigma(t) = sigma_min (sigma_max/sigma_min)^t;  noise(t) = sigma(t), at t = 0 too
    scale = 1,  var = sigma(t)^2 - sigma(s)^2
    ValueError unless 0 < sigma_min < sigma_max.
    Source: Chan v3 Thm 4.3, (4.19); Song21 (9), (30)
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    positive(sigma_min=sigma_min, sigma_max=sigma_max)
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_max must be above {sigma_min}; got {sigma_max}")
    rate = np.log(sigma_max / sigma_min)

    def square(t):
        return sigma_min**2 * np.exp(2 * rate * t)

    def transition(s, t):
        return 1.0 + 0 * t, square(s) * np.expm1(2 * rate * (t - s))

    return SDE(
        lambda t: 0 * t, lambda t: 2 * rate * square(t), transition, 1.0, sigma_min
    )


def edm(sigma_max: float = 80.0) -> SDE:
    """Variance-exploding with sigma(t) = t: time is the noise level itself.

    g^2 = 2t;  scale = 1,  var = t^2 - s^2
    Source: Karras22 Table 1
    Test: test_sde.py::test_the_marginal_agrees_with_50_digits
    """
    positive(sigma_max=sigma_max)

    def transition(s, t):
        return 1.0 + 0 * t, (t - s) * (t + s)

    return SDE(lambda t: 0 * t, lambda t: 2 * t, transition, float(sigma_max))


def rescaled(sde: SDE) -> SDE:
    """Return the process of x_t / signal(t): variance-exploding, sigma = noise / signal.

    So VP and VE are one process but for a change of scale and of time.
    Source: Chan v3 4.3 in words; Karras22 B.2
    Test: test_sde.py::test_vp_and_ve_are_one_process
    """

    def transition(s, t):
        return 1.0 + 0 * t, sde.transition(s, t)[1] / sde.transition(0.0, t)[0] ** 2

    def g2(t):
        return sde.g2(t) / sde.transition(0.0, t)[0] ** 2

    return SDE(lambda t: 0 * t, g2, transition, sde.T, sde.noise0)
