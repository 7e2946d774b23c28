"""Brownian motion: white noise, the linear Langevin equation, and what chapter 5 calls so.

The tutorial's chapter 5 writes xi' = h(xi, t) + g(xi, t) Gamma(t) with white noise of its
own strength, <Gamma(t) Gamma(t')> = q delta(t - t'), in Stratonovich's sense: q in 5.1, 2
from 5.2 on. `ito` turns that into this project's dx = f dt + g dw, dw standard Wiener and
Ito; nothing else here or below needs to know of it.
"""

from operator import index

import numpy as np

from refdiff import gaussian
from refdiff._check import Array, Scale, alike, finite, generator, positive
from refdiff.ode import Slope
from refdiff.sde import SDE, ou
from refdiff.solvers import Process


def ito(h: Slope, g: Slope, g_slope: Slope | None = None, q: float = 2.0) -> Process:
    """Return the Ito process, with standard Wiener noise, of xi' = h + g Gamma.

    dx = [h + q/2 g g'] dt + sqrt(q) g dw,  where <Gamma Gamma'> = q delta, Stratonovich
    g_slope: g', the derivative in x; None where g does not depend on x
    So with q = 2 the Kramers-Moyal coefficients are D1 = h + g g', D2 = g^2.
    Source: Chan v3 Thm 5.9, Def 5.2, (5.20), (5.36)-(5.39); Risken89 3.3. Departs: the limits
    of its proof lack 1/tau.
    Test: test_brownian.py::test_ito_is_the_limit_of_stochastic_heun
    """
    positive(q=q)

    def f(x, t):
        spurious = 0.0 if g_slope is None else q / 2 * g(x, t) * g_slope(x, t)
        return h(x, t) + spurious

    return Process(f, lambda x, t: np.sqrt(q) * g(x, t))


def white_noise(shape: tuple, dt: float, q: float, rng: np.random.Generator) -> Array:
    """White noise averaged over bins of width dt: N(0, q / dt), independent.

    Its integral over a time t has variance q t, whatever dt; at a single time it has no
    value, and its variance grows without bound as dt -> 0.
    Source: Chan v3 5.1, Fig 5.1. Departs: it has N(0, sigma^2) at every time.
    Test: test_brownian.py::test_white_noise_is_flat_and_uncorrelated
    """
    generator(rng)
    positive(dt=dt, q=q)
    return np.sqrt(q / dt) * rng.standard_normal(shape)


def autocorrelation(x: Array, most: int) -> Array:
    """Estimate E x(t) x(t + lag) at lags 0..most of a stationary series without mean.

    R[lag] = mean over t of x[t] x[t + lag]
    x (N, ...), most < N  ->  (most + 1, ...)
    Source: Chan v3 5.1, Fig 5.1
    Test: test_brownian.py::test_white_noise_is_flat_and_uncorrelated
    """
    x = _series(x)
    if not 0 <= index(most) < len(x):
        raise ValueError(f"most must be in 0..{len(x) - 1}; got {most}")
    return np.array([(x[: len(x) - k] * x[k:]).mean(axis=0) for k in range(most + 1)])


def spectrum(x: Array, dt: float) -> tuple[Array, Array]:
    """Periodogram of a series: power per frequency, whose mean tends to the spectrum.

    S(omega) = dt / N |sum_t x[t] exp(-i omega t dt)|^2, the Fourier transform of R with
    lag l weighed by 1 - l/N; white noise has the right mean at every N
    x (N, ...)  ->  omega (N//2 + 1,) in radians per time, S (N//2 + 1, ...)
    Source: Chan v3 (5.5)
    Test: test_brownian.py::test_the_periodogram_is_the_transform_of_the_autocorrelation
    """
    x = _series(x)
    positive(dt=dt)
    omega = 2 * np.pi * np.fft.rfftfreq(len(x), dt)
    return omega, dt / len(x) * np.abs(np.fft.rfft(x, axis=0)) ** 2


def langevin_sde(gamma: float, q: float, T: float = 1.0) -> SDE:
    """Return the linear Langevin equation xi' + gamma xi = Gamma as an SDE.

    dx = -gamma x dt + sqrt(q) dw; forward DDPM with constant beta has gamma = beta/2 and
    q = beta
    Source: Chan v3 Def 5.1, Ex 5.1, Ex 5.3, (5.1)-(5.4), (5.6), (5.9), (5.15)
    Test: test_brownian.py::test_the_sampler_has_no_error_at_any_step
    """
    finite(gamma=gamma)
    positive(q=q)
    return ou(2 * gamma, np.sqrt(q), T)


def exact_step(x: Array, t: float, t_next: float, z: Array, sde: SDE) -> Array:
    """One exact step of a linear SDE: scale x + sqrt(var) z, without error at any width.

    x, z (..., d), 0 <= t < t_next <= T  ->  (..., d)
    Source: Chan v3 Thm 5.2
    Test: test_brownian.py::test_the_sampler_has_no_error_at_any_step
    """
    x, z = alike(x=x, z=z)
    if not 0 <= t < t_next <= sde.T:
        raise ValueError(f"0 <= t < t_next <= {sde.T} must hold; got {t}, {t_next}")
    scale, var = sde.transition(t, t_next)
    finite(scale=scale, var=var)
    return scale * x + np.sqrt(var) * z


