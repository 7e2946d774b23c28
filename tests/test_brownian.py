"""Brownian motion: conventions of noise, the linear Langevin equation, displacements.

Laws come from exact chains, quadrature and 50 digits; random numbers are judged by the
exact distribution of what is computed from them.
"""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders import on_shared_paths
from scipy import integrate, stats
from support import ALPHA, assert_accurate, exact, ks_passes

from refdiff import brownian as bm
from refdiff import heat, ornstein, sde, solvers
from refdiff.samplers import measured_order
from refdiff.solvers import Process, euler_maruyama_step, stochastic_heun_step

STEPS = (euler_maruyama_step, stochastic_heun_step)
POINT = np.zeros(1), np.zeros((1, 1))  # the law of a path that starts at 0
CONVENTIONS = {  # g, q, and the slope of the variance
    "chapter 4": (1.0, 1.0, 1.0),
    "section 5.1": (1.0, 0.3, 0.3),
    "section 5.2": (0.7, 2.0, 2 * 0.49),
}
conventions = pytest.mark.parametrize("name", CONVENTIONS)
numbers = st.floats(-3, 3).map(lambda v: round(v, 4))


def chi2_passes(total, dof):
    """Whether a sum of dof squared normals is neither too large nor too small."""
    return ALPHA / 2 < stats.chi2.cdf(total, dof) < 1 - ALPHA / 2


def wiener(g, q):
    """xi' = g Gamma as this project's Ito process."""
    return bm.ito(lambda x, t: 0 * x, lambda x, t: g, q=q)


@pytest.mark.identity
@conventions
@pytest.mark.parametrize("step", STEPS)
def test_the_three_conventions_have_slopes_1_q_and_2_g2(name, step):
    """Exactly, through the law of a chain: the variance at t is slope t."""
    g, q, slope = CONVENTIONS[name]
    grid = np.array([0.0, 0.1, 0.7, 1.0, 4.0])
    chain = solvers.chain(step, lambda model: wiener(g, q), grid)
    _, covs = chain.law(*POINT, *POINT)
    np.testing.assert_allclose(covs[:, 0, 0], slope * grid, rtol=1e-13)


@pytest.mark.law
@conventions
def test_simulated_slopes_are_1_q_and_2_g2(name):
    """By paths of the Ito process, and by adding up white noise of strength q."""
    (g, q, slope), rng, n, N = CONVENTIONS[name], np.random.default_rng(0), 20_000, 8
    grid, z = np.linspace(0, 4, N + 1), rng.standard_normal((N, n, 1))
    paths = solvers.paths(euler_maruyama_step, wiener(g, q), np.zeros((n, 1)), grid, z)
    driven = bm.response(0.0, 0.0, g * bm.white_noise((N, n), 0.5, q, rng), 0.5)
    for x in (np.array(list(paths))[..., 0], driven):
        for t, xt in zip(grid[1:], x[1:], strict=True):
            assert chi2_passes((xt**2).sum() / (slope * t), n), t


@pytest.mark.control
def test_a_lost_factor_in_the_noise_shows_in_the_slope():
    """g dw for sqrt(2) g dw; and N(0, sigma^2) at every time, whose slope is dt."""
    rng, n = np.random.default_rng(0), 20_000
    z = rng.standard_normal((8, n, 1))
    lost = Process(lambda x, t: 0 * x, lambda x, t: 0.7)
    *_, x = solvers.paths(
        euler_maruyama_step, lost, np.zeros((n, 1)), np.linspace(0, 4, 9), z
    )
    assert not chi2_passes((x**2).sum() / (CONVENTIONS["section 5.2"][2] * 4), n)
    for dt in (0.5, 0.05):
        x = bm.response(0.0, 0.0, rng.standard_normal((round(4 / dt), n)), dt)
        assert not chi2_passes((x[-1] ** 2).sum() / 4, n)
        assert chi2_passes((x[-1] ** 2).sum() / (4 * dt), n)


