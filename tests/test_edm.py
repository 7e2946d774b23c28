"""EDM: its grid, Heun's method without and with churned noise, its preconditioning.

The oracles use sigma and y = x / signal alone, where on Gaussian data N(m, C) the flow
is dy/dsigma = sigma (y - m) / (C + sigma^2).
"""

from functools import partial
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import assert_accurate, exact, ks_passes

from refdiff import edm, ode, reversal, sde, solvers, toys
from refdiff.edm import edm_chain, edm_step, karras, precondition, times_of
from refdiff.probe import tabulate
from refdiff.samplers import measured_order
from refdiff.schedule import Level
from refdiff.targets import x0_from_score, x0_from_v

EDM, VP, COSINE = sde.edm(80.0), sde.vp(sde.linear_beta()), sde.vp(sde.cosine_beta())
WIDE = sde.edm(200.0)  # leaves room for noise that is added at 80
DATA = toys.blobs([1.0], [[1.5]], 0.5)  # N(1.5, 0.25)
LAW = toys.blobs([0.3, 0.5, 0.2], [[-1.5], [0.5], [2.0]], [0.3, 0.5, 0.4])
START = np.zeros(1), np.array([[80.0**2]])
CAP = np.sqrt(2) - 1


def end_law(chain, *start):
    means, covs = chain.law(DATA.mean, DATA.cov, *start)
    return means[-1, 0], covs[-1, 0, 0]


def steps_of(chain, column):
    """A column's rows, step by step."""
    return np.split(column, np.flatnonzero(chain.ends)[:-1] + 1)


def vp_times(N):
    """Falling times of VP with room for churn below T, ending at 0."""
    return np.append(np.geomspace(0.9, 1e-3, N), 0.0)


def assert_same_table(got, want, rtol=1e-12):
    for name in ("A", "b", "c", "signal", "noise", "t", "ends"):
        a, b = getattr(got, name), getattr(want, name)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize("N", [1, 2, 3, 18, 100])
@pytest.mark.parametrize("rho", [1e-3, 0.5, 1.0, 7.0, 1e3, 1e12])
@pytest.mark.parametrize("ends", [(0.002, 80.0), (1e-8, 1e8), (0.999, 1.0)])
def test_the_karras_grid_is_even_in_a_root_of_sigma(N, rho, ends):
    """(5) at 50 digits, and its ends to the last bit."""
    grid = karras(N, *ends, rho)
    assert grid.shape == (N + 1,)
    assert grid[-1] == 0
    assert grid[0] == ends[1]
    assert N == 1 or grid[N - 1] == ends[0]
    assert (np.diff(grid) < 0).all()

    def even(v):
        low, high, p = v
        roots = mp.linspace(high ** (1 / p), low ** (1 / p), N) if N > 1 else [high**0]
        return [r**p for r in roots] if N > 1 else [high]

    with mp.workdps(80):
        assert_accurate(grid[:-1], even, exact([*ends, rho]))


def test_the_karras_grid_has_its_published_setting_and_is_evenly_rooted():
    grid = karras(18)
    np.testing.assert_array_equal(grid, karras(18, 0.002, 80.0, 7.0))
    np.testing.assert_allclose(np.diff(grid[:-1] ** (1 / 7), 2), 0, atol=1e-14)
    assert grid[1] == pytest.approx(57.586, abs=1e-3)
    np.testing.assert_array_equal(karras(1, 0.01, 3.0), [3.0, 0.0])
    geometric = karras(9, 0.01, 3.0, 1e15)
    np.testing.assert_allclose(geometric[:-1], np.geomspace(3.0, 0.01, 9), rtol=1e-13)


def test_grids_that_are_none_are_refused_by_name():
    for bad in ((0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0)):
        with pytest.raises(ValueError, match="sigma_min must be finite and above 0"):
            karras(5, *bad)
    with pytest.raises(ValueError, match="sigma_max must be finite"):
        karras(5, 1.0, np.inf)
    for rho in (0.0, -7.0, np.inf):
        with pytest.raises(ValueError, match="rho must be finite and above 0"):
            karras(5, rho=rho)
    for bad in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="sigma_max must be above"):
            karras(5, *bad)
    for N in (0, -1):
        with pytest.raises(ValueError, match=f"N must be at least 1.*got {N}"):
            karras(N)
    with pytest.raises(TypeError):
        karras(5.5)


