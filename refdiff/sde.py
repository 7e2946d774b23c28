"""The forward process as a stochastic differential equation: VP, VE, sub-VP, OU, EDM.

Each is linear, dx = a(t) x dt + g(t) dw, so that its law is known at any time in closed
form: x_t = signal(t) x0 + noise(t) eps. Time runs from 0 (data) to T (noise), and t may
be a number or an array. What runs backwards stands in `reversal`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refdiff._check import Array, Scale, finite, positive
from refdiff.rates import Beta, consistent, constant_beta, cosine_beta, linear_beta
from refdiff.schedule import Level
from refdiff.solvers import Process

__all__ = ["SDE", "edm", "ou", "rescaled", "sub_vp", "ve", "vp"]
__all__ += [
    "Beta",
    "constant_beta",
    "cosine_beta",
    "linear_beta",
]  # rates of vp, sub_vp


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
        """Return the drift a(t) x; x (..., d), t a number or (..., 1)  ->  (..., d).

        Source: Chan v3 Def 4.1, (4.10)
        Test: test_sde.py::test_the_marginal_solves_its_moment_equations
        """
        if np.ndim(t) and np.shape(t)[-1] != 1:
            raise ValueError(f"t must be a number or (..., 1); got {np.shape(t)}")
        return self.a(self._time(t)) * x

    def g(self, t: Scale) -> Scale:
        """Return the diffusion coefficient, a standard deviation per root of time.

        Source: Chan v3 Def 4.1, (4.10)
        Test: test_sde.py::test_the_marginal_solves_its_moment_equations
        """
        return np.sqrt(self.g2(self._time(t)))

    @property
    def process(self) -> Process:
        """The SDE as a Process, for the steps of `solvers` on a rising grid.

        Source: Chan v3 Def 4.1, (4.10), Ex 4.3, Ex 4.4
        Test: test_solvers.py::test_brownian_motion_is_exact_at_any_step
        """
        return Process(self.f, lambda x, t: self.g(t))

    def start(self, z: Array) -> Array:
        """Return noise(T) z, z ~ N(0, I): where a reversal from T starts, on any process.

        It leaves out signal(T) x0, which must be small beside it.
        Source: Song21 C for the prior
        Test: test_samplers.py::test_each_sampler_comes_to_the_data_from_its_own_start
        """
        return self.marginal(self.T)[1] * z

    def marginal(self, t: Scale) -> tuple[Scale, Scale]:
        """Return (signal, noise) of x_t = signal x0 + noise eps.

        t in 0..T, a number or an array  ->  two of its shape
        ValueError if t is outside 0..T, or the process has grown beyond all numbers.
        Source: Song21 (29)
        Test: test_sde.py::test_the_marginal_agrees_with_50_digits
        """
        signal, var = self.transition(0.0, self._time(t))
        finite(signal=signal, variance=var)
        return signal, np.hypot(np.sqrt(var), signal * self.noise0)

    def _time(self, t):
        """Times within 0..T, or a refusal."""
        (t,) = finite(t=t)
        if not ((t >= 0) & (t <= self.T)).all():
            raise ValueError(f"t must be in 0..{self.T}; got {t}")
        return t.astype(float)

    def level(self, t: float) -> Level:
        """Return the Level of time t: its signal, noise and t itself, as plain numbers.

        ValueError where signal(t) = 0, so that a score there says nothing of x0.
        Source: definition
        Test: test_sde.py::test_time_is_the_inverse_of_the_log_snr
        """
        signal, noise = self.marginal(t)
        if signal == 0:
            raise ValueError(f"the score says nothing of x0 at signal = 0 (t={t})")
        return Level(float(signal), float(noise), float(t))

    def log_snr(self, t: Scale) -> Scale:
        """Return lambda = log(signal / noise), which falls with t; infinite without noise.

        Source: Lu22 3.1 for its use
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
        near = 1e-12 * (1 + abs(least))  # where it hardly falls, rounding goes beyond
        if not least - near <= log_snr <= most + near:
            raise ValueError(f"log_snr must be in {least}..{most}; got {log_snr}")
        if log_snr >= most or log_snr <= least:
            return 0.0 if log_snr >= most else self.T

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


def vp(rate: Beta) -> SDE:
    """Variance-preserving: dx = -(beta(t)/2) x dt + sqrt(beta(t)) dw.

    scale = exp(-B(s, t) / 2),  var = 1 - exp(-B(s, t))
    ValueError if beta is below 0, or B is not its integral.
    Source: Chan v3 Thm 4.1, (4.14), (4.15), Ex 4.6; Song21 (11)
    Test: test_sde.py::test_the_marginal_solves_its_moment_equations
    """
    beta, B, T = consistent(rate)

    def transition(s, t):
        return np.exp(-B(s, t) / 2), -np.expm1(-B(s, t))

    return SDE(lambda t: -beta(t) / 2, beta, transition, T)


def sub_vp(rate: Beta) -> SDE:
    """Sub-VP: VP's drift with less noise, g^2 = beta (1 - exp(-2 B(0, t))).

    scale = exp(-B(s, t) / 2),  var = (1 - exp(-B(s, t))) (1 - exp(-B(0, s) - B(0, t))),
    so that noise = 1 - exp(-B(0, t)): VP's noise squared
    ValueError if beta is below 0, or B is not its integral.
    Source: Song21 (28), (29)
    Test: test_sde.py::test_the_marginal_solves_its_moment_equations
    """
    beta, B, T = consistent(rate)

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
