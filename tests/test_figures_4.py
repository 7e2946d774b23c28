"""The figures of chapter 4 run in small, and return what their docstrings say."""

import numpy as np
import pytest
from scipy import stats
from support import ks_passes, mixture_cdf
from test_figures import figure

from refdiff import ode, reversal, samplers, sde, toys


@pytest.mark.order
def test_figure_4_01_recursion_is_a_power_and_misses_the_curve_by_dt(tmp_path):
    t, dots, error = figure("fig_4_01")(tmp_path / "x.png")
    assert np.allclose(dots, 0.95 ** np.arange(51), rtol=1e-13)
    assert t[10] == 1
    assert dots[10] == pytest.approx(0.598737, abs=5e-7)
    assert error[0.1] == pytest.approx(0.606531 - 0.598737, abs=1e-6)
    dt, gap = np.array(list(error.items())).T
    slopes = np.diff(np.log(gap)) / np.diff(np.log(dt))
    assert slopes == pytest.approx(1, abs=0.03)


def survival(a, N, m=801):
    """Chance to have been within 2 a sqrt(t) at t = 1..N, by integrals over a grid."""
    x = np.linspace(-1, 1, m) * 2 * a * np.sqrt(N)
    step = (x[1] - x[0]) * stats.norm.pdf(x[:, None], x, a)
    p, left = stats.norm.pdf(x, 0, a), [1.0]
    for t in range(1, N + 1):
        p = np.where(np.abs(x) <= 2 * a * np.sqrt(t), p, 0)
        left.append(p.sum() * (x[1] - x[0]))
        p = step @ p
    return np.array(left)


@pytest.mark.law
def test_figure_4_02_band_holds_95_percent_of_paths_but_not_for_long(tmp_path):
    n, N = 4000, 40
    x, band, now, always = figure("fig_4_02")(tmp_path / "x.png", n=n, N=N)
    assert not x[0].any()
    assert np.allclose(band, 0.1 * np.sqrt(np.arange(N + 1)), rtol=1e-12)
    inside = stats.chi2.cdf(4, 1)
    assert now[1:] == pytest.approx(inside, abs=5.5 * np.sqrt(0.05 * 0.95 / n))
    assert always == pytest.approx(survival(0.05, N), abs=5.5 / np.sqrt(4 * n))
    assert always[-1] < 0.8


@pytest.mark.law
def test_figure_4_03_unit_steps_rest_at_a_third_more_variance(tmp_path):
    n = 4000
    found, exact = figure("fig_4_03")(tmp_path / "x.png", n=n)
    (_, long, var_long), (t, short, var_short) = found.values()
    assert [*found] == [1, 0.05]
    assert var_long[-1] == pytest.approx(0.04 / 3, rel=1e-10)
    assert var_short[-1] == pytest.approx(0.01 / (1 - 0.05 / 4), rel=1e-7)
    assert exact[-1] == pytest.approx(0.01, rel=1e-8)
    for x, var in ((long, var_long), (short, var_short)):
        assert x[-1].var() == pytest.approx(var[-1], rel=5 * np.sqrt(2 / n))
    within = 5 * 0.1 / np.sqrt(n)
    assert long[1].mean() == pytest.approx(0.25, abs=within)
    assert short[20].mean() == pytest.approx(0.5 * np.exp(-0.5), abs=within)
    assert t[20] == 1


@pytest.mark.law
def test_figure_4_04_noise_alone_spreads_and_the_score_brings_it_home(tmp_path):
    n, N = 4000, 50
    t, bare, scored = figure("fig_4_04")(tmp_path / "x.png", n=n, N=N)
    assert (t[0], t[-1]) == (N, 0)
    rel = 5 / np.sqrt(2 * n)
    assert not bare[0].any()
    assert bare[-1].std() == pytest.approx(0.05 * np.sqrt(N), rel=rel)
    assert scored[0].std() == pytest.approx(0.05 * np.sqrt(N), rel=rel)
    assert scored[-1].std() == pytest.approx(0.05, rel=rel)
    assert abs(np.corrcoef(scored[0], scored[-1])[0, 1]) < 5 / np.sqrt(n)


