"""Langevin sampling: exact laws of the steps, the equation that they follow, what they
really do to Example 3.2's two modes, and the corrections: annealing, Metropolis."""

from dataclasses import replace
from itertools import product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, optimize, stats
from support import assert_accurate, covariances, exact, ks_passes, mixture_cdf

from refdiff import gaussian
from refdiff.langevin import (
    annealed_chain,
    annealed_step,
    ascent_step,
    ladder,
    langevin_chain,
    langevin_law,
    langevin_step,
    mala,
    mala_step,
    sgld_step,
    sgld_variance,
    stationary_cov,
)
from refdiff.metrics import mode_weights
from refdiff.mixture import Mixture
from refdiff.toys import example_3_2

MEAN, COV = np.array([1.0, -0.5]), np.array([[1.0, 0.6], [0.6, 0.5]])  # 0.1 and 1.4
MODES = example_3_2()  # the narrow one, at -2 with weight 0.4, is called left

vectors = st.lists(st.floats(-3, 3), min_size=2, max_size=2).map(np.array)
shares = st.floats(0.01, 0.99)


def slopes(errors):
    """Orders of convergence of errors at steps that halve."""
    return -np.diff(np.log2(errors))


def score(x):
    """Score of Example 3.2 at one point."""
    return MODES.score(np.array([float(x)]))[0]


VALLEY = optimize.brentq(score, -1.5, 0.0, xtol=1e-15)


def grid_law(chain, x, mass, dx=None):
    """Exact law on Example 3.2: masses on a grid, pushed through the rows of a chain.

    A row is x -> N(A x + b score, c^2), so masses at x become a density everywhere, and
    that is summed by the trapezoid rule, whose error is exponentially small in c / dx.
    mass (n,) or (n, k)  ->  the last grid, and masses on it
    """
    table = np.column_stack([chain.A[:, 0, 0], chain.b, chain.c, chain.noise])
    starts = np.flatnonzero(np.r_[True, (np.diff(table, axis=0) != 0).any(1)])
    repeats = np.diff(np.r_[starts, len(table)])
    for k, m in zip(starts, repeats, strict=True):
        A, b, c, noise = table[k]
        step = dx or c / 2
        edge = 2.5 + 8 * np.hypot(0.5, noise)
        assert edge < 2000 * step, "the grid would not fit"
        y = np.arange(-edge, edge, step)

        def row(x, k=k, A=A, b=b, c=c, y=y, step=step):
            to = A * x + b * MODES.model(x[:, None], chain.level(k))[:, 0]
            return step / c * stats.norm._pdf((y[:, None] - to) / c)

        mass, x, K = row(x) @ mass, y, row(y)
        if m > 500:
            mass = np.linalg.matrix_power(K, m - 1) @ mass
        else:
            for _ in range(m - 1):
                mass = K @ mass
    assert np.abs(mass.sum(0) - 1).max() < 1e-8
    return x, mass


def uniform_start():
    """Unif[-3, 3], Example 3.3's start, as Gauss's nodes and masses."""
    x, w = np.polynomial.legendre.leggauss(1000)
    return 3 * x, w / 2


def part(x, mass, where):
    """Mass, mean and standard deviation of the part of a law."""
    x, mass = x[where], mass[where]
    mean = mass @ x / mass.sum()
    return mass.sum(), mean, np.sqrt(mass @ (x - mean) ** 2 / mass.sum())


# ascent


@pytest.mark.limit
def test_ascent_climbs_to_the_mode():
    """Example 3.2's left panel: from 0, 500 steps of 0.05 end at the right mode."""
    mode = optimize.brentq(score, 1.0, 3.0, xtol=1e-15)
    assert mode == pytest.approx(2, abs=1e-6)
    x, path = np.zeros((1, 1)), []
    for _ in range(500):
        path.append(x)
        x = ascent_step(x, MODES.score(x), 0.05)
    assert x == pytest.approx(mode, abs=1e-12)
    assert np.diff(MODES.logpdf(np.array(path)[:, 0])).min() > -1e-13  # and never down


@pytest.mark.oracle
def test_the_lowest_point_between_the_modes_divides_the_basins():
    """It is at -0.8207. At the narrow mode a step overshoots, by 1/4, and converges."""
    assert pytest.approx(-0.8207, abs=5e-5) == VALLEY
    left = optimize.brentq(score, -2.5, -1.5, xtol=1e-15)
    x = VALLEY + np.array([[-2.0], [-0.1], [-1e-6], [1e-6], [0.1], [4.0]])
    for _ in range(300):
        x = ascent_step(x, MODES.score(x), 0.05)
    assert x[:3] == pytest.approx(left, abs=1e-12)
    assert x[3:] == pytest.approx(2, abs=1e-6)
    near = ascent_step(
        np.array([left + 1e-3]), MODES.score(np.array([left + 1e-3])), 0.05
    )
    assert (near[0] - left) / 1e-3 == pytest.approx(-0.25, abs=1e-3)


