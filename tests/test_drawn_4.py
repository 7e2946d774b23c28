"""What the figures of chapter 4 draw is what they return."""

import matplotlib.colors
import numpy as np
import pytest
from test_figures import figure

from refdiff import plots, samplers


@pytest.fixture
def drawn(monkeypatch):
    """Run a figure; return what main returns and the axes that it would save."""
    kept = []
    monkeypatch.setattr(plots, "save", lambda fig, out: kept.append(fig))

    def run(name, **small):
        return figure(name)("x.png", **small), kept.pop().axes

    return run


def assert_line(line, x, y):
    np.testing.assert_allclose(line.get_xdata(), x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(line.get_ydata(), y, rtol=1e-12, atol=1e-14)


def assert_bars(ax, x, box, sideways=False):
    """Bars over -box..box are a histogram's densities."""
    size = [p.get_width() if sideways else p.get_height() for p in ax.patches]
    want, _ = np.histogram(x, len(size), (-box, box), density=True)
    np.testing.assert_allclose(size, want, atol=1e-12)


def has_color(artist, color):
    return matplotlib.colors.same_color(artist.get_color(), color)


def test_figure_4_01_draws_the_curve_the_dots_and_a_line_of_slope_1(drawn):
    (t, dots, error), (left, right) = drawn("fig_4_01")
    fine = left.lines[0].get_xdata()
    assert_line(left.lines[0], fine, np.exp(-fine / 2))
    assert_line(left.lines[1], t, dots)
    assert [v.get_label()[:3] for v in left.lines] == ["exp", "rec"]
    assert "0.598737 (dots), 0.606531 (curve)" in left.get_title()
    dt, gap = map(np.array, (list(error), list(error.values())))
    assert_line(right.lines[0], dt, gap)
    assert_line(right.lines[1], dt, dt * gap[-1] / dt[-1])
    slope = float(right.get_title().split()[-1])
    assert slope == pytest.approx(1, abs=0.01)


def test_figure_4_02_draws_its_band_and_its_two_shares(drawn):
    (x, band, now, always), (top, low) = drawn("fig_4_02", n=50, N=40)
    t = np.arange(41)
    for line, y in zip(top.lines, (band, -band, *x[:, :8].T), strict=False):
        assert_line(line, t, y)
    assert_line(low.lines[0], t, now)
    assert_line(low.lines[1], t, always)
    assert low.lines[2].get_ydata()[0] == pytest.approx(0.9545, abs=5e-5)
    for line, share in zip(low.lines[:2], (now, always), strict=True):
        assert f"{share[-1]:.3f} at the end" in line.get_label()


def test_figure_4_03_draws_exact_edges_paths_and_variances(drawn):
    (found, exact), (*panels, right) = drawn("fig_4_03", n=6)
    fine = np.linspace(0, 20, 401)
    for ax, line, (dt, (t, x, var)) in zip(
        panels, right.lines[:2], found.items(), strict=True
    ):
        for edge, sign in zip(ax.lines[:2], (-2, 2), strict=True):
            assert_line(edge, fine, 0.5 * np.exp(-fine / 2) + sign * np.sqrt(exact))
        for path, y in zip(ax.lines[2:8], x.T, strict=True):
            assert_line(path, t, y)
        assert_line(line, t, var)
        assert line.get_label() == f"dt = {dt:g}: {var[-1]:.6f} at rest"
    assert_line(right.lines[2], fine, exact)
    assert "0.010000 at rest" in right.lines[2].get_label()


def test_figure_4_04_draws_a_band_that_opens_and_one_that_closes(drawn):
    (t, *found), panels = drawn("fig_4_04", n=60, N=40)
    for ax, x, age in zip(panels, found, (40 - t, t), strict=True):
        for line, sign in zip(ax.lines[:2], (2, -2), strict=True):
            assert_line(line, t, sign * 0.05 * np.sqrt(age))
        for line, y in zip(ax.lines[2:10], x[:, :8].T, strict=True):
            assert_line(line, t, y)
        assert ax.get_title().endswith(f"sd {x[-1].std():.2f}")
        assert ax.get_xlim() == (40, 0)


@pytest.mark.parametrize(("name", "steps"), [("fig_4_05", 1), ("fig_4_06", -1)])
def test_figures_4_05_and_4_06_draw_their_densities_and_paths(drawn, name, steps):
    """Rows of the density and of the paths are i = 0..N, or N..0."""
    (grid, density, x), (left, ax, right) = drawn(name, n=300, N=20)
    i = np.arange(21)[::steps]
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), density.T)
    assert image.get_extent()[:2] == [i[0] - steps / 2, i[-1] + steps / 2]
    for k in range(10):  # an outline, the path, its start
        for line in ax.lines[3 * k : 3 * k + 2]:
            assert_line(line, i, x[:, k])
        assert_line(ax.lines[3 * k + 2], i[:1], x[:1, k])
    for side, k in ((left, 0), (right, -1)):
        assert_bars(side, x[k], 6.5, sideways=True)
        assert_line(side.lines[0], density[k], grid)
        assert side.get_title().endswith(f"$i = {i[k]}$")