def modes(p):
    """Number of local maxima in each row."""
    return ((p[:, 1:-1] > p[:, :-2]) & (p[:, 1:-1] > p[:, 2:])).sum(axis=1)


@pytest.mark.law
def test_figure_4_05_ridges_meet_at_step_43(tmp_path):
    grid, density, x = figure("fig_4_05")(tmp_path / "x.png", n=3000)
    assert np.allclose(density.sum(axis=1) * (grid[1] - grid[0]), 1, atol=1e-3)
    assert modes(density).tolist() == [2] * 43 + [1] * 58
    for i in (0, 30, 100):
        cdf = np.cumsum(density[i]) * (grid[1] - grid[0])
        assert ks_passes(x[i], lambda v, cdf=cdf: np.interp(v, grid + 0.025, cdf))[0]
    crossed = (np.sign(x) != np.sign(x[0])).cumsum(axis=0) > 0
    assert crossed[[43, 100]].mean(axis=1) == pytest.approx([0.27, 0.78], abs=0.04)


@pytest.mark.law
def test_figure_4_06_paths_decide_and_end_in_the_mixture(tmp_path):
    law, n = toys.example_4_6(), 3000
    _, density, x = figure("fig_4_06")(tmp_path / "x.png", n=n)
    assert modes(density[[0, -1]]).tolist() == [1, 2]
    assert ks_passes(x[0], stats.norm.cdf)[0]
    assert ks_passes(x[-1], mixture_cdf(law))[0]
    stays = (np.sign(x) == np.sign(x[-1])).mean(axis=1)
    assert stays[[0, 57, 80]] == pytest.approx([0.59, 0.84, 0.965], abs=0.045)


@pytest.mark.law
def test_figure_4_08_all_three_have_the_marginals_and_one_is_a_map(tmp_path):
    law, n = toys.example_4_6(), 400
    out = tmp_path / "x.png"
    grid, density, found = figure("fig_4_08")(out, n=n, N=200)
    assert np.allclose(density.sum(axis=1) * (grid[1] - grid[0]), 1, atol=2e-3)
    (t, forward), (s, reverse), (_, flow) = found.values()
    assert (t[0], t[-1], s[0], s[-1]) == (0, 1, 1, 0)
    cdf = mixture_cdf(law)
    assert ks_passes(forward[0], cdf)[0]
    assert ks_passes(forward[-1], stats.norm.cdf)[0]
    assert ks_passes(reverse[-1], cdf)[0]
    assert (np.diff(flow, axis=1) > 0).all()
    assert np.abs(cdf(flow[-1]) - (np.arange(n) + 0.5) / n).max() < 0.01
    assert abs(stats.spearmanr(reverse[0], reverse[-1]).statistic) < 0.5


@pytest.mark.control
def test_figure_4_09_half_the_score_has_six_times_the_variance(tmp_path):
    law, n = toys.example_4_6(), 10_000
    found = figure("fig_4_09")(tmp_path / "x.png", n=n)
    (var, x), (var_half, x_half) = found.values()
    assert np.allclose(var, 1, rtol=1e-12)
    grown = 0.975**2 / 0.95  # a step's factor of the variance, to which 0.05 is added
    k = np.arange(101)
    assert np.allclose(var_half, grown**k + 0.05 * (grown**k - 1) / (grown - 1))
    assert var_half[-1] == pytest.approx(6.23, abs=5e-3)
    right, printed = (np.abs(v) for v in (x, x_half))
    assert right.mean() == pytest.approx(2.98, abs=5 * right.std() / np.sqrt(n))
    assert printed.mean() == pytest.approx(4.01, abs=5 * printed.std() / np.sqrt(n))
    assert ks_passes(x[:3000], mixture_cdf(law))[0]
    assert not ks_passes(x_half[:3000], mixture_cdf(law))[0]