@pytest.mark.identity
@pytest.mark.parametrize("N", [1, 2, 18])
def test_without_churn_it_is_heun_on_the_probability_flow(N):
    """Where time is sigma; the last step, to 0, is Euler's."""
    grid, flow = karras(N), partial(reversal.probability_flow, EDM)
    want = solvers.chain(solvers.ode_step(ode.EULER), flow, grid[-2:])
    if N > 1:
        heun = solvers.chain(solvers.ode_step(ode.HEUN), flow, grid[:-1])
        want = heun.then(want)
    got = edm_chain(EDM, grid)
    assert_same_table(got, want)
    assert not got.c.any()
    assert (got.steps, got.evaluations, got.A.shape[1]) == (N, 2 * N - 1, min(N, 2))
    np.testing.assert_array_equal(got.t, np.repeat(grid[:-1], 2)[1:])


@pytest.mark.identity
@pytest.mark.parametrize("process", [VP, COSINE, sde.sub_vp(sde.linear_beta())])
def test_it_asks_the_model_only_at_the_times_of_the_grid(process):
    """Twice a step, at x itself and at the end: 2 registers and 2N - 1 rows."""
    grid, seen = vp_times(6), []
    chain = edm_chain(process, grid)
    assert chain.A.shape[1:] == (2, 2)
    assert len(chain.t) == chain.evaluations == 2 * 7 - 3

    def model(x, level):
        seen.append(level)
        return LAW.model(x, level)

    *_, _ = chain.run(np.ones((3, 1)), model)
    assert seen == [process.level(t) for t in np.repeat(grid[:-1], 2)[1:]]


@pytest.mark.limit
@pytest.mark.parametrize("process", [EDM, VP, COSINE])
def test_the_last_step_returns_x0_hat(process):
    x = np.linspace(-1, 2, 4)[:, None]
    now, then = process.level(0.3), process.level(0.0)
    want = x0_from_score(x, LAW.model(x, now), now.signal, now.noise)
    got = edm_step(x, now, now, then, LAW.model, 0 * x)
    np.testing.assert_allclose(got, want, rtol=1e-14)
    ve = sde.ve()  # its noise never ends
    assert edm_chain(ve, np.array([1.0, 0.5, 0.0])).evaluations == 4


def shrunk(grid, hats, C):
    """Factors of y - m over each step on N(m, C) data, and the variance added first."""
    factors, added = [], []
    for sigma, hat, then in zip(grid[:-1], hats, grid[1:], strict=True):
        slope, slope_then = hat / (C + hat**2), then / (C + then**2)
        h = then - hat
        euler = 1 + h * slope
        factors.append((1 + euler + h * slope_then * euler) / 2 if then else euler)
        added.append(hat**2 - sigma**2)
    return factors, added


def scalar_law(grid, hats, start_var, s_noise=1, m=1.5, C=0.25):
    """Mean and variance at the end from N(0, start_var), at 50 digits, in y."""
    grid, hats = exact(grid), exact(hats)
    shift, var = -mp.mpf(m), mp.mpf(start_var)
    for factor, added in zip(*shrunk(grid, hats, mp.mpf(C)), strict=True):
        shift *= factor
        var = factor**2 * (var + mp.mpf(s_noise) ** 2 * added)
    return float(m + shift), float(var)


@pytest.mark.oracle
def test_eighteen_steps_have_the_museums_mean_and_variance():
    """0.278 and 1.490, not the data's 0.25 and 1.5."""
    grid = karras(18, 0.002, 80, 7)
    mean, var = end_law(edm_chain(EDM, grid), *START)
    assert (round(mean, 3), round(var, 3)) == (1.490, 0.278)
    assert (mean, var) == pytest.approx((1.490107038056, 0.278387757570), abs=1e-12)
    want = scalar_law(grid, grid[:-1], 6400)
    assert (mean, var) == pytest.approx(want, abs=1e-12)


def stale_heun_chain(grid, x0_of, at_hat):
    """Heun whose second slope takes sigma_hat for sigma_then, if at_hat.

    The network is asked rightly; x0_of(x, score, asked, used) turns what it says into
    x0_hat at the sigma used, and so is the slope.
    """

    def at(now, then):
        used = now if at_hat else then

        def one(x, z, model):
            score = model(x, Level(1.0, now, now))
            d = -now * score
            x_then = x + (then - now) * d
            if then == 0:
                return x_then
            score = model(x_then, Level(1.0, then, then))
            x0 = x0_of(x_then, score, then, used)
            return x + (then - now) * (d + (x_then - x0) / used) / 2

        return one

    return tabulate([at(*pair) for pair in pairwise(grid.tolist())])