def test_figure_4_08_draws_each_path_in_the_colour_of_its_start(drawn):
    (grid, density, found), panels = drawn("fig_4_08", N=40)
    for ax, (name, (t, path)) in zip(panels, found.items(), strict=True):
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), density.T)
        assert image.get_extent() == [0, 1, grid[0], grid[-1]]
        assert ax.get_xlim() == (t[0], t[-1])
        assert ax.get_title().startswith(name)
        for line, y in zip(ax.lines, path.T, strict=True):
            assert_line(line, t, y)
            assert has_color(line, plots.LEARNED if y[0] > 0 else plots.DATA)


def test_figure_4_09_draws_the_right_step_in_the_colour_of_what_is_exact(drawn):
    found, (left, *panels) = drawn("fig_4_09", n=500, N=20)
    rows = zip(panels, left.lines, found.items(), strict=True)
    for (ax, line, (name, (var, x))), color in zip(
        rows, (plots.EXACT, plots.LEARNED), strict=True
    ):
        assert_line(line, range(21), var)
        assert line.get_label() == f"{name}: {var[-1]:.2f}"
        assert has_color(line, color)
        assert_bars(ax, x, 13)
        sides = [v.get_xdata()[0] for v in ax.lines[1:]]
        assert sides == pytest.approx([x[x < 0].mean(), x[x > 0].mean()])
        half = x[x > 0]
        text = f"{name}: half-line mean {half.mean():.2f}, sd {half.std():.2f}"
        assert ax.get_title() == text


def test_figure_4_10_draws_flows_left_reversals_right_and_names_their_slopes(drawn):
    found, panels = drawn("fig_4_10", budgets=(8, 16, 32))
    for ax, random in zip(panels, (False, True), strict=True):
        names = [s.name for s in samplers.SAMPLERS if s.random == random]
        for line, name in zip(ax.lines, names, strict=True):
            assert_line(line, *found[name])
            assert line.get_label().endswith(name)
            slope = float(line.get_label().split()[0])
            steps = np.log(found[name])
            want = np.diff(steps[1]) / np.diff(steps[0])
            assert want.min() - 0.06 <= slope <= want.max() + 0.06


def test_figure_4_11_draws_each_view_in_its_own_coordinates(drawn):
    (signal, sigma, vp, ve, flow), (left, right) = drawn("fig_4_11", N=20)
    for ax, dots, line, s in (
        (left, vp, flow, None),
        (right, ve, flow / signal[:, None], sigma),
    ):
        for k in range(8):
            whole, marks = ax.lines[2 * k : 2 * k + 2]
            np.testing.assert_array_equal(marks.get_ydata(), dots[:, k])
            np.testing.assert_allclose(whole.get_ydata()[::10], line[:, k])
            np.testing.assert_allclose(whole.get_xdata()[::10], marks.get_xdata())
            if s is not None:
                np.testing.assert_allclose(marks.get_xdata(), s)
    assert float(right.get_title().split()[-4]) < 1e-12
