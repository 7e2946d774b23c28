"""Chapter 5: what is drawn is what is returned, what is said is what is measured."""

import re

import numpy as np
import pytest
from scipy.sparse import csc_array
from test_drawn_4 import assert_bars, assert_line, has_color
from test_errata import value
from test_figures import figure

from refdiff import (
    brownian,
    errata,
    fokker_planck,
    heat,
    kramers_moyal,
    master,
    plots,
    rates,
)
from refdiff.solvers import Process


@pytest.fixture
def drawn(monkeypatch):
    """Run a figure; return what main returns, the axes it would save, and its film."""
    kept, film = [], []
    monkeypatch.setattr(plots, "save", lambda fig, out: kept.append(fig))
    monkeypatch.setattr(
        plots, "save_gif", lambda fig, out, draws: film.append((fig, draws))
    )

    def run(name, **small):
        return figure(name)("x.png", **small), kept.pop().axes, film

    return run


def test_one_negative_time_among_good_ones_is_refused():
    for t in ([1.0, -1.0], [-1.0, 1.0]):
        with pytest.raises(ValueError, match="t must be at least 0"):
            brownian.mean_squared_displacement(1.0, 1.0, t)


def test_a_kernel_as_wide_as_the_grid_is_allowed():
    """sqrt(2 k t) = dx: the rule errs by 2 exp(-2 pi^2) of a wide bump."""
    x = np.arange(-40.0, 41)
    got = heat.heat_convolved(np.exp(-(x**2) / 50), 1.0, 0.5, 1.0)
    want = np.exp(-(x**2) / 52) * np.sqrt(25 / 26)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-7)


@pytest.mark.parametrize("rate", [1e-12, 1.0, 1e12])
def test_columns_sum_to_0_by_the_measure_of_their_own_rates(rate):
    """1e-6 of a rate is a slip at every size of it, its last digit is not."""
    jumps = np.array([[0, 0.1, 0.7], [1 / 3, 0, 0.3], [0.2] * 3])
    W = rate * master.generator_matrix(jumps)
    p = master.stationary(W)
    assert master.master_rate(p, W) == pytest.approx(0, abs=1e-14 * rate)
    W[0, 0] *= 1 + 1e-6
    with pytest.raises(ValueError, match="is to sum to 0"):
        master.stationary(W)


def test_a_run_of_jumps_without_an_end_is_refused():
    W = np.array([[-1.0, 0.0], [1.0, 0.0]])  # else it would end in state 1
    with pytest.raises(ValueError, match="T must be finite"):
        master.gillespie(np.zeros(2, int), W, np.inf, np.random.default_rng(0))


def test_no_jump_goes_where_its_rate_is_0():
    """Even for the least of random numbers, which is 0 itself."""

    class Least(np.random.Generator):
        def random(self, n):
            return np.zeros(n)

    W = master.generator_matrix(np.array([[0, 0, 0], [0, 0, 0], [0, 1.0, 0]]))
    rng = Least(np.random.PCG64(0))
    assert (master.gillespie(np.ones(5, int), W, 100.0, rng) == 2).all()


@pytest.mark.parametrize("n", [0, -1])
def test_no_steps_of_poisson_are_refused_by_name(n):
    with pytest.raises(ValueError, match="n must be"):
        kramers_moyal.poisson_steps(n, 1.0, 1.0, np.random.default_rng(0))


def test_three_cells_are_a_grid():
    grid = fokker_planck.Grid((3,), (0.0,), (3.0,))
    assert grid.centres[:, 0] == pytest.approx([0.5, 1.5, 2.5])


def test_noise_that_varies_a_little_with_its_place_is_refused():
    grid = fokker_planck.Grid((10,), (0.0,), (1.0,))
    process = Process(lambda x, t: 0 * x, lambda x, t: 1 + 1e-3 * x)
    with pytest.raises(ValueError, match="g must be one number"):
        fokker_planck.process_operator(grid, process, 0.0)


def test_steps_that_differ_by_a_hundredth_are_not_taken_for_equal():
    W = master.generator_matrix(np.array([[0, 1.0, 2], [3, 0, 1], [0.5, 1, 0]]))
    times = np.array([0.0, 1.0, 2.01, 3.01])
    *_, got = fokker_planck.evolve(np.array([1.0, 0, 0]), csc_array(W), times)
    want = np.array([1.0, 0, 0])
    for h in np.diff(times):
        want = np.linalg.solve(np.eye(3) - h * W, want)
    np.testing.assert_allclose(got, want, rtol=1e-13)