def from_eps(x, score, asked, used):
    return x + used * asked * score


def from_v(x, score, asked, used):
    """v of the input x / sqrt(1 + sigma^2), whose signal and noise lie on a circle."""
    eps, x0 = -asked * score, x + asked**2 * score
    v = (eps - asked * x0) / np.hypot(1, asked)
    r = np.hypot(1, used)
    return x0_from_v(x / r, v, 1 / r, used / r)


@pytest.mark.control
def test_a_stale_sigma_in_the_second_slope_is_the_museums_number():
    """STP-01: variance 1.29 and mean 1.36 from v; a network of eps hides it."""
    grid = karras(18)
    right = end_law(edm_chain(EDM, grid), *START)
    for x0_of in (from_eps, from_v):
        law = end_law(stale_heun_chain(grid, x0_of, False), *START)
        assert law == pytest.approx(right, abs=1e-9)
    assert end_law(stale_heun_chain(grid, from_eps, True), *START) == pytest.approx(
        right, abs=1e-9
    )
    wrong = end_law(stale_heun_chain(grid, from_v, True), *START)
    assert wrong == pytest.approx((1.36, 1.29), abs=5e-3)
    assert wrong == pytest.approx((1.357647, 1.290706), abs=1e-6)


@pytest.mark.control
def test_a_grid_that_does_not_reach_0_keeps_its_last_noise():
    """STP-03: without the last step the variance is higher by about sigma_min^2."""
    grid = karras(18, 0.1)
    _, covs = edm_chain(EDM, grid).law(DATA.mean, DATA.cov, *START)
    kept = covs[-2, 0, 0] / covs[-1, 0, 0]
    # x0_hat shrinks x - m by C / (C + sigma^2), and its variance by the square
    assert kept == pytest.approx(((0.25 + 0.1**2) / 0.25) ** 2, rel=1e-12)
    assert covs[-2, 0, 0] > covs[-1, 0, 0] + 0.01


def hats_of(grid, churn, s_min=0.0, s_max=np.inf):
    """Raised noise levels, as Algorithm 2 says in words."""
    gamma = min(churn / (len(grid) - 1), CAP)
    inside = (s_min <= grid[:-1]) & (grid[:-1] <= s_max)
    return np.where(inside, grid[:-1] + gamma * grid[:-1], grid[:-1])


CHURNS = [
    {"churn": 5.0},
    {"churn": 1e9, "s_noise": 1.007},
    {"churn": 40.0, "s_min": 0.05, "s_max": 50.0, "s_noise": 1.003},
    {"churn": 3.0, "s_max": 1.0, "s_noise": 0.0},
]


@pytest.mark.oracle
@pytest.mark.parametrize("churn", CHURNS)
@pytest.mark.parametrize("N", [1, 2, 18])
def test_churned_laws_are_those_of_a_scalar_recursion(N, churn):
    """The raised levels, the noise that is added there, and what is left at the end."""
    grid, churn = karras(N), dict(churn)
    chain = edm_chain(WIDE, grid, **churn)
    s_noise = churn.pop("s_noise", 1.0)
    hats = hats_of(grid, **churn)
    want = scalar_law(grid, hats, 6400, s_noise)
    assert end_law(chain, *START) == pytest.approx(want, abs=1e-11, rel=1e-11)
    asked = chain.t[np.isfinite(chain.t)]
    levels = np.stack([hats, grid[1:]], axis=1).ravel()[:-1]
    np.testing.assert_allclose(asked, levels, rtol=1e-14)
    added = [np.abs(rows[0, 0]) for rows in steps_of(chain, chain.c)]
    size = s_noise * np.sqrt(hats**2 - grid[:-1] ** 2)
    np.testing.assert_allclose(added, size, rtol=1e-12, atol=1e-14)