@pytest.mark.identity
@given(x=vectors, s=vectors, z=vectors, tau=st.floats(1e-6, 2))
def test_a_langevin_step_is_ascent_and_noise(x, s, z, tau):
    none = np.zeros(2)
    both = ascent_step(x, s, tau) + langevin_step(none, none, tau, z)
    np.testing.assert_allclose(langevin_step(x, s, tau, z), both, rtol=0, atol=1e-14)
    one = langevin_step(none, none, tau, np.ones(2))
    assert one**2 == pytest.approx(2 * tau, rel=1e-14)


# the exact law on Gaussians


@pytest.mark.identity
@given(cov=covariances(2), mean=vectors, share=shares, noise=st.sampled_from([0, 0.5]))
def test_the_chain_has_the_exact_law_on_gaussians(cov, mean, share, noise):
    """Along each axis of the data a step is an AR(1), whose law is a geometric sum."""
    value, U = np.linalg.eigh(cov)
    value = value + noise**2
    tau = 2 * share * value[0]
    means, covs = langevin_chain(tau, 30, noise).law(mean, cov)
    keep = 1 - tau / value
    for k in (0, 1, 2, 7, 30):
        want = U @ (keep**k * (U.T @ -mean)) + mean
        var = keep ** (2 * k) + 2 * tau * sum(keep ** (2 * j) for j in range(k))
        np.testing.assert_allclose(means[k], want, rtol=0, atol=1e-11)
        np.testing.assert_allclose(covs[k], U * var @ U.T, rtol=0, atol=1e-11)


@pytest.mark.law
def test_the_sampler_has_the_exact_law_on_gaussians():
    chain, rng = langevin_chain(0.15, 25), np.random.default_rng(0)
    data = Mixture(np.ones(1), MEAN[None], COV[None])
    *_, x = chain.run(rng.standard_normal((20000, 2)), data.model, rng=rng)
    means, covs = chain.law(MEAN, COV)
    white = np.linalg.solve(np.linalg.cholesky(covs[-1]), (x - means[-1]).T)
    assert ks_passes(white, stats.norm.cdf)[0]
    biased = np.linalg.solve(np.linalg.cholesky(COV), (x - MEAN).T)
    assert not ks_passes(biased, stats.norm.cdf)[0]


@pytest.mark.oracle
@given(cov=covariances(2), share=st.floats(0.01, 0.95))
def test_the_stationary_law_is_a_fixed_point_of_the_step(cov, share):
    """The step's own matrices, in SciPy's discrete Lyapunov equation."""
    value = np.linalg.eigvalsh(cov)
    tau, one, none = 2 * share * value[0], np.eye(2), np.zeros((2, 2))
    F = langevin_step(one, -np.linalg.inv(cov), tau, none).T
    noise = langevin_step(none, none, tau, one)
    got = stationary_cov(cov, tau)
    want = linalg.solve_discrete_lyapunov(F, noise @ noise.T)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * want.max())
    _, covs = langevin_chain(tau, 1).law(MEAN, cov, MEAN, got)
    np.testing.assert_allclose(covs[1], got, rtol=0, atol=1e-12 * got.max())


@pytest.mark.limit
def test_the_chain_comes_to_its_stationary_law_and_not_to_the_data():
    for tau in (0.05, 0.1, 0.19):
        means, covs = langevin_chain(tau, 1000).law(MEAN, COV)
        np.testing.assert_allclose(means[-1], MEAN, rtol=1e-11)
        np.testing.assert_allclose(covs[-1], stationary_cov(COV, tau), rtol=1e-11)
        assert np.linalg.eigvalsh(covs[-1] - COV)[0] > tau / 2