class Case:
    """xi' = h + g Gamma in Stratonovich's sense, with its solution on a path at t = 1."""

    def __init__(self, h, g, slope, q, end):
        self.h, self.g, self.slope, self.q, self.end = h, g, slope, q, end
        self.ito = bm.ito(h, g, slope, q)
        self.heun = Process(h, lambda x, t: np.sqrt(q) * g(x, t))

    def exact(self, z):
        return self.end(np.sqrt(self.q) * z.sum(axis=0) / np.sqrt(len(z)))


def root(x, t):
    return np.sqrt(1 + x**2)


CASES = {
    "sigma x, q = 2": Case(
        lambda x, t: -0.3 * x,
        lambda x, t: 0.5 * x,
        lambda x, t: 0.5,
        2.0,
        lambda w: np.exp(-0.3 + 0.5 * w),
    ),
    "sigma x, q = 1/2": Case(
        lambda x, t: 0.2 * x,
        lambda x, t: 0.9 * x,
        lambda x, t: 0.9,
        0.5,
        lambda w: np.exp(0.2 + 0.9 * w),
    ),
    "root(1 + x^2)": Case(
        lambda x, t: -0.5 * root(x, t),
        lambda x, t: 0.4 * root(x, t),
        lambda x, t: 0.4 * x / root(x, t),
        2.0,
        lambda w: np.sinh(np.arcsinh(1) - 0.5 + 0.4 * w),
    ),
}


@pytest.mark.order
@pytest.mark.parametrize("name", CASES)
def test_ito_is_the_limit_of_stochastic_heun(name):
    """On shared paths both steps tend to the exact solution, at orders 1/2 and 1."""
    case = CASES[name]
    for step, process, order, near in (
        (euler_maruyama_step, case.ito, 0.5, 0.03),
        (stochastic_heun_step, case.heun, 1, 0.003),
    ):
        errors = on_shared_paths(step, process, case.exact, 1024, 8000, 0)
        assert abs(measured_order(errors).mean() - order) < 0.1, (step, errors)
        assert errors[-1] < near, (step, errors)


@pytest.mark.control
@pytest.mark.parametrize("name", CASES)
def test_without_the_spurious_drift_there_is_another_limit(name):
    case = CASES[name]
    bare = bm.ito(case.h, case.g, q=case.q)
    errors = on_shared_paths(euler_maruyama_step, bare, case.exact, 1024, 8000, 0)
    assert errors[-1] > 0.1
    assert abs(measured_order(errors))[-1] < 0.1


def moments(step, process, x, t, tau, most):
    """E[(x_next - x)^m], m = 1..most, by Gauss and Hermite's rule over z."""
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    moved = step(process, np.full(60, x), t, t + tau, z) - x
    return [weight @ moved**m / weight.sum() for m in range(1, most + 1)]


@pytest.mark.order
@pytest.mark.parametrize("sigma", [0.3, 0.8])
def test_noise_proportional_to_x_makes_the_mean_grow(sigma):
    """h = 0, q = 2: E x = x0 exp(sigma^2 t); without the spurious drift it stays x0."""

    def g(x, t):
        return sigma * x

    still = lambda x, t: 0 * x
    heun, ito = Process(still, lambda x, t: np.sqrt(2) * g(x, t)), bm.ito
    right = (
        (stochastic_heun_step, heun),
        (
            euler_maruyama_step,
            ito(still, g, lambda x, t: sigma),
        ),
    )
    wrong = euler_maruyama_step, ito(still, g)
    t, x0, N = 1.5, 2.0, np.array([40, 80, 160, 320])

    def mean(step, process):  # a step multiplies the mean, by what it does to 1
        growth = [1 + moments(step, process, 1.0, 0.0, t / n, 1)[0] for n in N]
        return x0 * np.array(growth) ** N

    for step, process in right:
        errors = np.abs(mean(step, process) - x0 * np.exp(sigma**2 * t))
        assert measured_order(errors) == pytest.approx([1, 1, 1], abs=0.1)
    np.testing.assert_allclose(mean(*wrong), x0, rtol=1e-12)


def curved(x, t):
    return 1 + 0.4 * np.sin(x) + 0.2 * t