@pytest.mark.law
@pytest.mark.parametrize("churn", CHURNS[:3])
def test_churned_samples_have_the_exact_law_of_the_chain(churn):
    """Samples by the step itself, on Gaussian data; 20,000 of them."""
    n, grid, rng = 20_000, karras(10), np.random.default_rng(0)
    chain = edm_chain(WIDE, grid, **churn)
    mean, var = end_law(chain, *START)
    *_, x = chain.run(80 * rng.standard_normal((n, 1)), DATA.model, rng=rng)
    passes, D = ks_passes(x, stats.norm(mean, np.sqrt(var)).cdf)
    assert passes, D
    churn = dict(churn)
    s_noise = churn.pop("s_noise", 1.0)
    x = 80 * rng.standard_normal((n, 1))
    for sigma, hat, then in zip(grid, hats_of(grid, **churn), grid[1:], strict=False):
        levels = (Level(1.0, s, s) for s in (sigma, hat, then))
        z = rng.standard_normal((n, 1))
        x = edm_step(x, *levels, DATA.model, z, s_noise)
    passes, D = ks_passes(x, stats.norm(mean, np.sqrt(var)).cdf)
    assert passes, D


@pytest.mark.control
def test_noise_that_is_not_counted_in_the_level_is_seen():
    """Noise of sigma_hat - sigma in place of the root of a difference of squares."""
    n, grid, rng = 20_000, karras(10), np.random.default_rng(0)
    mean, var = end_law(edm_chain(WIDE, grid, churn=5.0), *START)
    x = 80 * rng.standard_normal((n, 1))
    for sigma, hat, then in zip(grid, hats_of(grid, 5.0), grid[1:], strict=False):
        x = x + (hat - sigma) * rng.standard_normal((n, 1))
        levels = (Level(1.0, s, s) for s in (hat, hat, then))
        x = edm_step(x, *levels, DATA.model, 0 * x)
    passes, _ = ks_passes(x, stats.norm(mean, np.sqrt(var)).cdf)
    assert not passes


def test_noise_is_added_within_the_window_and_its_ends():
    grid = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.0])

    def raised(**window):
        chain = edm_chain(sde.edm(20.0), grid, churn=1.0, **window)
        return [rows.any() for rows in steps_of(chain, chain.c)]

    assert raised() == [True] * 5
    assert raised(s_min=1.0, s_max=4.0) == [False, True, True, True, False]
    assert raised(s_min=1.0001, s_max=3.9999) == [False, False, True, False, False]
    assert raised(s_min=9.0) == [False] * 5
    same = edm_chain(sde.edm(20.0), grid, churn=1.0, s_min=9.0)
    assert_same_table(same, edm_chain(sde.edm(20.0), grid), rtol=0)


def test_gamma_is_capped_at_a_doubled_variance():
    """sigma_hat <= sqrt(2) sigma from churn = (sqrt(2) - 1) N on."""
    grid = karras(18)
    at = [
        edm_chain(WIDE, grid, churn=share * 18 * CAP) for share in (0.5, 1, 1.01, 1e9)
    ]
    half, full, over, far = at
    assert full.t[1] == pytest.approx(80 * np.sqrt(2), rel=1e-14)
    assert half.t[1] == pytest.approx(80 * (1 + CAP / 2), rel=1e-14)
    assert_same_table(over, full, rtol=1e-12)
    assert_same_table(far, over, rtol=0)


def test_noise_beyond_T_and_what_does_not_fit_is_refused_by_name():
    grid = karras(18)
    with pytest.raises(ValueError, match="sigma_hat must be at most 80.*lower s_max"):
        edm_chain(EDM, grid, churn=5.0)
    edm_chain(EDM, grid, churn=5.0, s_max=80 / (1 + 5 / 18))
    edm_chain(sde.edm(80 * (1 + 5 / 18)), grid, churn=5.0)  # just reached
    with pytest.raises(ValueError, match="sigma_hat must be at most"):
        edm_chain(VP, np.array([1.0, 0.5]), churn=0.1)
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match="churn and s_noise must be >= 0"):
            edm_chain(EDM, grid, churn=bad)
        with pytest.raises(ValueError, match="churn and s_noise must be >= 0"):
            edm_chain(EDM, grid, s_noise=bad)
    with pytest.raises(ValueError, match="s_noise"):
        edm_chain(WIDE, grid, churn=1.0, s_noise=np.inf)
    for window in ({"s_min": np.nan}, {"s_max": np.nan}, {"s_min": 2.0, "s_max": 1.0}):
        with pytest.raises(ValueError, match="s_min must be at most s_max"):
            edm_chain(WIDE, grid, churn=1.0, **window)
    with pytest.raises(ValueError, match="grid must fall"):
        edm_chain(EDM, grid[::-1])


