"""The figures of chapter 5 run in small, and return what their docstrings say."""

import numpy as np
import pytest
from PIL import Image
from scipy import integrate, stats
from support import ks_passes
from test_figures import figure

from refdiff import toys


def cdf_of(x, p):
    """Distribution function of a density p on even cells with centres x."""
    dx = x[1] - x[0]
    edges = np.append(x - dx / 2, x[-1] + dx / 2)
    return lambda y: np.interp(y, edges, np.append(0, np.cumsum(p) * dx))


def hopping_rate(s2):
    """Rate at which two wells of p^(1/s2) exchange their shares, with D2 = s2.

    The current from well to well is s2 (p/w_1 - p/w_2) / integral of 1/p between them.
    """
    law = toys.example_3_2()

    def p(x):
        return np.exp(law.logpdf(np.array([[x]]))[0] / s2)

    left, right = (integrate.quad(p, *ends)[0] for ends in ((-4, -0.82), (-0.82, 6)))
    wall = integrate.quad(lambda x: 1 / p(x), -2, 2, points=[-0.82], limit=200)[0]
    return s2 * (1 / left + 1 / right) / wall


@pytest.mark.law
def test_figure_5_01_noise_is_white_at_any_width_of_bins(tmp_path):
    n, N = 100, 500
    found = figure("fig_5_01")(tmp_path / "x.png", q=2.0, n=n)
    assert [*found] == [0.02, 0.1]
    for dt, (x, R, omega, S) in found.items():
        assert x.var() == pytest.approx(2 / dt, rel=5.5 * np.sqrt(2 / (n * N)))
        assert R[0] == pytest.approx(2 / dt, rel=5.5 * np.sqrt(2 / (n * N)))
        assert R[1:] == pytest.approx(0, abs=5.5 * 2 / dt / np.sqrt(n * (N - 8)))
        assert omega[-1] == pytest.approx(np.pi / dt)
        assert ks_passes(S[:-1] / 2, stats.gamma(n, scale=1 / n).cdf)[0]


@pytest.mark.law
def test_figure_5_02_density_widens_as_the_particles_do(tmp_path):
    t, x, grid, density = figure("fig_5_02")(tmp_path / "x.png", n=3000, N=48)
    assert not x[0].any()
    for s, p in density.items():
        at = x[np.abs(t - s).argmin()]
        assert ks_passes(at, stats.norm(0, np.sqrt(s)).cdf)[0]
        assert np.allclose(p, stats.norm.pdf(grid, 0, np.sqrt(s)), rtol=1e-12)
    early, late = x[12], x[-1] - x[12]
    assert abs(stats.pearsonr(early, late).statistic) < 5.5 / np.sqrt(3000)


@pytest.mark.law
def test_figure_5_03_slopes_are_1_q_and_2_g_squared_and_senses_differ(tmp_path):
    n = 20_000
    t, variances, means = figure("fig_5_03")(tmp_path / "x.png", n=n, q=2.5)
    assert [slope for slope, _ in variances.values()] == [1, 2.5, 0.5]
    for slope, var in variances.values():
        assert var[1:] == pytest.approx(slope * t[1:], rel=6 * np.sqrt(2 / n))
    (heun, e), (drift, _), (ito, e_ito) = ((m[-1], e[-1]) for m, e in means.values())
    assert heun == pytest.approx(np.exp(0.25), abs=5 * e)
    assert drift == pytest.approx(np.exp(0.25), abs=5 * e)
    assert heun == pytest.approx(drift, abs=0.5 * e)  # of one noise
    assert ito == pytest.approx(1, abs=5 * e_ito)


@pytest.mark.law
def test_figure_5_04_grid_and_particles_agree_and_stop_short(tmp_path):
    out = tmp_path / "x.png"
    x, film = figure("fig_5_04")(out, n=3000, frames=6)
    for p, y in film.values():
        assert p.sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-12)
        assert ks_passes(y, cdf_of(x, p))[0]
    left = {k: cdf_of(x, p)(-0.82) for k, (p, _) in film.items()}
    assert left[1000] == pytest.approx(left[500], abs=1e-4)
    assert left[1000] == pytest.approx(0.22, abs=0.005)
    with Image.open(out.with_suffix(".gif")) as animation:
        assert animation.n_frames == len(film)
    assert [f.name for f in tmp_path.glob("*.tmp*")] == []