@pytest.mark.parametrize("slip", [1e-6, -1e-6, -0.5])
def test_what_does_not_quite_sum_to_1_has_no_relative_entropy(slip):
    p = np.full(4, 0.25)
    for pair in ((p * (1 + slip), p), (p, p * (1 + slip))):
        with pytest.raises(ValueError, match="with sum 1"):
            fokker_planck.relative_entropy(*pair)


def test_a_constant_rate_is_one_number_a_time_up_to_its_own_end():
    beta, _, T = rates.constant_beta(0.7, 3.0)
    assert T == 3
    assert np.array_equal(beta(np.linspace(0, 3, 4)), np.full(4, 0.7))


def test_the_cosine_rate_ends_at_0_995_and_may_start_at_s_0():
    """At s = 0 the signal exp(-B/2) is cos(pi t / 2) itself."""
    assert rates.cosine_beta().T == 0.995
    _, B, _ = rates.cosine_beta(s=0.0)
    assert np.exp(-B(0.0, 0.5) / 2) == pytest.approx(np.cos(np.pi / 4), rel=1e-13)


def test_a_rate_may_rest_but_not_part_from_its_integral_late_or_by_a_hundredth():
    def made(beta, B):
        return rates.consistent(rates.Beta(beta, B, 1.0))

    made(lambda t: 0.0 * t, lambda s, t: 0.0 * (t - s))
    for late, off in ((0.7, 2.0), (0.0, 1.01)):
        with pytest.raises(ValueError, match="B must be beta's integral"):
            made(lambda t, a=late, c=off: c if t > a else 1.0, lambda s, t: t - s)


def record(place):
    return next(e for e in errata.CHAPTER_5 if e.place == place)


@pytest.mark.identity
def test_the_formulas_of_chapter_5_have_the_numbers_that_are_measured():
    kernel = record("(5.42)")
    given = {"k": 0.25, "t": 2.0, "kt": 0.5, "pi": np.pi, "x": 0.0}
    n = kernel.measure()
    for text, want in ((kernel.printed, n.printed), (kernel.right, n.truth)):
        formula = re.search(r"exp\(-x.*?sqrt\(.*?\)", text)[0]
        assert value(formula, **given) == pytest.approx(want, rel=1e-11)
    g = re.search(r"sqrt\(.*?\)", record("Def 5.2").right)[0]
    assert value(g, beta=3.0) == pytest.approx(np.sqrt(1.5))  # 2 g^2 = beta
    jumps = 6 / np.cumprod(np.arange(1.0, 5))  # D_m of rate 6
    follows = record("Thm 5.8").follows
    said = re.search(r"D_3\^2 = (\S+) > D_2 D_4 = (\d/\d)", follows)
    assert value(said[1]) == jumps[2] ** 2
    assert value(said[2]) == jumps[1] * jumps[3]
    bins = re.search(r"N\(0, (.*?)\)$", record("Section 5.1").right)[1]
    x = brownian.white_noise((100_000,), 0.01, 3.0, np.random.default_rng(0))
    assert value(bins, q=3.0, dt=0.01) == pytest.approx(x.var(), rel=0.03)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("Thm 5.3", "from 0 to infinity of exp(-gamma (t - t')) Gamma(t') dt'"),
        ("Thm 5.3", "from -infinity to t of exp(-gamma (t - t'))"),
        ("(5.14)", "1 + (i u)^2 / 2! (2!/2) [q / (2 gamma)] + ..."),
        ("Def 5.2", "where E Gamma Gamma' = 2 delta"),
        ("Def 5.2", "sigma = sqrt(tau) is the sqrt(2 tau) of (3.1)"),
        ("Def 5.2", "from N(0, 1), data N(0, 1), beta = 1"),
        ("(5.23)", "p(x_3, t_3 | x_2, t_2)"),
        ("Thm 5.7", "dp/dt = sum_m (-d/dx)^m [D_m p]"),
        ("Thm 5.7", "for D1 = -3/4 x, D2 = 1/2"),
        ("(5.34)", "dp/dt = sum_m (-d/dx)^m [D_m p]"),
        ("Thm 5.8", "(m-1)! (m+1)! D_{m-1} D_{m+1}, odd m >= 3"),
        ("Thm 5.8", "even m >= 4 with m-+2"),
        ("Def 5.4", "for a Markov process with D_m = 0 for all m >= 3"),
        ("Def 5.4", "has the right mean and variance, and no skewness"),
        ("Thm 5.9", "lim of (1/tau) times the integral"),
        ("Ex 5.4", "it has -d/dx [A(x) x p]"),
        ("(5.46)", "S(x, t) - S(x+dx, t) = -dS/dx dx"),
        ("(5.46)", "three cells 1/2, 1/4, 1/4, for D2 = 1/2"),
        ("Thm 5.10", "need not (figure 5.5)"),
        ("(5.47)", "sigma^2 dlog W/dx, so log p = log W + C"),
        ("(5.47)", "p^(tau / sigma^2), normalised (figure 5.7)"),
    ],
)
def test_the_record_of_chapter_5_says_what_is_measured(place, words):
    e = record(place)
    said = (e.printed, e.right, e.follows, e.measure().quantity)
    assert any(words in text for text in said)