def test_noise_that_just_reaches_T_is_added_or_refused_by_name():
    """Where rounding decides; the time is found, or the refusal is of sigma_hat."""
    reached, gamma = [], 0.25
    for T in np.linspace(1.0, 3.0, 60):
        process = sde.ou(1.3, 0.7, T=float(T))
        t = process.time(process.log_snr(process.T) + np.log1p(gamma))
        try:
            chain = edm_chain(process, np.array([t, 0.1]), churn=gamma)
        except ValueError as error:
            assert "sigma_hat must be at most" in str(error)
            continue
        reached.append(chain.t[1] / process.T)
    assert 5 < len(reached) < 55
    np.testing.assert_allclose(reached, 1, rtol=1e-14)


@pytest.mark.limit
@pytest.mark.parametrize("process", [WIDE, VP])
def test_churn_that_vanishes_leaves_the_deterministic_sampler(process):
    """Down to churn that rounding hides, where sigma_hat may come out below sigma."""
    grid = karras(9) if process is WIDE else vp_times(9)
    start = START if process is WIDE else ()
    want = end_law(edm_chain(process, grid), *start)
    for churn in (1e-3, 1e-6, 1e-9, 1e-12, 1e-14, 1e-15, 1e-16, 1e-20, 5e-324):
        got = end_law(edm_chain(process, grid, churn=churn), *start)
        assert got == pytest.approx(want, rel=30 * churn + 1e-12)


def churned_errors(process, shift):
    """Errors of (mean, variance) at lam = 3 of 64 to 512 steps with churn 10.

    From the exact law at the start, its mean moved by a shift in y. In the limit the
    flow takes the shift down by the root of the marginals' ratio, and churn, over a
    width L of lam, by exp(-10/L integral of sigma^2 / (C + sigma^2) dlam).
    """
    lam = process.log_snr(process.T) + 0.5, 3.0
    first, last = map(process.time, lam)
    start = DATA.noised(*process.marginal(first))
    end = DATA.noised(*process.marginal(last))
    signal, signal_end = process.marginal(first)[0], process.marginal(last)[0]
    ratio = (0.25 + np.exp(-2 * lam[1])) / (0.25 + np.exp(-2 * lam[0]))
    left = ratio ** (1 / 2 + 10 / (lam[1] - lam[0]) / 2)
    errors = []
    for N in (64, 128, 256, 512):
        inner = [process.time(v) for v in np.linspace(*lam, N + 1)[1:-1]]
        chain = edm_chain(process, np.array([first, *inner, last]), churn=10.0)
        mean, var = end_law(chain, start.mean + signal * shift, start.cov)
        want = end.mean[0] + signal_end * left * shift
        errors.append([abs(mean - want), abs(var - end.cov[0, 0])])
    return np.transpose(errors)


@pytest.mark.order
@pytest.mark.parametrize("process", [VP, COSINE, EDM])
def test_churned_samples_are_of_weak_order_2(process):
    """On Gaussian data from the exact law at the start, where the mean has no error."""
    mean, var = churned_errors(process, 0.0)
    assert mean.max() < 1e-12
    assert np.abs(measured_order(var)[1:] - 2).max() < 0.1, var
    assert var[-1] < 1e-3


@pytest.mark.order
@pytest.mark.parametrize("process", [VP, EDM])
def test_from_another_law_churn_is_of_first_order_only(process):
    """Noise and flow in turn is a splitting; what it keeps exactly is the marginals."""
    shift = np.sqrt(0.25 + np.exp(-2 * process.log_snr(process.T) - 1))
    mean, _ = churned_errors(process, shift)
    assert np.abs(measured_order(mean)[1:] - 1).max() < 0.1, mean


@pytest.mark.order
@pytest.mark.parametrize("process", [VP, COSINE, EDM])
def test_without_churn_it_is_of_order_2_on_a_mixture(process):
    last = process.time(3.0)
    x = process.marginal(process.T)[1] * np.linspace(-2, 2, 5)[:, None]
    flow = reversal.probability_flow(process, LAW.model)
    want = ode.reference_flow(flow.f, x, np.array([process.T, last]))[-1]
    errors = []
    for N in (64, 128, 256):
        *_, got = edm_chain(process, reversal.snr_grid(process, N, last)).run(
            x, LAW.model
        )
        errors.append(np.abs(got - want).max())
    assert np.abs(measured_order(np.array(errors)) - 2).max() < 0.1
    assert errors[-1] < 2e-3