@pytest.mark.order
def test_figure_4_10_slopes_are_the_claimed_orders(tmp_path):
    found = figure("fig_4_10")(tmp_path / "x.png", budgets=(8, 16, 64, 128))
    assert [*found] == [sampler.name for sampler in samplers.SAMPLERS]
    for claim in samplers.ORDERS:
        if claim.problem in (samplers.MIXED, samplers.GAUSSIAN):
            asked, error = (v[2:] for v in found[claim.method])
            slope = np.diff(np.log(error)) / np.diff(np.log(asked))
            assert slope == pytest.approx(-claim.order, abs=0.2), claim.method
    for asked, _ in found.values():
        assert (np.abs(asked - [8, 16, 64, 128]) <= 2).all()
    error = {name: e for name, (_, e) in found.items()}
    flows = [s.name for s in samplers.SAMPLERS if not s.random]
    best = [min(flows, key=lambda name, k=k: error[name][k]) for k in range(4)]
    assert best == ["DPM-Solver++(2M)", "RK4", "RK4", "RK4"]
    assert all(error["Euler"][0] < error[m][0] for m in ("Heun", "EDM", "DPM-Solver-2"))
    assert (error["predictor-corrector"] > error["ancestral"]).all()


@pytest.mark.identity
def test_figure_4_11_ddim_is_the_same_in_both_coordinates(tmp_path):
    off = []
    for N in (20, 80):
        signal, sigma, vp, ve, flow = figure("fig_4_11")(tmp_path / "x.png", N=N)
        assert np.allclose(vp / signal[:, None], ve, rtol=1e-12, atol=0)
        assert np.allclose(signal, 1 / np.hypot(1, sigma), rtol=1e-9)
        off.append(np.abs(vp[-1] - flow[-1]).max())
        assert (np.diff(flow, axis=1) > 0).all()
    assert 3 < off[0] / off[1] < 5  # it is of first order


@pytest.mark.oracle
def test_figure_4_08_flow_starts_at_middles_and_ends_where_scipys_does(tmp_path):
    n, law, vp = 12, toys.example_4_6(), sde.vp(sde.linear_beta())
    *_, found = figure("fig_4_08")(tmp_path / "x.png", n=n, N=100)
    _, path = found["probability flow"]
    middles = (np.arange(n) + 0.5) / n
    np.testing.assert_allclose(stats.norm.cdf(path[0]), middles, rtol=1e-12)
    np.testing.assert_array_equal(found["reverse SDE"][1][0], path[0])
    flow = reversal.probability_flow(vp, law.model)
    end = ode.reference_flow(flow.f, path[0][:, None], np.array([1.0, 0.0]))[-1]
    np.testing.assert_allclose(path[-1], end[:, 0], atol=1e-3)


@pytest.mark.oracle
def test_figure_4_10_counts_the_error_of_the_mean_and_of_the_variance(tmp_path):
    """N(1.5, 0.4), by Euler-Maruyama's own law from the exact one at T."""
    vp, N = sde.vp(sde.linear_beta()), 16
    _, error = figure("fig_4_10")(tmp_path / "x.png", budgets=(8, 16, 32))[
        "Euler-Maruyama"
    ]
    grid = reversal.snr_grid(vp, N, vp.time(3.0))
    (a, v), (a_end, v_end) = (
        (1.5 * signal, 0.4 * signal**2 + noise**2)
        for signal, noise in map(vp.marginal, grid[[0, -1]])
    )
    (chain,) = [
        s.chain(vp, grid) for s in samplers.SAMPLERS if s.name == "Euler-Maruyama"
    ]
    means, covs = chain.law(
        np.array([1.5]), np.array([[0.4]]), np.array([a]), np.array([[v]])
    )
    off = abs(means[-1, 0] - a_end), abs(covs[-1, 0, 0] - v_end)
    assert min(off) > 1e-4
    assert error[1] == pytest.approx(sum(off), rel=1e-9)