@pytest.mark.oracle
@pytest.mark.parametrize("q", [2.0, 0.6])
@pytest.mark.parametrize("x", [-1.3, 0.0, 0.8])
def test_a_tiny_step_has_the_coefficients_of_theorem_5_9(x, q):
    """D1 = h + q/2 g g', D2 = q/2 g^2, and no D3, D4: moments of stochastic Heun.

    Half-steps in tau are combined twice (Romberg), so that O(tau^3) is left.
    """
    h, g, t = lambda x, t: np.cos(x) - t * x, curved, 0.7
    process, taus = Process(h, lambda x, t: np.sqrt(q) * g(x, t)), [4e-3, 2e-3, 1e-3]
    rates = [
        np.array(moments(stochastic_heun_step, process, x, t, tau, 4)) / tau
        for tau in taus
    ]
    once = [2 * b - a for a, b in pairwise(rates)]
    D = (4 * once[1] - once[0]) / 3 / [1, 2, 6, 24]
    same = bm.ito(h, g, lambda x, t: 0.4 * np.cos(x), q)
    by_hand = np.cos(x) - 0.7 * x + q / 2 * (1.14 + 0.4 * np.sin(x)) * 0.4 * np.cos(x)
    assert D[0] == pytest.approx(by_hand, abs=1e-6)
    assert same.f(x, t) == pytest.approx(by_hand, rel=1e-13)
    assert D[1] == pytest.approx(q / 2 * (1.14 + 0.4 * np.sin(x)) ** 2, abs=1e-6)
    assert same.g(x, t) ** 2 / 2 == pytest.approx(D[1], abs=1e-6)
    assert D[2:] == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.law
@pytest.mark.parametrize(("dt", "q"), [(1.0, 1.0), (0.01, 0.3)])
def test_white_noise_is_flat_and_uncorrelated(dt, q):
    """R is q / dt at lag 0 and nothing beyond; S / q is exponential at every frequency."""
    N, most = 100_000, 20
    x = bm.white_noise((N,), dt, q, np.random.default_rng(0))
    R = bm.autocorrelation(x, most) / (q / dt)
    assert chi2_passes(N * R[0], N)
    z = np.sqrt(N - np.arange(1, most + 1)) * R[1:]
    assert np.abs(z).max() < stats.norm.isf(ALPHA / 2 / most)
    omega, S = bm.spectrum(x, dt)
    assert omega[[0, -1]] == pytest.approx([0, np.pi / dt])
    inner = S[1:-1] / q
    assert ks_passes(inner, stats.expon.cdf)[0]
    for band in np.array_split(inner, 10):
        assert chi2_passes(2 * band.sum(), 2 * len(band))


@pytest.mark.control
def test_noise_with_memory_is_neither_flat_nor_uncorrelated():
    """Averages of neighbours have too much at low frequency, differences at high."""
    white = bm.white_noise((20_001,), 0.1, 1.0, np.random.default_rng(0))
    for sign, band in ((1, slice(1, 5000)), (-1, slice(5001, 10_000))):
        x = (white[1:] + sign * white[:-1]) / np.sqrt(2)
        assert sign * bm.autocorrelation(x, 1)[1] > 4  # of q / dt = 10
        _, S = bm.spectrum(x, 0.1)
        assert stats.chi2.sf(2 * S[band].sum(), 2 * len(S[band])) < ALPHA


@pytest.mark.law
@pytest.mark.parametrize("dt", [2.0, 0.25, 0.01])
def test_the_integral_of_white_noise_is_a_wiener_process(dt):
    """Variance q t whatever dt, while that of a single value is q / dt."""
    x = bm.white_noise((round(4 / dt), 5000), dt, 0.3, np.random.default_rng(1))
    assert ks_passes(x.sum(axis=0) * dt, stats.norm(0, np.sqrt(0.3 * 4)).cdf)[0]
    assert chi2_passes((x[0] ** 2).sum() / (0.3 / dt), 5000)