@pytest.mark.identity
@pytest.mark.parametrize("process", [VP, COSINE, sde.sub_vp(sde.linear_beta())])
@pytest.mark.parametrize("churn", [0.0, 4.0])
def test_in_rescaled_coordinates_every_process_is_one(process, churn):
    """x / signal of VP is the sampler of rescaled(VP), with the same noise."""
    grid = vp_times(8)
    signal = process.marginal(grid)[0]
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((5, 1)), rng.standard_normal((8, 5, 1))
    own = edm_chain(process, grid, churn, s_noise=1.01)
    bare = edm_chain(sde.rescaled(process), grid, churn, s_noise=1.01)
    own = np.array(list(own.run(x, LAW.model, z=z)))
    bare = list(bare.run(x / signal[0], LAW.model, z=z))
    np.testing.assert_allclose(own / signal[:, None, None], bare, rtol=1e-9, atol=1e-10)
    assert np.abs(own[1:-1] - bare[1:-1]).max() > 1e-3


@pytest.mark.identity
def test_the_sampler_in_sigma_is_that_of_time_equal_to_sigma():
    """VP's grid, rescaled, is a grid of EDM's times: only the labels differ."""
    grid = vp_times(8)
    signal, noise = VP.marginal(grid)
    wide = sde.edm(1e3)
    own = edm_chain(sde.rescaled(VP), grid, 4.0)
    want = edm_chain(wide, noise / signal, 4.0)
    for name in ("A", "b", "c", "signal", "noise", "ends"):
        a, b = getattr(own, name), getattr(want, name)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


sigmas = st.floats(-8, 8).map(lambda v: float(10**v))


@pytest.mark.oracle
@given(sigma=sigmas, sigma_data=sigmas)
def test_preconditioning_gives_unit_variances(sigma, sigma_data):
    """At 50 digits, from the requirements alone; then the float64 numbers are those.

    The input has variance 1; the target of F has variance 1 at the c_skip whose c_out
    is least, found where a parabola has its vertex; the weight of F is 1.
    """

    def required(v):
        s, d = v
        vertex = d**2 / (s**2 + d**2)  # of Var(x0 - c y) = (1 - c)^2 d^2 + c^2 s^2

        def spread(c):
            return mp.sqrt((1 - c) ** 2 * d**2 + c**2 * s**2)

        out = spread(vertex)
        for c in (vertex * (1 + mp.mpf(10) ** -9), vertex * (1 - mp.mpf(10) ** -9)):
            assert spread(c) > out
        return [vertex, out, 1 / mp.sqrt(d**2 + s**2), mp.log(s) / 4, out**-2]

    got = precondition(sigma, sigma_data)
    assert_accurate(got, required, exact([sigma, sigma_data]))
    s, d = exact([sigma, sigma_data])
    skip, out, c_in, _, weight = exact(got)
    assert abs(c_in**2 * (d**2 + s**2) - 1) < 1e-14
    # of (x0 - c_skip y) / c_out, x0 = d e, y = d e + s eps
    assert abs(weight * out**2 - 1) < 1e-14
    target = ((s**2 / (s**2 + d**2)) ** 2 * d**2 + skip**2 * s**2) / out**2
    assert abs(target - 1) < 1e-14


@pytest.mark.identity
@given(sigma=st.floats(-8, 8).map(lambda v: 10**v), y=st.floats(-30, 30))
def test_a_silent_network_is_the_best_denoiser_of_centred_gaussian_data(sigma, y):
    """F = 0 on N(0, sigma_data^2): c_skip y = E[x0 | y], and its error has c_out^2."""
    data = toys.blobs([1.0], [[0.0]], 0.7)
    made = precondition(sigma, 0.7)
    mean = data.denoise(np.array([[y]]), 1.0, sigma).item()
    assert made.c_skip * y == pytest.approx(mean, rel=1e-12, abs=1e-15)
    var = 1 / (1 / 0.49 + 1 / sigma**2)
    assert made.c_out**2 == pytest.approx(var, rel=1e-12)