def test_figure_5_01_draws_bars_of_r_and_a_foil_of_height_dt(drawn):
    found, (middle, left, right), _ = drawn("fig_5_01", n=8)
    assert {*found} == {0.02, 0.1}
    for k, (dt, (x, R, omega, S)) in enumerate(found.items()):
        color = plots.LEARNED if dt == 0.02 else plots.DATA
        m = round(4 / dt)
        assert_line(left.lines[k], np.arange(m) * dt, x[:m, 0])
        bars = middle.containers[k]
        centres = [b.get_x() + b.get_width() / 2 for b in bars]
        np.testing.assert_allclose(centres, np.arange(-8, 9) * dt, atol=1e-12)
        assert [b.get_height() for b in bars] == [*R[:0:-1], *R]
        assert all(b.get_width() == pytest.approx(dt) for b in bars)
        assert bars.get_label() == f"dt = {dt:g}: R(0) = {R[0]:.1f}"
        curve, foil, end = right.lines[3 * k : 3 * k + 3]
        assert_line(curve, omega, S)
        assert_line(foil, [0, np.pi / dt], [dt, dt])
        assert_line(end, [np.pi / dt] * 2, [0, 1])
        assert all(has_color(v, color) for v in (left.lines[k], curve, foil, end))


def test_figure_5_02_draws_its_band_and_each_time_on_its_own(drawn):
    (t, x, grid, density), (left, right), _ = drawn("fig_5_02", n=50, N=48, q=2.0)
    corners = left.collections[0].get_paths()[0].vertices
    want = 2 * np.sqrt(2.0 * corners[:, 0])
    np.testing.assert_allclose(np.abs(corners[:, 1]), want, atol=1e-12)
    for line, y in zip(left.lines, x[:, :15].T, strict=False):
        assert_line(line, t, y)
    assert [v.get_xdata()[0] for v in left.lines[15:]] == [*density]
    for k, (s, p) in enumerate(density.items()):
        at = x[np.abs(t - s).argmin()]
        heights = [b.get_height() for b in right.patches[80 * k : 80 * (k + 1)]]
        want, _ = np.histogram(at, 80, (-4, 4), density=True)
        np.testing.assert_allclose(heights, want, atol=1e-12)
        assert_line(right.lines[k], grid, p)
        assert right.lines[k].get_label() == f"t = {s:g}: variance {at.var():.3f}"


def test_figure_5_03_draws_lines_of_their_slopes_and_both_means(drawn):
    found, (left, right), _ = drawn("fig_5_03", n=100, q=2.5, s=0.4)
    t, variances, means = found
    for k, (slope, var) in enumerate(variances.values()):
        assert_line(left.lines[2 * k], t, slope * t)
        assert_line(left.lines[2 * k + 1], t[::5], var[::5])
        assert left.lines[2 * k].get_label().endswith(f"slope {slope:g}")
    for line, (name, (mean, _)) in zip(right.lines, means.items(), strict=False):
        assert_line(line, t[::5], mean[::5])
        assert line.get_label() == name
    assert_line(right.lines[3], t, np.exp(0.16 * t))
    assert_line(right.lines[4], t, np.ones(51))


def test_figure_5_04_draws_strip_and_film_of_the_states_it_returns(drawn):
    (x, film), panels, gif = drawn("fig_5_04", n=100, frames=5)

    def assert_state(ax, k):
        p, y = film[k]
        assert_bars(ax, y, 4.5)
        assert_line(ax.lines[-1], x, p)
        left = p[x < -0.82].sum() * (x[1] - x[0])
        assert ax.get_title() == f"t = {0.002 * k:.3g}: {left:.2f} on the left"

    for ax, k in zip(panels, (0, 10, 25, 50, 100, 200, 500, 1000), strict=True):
        assert_state(ax, k)
    ((fig, draws),) = gif
    for draw, k in zip(draws, film, strict=True):
        draw()
        assert_state(fig.axes[0], k)