def decay(xi0: Scale, gamma: float, t: Scale) -> Scale:
    """Return the solution of xi' + gamma xi = 0: xi0 exp(-gamma t).

    Source: Chan v3 Thm 5.1, (5.2), (5.7)
    Test: test_brownian.py::test_the_response_solves_the_equation_for_any_force
    """
    xi0, gamma, t = finite(xi0=xi0, gamma=gamma, t=t)
    return xi0 * np.exp(-gamma * t)


def response(xi0: float, gamma: float, force: Array, dt: float) -> Array:
    """Return the solution of xi' + gamma xi = force, for a force constant over each dt.

    xi(t) = xi0 exp(-gamma t) + integral of exp(-gamma (t - s)) force(s) over s in 0..t,
    each bin's integral exact; for white noise the force is `white_noise`
    force (N, ...)  ->  xi at 0, dt, ..., N dt: (N+1, ...)
    Source: Chan v3 Thm 5.2, (5.8), (5.11)
    Test: test_brownian.py::test_the_response_solves_the_equation_for_any_force
    """
    force = _series(force)
    finite(xi0=xi0, gamma=gamma)
    positive(dt=dt)
    y = gamma * dt
    keep = np.exp(-y)
    gain = dt * (-np.expm1(-y) / y if y else 1.0)
    xi = [np.broadcast_to(float(xi0), force.shape[1:])]
    for kick in force:
        xi.append(keep * xi[-1] + gain * kick)
    return np.array(xi)


def equilibrium_variance(gamma: float, q: float) -> float:
    """Variance of xi at equilibrium, N(0, q / (2 gamma)).

    Source: Chan v3 Thm 5.3, Ex 5.3, (5.10)
    Test: test_brownian.py::test_equilibrium_is_the_limit_of_the_transition
    """
    positive(gamma=gamma, q=q)
    return q / (2 * gamma)


def even_moment(n: int, var: float) -> float:
    """Return E x^(2n) of N(0, var): (2n)! / (2^n n!) var^n; odd moments are 0.

    Source: Chan v3 (5.12), (5.13)
    Test: test_brownian.py::test_moments_and_characteristic_function_are_one_law
    """
    n = index(n)
    _at_least_0(n=n, var=var)
    return float(np.prod([(2 * k - 1) * var for k in range(1, n + 1)]))


def characteristic(u: Scale, var: float) -> Scale:
    """Return E exp(i u x) of N(0, var): exp(-u^2 var / 2) = sum (i u)^(2n) E x^(2n) / (2n)!.

    At equilibrium var = q / (2 gamma); for a Wiener process var = q t.
    Source: Chan v3 (5.14), (5.17). Departs: the first line of (5.14) drops (i u)^n / n!.
    Test: test_brownian.py::test_moments_and_characteristic_function_are_one_law
    """
    (u,) = finite(u=u)
    _at_least_0(var=var)
    return np.exp(-(u**2) * var / 2)


def wiener_density(x: Array, t: float, xi0: float, q: float) -> Array:
    """Density at time t of a Wiener process from xi0: N(xi0, q t).

    It solves the heat equation (5.19) with k = q/2.
    x (...)  ->  (...);  t > 0
    Source: Chan v3 Thm 5.4, (5.16), (5.18), Fig 5.2
    Test: test_brownian.py::test_the_wiener_density_solves_the_heat_equation
    """
    positive(t=t, q=q)
    x = finite(x=x)[0][..., None]
    return np.exp(gaussian.logpdf(x, np.array([float(xi0)]), np.array([[q * t]])))


def velocity_autocorrelation(gamma: float, q: float, lag: Scale) -> Scale:
    """Return E v(t) v(t + lag) of a particle at equilibrium: q/(2 gamma) exp(-gamma |lag|).

    Source: Risken89 3.1 for Brownian motion
    Test: test_brownian.py::test_displacement_goes_from_ballistic_to_diffusive
    """
    (lag,) = finite(lag=lag)
    return equilibrium_variance(gamma, q) * np.exp(-gamma * np.abs(lag))


def mean_squared_displacement(gamma: float, q: float, t: Scale) -> Scale:
    """Return E |x(t) - x(0)|^2 of a particle whose velocity is at equilibrium.

    q / gamma^2 [t - (1 - exp(-gamma t)) / gamma]: ballistic, q/(2 gamma) t^2, while
    gamma t is small, and diffusive, q / gamma^2 t, when it is large;  t >= 0
    Source: Risken89 3.1 for Brownian motion
    Test: test_brownian.py::test_displacement_goes_from_ballistic_to_diffusive
    """
    positive(gamma=gamma, q=q)
    _at_least_0(t=t)
    y = gamma * np.asarray(t, float)
    near, far = np.minimum(y, 1e-2), np.maximum(y, 1e-2)
    series = 0.5 - near / 6 + near**2 / 24 - near**3 / 120 + near**4 / 720
    rise = np.where(y < 1e-2, series, (1 + np.expm1(-far) / far) / far)
    return q / gamma * np.asarray(t, float) ** 2 * rise  # (y - 1 + exp(-y)) / y^2


def _series(x):
    """A series over time (N, ...), refused unless it has a time."""
    (x,) = finite(x=x)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"a series must be (N, ...) with N >= 1; got shape {x.shape}")
    return x


def _at_least_0(**numbers):
    """Refuse what is not finite and at least 0."""
    for name, value in zip(numbers, finite(**numbers), strict=True):
        if (value < 0).any():
            raise ValueError(f"{name} must be at least 0; got {value.min()}")