@pytest.mark.oracle
def test_the_weighted_loss_of_x0_is_the_plain_loss_of_the_network():
    """For a network that is not the best, by quadrature over x0 and the noise."""
    sigma, d = 0.8, 0.7
    made = precondition(sigma, d)

    def network(u):
        return np.tanh(2 * u) - 0.3

    x0, y = np.meshgrid(np.linspace(-6, 6, 401), np.linspace(-10, 10, 401))
    density = stats.norm(0, d).pdf(x0) * stats.norm(x0, sigma).pdf(y)
    density *= 12 / 400 * 20 / 400
    assert density.sum() == pytest.approx(1, abs=1e-12)
    x0_hat = made.c_skip * y + made.c_out * network(made.c_in * y)
    target = (x0 - made.c_skip * y) / made.c_out
    of_x0 = (density * made.weight * (x0_hat - x0) ** 2).sum()
    of_F = (density * (network(made.c_in * y) - target) ** 2).sum()
    assert of_x0 == pytest.approx(of_F, rel=1e-13)
    assert of_F > 0.5


def test_preconditioning_broadcasts_and_refuses():
    sigma = np.array([[0.002], [1.0], [80.0]])
    made = precondition(sigma)
    for k, row in enumerate(sigma[:, 0]):
        one = precondition(float(row), 0.5)
        for whole, part in zip(made, one, strict=True):
            assert whole[k, 0] == part
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="sigma must be"):
            precondition(bad)
        with pytest.raises(ValueError, match="sigma_data must be"):
            precondition(1.0, bad)
    assert edm.Precondition._fields == ("c_skip", "c_out", "c_in", "c_noise", "weight")


def test_the_window_is_one_of_noise_over_signal():
    """On VP, sigma = 2 has noise 0.894 and signal 0.447."""
    vp = sde.vp(sde.linear_beta())
    sigmas = np.array([8.0, 4.0, 2.0, 1.0, 0.5])
    grid = np.array([vp.time(-np.log(s)) for s in sigmas] + [0.0])
    chain = edm_chain(vp, grid, churn=1.0, s_min=0.9, s_max=4.5)
    rows = np.split(chain.c, np.flatnonzero(chain.ends)[:-1] + 1)
    assert [r.any() for r in rows] == [False, True, True, True, False]


def test_a_step_adds_noise_of_size_1_unless_told():
    x, z = np.zeros((3, 1)), np.ones((3, 1))
    levels = [Level(1.0, s, s) for s in (1.0, 1.25, 0.5)]
    data = toys.blobs([1.0], [[1.5]], 0.5)
    got = edm_step(x, *levels, data.model, z)
    # added first, 0.75 = sqrt(1.25^2 - 1), then a step without more
    want = edm_step(x + 0.75, levels[1], *levels[1:], data.model, 0 * z)
    np.testing.assert_allclose(got, want, rtol=1e-14)


@pytest.mark.oracle
@pytest.mark.parametrize("gamma", [1e-12, 1e-6, 0.1, 0.4])
def test_added_noise_keeps_its_digits_where_little_is_added(gamma):
    """A silent model on the way to hat: only the noise is left."""
    now, hat = 0.3, 0.3 * (1 + gamma)
    levels = [Level(1.0, s, s) for s in (now, hat, hat)]
    got = edm_step(np.zeros((1, 1)), *levels, lambda x, level: 0 * x, np.ones((1, 1)))
    low, high = exact([now, hat])
    assert got.item() == pytest.approx(
        float(mp.sqrt(high**2 - low**2)), rel=2e-15, abs=0
    )


@pytest.mark.identity
@pytest.mark.parametrize("process", [sde.edm(100.0), VP, sde.ve(1e-3, 100.0)])
def test_a_karras_grid_has_its_times_on_every_process(process):
    """noise / signal at the times is the grid; for EDM they are the grid itself."""
    sigma = karras(9, 0.01, 80.0)
    grid = times_of(process, sigma if process.noise0 == 0 else sigma[:-1])
    signal, noise = process.marginal(grid)
    np.testing.assert_allclose(noise / signal, sigma[: len(grid)], rtol=1e-11)
    assert grid[-1] == 0 or process.noise0
    if process.marginal(1.0)[1] == 1:
        np.testing.assert_allclose(grid, sigma, rtol=1e-13)
    with pytest.raises(ValueError, match=r"sigma must be \(N\+1,\), at least"):
        times_of(process, np.array([1.0, -0.1]))
    with pytest.raises(ValueError, match="log_snr must be in"):
        times_of(process, np.array([1e5, 1.0]))
    if process.noise0:  # VE never gets to 0
        with pytest.raises(ValueError, match=r"sigma must be \(N\+1,\), at least"):
            times_of(process, sigma)
