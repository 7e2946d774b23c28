"""The figures run in small, and what they return is what their docstrings say."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from refdiff import matching, tour, toys, vae
from refdiff.data import load_data

FIGURES = Path(__file__).resolve().parent.parent / "figures"


def figure(name):
    """Return the main function of the one script whose name starts so."""
    (script,) = FIGURES.glob(f"{name}*.py")
    return runpy.run_path(str(script))["main"]


def test_every_figure_has_its_picture_small_enough_to_commit():
    scripts = sorted(FIGURES.glob("fig_*.py"))
    assert scripts
    for script in scripts:
        picture = script.with_suffix(".png")
        assert 5_000 < picture.stat().st_size < 200_000, picture.name
        assert len(script.read_text().splitlines()) <= 60
    for animation in FIGURES.glob("*.gif"):
        assert animation.stat().st_size < 1_000_000, animation.name


@pytest.mark.law
def test_figure_2_13_shows_one_schedule_within_the_band_and_one_outside(tmp_path):
    out = tmp_path / "x.png"
    curves, band = figure("fig_2_13")(out, n=20_000)
    (_, error, fine), (_, _, coarse) = curves.values()
    assert fine < band < coarse
    assert np.abs(error).max() == fine
    assert abs(error[0]) < 1e-2
    assert abs(error[-1]) < 1e-2
    assert out.stat().st_size > 5_000


def test_figure_0_01_draws_a_short_run(tmp_path):
    out = tmp_path / "x.png"
    result = figure("fig_0_01")(out, steps=50, n=200)
    assert [run.model for run in result.runs] == ["learned", "exact"]
    assert out.stat().st_size > 5_000


def test_figure_1_08_ridge_loses_half_the_square_of_t(tmp_path):
    out = tmp_path / "x.png"
    t, surface, x, densities = figure("fig_1_08")(out, m=61)
    ridge = surface.diagonal()
    assert np.allclose(ridge, -(t**2) / 2, atol=1e-12)
    assert (surface < 0).all()
    assert (surface <= ridge + 1e-12).all()  # at each t the best s is t
    var = [p @ x**2 / p.sum() for p in densities.values()]
    assert var == pytest.approx([2.0, 1.25, 1.01], rel=2e-2)
    assert out.stat().st_size > 5_000


def test_figure_1_09_naive_gradient_has_mean_zero_and_the_others_are_exact(tmp_path):
    (mean, std), h = figure("fig_1_09")(tmp_path / "x.png", m=5), 1e-5
    decoder = vae.Decoder(np.eye(1), np.zeros(1), np.array([[0.25]]))

    def bound(a, b):
        return vae.elbo(np.ones(1), np.array([a]), np.array([[b**2]]), decoder)

    for i, (grid, exact, first, second) in enumerate((mean, std)):
        assert np.abs(first[:, 0]).max() < 1e-10
        assert np.allclose(first[:, 1:], exact[:, None], rtol=1e-9, atol=1e-9)
        assert (second[:, 1] > second[:, 2]).all()
        for g, want in zip(grid, exact, strict=True):
            up, down = ((g + e, 0.6) if i == 0 else (0.0, g + e) for e in (h, -h))
            slope = (bound(*up) - bound(*down)) / (2 * h)
            assert slope == pytest.approx(want, rel=1e-6, abs=1e-6)
    assert np.allclose(mean[3][:, 2], 9.0)  # (1 + 1/0.25)^2 0.6^2, wherever the mean is


def test_figure_2_05_has_the_divergences_of_the_map(tmp_path):
    grid, density, kl = figure("fig_2_05")(tmp_path / "x.png")
    want = {0: 1.7298, 10: 0.9786, 20: 0.6098, 50: 0.1563, 100: 0.0202, 200: 0.00074}
    assert {t: kl[t] for t in want} == pytest.approx(want, rel=3e-3, abs=5e-6)
    modes = {t: (np.diff(np.sign(np.diff(p))) < 0).sum() for t, p in density.items()}
    assert modes[20] == 2
    assert modes[50] == 1
    for p in density.values():
        assert p.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-9)


@pytest.mark.law
def test_figure_2_07_paths_have_the_moments_of_the_density_behind_them(tmp_path):
    n = 20_000
    grid, density, paths = figure("fig_2_07")(tmp_path / "x.png", n=n, T=60)
    step = grid[1] - grid[0]
    assert density.sum(axis=1) * step == pytest.approx(1, abs=2e-3)
    alpha_bar = 0.97 ** np.arange(61)
    var = 1 + 3.072 * alpha_bar
    mean = density @ grid * step
    assert mean == pytest.approx(0.8 * np.sqrt(alpha_bar), abs=5e-3)
    assert density @ grid**2 * step - mean**2 == pytest.approx(var, rel=0.02)
    error = paths.mean(axis=1) - 0.8 * np.sqrt(alpha_bar)
    assert (np.abs(error) < 6 * np.sqrt(var / n)).all()
    assert np.allclose(paths.var(axis=1), var, rtol=0.06)


def test_figure_2_10_has_the_coefficients_of_the_map(tmp_path):
    t, of_xt, of_x0 = figure("fig_2_10")(tmp_path / "x.png")
    at = np.searchsorted(t, [1, 2, 5, 10, 50])
    assert of_xt[at] == pytest.approx([0, 0.49931, 0.79669, 0.89225, 0.94814], abs=6e-6)
    assert of_x0[at] == pytest.approx([1, 0.49931, 0.19780, 0.09556, 0.00761], abs=6e-6)
    total = (np.sqrt(0.9) + 0.9 ** ((t - 1) / 2)) / (1 + 0.9 ** (t / 2))
    assert np.allclose(of_xt + of_x0, total)
    assert ((of_xt + of_x0)[1:] < 1).all()


def test_figure_2_11_walks_to_x0_with_the_variances_of_the_map(tmp_path):
    path, mean, var, printed = figure("fig_2_11")(tmp_path / "x.png")
    assert path[0] == pytest.approx(2.0)
    at = np.array([1, 2, 5, 10, 50]) - 1
    assert var[at] == pytest.approx([0, 0.05263, 0.08398, 0.09405, 0.09994], abs=6e-6)
    assert (printed[1:] < var[1:]).all()
    z = (path[1:-1] - mean[1:]) / np.sqrt(var[1:])
    assert (np.abs(z) < 2).mean() > 0.8
    assert 0.7 < z.std() < 1.3
    assert abs(path[-1]) < 1.5  # it starts from noise, not from x0
    t = np.arange(1, 51)
    total = (np.sqrt(0.9) + 0.9 ** ((t - 1) / 2)) / (1 + 0.9 ** (t / 2))
    of_x0 = 0.1 * 0.9 ** ((t - 1) / 2) / (1 - 0.9**t)  # of x_t: the rest of the sum
    assert np.allclose(mean, (total - of_x0) * path[1:] + of_x0 * 2.0)


@pytest.mark.limit
def test_figure_2_15_gap_goes_to_half_of_eulers_constant_or_to_nothing(tmp_path):
    T = np.array([200, 400, 800])
    table, log_p = figure("fig_2_15")(tmp_path / "x.png", T=tuple(T))
    gap = {k: [log_p - p.bound for p in by_T.values()] for k, by_T in table.items()}
    powers = np.stack([np.ones(3), 1 / T, np.log(T) / T], axis=1)
    limit = {name: np.linalg.solve(powers, gap[name])[0] for name in gap}
    assert limit["cosine"] == pytest.approx(np.euler_gamma / 2, rel=0.01)
    assert limit["linear"] == pytest.approx(np.euler_gamma / 2, rel=0.1)
    assert gap["log SNR"][1] / gap["log SNR"][2] == pytest.approx(2, rel=0.03)
    for by_T in table.values():
        for terms in by_T.values():
            assert terms.prior < 1e-3
            assert (terms.consistency >= 0).all()


def test_figure_2_16_weights_are_one_loss_in_four_disguises(tmp_path):
    _, weights = figure("fig_2_16")(tmp_path / "x.png", T=100)
    assert np.allclose(weights["eps", "SNR"], 1)
    snr = weights["x0", "SNR"]
    names = {name for _, name in weights}
    for name in names:
        x0 = weights["x0", name]
        assert np.allclose(weights["eps", name] * snr, x0)
        assert np.allclose(weights["v", name] * (snr + 1), x0)
        assert np.allclose(weights["score", name] * snr * (snr + 1), x0)
    assert np.allclose(weights["x0", "max(SNR, 1)"], np.maximum(snr, 1))
    assert np.allclose(weights["x0", "min(SNR, 5)"], np.minimum(snr, 5))
    fall = weights["x0", "bound, (2.44)"][1:]
    assert np.allclose(fall, (snr[:-1] - snr[1:]) / 2)


def test_figure_2_17_paths_never_cross_without_noise(tmp_path):
    paths = figure("fig_2_17")(tmp_path / "x.png")
    order = {eta: (np.diff(path, axis=1) > 0).all() for eta, path in paths.items()}
    assert order == {0.0: True, 0.5: False, 1.0: False}
    starts = [path[0] for path in paths.values()]
    assert (starts[0] == starts[1]).all() and (starts[0] == starts[2]).all()
    assert (paths[0.0][-1] < -1).sum() == 4  # 0.3 of 12 is 3.6
    quantiles = (np.arange(12) + 0.5) / 12
    assert np.allclose(starts[0], stats.norm.ppf(quantiles))


@pytest.mark.law
def test_figure_2_18_both_samplers_gain_one_order_and_ddim_is_nearer(tmp_path):
    steps = (2, 50, 100, 200)
    var, D, floor = figure("fig_2_18")(tmp_path / "x.png", n=5_000, steps=steps)
    for eta in (0.0, 1.0):
        error = 1 - var[eta] / 0.25
        assert 1.6 < error[2] / error[3] < 2.1
        assert D[eta][0] > 0.2
        assert D[eta][-1] < 3 * floor
    assert (var[0.0][1:] > var[1.0][1:]).all()
    assert var[0.0][1] == pytest.approx(0.222220, abs=1e-6)  # 50 steps: the museum's
    assert var[1.0][1] == pytest.approx(0.197225, abs=1e-6)
    assert floor * np.sqrt(5_000) == pytest.approx(
        0.8276, rel=0.01
    )  # Kolmogorov's median


def test_figure_3_02_ascent_stops_at_a_mode_and_langevin_does_not(tmp_path):
    paths = figure("fig_3_02")(tmp_path / "x.png")
    (x, p), (walk, _) = paths["gradient ascent"], paths["Langevin"]
    law = toys.example_3_2()
    assert x[0] == walk[0] == 0
    assert (np.diff(p)[:50] > 0).all()
    assert x[-1] == pytest.approx(2, abs=1e-6)
    assert np.allclose(p, np.exp(law.logpdf(x[:, None])))
    assert 0.4 < walk[50:].std() < 0.65
    assert walk.min() > -0.82  # one hump of the two


def test_figure_3_03_trajectories_end_on_the_side_where_they_began(tmp_path):
    paths, left = figure("fig_3_03")(tmp_path / "x.png", n=30, T=300)
    valley = -0.8207
    score = toys.example_3_2().score(np.array([[valley - 1e-3], [valley + 1e-3]]))
    assert score[0] < 0 < score[1]
    assert (left == (paths[-1] < valley)).all()
    assert (left == (paths[0] < valley)).mean() > 0.9
    assert ((paths[100:] < valley) == left).all()  # whoever crosses does so at once
    assert left.mean() < 0.4


@pytest.mark.law
def test_figure_3_04_is_not_yet_the_mixture_at_100_steps(tmp_path):
    n = 4000
    particles, left = figure("fig_3_04")(tmp_path / "x.png", n=n)
    assert [*left] == [0, 5, 20, 100]
    weight, std = left[100]
    assert weight == pytest.approx(0.3593, abs=5 * 0.48 / np.sqrt(n))
    assert 0.3 < std < 0.36  # 0.2 in the mixture
    assert np.abs(particles[0]).max() <= 3


def test_figure_3_05_score_is_the_slope_of_the_log_density(tmp_path):
    curves = figure("fig_3_05")(tmp_path / "x.png")
    for x, p, s in curves.values():
        slope = np.gradient(np.log(p), x)[1:-1]
        assert np.abs(slope - s[1:-1]).max() < 1e-3 * np.abs(s).max()
        assert p.sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-3)
    (x, _, line), (_, _, mixed) = curves.values()
    assert np.allclose(line, 1 - x)
    assert (np.diff(mixed > 0) != 0).sum() == 3


def test_figure_3_06_paths_part_to_both_modes(tmp_path):
    law, paths = figure("fig_3_06")(tmp_path / "x.png")
    assert paths.shape == (201, 2, 2)
    assert law.responsibilities(paths[-1]).argmax(axis=1).tolist() == [0, 1]
    assert (law.logpdf(paths[-1]) > law.logpdf(paths[0])).all()


def test_figure_3_07_kernels_add_up_and_the_wide_one_flattens(tmp_path):
    x, (each, whole), kde, truth = figure("fig_3_07")(tmp_path / "x.png", n=300)
    assert np.allclose(each.sum(axis=0), whole, rtol=1e-12)
    step = x[1] - x[0]
    for q in (whole, truth, *kde.values()):
        assert q.sum() * step == pytest.approx(1, abs=1e-3)
    fine, coarse = kde.values()
    assert coarse.max() < 0.6 * truth.max() < fine.max()
    bends = [np.abs(np.diff(q[x > 0], 2)).sum() for q in (fine, coarse, truth)]
    assert bends[0] > 2 * bends[2] > bends[1]


@pytest.mark.law
def test_figure_3_09_bias_is_the_exact_one_and_metropolis_removes_it(tmp_path):
    n = 4000
    table, grown = figure("fig_3_09")(tmp_path / "x.png", n=n)
    for tau, (exact, plain, fair) in table.items():
        assert exact == pytest.approx(1 / (1 - tau / 2))
        assert plain == pytest.approx(exact, rel=5 * np.sqrt(2 / n))
        assert fair == pytest.approx(1, rel=5 * np.sqrt(2 / n))
    assert grown[0.5][-1] == pytest.approx(1 / 0.75)
    assert np.allclose(np.diff(grown[2.0]), 4)  # x <- -x + 2z
    assert grown[2.05][-1] > 1e5


@pytest.mark.law
def test_figure_3_10_only_the_largest_noise_forgets_the_start(tmp_path):
    n = 300
    t, left = figure("fig_3_10")(tmp_path / "x.png", n=n, steps=50)
    plain, small, large = (w[:, -1] for w in left.values())
    assert plain == pytest.approx([1, 0], abs=1e-3)
    error = 5 * np.sqrt(0.24 / n)
    assert large == pytest.approx([0.4, 0.4], abs=error)
    assert small[0] - small[1] > 0.05
    for w in left.values():
        assert w[:, 0] == pytest.approx([1, 0], abs=1e-6)
        assert w.shape == (2, len(t))


def test_figure_3_11_error_is_least_where_the_data_are(tmp_path):
    p, error = figure("fig_3_11")(tmp_path / "x.png", steps=300, m=40)
    inside, outside = error[p > 0.1], error[p < 1e-4]
    assert np.median(outside) > 4 * np.median(inside)
    assert p.sum() * (6 / 39) ** 2 == pytest.approx(1, abs=0.01)


@pytest.mark.identity
def test_figure_3_12_three_losses_differ_by_the_constants_of_the_theorems(tmp_path):
    s, loss = figure("fig_3_12")(tmp_path / "x.png", steps=300, s=(-0.5, 1.5, 9))
    clean = toys.blobs([0.5, 0.5], [[-1.0], [1.0]], 0.6)
    noisy, x = clean.noised(1.0, 0.5), np.linspace(-10, 10, 4001)[:, None]
    w = np.exp(noisy.logpdf(x)) * (x[1] - x[0])
    C = w @ matching.least_dsm(clean, x, 0.5)
    assert np.allclose(loss["DSM"] - loss["ESM"], C, rtol=1e-10)
    half_fisher = w @ noisy.score(x)[:, 0] ** 2 / 2
    assert np.allclose(loss["ESM"] - loss["ISM"], half_fisher, rtol=1e-10)
    assert s[loss["DSM"].argmin()] < 0.3
    assert s[loss["clean ESM"].argmin()] > 0.7


@pytest.mark.identity
def test_figure_3_13_dsm_is_esm_for_every_noise(tmp_path):
    x, curves, losses = figure("fig_3_13")(tmp_path / "x.png", m=4)
    information = {"normal": 1, "Laplace": 2, "Student t, nu = 3": 2}  # at variance 1
    for name, (dsm, esm) in losses.items():
        assert np.ptp(dsm - esm) < 1e-10
        assert np.ptp(dsm) > 1
        p, s = curves[name]
        value, at = p * s**2, np.searchsorted(x, [-1.60001, -1.00001, 0.19999, 1.49999])
        value[at] = (value[at - 1] + value[at + 1]) / 2  # there Laplace's score jumps
        square = value.sum() * (x[1] - x[0])
        C = (information[name] / 0.4**2 - square) / 2
        assert (dsm - esm)[0] == pytest.approx(C, rel=5e-3)
    tail = {name: s[0] for name, (_, s) in curves.items()}
    assert tail["normal"] > tail["Laplace"] > tail["Student t, nu = 3"] > 0


@pytest.mark.law
def test_the_tour_learns_two_moons_to_three_noise_floors():
    """The promise of the first screen, on one seed; tests/bench/quality.py has five."""
    settings = tour.Settings()
    data = load_data("moons", settings.rng(0))
    *_, state = tour.training(settings, data)
    learned, exact = (result := tour.compare(settings, data, state.ema)).runs
    assert learned.w2 <= 3 * result.w2_floor
    assert exact.w2 <= 2 * result.w2_floor
    assert learned.energy <= 3 * result.energy_floor


@pytest.mark.control
def test_an_untrained_network_is_many_noise_floors_away():
    settings = tour.Settings(steps=20, T=20)
    data = load_data("moons", settings.rng(0))
    *_, state = tour.training(settings, data)
    result = tour.compare(settings, data, state.ema, 2000)
    assert result.runs[0].w2 > 10 * result.w2_floor