def test_figure_5_05_draws_densities_upright_and_currents_as_they_turn(drawn):
    (centres, found), panels, _ = drawn("fig_5_05", m=30, turn=2.0)
    for ax, (omega, (p, S)) in zip(panels, found.items(), strict=True):
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), p.T)
        assert (image.origin, image.get_extent()) == ("lower", [-3.2, 3.2] * 2)
        (arrows,) = ax.collections
        few = (slice(2, None, 4),) * 2
        for got, want in ((arrows.XY, centres), (np.c_[arrows.U, arrows.V], S)):
            np.testing.assert_array_equal(got, want[few].reshape(-1, 2))
        crossing = abs(S[15:, 15, 1].sum()) * 6.4 / 30
        want = f"omega = {omega:g}: {crossing:.3f} crosses a half line"
        assert ax.get_title().startswith(want)
    assert crossing == pytest.approx(omega / (2 * np.pi), rel=0.05)


def test_figure_5_06_draws_limits_biases_and_two_standard_errors(drawn):
    found, axes, _ = drawn("fig_5_06", n=3000, rate=3.0)
    axes = np.reshape(axes, (2, 3))
    middle, last = axes[:, 2]
    assert middle.lines[-1].get_ydata()[0] == 3.0
    for m, ax in enumerate(axes[:, :2].flat, 1):
        edges = np.linspace(-1.5, 1.5, 16)
        limit = {1: -edges, 2: np.full(16, 0.5)}.get(m, np.zeros(16))
        assert_line(ax.lines[0], edges, limit)
        dashed = [v for v in ax.lines if v.get_linestyle() == "--"]
        for k, dt in enumerate((0.2, 0.02)):
            ou, biased, jump = found[m, dt]
            assert_line(dashed[k], ou.centre, biased)
            scale = np.prod(np.arange(1.0, m + 1))
            several = middle.containers[2 * (m - 1) + k]
            for box, at, value_, error in (
                (ax.containers[k], ou.centre, ou.value, ou.error),
                (several, [m], scale * jump.value, scale * jump.error),
            ):
                np.testing.assert_array_equal(box[0].get_xdata(False), at)
                np.testing.assert_array_equal(box[0].get_ydata(False), value_)
                ends = np.array(box[2][0].get_segments())[:, :, 1]
                want = np.stack([value_ - 2 * error, value_ + 2 * error], axis=-1)
                np.testing.assert_allclose(ends, want, rtol=1e-12, atol=1e-14)
    dts = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    assert_line(last.lines[0], dts, [found[4, dt][0].value[7] for dt in dts])
    assert_line(last.lines[1], dts, [found[4, dt][2].value[0] for dt in dts])
    assert last.lines[2].get_ydata()[0] == 3.0 / 24


def test_figure_5_07_draws_above_what_left_p_and_below_what_kept_the_limit(drawn):
    (x, found), axes, _ = drawn("fig_5_07", n=200, T=0.5, N=200)
    axes, dx = np.reshape(axes, (2, 3)), x[1] - x[0]
    for column, (s2, (limit, now, particles, rate)) in zip(
        axes.T, found.items(), strict=True
    ):
        for ax, y, at in zip(column, particles, (now, limit), strict=True):
            assert_bars(ax, y, 4.5)
            assert_line(ax.lines[0], x, limit)
            assert_line(ax.lines[1], x, at)
            left = at[x < 0].sum() * dx
            assert ax.get_title().endswith(f"{left:.2f} on the left")
        title = column[0].get_title()
        assert title.startswith(f"sigma$^2$ = {s2:g} tau, ")
        assert (f"1 / rate = {1 / rate:.1e}" in title) == (rate > 1e-10)


def test_figure_5_08_draws_its_falls_and_a_stair_at_twice_the_rate(drawn):
    (t, found, rate), (ax,), _ = drawn("fig_5_08", steps=100, m=200)
    names = ["N(-2, 0.2$^2$)", "N(0, 0.1$^2$)", "N(0, 2$^2$)"]
    at = np.searchsorted(t, 100.0)
    for k, (name, kl) in enumerate(found.items()):
        curve, stair = ax.lines[2 * k : 2 * k + 2]
        assert_line(curve, t, kl)
        assert curve.get_label() == f"{name}, {names[k]}"
        assert_line(stair, t, kl[at] * np.exp(-2 * rate * t))
    assert stair.get_label() == f"stair exp(-2 rate t), rate {rate:.2e}"