@pytest.mark.oracle
@pytest.mark.parametrize("share", [1e-12, 1e-3, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("var", [1e-16, 0.04, 1e16])
def test_the_stationary_variance_at_50_digits(var, share):
    """The sum of all the noise that an AR(1) remembers."""
    tau = 2 * var * share
    got = stationary_cov(np.array([[var]]), tau)

    def want(a):
        return [2 * a[1] / (1 - (1 - a[1] / a[0]) ** 2)]

    assert_accurate(got, want, exact([var, tau]))


@pytest.mark.order
def test_the_bias_is_of_first_order_and_about_half_a_step():
    bias = [stationary_cov(COV, 0.01 / 2**k) - COV for k in range(6)]
    errors = [np.abs(b).max() for b in bias]
    assert np.abs(slopes(errors) - 1).max() < 0.03
    excess = [np.abs(b - 0.005 / 2**k * np.eye(2)).max() for k, b in enumerate(bias)]
    assert np.abs(slopes(excess) - 2).max() < 0.04


@pytest.mark.control
def test_steps_of_twice_the_variance_diverge_and_are_refused():
    cov = np.array([[0.1]])
    for tau in (0.2, 0.21, 0.3, 5.0):
        with pytest.raises(ValueError, match=r"tau must be below 0\.2 here; got"):
            stationary_cov(cov, tau)

    def variance(tau):
        return langevin_chain(tau, 100).law(np.zeros(1), cov)[1][:, 0, 0]

    assert np.diff(variance(0.2)) == pytest.approx(0.4, rel=1e-9)  # without end
    assert variance(0.21)[-1] > 1e8
    assert variance(0.199)[-1] < stationary_cov(cov, 0.199)[0, 0]
    with pytest.raises(ValueError, match="tau must be below"):
        stationary_cov(COV, 0.2000001)  # the narrowest direction decides


# the Fokker-Planck equation


def by_differences(f, x, step=1e-3):
    """Value, gradient and Laplacian of f at x (d,), to fourth order."""
    around = [[f(x + k * step * e) for k in (-2, -1, 0, 1, 2)] for e in np.eye(len(x))]
    lines = np.array(around)
    gradient = lines @ [1, -8, 0, 8, -1] / (12 * step)
    second = lines @ [-1, 16, -30, 16, -1] / (12 * step**2)
    return f(x), gradient, second.sum()


def residual(law, p, t, x, diffusion=1.0):
    """(3.2) over p(x, t): d_t log p + div(score p) / p - diffusion Lap(p) / p; its size."""
    _, s, div_s = by_differences(p, x)
    _, (rate,), _ = by_differences(
        lambda t: gaussian.logpdf(x, *law(t[0])), np.array([t])
    )
    _, g, lap = by_differences(lambda x: gaussian.logpdf(x, *law(t)), x)
    terms = [rate, div_s, s @ g, -diffusion * lap, -diffusion * (g @ g)]
    return abs(sum(terms)), sum(map(abs, terms))


@pytest.mark.oracle
@given(
    mean0=vectors,
    cov0=covariances(2),
    cov=covariances(2),
    t=st.floats(0.01, 2),
    z=vectors,
    d=st.sampled_from([1, 2]),
)
def test_the_law_solves_the_fokker_planck_equation(mean0, cov0, cov, t, z, d):
    """(3.2) by differences of the log densities, up to 3 deviations out, d = 1 and 2.

    And as printed with half of the diffusion, which noise of variance tau would have,
    it is not solved.
    """
    mean0, cov0, mean, cov, z = mean0[:d], cov0[:d, :d], MEAN[:d], cov[:d, :d], z[:d]

    def law(t):
        return langevin_law(mean0, cov0, mean, cov, t)

    def p(x):
        return gaussian.logpdf(x, mean, cov)

    x = law(t)[0] + np.linalg.cholesky(law(t)[1]) @ z
    error, size = residual(law, p, t, x)
    assert error < 1e-6 * (1 + size)
    y = law(t)[0]  # at the centre only the Laplacian of log p is left of diffusion
    error, size = residual(law, p, t, y, diffusion=0.5)
    assert error > 0.1 * np.trace(np.linalg.inv(law(t)[1]))


@pytest.mark.oracle
@given(mean0=vectors, cov0=covariances(2), cov=covariances(2), t=st.floats(0, 3))
def test_the_law_is_that_of_the_linear_equation(mean0, cov0, cov, t):
    """Its moments (1, m, vec C) by one matrix exponential, and it is a semigroup."""
    P, I2, G = np.linalg.inv(cov), np.eye(2), np.zeros((7, 7))
    G[1:3, 0], G[1:3, 1:3] = P @ MEAN, -P
    G[3:, 0], G[3:, 3:] = 2 * I2.ravel(), -np.kron(P, I2) - np.kron(I2, P)
    want = linalg.expm(t * G) @ np.r_[1, mean0, cov0.ravel()]
    got = langevin_law(mean0, cov0, MEAN, cov, t)
    np.testing.assert_allclose(got[0], want[1:3], rtol=0, atol=1e-11)
    np.testing.assert_allclose(got[1].ravel(), want[3:], rtol=0, atol=1e-11)
    half = langevin_law(mean0, cov0, MEAN, cov, t / 3)
    twice = langevin_law(*half, MEAN, cov, 2 * t / 3)
    for a, b in zip(got, twice, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("t", [1e-9, 0.1, 3.0, 200.0])
@pytest.mark.parametrize("var", [1e-6, 0.04, 100.0])
def test_the_law_at_50_digits(var, t):
    """Variation of constants: what is left of the start, and all the noise since."""
    inputs = exact([2.0, 3.0, 0.5, var, t])
    scale = [2.5, 3 + 2 * var]

    def want(a):
        mean0, var0, mean, var, t = a
        left = mp.exp(-t / var)
        since = min(t, 60 * var)  # the noise before is below 1e-52
        noise = mp.quad(lambda u: 2 * mp.exp(-2 * u / var), mp.linspace(0, since, 9))
        return [mean * (1 - left) + mean0 * left, var0 * left**2 + noise]

    mean, cov = langevin_law(
        np.array([2.0]), np.array([[3.0]]), np.array([0.5]), np.array([[var]]), t
    )
    assert_accurate([mean[0], cov[0, 0]], want, inputs, scale)


@pytest.mark.limit
def test_the_law_starts_where_it_is_put_and_ends_at_p():
    start = np.array([3.0, 2.0]), np.array([[0.2, 0.1], [0.1, 4.0]])
    for got, want in zip(langevin_law(*start, MEAN, COV, 0.0), start, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)
    for t in (100.0, 1e6):
        for got, want in zip(
            langevin_law(*start, MEAN, COV, t), (MEAN, COV), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-14)
    _, early = langevin_law(MEAN, 0 * COV, MEAN, COV, 1e-8)  # a point spreads as 2t
    np.testing.assert_allclose(early, 2e-8 * np.eye(2), rtol=0, atol=1e-14)


def gap_at_time_1(noise_factor):
    """Distances of the chain's law from the continuous one's at time 1, steps halving."""
    mean, cov = langevin_law(np.zeros(2), np.eye(2), MEAN, COV, 1.0)
    for n in (100, 200, 400, 800):
        chain = langevin_chain(1 / n, n)
        means, covs = replace(chain, c=noise_factor * chain.c).law(MEAN, COV)
        yield np.abs(means[-1] - mean).max(), np.abs(covs[-1] - cov).max()


@pytest.mark.order
def test_the_chain_comes_to_the_continuous_law_at_first_order():
    means, covs = zip(*gap_at_time_1(1.0), strict=True)
    for errors, last in ((means, 4e-4), (covs, 8e-4)):
        assert np.abs(slopes(errors) - 1).max() < 0.05
        assert errors[-1] < last


@pytest.mark.control
def test_noise_without_the_factor_2_does_not_come_to_it():
    _, covs = zip(*gap_at_time_1(np.sqrt(0.5)), strict=True)
    assert min(covs) > 0.2


# two modes: Examples 3.2 and 3.3


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("tau", "dx", "left_mass", "left_std", "right_mean", "right_std"),
    [
        (0.05, 0.01, 0.3593, 0.3263, 1.9988, 0.5288),
        (0.01, 0.01, 0.3682, 0.2138, 1.9849, 0.5053),
        (0.001, 0.008, 0.3701, 0.2087, 1.4066, 0.8156),
    ],
)
def test_a_hundred_steps_are_not_yet_the_law(
    tau, dx, left_mass, left_std, right_mean, right_std
):
    """Example 3.3 as it really ends: too wide, or the right mode not formed.

    Exact to the digits shown, apart at the valley; 10000 samples are to follow it.
    """
    chain, m = langevin_chain(tau, 100), MODES
    x, mass = grid_law(chain, *uniform_start(), dx=dx)
    assert part(x, mass, x < VALLEY)[::2] == pytest.approx(
        (left_mass, left_std), abs=1e-4
    )
    assert part(x, mass, x > VALLEY)[1:] == pytest.approx(
        (right_mean, right_std), abs=1e-4
    )
    rng = np.random.default_rng(0)
    *_, samples = chain.run(rng.uniform(-3, 3, (10000, 1)), m.model, rng=rng)
    assert ks_passes(samples, lambda s: np.interp(s, x + dx / 2, np.cumsum(mass)))[0]
    assert not ks_passes(samples, mixture_cdf(m))[0]
    share = mass @ m.responsibilities(x[:, None])
    assert mode_weights(samples, m) == pytest.approx(share, abs=5 * 0.5 / 100)


@pytest.mark.oracle
def test_more_steps_of_the_same_size_make_the_weights_worse():
    """0.359, then 0.271 after 2000 steps, where 0.4 is right: the bias of tau = 0.05.

    At tau = 0.01 hardly a path crosses: the weights are the start's, and stay.
    """
    shares = []
    for tau, steps in ((0.05, 100), (0.05, 2000), (0.01, 100), (0.01, 2000)):
        x, mass = grid_law(langevin_chain(tau, steps), *uniform_start(), dx=0.015)
        shares.append(part(x, mass, x < VALLEY)[0])
    assert shares == pytest.approx([0.3593, 0.2712, 0.3682, 0.3682], abs=1e-4)


# annealing


@pytest.mark.identity
@given(x=vectors, s=vectors, z=vectors, alpha=st.floats(1e-6, 4))
def test_an_annealed_step_is_a_langevin_step(x, s, z, alpha):
    got, want = annealed_step(x, s, alpha, z), langevin_step(x, s, alpha / 2, z)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


@pytest.mark.oracle
def test_annealing_brings_the_mode_weights_back():
    """Exact left masses from starts at -3 and at 3, after 20 levels of 100 steps.

    0.3996 from both with noise from 5 down to 0.05. From 1 down they remember their
    start, 0.436 and 0.373; and plain steps of the last size alone do not cross at all.
    """
    starts, eps = np.array([-3.0, 3.0]), 0.2 * 0.05**2
    tries = [annealed_chain(ladder(0.05, top, 20), eps, 100) for top in (5, 1)]
    tries.append(langevin_chain(eps / 2, 400, 0.05))
    left = []
    for chain in tries:
        x, mass = grid_law(chain, starts, np.eye(2))
        left.append(mass.T @ MODES.responsibilities(x[:, None])[:, 1])
    assert left[0] == pytest.approx(0.3996, abs=1e-4)
    assert left[1] == pytest.approx([0.4365, 0.3725], abs=1e-4)
    assert left[2] == pytest.approx([1, 0], abs=1e-4)


@pytest.mark.law
def test_the_annealed_sampler_has_the_law_of_the_grid():
    chain, rng = (
        annealed_chain(ladder(0.2, 1.0, 4), 0.008, 20),
        np.random.default_rng(0),
    )
    x, mass = grid_law(chain, np.array([0.5]), np.ones(1))
    *_, samples = chain.run(np.full((20000, 1), 0.5), MODES.model, rng=rng)
    middle = x + (x[1] - x[0]) / 2
    assert ks_passes(samples, lambda s: np.interp(s, middle, np.cumsum(mass)))[0]
    assert not ks_passes(samples, mixture_cdf(MODES))[0]


@pytest.mark.identity
def test_annealing_goes_from_the_largest_noise_to_the_least():
    """Levels L..1; the noise that a step adds is sqrt(eps) of that level's, over the
    least, and its drift is half of the square."""
    sigma, eps = np.array([0.1, 0.3, 2.0]), 0.004
    chain = annealed_chain(sigma, eps, 2)
    assert chain.steps == chain.evaluations == 6
    assert chain.t.tolist() == [3, 3, 2, 2, 1, 1]
    assert chain.noise.tolist() == [2, 2, 0.3, 0.3, 0.1, 0.1]
    assert (chain.signal == 1).all() and (chain.A == 1).all()
    ratio = chain.c[:, 0] / chain.noise
    assert ratio == pytest.approx(ratio[-1], rel=1e-12)
    assert chain.c[-1, 0] ** 2 == pytest.approx(eps, rel=1e-12)
    assert 2 * chain.b == pytest.approx(chain.c**2, rel=1e-12)
    one = annealed_chain(sigma[:1], eps, 5)
    plain = langevin_chain(eps / 2, 5, 0.1)
    for a, b in ((one.A, plain.A), (one.b, plain.b), (one.c, plain.c)):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.control
def test_the_printed_step_without_eps_diverges():
    """alpha = sigma^2 / sigma_min^2, on N(0, 1): the first step is 10^4, of 4 at most."""
    sigma = ladder(0.01, 1.0, 10)
    _, covs = annealed_chain(sigma, 2e-5, 100).law(np.zeros(1), np.eye(1))
    assert covs.max() < 2.11 and 1 < covs[-1] < 1.5
    _, covs = annealed_chain(sigma, 1.0, 5).law(np.zeros(1), np.eye(1))
    assert covs[5] > 1e30


@pytest.mark.identity
@given(low=st.floats(1e-4, 1), times=st.floats(1.01, 1e5), L=st.integers(2, 200))
def test_the_ladder_has_one_ratio(low, times, L):
    sigma = ladder(low, low * times, L)
    assert sigma.shape == (L,)
    assert (sigma[0], sigma[-1]) == (low, low * times)
    assert (np.diff(sigma) > 0).all()
    ratio = sigma[1:] / sigma[:-1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-13)
    assert ladder(low, low, 1).tolist() == [low]
    for bad in ((low * times, low, L), (low, low * times, 1), (low, low, L)):
        with pytest.raises(ValueError, match="sigma_1 must be below sigma_L"):
            ladder(*bad)


# stochastic gradients: y_i ~ N(theta, 0.7^2) with prior theta ~ N(0, 1.3^2)

Y = np.array([[0.3, -1.0], [1.9, 0.4], [0.8, 2.2], [-0.5, 0.1]])
NOISE, PRIOR, N = 0.7**2, 1.3**2, 4
FULL = [range(4)]
PAIRS = list(product(range(4), repeat=2))


def posterior():
    """Mean (2,) and variance: theta given y, conditioned in their joint law."""
    K = PRIOR * np.ones((N, N)) + NOISE * np.eye(N)
    gain = np.linalg.solve(K, np.full(N, PRIOR))
    return gain @ Y, PRIOR - gain.sum() * PRIOR


def sgld(theta, batch, eps, z):
    theta, z = np.full(2, theta), np.full(2, z)
    grads = (Y[list(batch)] - theta) / NOISE
    return sgld_step(theta, -theta / PRIOR, grads, N, eps, z)


def sgld_moments(batches, eps):
    """(A, b, Q): mean <- A mean + b and var <- A^2 var + Q, over all batches and z."""
    b = np.array([sgld(0, batch, eps, 0) for batch in batches])
    A = np.array([sgld(1, batch, eps, 0) for batch in batches]) - b
    np.testing.assert_allclose(A, A[0, 0], rtol=1e-12)
    noise = sgld(0, batches[0], eps, 1) - b[0]
    return A[0, 0], b.mean(axis=0), b.var(axis=0) + noise**2


def sgld_end(batches, eps):
    A, b, Q = sgld_moments(batches, eps)
    var = [linalg.solve_discrete_lyapunov([[A]], [[q]])[0, 0] for q in Q]
    return b / (1 - A), np.array(var)


@pytest.mark.order
@pytest.mark.parametrize("batches", [FULL, PAIRS], ids=["full", "pairs"])
def test_sgld_reaches_the_posterior_as_the_step_vanishes(batches):
    """A conjugate mean; all 16 minibatches of 2, drawn with replacement, enumerated."""
    mean, var = posterior()
    errors = []
    for eps in 0.01 / 2 ** np.arange(6):
        got = sgld_end(batches, eps)
        assert got[0] == pytest.approx(mean, rel=1e-9)
        errors.append(np.abs(got[1] - var).max())
    assert np.abs(slopes(errors) - 1).max() < 0.02
    assert errors[-1] < 0.02 * var


@pytest.mark.limit
def test_sgld_with_falling_steps_comes_to_the_posterior():
    """eps_t ~ t^-0.6, whose sum is infinite and whose squares' is not; t to 4000."""
    (mean, var), m, v = posterior(), np.zeros(2), np.ones(2)
    for t in range(1, 4001):
        A, b, Q = sgld_moments([(0, 1), (2, 3)], 0.05 * t**-0.6)
        m, v = A * m + b, A**2 * v + Q
    assert m == pytest.approx(mean, rel=1e-6)
    assert v == pytest.approx(var, rel=5e-3)


@pytest.mark.oracle
@pytest.mark.parametrize("batches", [FULL, PAIRS], ids=["full", "pairs"])
@pytest.mark.parametrize("eps", [1e-4, 0.01, 0.1, 0.4])
def test_sgld_at_a_constant_step_inflates_the_variance(batches, eps):
    """Against 262144 steps of the moments, all minibatches enumerated."""
    _, var = posterior()
    grads = [N / len(b) * Y[list(b)].sum(axis=0) / NOISE for b in batches]
    A, _, Q = sgld_moments(batches, eps)
    v = np.ones(2)
    for _ in range(18):  # v, A, Q of 1, 2, 4, ... steps at once
        v, A, Q = A**2 * v + Q, A**2, Q + A**2 * Q
    for i, grad_var in enumerate(np.var(grads, axis=0)):
        got = sgld_variance(1 / var, grad_var, eps)
        assert got == pytest.approx(v[i], rel=1e-10)
        assert got > var
    if batches is PAIRS:
        want = N**2 / 2 * Y.var(axis=0) / NOISE**2
        np.testing.assert_allclose(np.var(grads, axis=0), want, rtol=1e-12)


@pytest.mark.control
def test_sgld_with_noise_of_variance_1_is_too_wide_by_the_step():
    """As printed, eta ~ N(0, I): the variance grows as 1/eps and has no limit."""
    _, var = posterior()
    found = []
    for eps in 0.01 / 2 ** np.arange(5):
        noise = sgld(0, FULL[0], eps, 1 / np.sqrt(eps)) - sgld(0, FULL[0], eps, 0)
        assert noise == pytest.approx(1, rel=1e-12)
        A, *_ = sgld_moments(FULL, eps)
        found.append(linalg.solve_discrete_lyapunov([[A]], [[noise[0] ** 2]])[0, 0])
        assert found[-1] * eps == pytest.approx(sgld_end(FULL, eps)[1][0], rel=1e-9)
    assert np.abs(slopes(found) + 1).max() < 0.02
    assert found[0] > 100 * var


@pytest.mark.oracle
@pytest.mark.parametrize("eps", [1e-14, 1e-3, 0.4, 3.99 / 7])
def test_the_variance_of_sgld_at_50_digits(eps):
    def want(a):
        precision, grad_var, eps = a
        keep = 1 - eps * precision / 2
        return [(eps + eps**2 * grad_var / 4) / (1 - keep**2)]

    for grad_var in (0.0, 1e5):
        got = sgld_variance(7.0, grad_var, eps)
        assert_accurate(got, want, exact([7.0, grad_var, eps]))


# Metropolis adjustment


def acceptance(m, x, y, tau):
    """Log probability that mala_step accepts the move from x to y, by bisection on u."""
    z = (y - ascent_step(x, m.score(x), tau)) / np.sqrt(2 * tau)
    low, high = np.full(len(x), -700.0), np.zeros(len(x))
    for _ in range(60):
        u = np.exp((low + high) / 2)
        after, accepted = mala_step(x, m.logpdf, m.score, tau, z, u)
        np.testing.assert_allclose(after, np.where(accepted[:, None], y, x), atol=1e-12)
        low = np.where(accepted, np.log(u), low)
        high = np.where(accepted, high, np.log(u))
    return (low + high) / 2


def log_flow(m, x, y, tau):
    """log p(x) q(y | x) of the moves that are proposed."""
    step = (y - ascent_step(x, m.score(x), tau)) / np.sqrt(2 * tau)
    return m.logpdf(x) + stats.norm.logpdf(step).sum(axis=-1)


def every_pair(d):
    if d == 1:
        grid = np.linspace(-3, 3.5, 27)
        pairs = np.array([(a, b) for a in grid for b in grid if a != b])
        return MODES, pairs[:, :1], pairs[:, 1:]
    m = Mixture(
        np.array([0.3, 0.7]), np.array([[0.0, 0], [2, 1]]), np.array([COV, np.eye(2)])
    )
    return m, *np.random.default_rng(0).normal(1, 1, (2, 500, 2))


@pytest.mark.identity
@pytest.mark.parametrize("tau", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("d", [1, 2])
def test_metropolis_adjustment_keeps_the_law(d, tau):
    """Detailed balance, p(x) K(x, y) = p(y) K(y, x), by what mala_step really accepts."""
    m, x, y = every_pair(d)
    there, back = acceptance(m, x, y, tau), acceptance(m, y, x, tau)
    seen = np.minimum(there, back) > -690
    assert seen.sum() > 50
    a, b = log_flow(m, x, y, tau) + there, log_flow(m, y, x, tau) + back
    np.testing.assert_allclose(a[seen], b[seen], rtol=1e-11, atol=1e-9)
    assert (
        np.abs(np.maximum(there, back)[seen]).max() < 1e-12
    )  # and no less than can be


@pytest.mark.control
@pytest.mark.parametrize("tau", [0.001, 0.05, 0.5])
def test_without_the_correction_for_the_drift_the_flows_do_not_balance(tau):
    """Never refused, or refused by p(y) / p(x) alone as if q were symmetric."""
    m, x, y = every_pair(1)
    ratio = m.logpdf(y) - m.logpdf(x)
    there, back = log_flow(m, x, y, tau), log_flow(m, y, x, tau)
    assert np.abs(there - back).max() > 1
    gap = there + np.minimum(0, ratio) - back - np.minimum(0, -ratio)
    assert np.abs(gap).max() > 1


@pytest.mark.law
@pytest.mark.parametrize("tau", [0.05, 0.07])
def test_adjusted_samples_stay_exact_where_unadjusted_ones_do_not(tau):
    """20000 exact samples of Example 3.2 after 30 steps, most of them moved."""
    rng = np.random.default_rng(0)
    start = MODES.sample(20000, rng)
    chain = mala(start, MODES.logpdf, MODES.score, tau, rng)
    rates = []
    for _ in range(30):
        x, accepted = next(chain)
        rates.append(accepted.mean())
    assert ks_passes(x, mixture_cdf(MODES))[0]
    assert 0.4 < np.mean(rates) < 0.99
    assert (x != start).mean() > 0.9
    *_, x = langevin_chain(tau, 30).run(start, MODES.model, rng=rng)
    assert not ks_passes(x, mixture_cdf(MODES))[0]


@pytest.mark.law
def test_adjusted_samples_come_to_the_law():
    """From one point of a Gaussian, in two dimensions."""
    rng, m = np.random.default_rng(0), Mixture(np.ones(1), MEAN[None], COV[None])
    chain = mala(np.full((20000, 2), 2.0), m.logpdf, m.score, 0.15, rng)
    for _ in range(150):
        x, _ = next(chain)
    white = np.linalg.solve(np.linalg.cholesky(COV), (x - MEAN).T)
    assert ks_passes(white, stats.norm.cdf)[0]


# refusals


def test_the_chains_refuse_what_is_outside():
    sigma = np.array([0.1, 1.0])
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="tau must be finite and above 0; got"):
            langevin_chain(bad, 3)
        with pytest.raises(ValueError, match="eps must be finite and above 0; got"):
            annealed_chain(sigma, bad, 3)
        with pytest.raises(ValueError, match="tau must be finite and above 0; got"):
            stationary_cov(COV, bad)
        with pytest.raises(ValueError, match="eps must be finite and above 0; got"):
            sgld_variance(1.0, 0.0, bad)
        with pytest.raises(ValueError, match="precision must be finite and above 0"):
            sgld_variance(bad, 0.0, 1.0)
        with pytest.raises(ValueError, match="sigma_1 must be finite and above 0"):
            ladder(bad, 1.0, 3)
        with pytest.raises(ValueError, match="sigma_L must be finite and above 0"):
            ladder(1.0, bad, 3)
        with pytest.raises(ValueError, match="tau must be finite and above 0; got"):
            next(mala(Y, MODES.logpdf, MODES.score, bad, np.random.default_rng(0)))
    for steps in (0, -1):
        for call in (
            lambda k: langevin_chain(0.1, k),
            lambda k: annealed_chain(sigma, 0.1, k),
        ):
            with pytest.raises(
                ValueError, match=f"steps must be at least 1; got {steps}"
            ):
                call(steps)
            with pytest.raises(TypeError, match="integer"):
                call(2.5)
    for bad in ([1.0, 0.1], [0.1, 0.1], [[0.1, 1.0]], [], 0.1):
        with pytest.raises(ValueError, match="sigma must be"):
            annealed_chain(np.array(bad), 0.1, 3)
    for bad, what in (([0.0, 1.0], "above 0"), ([0.1, np.nan], "finite")):
        with pytest.raises(ValueError, match=f"sigma must be {what}"):
            annealed_chain(np.array(bad), 0.1, 3)
    with pytest.raises(TypeError, match="rng must be"):
        next(mala(Y, MODES.logpdf, MODES.score, 0.1, 0))


def test_the_laws_refuse_what_is_outside():
    for t in (-1e-9, np.nan, np.inf):
        with pytest.raises(
            ValueError, match="t must be a finite number of at least 0; got"
        ):
            langevin_law(MEAN, COV, MEAN, COV, t)
    for bad in (np.ones((2, 2)), np.diag([1.0, 0.0]), np.diag([1.0, -1.0])):
        with pytest.raises(ValueError, match="cov must be positive definite"):
            langevin_law(MEAN, COV, MEAN, bad, 1.0)
        with pytest.raises(ValueError, match="cov must be positive definite"):
            stationary_cov(bad, 0.01)
    with pytest.raises(ValueError, match="cov must be symmetric"):
        stationary_cov(np.array([[1.0, 0.5], [0.4, 1.0]]), 0.01)
    for eps in (4.0, 5.0):
        with pytest.raises(ValueError, match=r"eps must be below 4\.0 here; got"):
            sgld_variance(1.0, 0.0, eps)


def test_the_steps_refuse_what_is_not_finite_and_what_is_no_vector():
    x, nan = np.ones(2), np.array([1.0, np.nan])
    for call in (
        lambda x, s, z: ascent_step(x, s, 0.1) + z,
        lambda x, s, z: langevin_step(x, s, 0.1, z),
        lambda x, s, z: annealed_step(x, s, 0.1, z),
        lambda x, s, z: sgld_step(x, s, x[None], 4, 0.1, z),
    ):
        for bad in ((nan, x, x), (x, nan, x)):
            with pytest.raises(ValueError, match="must be finite"):
                call(*bad)
        with pytest.raises(ValueError, match="last axis"):
            call(x, np.ones(3), x)
    with pytest.raises(ValueError, match="grads must be finite"):
        sgld_step(x, x, nan[None], 4, 0.1, x)


def test_steps_and_shapes_of_none_are_refused():
    x, z = np.ones((2, 1)), np.zeros((2, 1))
    for bad in (-0.1, np.nan, np.inf):
        for call in (
            lambda b: langevin_step(x, x, b, z),
            lambda b: langevin_chain(0.1, 3, b),
            lambda b: sgld_step(x[0], x[0], x, 2, b, z[0]),
            lambda b: langevin_law(x[0], np.eye(1), x[0], np.eye(1), b),
            lambda b: sgld_variance(1.0, b, 0.1),
        ):
            with pytest.raises(
                ValueError, match="must be a finite number of at least 0"
            ):
                call(bad)
    with pytest.raises(ValueError, match=r"grads must be \(n, \*\(1,\)\)"):
        sgld_step(x[0], x[0], np.zeros((0, 1)), 2, 0.1, z[0])
    with pytest.raises(ValueError, match="cov must be symmetric and positive"):
        langevin_law(x[0], -np.eye(1), x[0], np.eye(1), 1.0)
    with pytest.raises(ValueError, match="means must be"):
        langevin_law(np.ones(2), np.eye(2), x[0], np.eye(1), 1.0)
    with pytest.raises(ValueError, match=r"x and z must be"):
        mala_step(x, MODES.logpdf, MODES.score, 0.1, z, np.full((2, 1), 0.5))
    with pytest.raises(TypeError, match="Generator"):
        mala(x, MODES.logpdf, MODES.score, 0.1, 0)


@pytest.mark.limit
def test_the_stationary_law_holds_at_any_scale():
    for scale in (1e-200, 1e-8, 1.0, 1e200):
        got = stationary_cov(np.array([[scale]]), scale / 2)[0, 0]
        assert got == pytest.approx(scale / 0.75, rel=1e-14)


def test_an_adjusted_step_refuses_what_would_broadcast():
    x, u = np.zeros((2, 1)), np.full(2, 0.5)
    with pytest.raises(ValueError, match=r"x and z must be \(n, d\), u \(n,\)"):
        mala_step(x[0], MODES.logpdf, MODES.score, 0.1, x[0], u)
    with pytest.raises(ValueError, match=r"x and z must be \(n, d\), u \(n,\)"):
        mala_step(x, MODES.logpdf, MODES.score, 0.1, x[:1], u)
    with pytest.raises(ValueError, match=r"logpdf must return \(2,\)"):
        mala_step(x, lambda x: -(x**2), MODES.score, 0.1, x, u)
    for bad in (0.0, 1.0, -1.0, 2.0):
        with pytest.raises(ValueError, match="u must be between 0 and 1"):
            mala_step(x, MODES.logpdf, MODES.score, 0.1, x, np.array([0.5, bad]))