@pytest.mark.identity
@given(x=st.lists(numbers, min_size=1, max_size=12), dt=st.floats(0.01, 10))
def test_the_periodogram_is_the_transform_of_the_autocorrelation(x, dt):
    """Of the circular one: over lags that wrap, (N - k) R[k] + k R[N - k] a N-th of it."""
    x, N = np.array(x), len(x)
    R, k = bm.autocorrelation(x, N - 1), np.arange(N)
    circular = ((N - k) * R + k * R[-k]) / N
    wrapped = [np.mean(x * np.roll(x, -lag)) for lag in k]
    size = np.mean(x**2)
    np.testing.assert_allclose(circular, wrapped, rtol=0, atol=1e-13 * size)
    omega, S = bm.spectrum(x, dt)
    want = dt * np.exp(-1j * omega[:, None] * k * dt) @ circular
    np.testing.assert_allclose(S, want, rtol=0, atol=1e-12 * N * dt * size)
    whole = np.concatenate([S, S[1 : (N + 1) // 2]])  # negative frequencies too
    assert whole.sum() / (N * dt) == pytest.approx(size, rel=1e-12)


def test_series_of_many_paths_are_treated_one_by_one():
    x = np.random.default_rng(0).standard_normal((9, 2, 3))
    R, (_, S) = bm.autocorrelation(x, 4), bm.spectrum(x, 0.5)
    assert (R.shape, S.shape) == ((5, 2, 3), (5, 2, 3))
    np.testing.assert_allclose(R[:, 1, 2], bm.autocorrelation(x[:, 1, 2], 4))
    np.testing.assert_allclose(S[:, 1, 2], bm.spectrum(x[:, 1, 2], 0.5)[1])


@pytest.mark.oracle
def test_the_spectrum_of_a_velocity_is_the_transform_of_its_autocorrelation():
    """(5.5) for the linear Langevin equation: q / (gamma^2 + omega^2)."""
    for omega in (0.0, 0.3, 5.0):
        got, _ = integrate.quad(
            lambda s: 2 * bm.velocity_autocorrelation(1.3, 0.7, s),
            0,
            30,
            weight="cos",
            wvar=omega,
            epsabs=1e-12,
        )
        assert got == pytest.approx(0.7 / (1.3**2 + omega**2), rel=1e-8)


OUS = [(1.3, 0.7), (0.0, 0.4), (-0.4, 0.9)]  # gamma, q: at rest, free, running away


def sampler(process, x, t, t_next, z):
    return bm.exact_step(x, t, t_next, z, process)


@pytest.mark.law
@pytest.mark.parametrize(("gamma", "q"), OUS)
@pytest.mark.parametrize("grid", [[0, 3.0], [0, 0.01, 3.0], np.linspace(0, 3, 9)])
def test_the_sampler_has_no_error_at_any_step(gamma, q, grid):
    """The law of the end, from the integral of the noise, whatever the steps before."""
    law, x = bm.langevin_sde(gamma, q, T=3.0), np.full((20_000, 1), 1.7)
    z = np.random.default_rng(2).standard_normal((len(grid) - 1, *x.shape))
    *_, x = solvers.paths(sampler, law, x, np.asarray(grid, float), z)
    var, _ = integrate.quad(lambda s: q * np.exp(-2 * gamma * (3 - s)), 0, 3)
    mean = bm.decay(1.7, gamma, 3.0)
    assert ks_passes(x, stats.norm(mean, np.sqrt(var)).cdf)[0]


@pytest.mark.identity
@pytest.mark.parametrize(("gamma", "q"), OUS)
@given(shares=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True))
def test_two_half_steps_are_one_step_in_law(gamma, q, shares):
    """Exactly: the law of a chain of exact steps is that of one step."""
    law = bm.langevin_sde(gamma, q, T=2.0)
    grid = np.array([0, *np.sort(shares), 1.0]) * 2
    start = np.array([1.7]), np.array([[0.2]])
    ends = [
        [
            m[-1]
            for m in solvers.chain(sampler, lambda model: law, g).law(*POINT, *start)
        ]
        for g in (grid, np.array([0, 1.0, 2.0]), np.array([0, 2.0]))
    ]
    for mean, cov in ends[:2]:
        np.testing.assert_allclose(mean, ends[2][0], rtol=1e-13)
        np.testing.assert_allclose(cov, ends[2][1], rtol=1e-13)


@pytest.mark.control
def test_euler_and_maruyamas_steps_have_an_error():
    law, grid = bm.langevin_sde(1.3, 0.7, T=2.0), np.array([0, 1.0, 2.0])
    process = Process(law.f, lambda x, t: law.g(t))
    chain = solvers.chain(euler_maruyama_step, lambda model: process, grid)
    exactly = solvers.chain(sampler, lambda model: law, grid)
    start = np.ones(1), np.zeros((1, 1))
    for got, want in zip(
        chain.law(*POINT, *start), exactly.law(*POINT, *start), strict=True
    ):
        assert abs(got[-1] / want[-1] - 1).max() > 0.01


@pytest.mark.identity
@given(beta=st.floats(0.1, 20), s=st.floats(0, 0.4), t=st.floats(0.5, 1))
def test_forward_ddpm_is_the_linear_langevin_equation(beta, s, t):
    """Ex 5.1, 5.3: gamma = beta/2, q = beta; its equilibrium is N(0, 1)."""
    ddpm = sde.vp(sde.linear_beta(beta, beta))
    langevin = bm.langevin_sde(beta / 2, beta)
    assert langevin.transition(s, t) == pytest.approx(ddpm.transition(s, t), rel=1e-12)
    assert langevin.a(t) == pytest.approx(ddpm.a(t))
    assert langevin.g(t) == pytest.approx(ddpm.g(t))
    assert bm.equilibrium_variance(beta / 2, beta) == pytest.approx(1)


@pytest.mark.oracle
@pytest.mark.parametrize("gamma", [1.3, 0.0, -0.7, 1e-9, 40.0, 1e-320])
def test_the_response_solves_the_equation_for_any_force(gamma):
    """Against SciPy's integration, bin by bin, and the integral (5.8) at 50 digits."""
    rng, dt = np.random.default_rng(3), 0.37
    force = 3 * rng.standard_normal((6, 2))
    got = bm.response(1.7, gamma, force, dt)
    assert (got[0] == 1.7).all()
    x = got[0]
    for kick, want in zip(force, got[1:], strict=True):
        run = integrate.solve_ivp(
            lambda t, v, kick=kick: kick - gamma * v,
            (0, dt),
            x,
            method="DOP853",
            rtol=1e-12,
            atol=1e-13,
        )
        x = run.y[:, -1]
        np.testing.assert_allclose(x, want, rtol=1e-10, atol=1e-10)
    t, g, h = 6 * mp.mpf(dt), mp.mpf(gamma), mp.mpf(dt)
    felt = [
        mp.quad(lambda s: mp.exp(-g * (t - s)), [k * h, (k + 1) * h]) for k in range(6)
    ]
    want = mp.mpf(1.7) * mp.exp(-g * t) + mp.fdot(felt, exact(force[:, 1]))
    size = mp.mpf(1.7) * mp.exp(-g * t) + mp.fdot(felt, exact(abs(force[:, 1])))
    assert abs(got[-1, 1] - want) < 2e-15 * (6 + 6 * abs(g * h)) * size
    free = bm.response(1.7, gamma, np.zeros(6), dt)
    times = dt * np.arange(7)
    known = 1e-15 * (1 + abs(gamma * times[-1]))  # the condition of exp(-gamma t)
    np.testing.assert_allclose(free, bm.decay(1.7, gamma, times), rtol=known)
    rate = mp.diff(
        lambda s: mp.mpf(1.7) * mp.exp(-g * s), dt
    )  # the decay's own equation
    assert -gamma * bm.decay(1.7, gamma, dt) == pytest.approx(float(rate), rel=1e-13)


@pytest.mark.order
@pytest.mark.parametrize(("gamma", "q"), [(1.3, 0.7), (-0.4, 0.9)])
def test_white_noise_drives_the_equation_to_its_law(gamma, q):
    """The variance of the response, exact at each dt, tends to (5.11)'s at second order."""
    errors = []
    want = bm.langevin_sde(gamma, q, T=2.0).transition(0.0, 2.0)[1]
    for N in (10, 20, 40, 80):
        weight = bm.response(0.0, gamma, np.eye(N), 2 / N)[-1]  # of each bin's force
        errors.append(abs(q / (2 / N) * (weight**2).sum() - want))
    assert measured_order(errors) == pytest.approx([2, 2, 2], abs=0.05)


@pytest.mark.limit
@pytest.mark.parametrize(("gamma", "q"), [(1.3, 0.7), (0.05, 2.0), (30.0, 1.0)])
def test_equilibrium_is_the_limit_of_the_transition(gamma, q):
    """From any start; and it is kept by every step, and is that of Lyapunov's equation."""
    rest = bm.equilibrium_variance(gamma, q)
    law = bm.langevin_sde(gamma, q, T=40 / gamma)
    grid, start = np.array([0, 1, 3, 40]) / gamma, (np.array([50.0]), 9 * np.eye(1))
    chain = solvers.chain(sampler, lambda model: law, grid)
    means, covs = chain.law(*POINT, *start)
    assert abs(means[-1, 0]) < 1e-14
    assert covs[-1, 0, 0] == pytest.approx(rest, rel=1e-13)
    _, kept = chain.law(*POINT, np.zeros(1), np.array([[rest]]))
    np.testing.assert_allclose(kept[:, 0, 0], rest, rtol=1e-13)
    A, G = np.array([[-gamma]]), np.array([[np.sqrt(q)]])
    assert ornstein.ou_stationary(A, G)[0, 0] == pytest.approx(rest, rel=1e-14)
    scale, var = law.transition(0.0, 0.3 / gamma)  # and R(lag) = E v (scale v + noise)
    got = bm.velocity_autocorrelation(gamma, q, np.array([0.3, -0.3]) / gamma)
    np.testing.assert_allclose(got, scale * rest, rtol=1e-14)
    assert rest - var == pytest.approx(scale**2 * rest, rel=1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize("var", [0.7, 1e-8, 25.0])
def test_moments_and_characteristic_function_are_one_law(var):
    """Moments against the integral of x^2n p; E exp(iux) against that of cos(ux) p.

    The characteristic function is the series in those moments, to its last digits.
    """
    v = mp.mpf(var)

    def mean(f):  # of N(0, var)
        def integrand(y):
            return f(y * mp.sqrt(v)) * mp.npdf(y)

        return 2 * mp.quad(integrand, mp.linspace(0, 18, 10))

    for n in (0, 1, 2, 5, 12):
        want = mean(lambda x, n=n: x ** (2 * n))
        assert bm.even_moment(n, var) == pytest.approx(float(want), rel=1e-14)
        assert bm.even_moment(np.int64(n), var) == bm.even_moment(n, var)
    assert bm.even_moment(np.int64(70), 1.0) == float(mp.fac2(139))
    for share in (0.0, 0.4, 1.0, 3.0):
        u = share / np.sqrt(var)
        got = float(bm.characteristic(u, var))
        want = mean(lambda x, u=u: mp.cos(mp.mpf(u) * x))
        series = sum(
            (-1) ** n
            * mp.mpf(u) ** (2 * n)
            * bm.even_moment(n, var)
            / mp.factorial(2 * n)
            for n in range(60)
        )
        assert got == pytest.approx(float(want), rel=1e-14)
        assert got == pytest.approx(float(series), abs=1e-13)
    assert bm.even_moment(0, 0.0) == 1
    assert bm.even_moment(3, 0.0) == 0


@pytest.mark.control
def test_the_printed_series_without_its_factorials_is_no_characteristic_function():
    """(5.14)'s first line: the sum of moments alone, far from exp(-u^2 var / 2)."""
    printed = sum(bm.even_moment(n, 0.1) for n in range(6))
    assert abs(printed - bm.characteristic(1.0, 0.1)) > 0.1


@pytest.mark.oracle
@pytest.mark.parametrize(("t", "xi0", "q"), [(0.8, 1.5, 0.6), (1e-6, -2.0, 3.0)])
def test_the_wiener_density_solves_the_heat_equation(t, xi0, q):
    """(5.19) with k = q/2 by differences of fourth order; k = q does not (control)."""
    width = np.sqrt(q * t)
    x = xi0 + width * np.linspace(-4, 4, 17)
    p = lambda x, t: bm.wiener_density(x, t, xi0, q)
    h, s = 0.01 * width, 0.005 * t
    rate = (
        (p(x, t - 2 * s) - p(x, t + 2 * s) + 8 * (p(x, t + s) - p(x, t - s))) / 12 / s
    )
    near = p(x + h, t) + p(x - h, t)
    bend = (16 * near - p(x + 2 * h, t) - p(x - 2 * h, t) - 30 * p(x, t)) / 12 / h**2
    size = p(xi0, t) / t
    np.testing.assert_allclose(rate, q / 2 * bend, rtol=0, atol=1e-7 * size)
    assert np.abs(rate - q * bend).max() > 0.1 * size
    # a probability, whose mean and variance are xi0 and q t, and the heat kernel
    x = xi0 + width * np.linspace(-10, 10, 201)
    share = p(x, t) * width / 10
    mean, second = share @ (x - xi0), share @ (x - xi0) ** 2
    assert share.sum() == pytest.approx(1, rel=1e-13)
    assert [mean, second] == pytest.approx([0, q * t], rel=1e-9, abs=1e-12 * width)
    kernel = heat.heat_kernel(x - xi0, t, q / 2)
    np.testing.assert_allclose(p(x, t), kernel, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("gamma_t", [1e-3, 0.1, 2.0, 30.0])
def test_displacement_goes_from_ballistic_to_diffusive(gamma_t):
    """The double integral of the autocorrelation; and position and velocity as OU."""
    gamma, q = 1.7, 0.6
    t = gamma_t / gamma
    double, _ = integrate.dblquad(
        lambda s, r: 2 * bm.velocity_autocorrelation(gamma, q, r - s),
        *(0, t),
        *(lambda r: 0, lambda r: r),
        epsabs=1e-13,
        epsrel=1e-12,
    )
    got = bm.mean_squared_displacement(gamma, q, t)
    assert got == pytest.approx(double, rel=1e-10)
    A, G = np.array([[-gamma, 0], [1, 0]]), np.array([[np.sqrt(q)], [0]])
    start = np.diag([bm.equilibrium_variance(gamma, q), 0])
    _, cov = ornstein.ou_law(A, G, np.zeros(2), start, t)
    assert got == pytest.approx(cov[1, 1], rel=1e-11)


@pytest.mark.limit
def test_the_displacements_slope_falls_from_2_to_1():
    """q/(2 gamma) t^2 at first, q/gamma^2 t at last, never rising in between."""
    gamma, q, gamma_t = 1.7, 0.6, np.logspace(-12, 12, 241)
    t = gamma_t / gamma
    msd = bm.mean_squared_displacement(gamma, q, t)
    slope = np.diff(np.log(msd)) / np.diff(np.log(t))
    assert slope[[0, -1]] == pytest.approx([2, 1], abs=1e-10)
    assert (np.diff(slope) < 1e-11).all()
    rest = bm.equilibrium_variance(gamma, q)
    assert msd[0] == pytest.approx(rest * t[0] ** 2, rel=1e-11)
    assert msd[-1] == pytest.approx(q / gamma**2 * t[-1], rel=1e-11)
    assert bm.mean_squared_displacement(gamma, q, 0.0) == 0


@pytest.mark.oracle
@pytest.mark.parametrize("gamma", [1.0, 1e-8, 1e8])
def test_the_displacement_keeps_its_digits(gamma):
    """At 50 digits, for gamma t from 1e-12 to 1e3, where series and formula meet too."""

    def route(v):
        g, q, t = v
        return [q / g**3 * (g * t - 1 + mp.exp(-g * t))]

    edge = [0.0099, 0.01 * (1 - 1e-15), 0.01, 0.0101]
    for gamma_t in [*np.logspace(-12, 3, 61), *edge]:
        t = gamma_t / gamma
        got = bm.mean_squared_displacement(gamma, 0.6, t)
        assert_accurate(got, route, exact([gamma, 0.6, t]), tol=2e-14)


def rng():
    return np.random.default_rng(0)


REFUSED = [
    (lambda: bm.ito(root, root, q=0.0), "q must be"),
    (lambda: bm.white_noise((3,), 0.0, 1.0, rng()), "dt must be"),
    (lambda: bm.white_noise((3,), 0.1, np.nan, rng()), "q must be"),
    (lambda: bm.autocorrelation(np.ones(3), 3), r"most must be in 0..2; got 3"),
    (lambda: bm.autocorrelation(np.ones(3), -1), "most must be"),
    (lambda: bm.autocorrelation(np.array([1, np.nan]), 1), "x must be finite"),
    (lambda: bm.autocorrelation(1.0, 0), r"\(N, ...\) with N >= 1; got shape \(\)"),
    (lambda: bm.spectrum(np.ones((0, 2)), 0.1), r"N >= 1; got shape \(0, 2\)"),
    (lambda: bm.spectrum(np.ones(4), -0.1), "dt must be"),
    (lambda: bm.spectrum(np.array([1, np.inf]), 0.1), "x must be finite"),
    (lambda: bm.langevin_sde(np.nan, 1.0), "gamma must be finite"),
    (lambda: bm.langevin_sde(1.0, 0.0), "q must be"),
    (lambda: bm.decay(np.nan, 1.0, 1.0), "xi0 must be finite"),
    (lambda: bm.decay(1.0, np.inf, 1.0), "gamma must be finite"),
    (lambda: bm.decay(1.0, 1.0, np.nan), "t must be finite"),
    (lambda: bm.response(np.nan, 1.0, np.ones(3), 0.1), "xi0 must be finite"),
    (lambda: bm.response(0.0, np.nan, np.ones(3), 0.1), "gamma must be finite"),
    (lambda: bm.response(0.0, 1.0, np.array([np.nan]), 0.1), "must be finite"),
    (lambda: bm.response(0.0, 1.0, np.ones(3), 0.0), "dt must be"),
    (lambda: bm.response(0.0, 1.0, 2.0, 0.1), r"got shape \(\)"),
    (lambda: bm.equilibrium_variance(0.0, 1.0), "gamma must be"),
    (lambda: bm.equilibrium_variance(1.0, -1.0), "q must be"),
    (lambda: bm.even_moment(-1, 1.0), "n must be at least 0; got -1"),
    (lambda: bm.even_moment(1, -1.0), "var must be at least 0"),
    (lambda: bm.even_moment(1, np.nan), "var must be finite"),
    (lambda: bm.characteristic(np.nan, 1.0), "u must be finite"),
    (lambda: bm.characteristic(1.0, -1.0), "var must be at least 0"),
    (lambda: bm.wiener_density(0.0, 0.0, 0.0, 1.0), "t must be"),
    (lambda: bm.wiener_density(0.0, 1.0, 0.0, -1.0), "q must be"),
    (lambda: bm.wiener_density(np.nan, 1.0, 0.0, 1.0), "x must be finite"),
    (lambda: bm.wiener_density(0.0, 1.0, np.nan, 1.0), "mean must be finite"),
    (lambda: bm.velocity_autocorrelation(0.0, 1.0, 1.0), "gamma must be"),
    (lambda: bm.velocity_autocorrelation(1.0, 1.0, np.nan), "lag must be finite"),
    (lambda: bm.mean_squared_displacement(1.0, 1.0, -5.0), "t must be at least 0"),
    (lambda: bm.mean_squared_displacement(1.0, 1.0, np.nan), "t must be finite"),
    (lambda: bm.mean_squared_displacement(-1.0, 1.0, 1.0), "gamma must be"),
]


@pytest.mark.parametrize(("call", "match"), REFUSED)
def test_what_makes_no_sense_is_refused_by_name(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize(
    ("t", "t_next"), [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (np.nan, 0.5)]
)
def test_the_sampler_refuses_times_out_of_order(t, t_next):
    law, x = bm.langevin_sde(1.0, 1.0), np.ones((3, 1))
    with pytest.raises(ValueError, match="0 <= t < t_next <= 1.0 must hold"):
        bm.exact_step(x, t, t_next, x, law)
    with pytest.raises(ValueError, match="z must be finite"):
        bm.exact_step(x, 0.1, 0.2, np.nan * x, law)
    with pytest.raises(ValueError, match="one shape"):
        bm.exact_step(x, 0.1, 0.2, np.ones((3, 2)), law)


def test_noise_comes_from_the_generator_it_is_given():
    a, b = (bm.white_noise((4, 2), 0.1, 1.0, rng()) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match="rng must be"):
        bm.white_noise((3,), 0.1, 1.0, np.random)