@pytest.mark.limit
def test_figure_5_05_density_is_one_and_only_the_turning_drift_has_a_current(tmp_path):
    centres, found = figure("fig_5_05")(tmp_path / "x.png", m=50, turn=2.0)
    (p, still), (q, S) = found.values()
    assert np.abs(still).max() < 1e-13
    assert q == pytest.approx(p, abs=0.01 * p.max())
    dx = centres[1, 0, 0] - centres[0, 0, 0]
    turning = 2.0 * np.stack([-centres[..., 1], centres[..., 0]], axis=-1)
    assert pytest.approx(turning * p[..., None] / dx**2, abs=0.02 * S.max()) == S
    crossing = S[25:, 25, 1].sum() * dx
    assert crossing == pytest.approx(2 / (2 * np.pi), rel=0.01)


@pytest.mark.law
def test_figure_5_06_estimates_meet_what_a_finite_step_has(tmp_path):
    rate, dts = 2.0, (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    found = figure("fig_5_06")(tmp_path / "x.png", n=60_000, rate=rate)
    assert {*found} == {(m, dt) for m in (1, 2, 3, 4) for dt in dts}
    for (m, dt), (ou, biased, poisson) in found.items():
        assert (np.abs(ou.value - biased) < 6.5 * ou.error).all()
        factorial = np.prod(np.arange(1.0, m + 1))
        moment = stats.poisson(rate * dt).moment(m) / (factorial * dt)
        assert abs(poisson.value - moment) < 6 * poisson.error
    error = [found[1, dt][0].error[7] for dt in (0.1, 0.01)]
    assert error[1] / error[0] == pytest.approx(np.sqrt(10), rel=0.1)
    jumps, ou = ([found[4, dt][k].value for dt in (0.02, 0.01)] for k in (2, 0))
    assert ou[0][7] / ou[1][7] == pytest.approx(2, abs=0.25)  # in proportion to dt
    assert jumps[1] == pytest.approx(rate / 24, rel=0.35)


@pytest.mark.law
def test_figure_5_07_limit_is_kept_and_not_found(tmp_path):
    x, found = figure("fig_5_07")(tmp_path / "x.png", n=1000, T=1.5, N=600)
    dx, law = x[1] - x[0], toys.example_3_2()
    shares = []
    for s2, (limit, now, particles, rate) in found.items():
        p = np.exp(law.logpdf(x[:, None]) / s2)
        assert limit == pytest.approx(p / (p.sum() * dx), rel=1e-10)
        for y, at in zip(particles, (now, limit), strict=True):
            assert ks_passes(y, cdf_of(x, at))[0]
        shares.append((cdf_of(x, now)(-0.82), cdf_of(x, limit)(-0.82)))
        if s2 > 0.5:
            assert rate == pytest.approx(hopping_rate(s2), rel=0.05)
    stays, limits = np.transpose(shares)
    assert stays == pytest.approx(0.4, abs=2e-3)
    sides = [np.array([0.4 / 0.2, 0.6 / 0.5]) ** (1 / s2) * [0.2, 0.5] for s2 in found]
    assert limits == pytest.approx([m[0] / m.sum() for m in sides], abs=3e-3)


@pytest.mark.limit
def test_figure_5_08_entropy_never_rises_and_waits_for_the_slowest_rate(tmp_path):
    t, found, rate = figure("fig_5_08")(tmp_path / "x.png", steps=400)
    assert rate == pytest.approx(hopping_rate(1.0), rel=0.02)
    for kl in found.values():
        assert (np.diff(kl) <= 1e-9 * kl[:-1] + 1e-12).all()
        a, b = np.searchsorted(t, [1e6, 2e6])
        fall = np.log(kl[a] / kl[b]) / (t[b] - t[a])
        assert fall == pytest.approx(2 * rate, rel=0.08)
    stair = {name: kl[np.searchsorted(t, 100)] for name, kl in found.items()}
    assert stair["the left mode"] == pytest.approx(np.log(1 / 0.4), rel=2e-3)
    assert stair["near 0"] == pytest.approx(np.log(1 / 0.6), rel=0.02)
