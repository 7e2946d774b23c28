"""Distances by closed forms, assignment, all pairs and SciPy, and their noise."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad, trapezoid
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from support import ALPHA, mixtures

from refdiff.metrics import (
    directions,
    energy_distance,
    expected_logpdf,
    logpdf_gap,
    mode_weights,
    noise_floor,
    sliced_w2,
)
from refdiff.mixture import Mixture
from refdiff.toys import TOYS, blobs, example_2_1, example_3_2, example_4_6

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 25)
DISTANCES = [sliced_w2, energy_distance]


def sample(seed, n, d=1):
    return np.random.default_rng(seed).standard_normal((n, d))


def standardised(seed, n, d):
    """A sample whose mean is exactly 0 and whose covariance is exactly 1."""
    x = sample(seed, n, d)
    x = x - x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T


def all_pairs(a, b):
    """2 E|X-Y| - E|X-X'| - E|Y-Y'|, over all pairs."""
    return 2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean()


def test_directions_are_unit_vectors_spread_over_half_a_circle():
    np.testing.assert_array_equal(directions(1), [[1]])
    u = directions(2, 7)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(u.T @ u, 3.5 * np.eye(2), atol=1e-14)
    between = np.degrees(np.arccos(np.sum(u[1:] * u[:-1], axis=1)))
    np.testing.assert_allclose(between, 180 / 7, rtol=1e-12)
    assert directions(2).shape == (32, 2)
    for d in (0, 3):
        with pytest.raises(ValueError, match=f"d = {d}"):
            directions(d)


@pytest.mark.identity
@given(seed=SEEDS, n=SIZES, d=st.integers(1, 2))
@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_samples_are_at_distance_zero(distance, seed, n, d):
    a = sample(seed, n, d)
    shuffled = np.random.default_rng(seed).permutation(a)
    assert distance(a, a) == 0
    assert distance(a, shuffled) == 0
    assert distance(a, np.repeat(a, 3, axis=0)) <= 1e-7  # a root of rounding
    assert distance(a, a + 1e-3) > 1e-6


@pytest.mark.identity
@given(seed=SEEDS, n=SIZES, m=SIZES, d=st.integers(1, 2))
@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_symmetric_and_scale(distance, seed, n, m, d):
    a, b = sample(seed, n, d), sample(seed + 1, m, d)
    D, power = distance(a, b), 1 if distance is sliced_w2 else 0.5
    assert distance(b, a) == pytest.approx(D, rel=1e-10)
    assert distance(9 * a, 9 * b) == pytest.approx(9**power * D, rel=1e-10)
    assert distance(-a, -b) == pytest.approx(D, rel=1e-10)
    assert distance(a + 5, b + 5) == pytest.approx(D, rel=1e-10)


@pytest.mark.identity
@given(seed=SEEDS, n=SIZES, m=SIZES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_sample_is_at_the_distance_of_its_replicas(distance, seed, n, m):
    """n and m points are n m and n m points, each repeated: sizes stop mattering."""
    a, b = sample(seed, n, 2), sample(seed + 1, m, 2)
    same = distance(np.repeat(a, m, axis=0), np.repeat(b, n, axis=0))
    assert distance(a, b) == pytest.approx(same, rel=1e-10)


@pytest.mark.identity
@given(seed=SEEDS, shift=st.floats(-50, 50), n=SIZES)
def test_sliced_w2_of_shifted_samples(seed, shift, n):
    """|shift| in 1-D, and in 2-D |shift| / sqrt(2): the mean of cos^2 is 1/2."""
    a, v = sample(seed, n), np.array([shift, 0.7])
    assert sliced_w2(a, a + shift) == pytest.approx(abs(shift), rel=1e-10, abs=1e-13)
    plane = sample(seed, n, 2)
    expected = np.linalg.norm(v) / math.sqrt(2)
    assert sliced_w2(plane, plane + v) == pytest.approx(expected, rel=1e-10)
    along = np.array([[0, 0, 1.0], [0, 1, 0], [1, 0, 0]])
    space, v = sample(seed, n, 3), np.array([1.0, -2, 2])
    moved = sliced_w2(space, space + v, along)
    assert moved == pytest.approx(math.sqrt(3), rel=1e-10)


@pytest.mark.oracle
@given(seed=SEEDS, n=st.integers(1, 20))
def test_sliced_w2_in_one_dimension_is_the_best_assignment(seed, n):
    """The linear programme over all pairings, which knows nothing of sorting."""
    a, b = sample(seed, n), sample(seed + 1, n) * 2 + 0.5
    cost = (a - b.T) ** 2
    best = math.sqrt(cost[linear_sum_assignment(cost)].mean())
    assert sliced_w2(a, b) == pytest.approx(best, rel=1e-10)


@pytest.mark.oracle
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_sliced_w2_of_unequal_sizes_is_the_quantile_integral(seed, n, m):
    """Both quantile functions are constant on the n m cells of [0, 1]."""
    a, b = sample(seed, n), sample(seed + 1, m)
    p = (np.arange(n * m) + 0.5) / (n * m)
    Qa, Qb = (np.quantile(x, p, method="inverted_cdf") for x in (a[:, 0], b[:, 0]))
    expected = math.sqrt(np.mean((Qa - Qb) ** 2))
    assert sliced_w2(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.identity
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_sliced_w2_is_the_quadratic_mean_over_directions(seed, n, m):
    a, b = sample(seed, n, 3), sample(seed + 1, m, 3)
    along = sample(seed + 2, 5, 3)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    one = [sliced_w2(a @ u[:, None], b @ u[:, None]) ** 2 for u in along]
    expected = math.sqrt(np.mean(one))
    assert sliced_w2(a, b, along) == pytest.approx(expected, rel=1e-10)
    assert sliced_w2(a, b, -along) == pytest.approx(expected, rel=1e-10)


@pytest.mark.identity
@given(seed=SEEDS, mean=st.floats(-3, 3), std=st.floats(0.1, 3))
def test_sliced_w2_of_gaussians_is_closed_form(seed, mean, std):
    """W2^2 = |m1-m2|^2 + (s1-s2)^2, for samples with exactly these moments.

    Scaling keeps the order, so the quantiles of x and of mean + std x go together.
    """
    for d in (1, 2):
        x = standardised(seed, 20, d)
        offset = np.full(d, mean)
        expected = math.sqrt(mean**2 + (1 - std) ** 2)  # |offset|^2 / d = mean^2
        got = sliced_w2(x, offset + std * x)
        assert got == pytest.approx(expected, rel=1e-10, abs=1e-13)


@pytest.mark.limit
def test_sliced_w2_of_fine_gaussians_of_any_shape_is_closed_form():
    """Each projection has its own standard deviation; the control is its square."""
    radius = np.sqrt(-2 * np.log1p(-(np.arange(300) + 0.5) / 300))
    angle = 2 * np.pi * (np.arange(256) + 0.5) / 256
    disc = np.stack([np.outer(radius, f(angle)).ravel() for f in (np.cos, np.sin)], 1)
    A, B = np.array([[1.0, 0], [0.8, 0.6]]), np.array([[0.4, 0], [-0.5, 1.5]])
    std = np.linalg.norm(directions(2) @ A, axis=1)
    other = np.linalg.norm(directions(2) @ B, axis=1)
    got = sliced_w2(disc @ A.T, disc @ B.T)
    assert got == pytest.approx(math.sqrt(np.mean((std - other) ** 2)), rel=5e-3)
    wrong = math.sqrt(np.mean(np.abs(std**2 - other**2)))
    assert got != pytest.approx(wrong, rel=0.2)


@pytest.mark.oracle
@given(seed=SEEDS, n=SIZES, m=SIZES)
def test_energy_distance_in_one_dimension_is_scipys(seed, n, m):
    a, b = sample(seed, n), 0.5 + sample(seed + 1, m)
    expected = stats.energy_distance(a[:, 0], b[:, 0])
    assert energy_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert all_pairs(a, b) == pytest.approx(expected**2, rel=1e-9)


@pytest.mark.oracle
@given(seed=SEEDS, n=SIZES, m=SIZES, d=st.integers(2, 5))
def test_energy_distance_is_the_mean_over_all_pairs(seed, n, m, d):
    """On any fixed directions exactly; the constant is 1 / E|u_1|, by quadrature."""
    a, b = sample(seed, n, d), 0.5 + sample(seed + 1, m, d)
    along = sample(seed + 2, 4, d)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # u_1 of a uniform unit vector has (u_1 + 1) / 2 ~ Beta((d-1)/2, (d-1)/2)
    beta = stats.beta((d - 1) / 2, (d - 1) / 2)
    mean_u = -2 * quad(lambda p: 2 * beta.ppf(p) - 1, 0, 0.5, epsabs=1e-13)[0]
    mean = np.mean([all_pairs(a @ u[:, None], b @ u[:, None]) for u in along])
    got = energy_distance(a, b, along) ** 2
    assert got == pytest.approx(mean / mean_u, rel=1e-8)


@pytest.mark.order
def test_energy_distance_in_the_plane_nears_all_pairs_as_one_over_m_squared():
    a, b = sample(0, 60, 2), 0.5 + 1.5 * sample(1, 40, 2)
    exact = all_pairs(a, b)
    m = 2 ** np.arange(4, 11)
    error = [abs(energy_distance(a, b, directions(2, k)) ** 2 - exact) for k in m]
    slope = np.polyfit(np.log(m), np.log(error), 1)[0]
    assert -2.6 < slope < -1.7
    assert error[-1] < 1e-6 * exact
    assert energy_distance(a, b) ** 2 == pytest.approx(exact, rel=2e-3)


@pytest.mark.control
def test_energy_distance_without_its_constant_is_not_all_pairs():
    a, b = sample(0, 60, 2), 0.5 + 1.5 * sample(1, 40, 2)
    fine = energy_distance(a, b, directions(2, 512)) ** 2
    assert fine == pytest.approx(all_pairs(a, b), rel=1e-5)
    assert fine * 2 / np.pi != pytest.approx(all_pairs(a, b), rel=0.3)  # c_2 left out
    half = cdist(a, b).mean() - cdist(a, a).mean() / 2  # a term left out
    assert 2 * half != pytest.approx(fine, rel=0.3)


def mean_abs(mean, std):
    """E|N(mean, std^2)|, by quadrature."""
    law = stats.norm(mean, std)
    return quad(lambda x: abs(x) * law.pdf(x), -40, 40, points=[0, mean], limit=200)[0]


@pytest.mark.limit
@pytest.mark.parametrize(("mean", "std"), [(0.0, 2.0), (1.0, 1.0), (-2.0, 0.5)])
def test_energy_distance_of_gaussians_is_closed_form(mean, std):
    """Differences of independent Gaussians are Gaussian: E|N(mean, 1 + std^2)|."""
    x = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    expected = 2 * mean_abs(mean, math.hypot(1, std)) - (1 + std) * mean_abs(0, 2**0.5)
    got = energy_distance(x, mean + std * x) ** 2
    assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.limit
@pytest.mark.parametrize("gap", [1.0, 40.0, 1e6])
def test_energy_distance_of_two_points_is_the_root_of_twice_their_gap(gap):
    got = energy_distance(np.zeros((3, 1)), np.full((2, 1), gap))
    assert got == pytest.approx(math.sqrt(2 * gap), rel=1e-14)


@pytest.mark.oracle
@given(m=mixtures(most=1))
def test_expected_logpdf_of_a_gaussian_is_scipys_entropy(m):
    if m.d < 3:
        entropy = stats.multivariate_normal(m.means[0], m.covs[0]).entropy()
        assert expected_logpdf(m) == pytest.approx(-entropy, rel=1e-10, abs=1e-11)


def entropy_by_quad(m):
    """Of a 1-D mixture: adaptive, on intervals that end at the means."""

    def plogp(x):
        logp = float(m.logpdf(np.array([x])))
        return -math.exp(logp) * logp

    far = 12 * np.sqrt(m.covs.max())
    ends = [m.means.min() - far, *np.sort(m.means[:, 0]), m.means.max() + far]
    pieces = pairwise(ends)
    return sum(quad(plogp, a, b, epsabs=1e-12, limit=400)[0] for a, b in pieces)


@pytest.mark.oracle
@pytest.mark.parametrize("toy", [example_2_1, example_3_2, example_4_6])
def test_expected_logpdf_is_minus_the_entropy(toy):
    """To the rtol that is asked for, by SciPy's adaptive quadrature."""
    assert expected_logpdf(toy()) == pytest.approx(-entropy_by_quad(toy()), rel=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("gap", [0.0, 1.0, 2.0, 30.0])
def test_expected_logpdf_is_minus_the_entropy_of_two_even_blobs(gap):
    """From one Gaussian to two that do not touch, which know log 2 less."""
    m = blobs([0.5, 0.5], [[-gap / 2], [gap / 2]], 1.0)
    got = expected_logpdf(m, rtol=1e-9)
    assert got == pytest.approx(-entropy_by_quad(m), rel=1e-8)
    if gap in (0.0, 30.0):
        one = -stats.norm.entropy() - (math.log(2) if gap else 0)
        assert got == pytest.approx(one, rel=1e-11)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [n for n in TOYS if not n.startswith("ex-")])
def test_expected_logpdf_of_every_toy_is_the_sum_over_a_grid(name):
    m, side = TOYS[name](), np.linspace(-4.5, 4.5, 301)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    logp = m.logpdf(grid)
    expected = np.exp(logp) @ logp * (side[1] - side[0]) ** 2
    assert expected_logpdf(m) == pytest.approx(expected, rel=1e-5)


@pytest.mark.identity
@given(m=mixtures(d=2, most=1), scale=st.floats(0.1, 10))
def test_scaling_moves_the_expected_logpdf_by_log_scale_a_dimension(m, scale):
    wide = Mixture(m.weights, scale * m.means, scale**2 * m.covs)
    expected = expected_logpdf(m) - 2 * math.log(scale)
    assert expected_logpdf(wide) == pytest.approx(expected, rel=1e-10, abs=1e-11)


@pytest.mark.identity
@given(seed=SEEDS, n=SIZES, d=st.integers(1, 2))
def test_logpdf_gap_of_a_gaussian_is_half_the_missing_variance(seed, n, d):
    """E|x|^2 is d under N(0, 1), so the gap is (d - mean |x|^2) / 2."""
    m, x = blobs([1.0], np.zeros((1, d)), 1.0), sample(seed, n, d)
    expected = (d - np.mean(np.sum(x**2, axis=1))) / 2
    assert logpdf_gap(x, m) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.law
def test_logpdf_gap_sees_spread_and_narrowness():
    """A fair sample within its error; ten per cent off on either side is seen."""
    m, n = example_4_6(), 40_000
    x = m.sample(n, np.random.default_rng(0))
    error = stats.norm.isf(ALPHA / 2) * m.logpdf(x).std() / math.sqrt(n)
    assert abs(logpdf_gap(x, m)) < error
    middle = np.sign(x) * 3
    assert logpdf_gap(middle + 1.2 * (x - middle), m) < -error
    assert logpdf_gap(middle + 0.8 * (x - middle), m) > error
    empty = np.concatenate([x[: n // 2], np.zeros((n // 2, 1))])
    assert logpdf_gap(empty, m) < -error
    lost = np.abs(x)  # control: a lost mode is seen by the weights, not by the gap
    assert abs(logpdf_gap(lost, m)) < error
    assert mode_weights(lost, m)[1] > 0.99


@pytest.mark.law
def test_mode_weights_of_a_fair_sample():
    """Within the error of a share, and a sample of other shares is not."""
    m, n = TOYS["eight-gaussians"](), 20_000
    rng = np.random.default_rng(0)
    share = mode_weights(m.sample(n, rng), m)
    assert share.shape == (8,)
    assert share.sum() == pytest.approx(1, rel=1e-12)
    error = stats.norm.isf(ALPHA / 16) * np.sqrt(m.weights * (1 - m.weights) / n)
    assert (np.abs(share - m.weights) < error).all()
    skewed = np.array([3, 1, 1, 1, 1, 1, 1, 1]) / 10
    unfair = Mixture(skewed, m.means, m.covs).sample(n, rng)
    assert abs(mode_weights(unfair, m)[0] - 1 / 8) > error[0]


@pytest.mark.limit
def test_mode_weights_of_parts_that_do_not_touch_count_the_points():
    m = blobs([0.5, 0.2, 0.3], [[-60.0], [0.0], [60.0]], 1.0)
    x = np.array([[-60.0], [-59.0], [-61.0], [0.5], [58.0]])
    np.testing.assert_allclose(mode_weights(x, m), [0.6, 0.2, 0.2], rtol=1e-14)


@pytest.mark.identity
@given(m=mixtures(d=1))
def test_mode_weights_of_the_mixture_itself_are_its_weights(m):
    """E p(k | x) = weights[k], by quadrature of the responsibilities of one point."""
    far = 12 * np.sqrt(m.covs.max()) + np.abs(m.means).max()
    x = np.linspace(-far, far, 4001)[:, None]
    p = np.exp(m.logpdf(x)) * (x[1] - x[0])
    each = np.array([mode_weights(x[i : i + 1], m) for i in range(0, 4001, 40)])
    np.testing.assert_allclose(each, m.responsibilities(x[::40]), rtol=1e-12)
    np.testing.assert_allclose(p @ m.responsibilities(x), m.weights, rtol=1e-10)


@pytest.mark.parametrize("distance", DISTANCES)
def test_noise_floor_falls_with_the_sample_size(distance):
    """As 1 / sqrt(n); without the sorting (the control) it does not fall at all."""
    rng, sizes = np.random.default_rng(0), np.array([50, 200, 800, 3200])

    def slope(metric):
        floor = [
            noise_floor(metric, lambda n=n: rng.standard_normal((n, 2)), 40)
            for n in sizes
        ]
        return np.polyfit(np.log(sizes), np.log(floor), 1)[0]

    assert slope(distance) == pytest.approx(-0.5, abs=0.1)
    unsorted = slope(lambda a, b: np.sqrt(np.mean((a - b) ** 2)))
    assert unsorted == pytest.approx(0, abs=0.1)


def test_noise_floor_is_the_median_over_fresh_pairs():
    numbers = iter(np.array([[1.0, 1], [1, 2], [0, 5], [3, 3], [9, 0]]).ravel())
    got = noise_floor(lambda a, b: abs(a - b), lambda: next(numbers), 5)
    assert got == 1  # of 0, 1, 5, 0, 9
    assert next(numbers, None) is None


@pytest.mark.law
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_wrong_sampler_stands_above_the_noise_floor(distance):
    m, rng = TOYS["moons"](), np.random.default_rng(0)
    floor = noise_floor(distance, lambda: m.sample(1000, rng))
    fair = [distance(m.sample(1000, rng), m.sample(1000, rng)) for _ in range(10)]
    assert max(fair) < 3 * floor
    assert distance(1.3 * m.sample(1000, rng), m.sample(1000, rng)) > 3 * floor
    assert distance(m.sample(1000, rng) * [1, -1], m.sample(1000, rng)) > 3 * floor


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_refuse_bad_samples_by_name(distance):
    a = sample(0, 5, 2)
    with pytest.raises(ValueError, match="^a must be finite"):
        distance(a * np.nan, a)
    with pytest.raises(ValueError, match="^b must be finite"):
        distance(a, a * np.inf)
    for bad in (a[:0], a[:, :1], a[:, 0], np.zeros((5, 2, 2)), np.float64(3.0)):
        with pytest.raises(ValueError, match="samples must be"):
            distance(a, bad)
        with pytest.raises(ValueError, match="samples must be"):
            distance(bad, a)
    with pytest.raises(TypeError, match="b must be real"):
        distance(a, a + 1j)
    with pytest.raises(ValueError, match="d = 3"):
        distance(np.zeros((4, 3)), np.zeros((4, 3)))


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_do_not_modify_their_samples(distance):
    a, b = sample(0, 9, 2), sample(1, 7, 2)
    kept = a.copy(), b.copy()
    a.flags.writeable = b.flags.writeable = False
    distance(a, b)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])
    assert distance(a.tolist(), b.tolist()) == distance(a, b)
    assert isinstance(distance(a.astype(np.float32), b.astype(np.float32)), float)


def test_log_density_metrics_refuse_bad_input_by_name():
    m = blobs([1.0], np.zeros((1, 2)), 1.0)
    with pytest.raises(ValueError, match="d = 3"):
        expected_logpdf(blobs([1.0], np.zeros((1, 3)), 1.0))
    with pytest.raises(ValueError, match="x must be finite"):
        logpdf_gap(np.full((2, 2), np.nan), m)
    with pytest.raises(ValueError, match="x must be"):
        mode_weights(np.zeros((2, 3)), m)


def test_an_entropy_that_does_not_settle_is_refused():
    """A component too narrow for 2^17 nodes in the wide one is not stepped over."""
    m = blobs([0.5, 0.5], [[0.0], [0.3]], [1.0, 1e-5])
    with pytest.raises(ArithmeticError, match="not settled at"):
        expected_logpdf(m)


@pytest.mark.oracle
@pytest.mark.parametrize("narrow", [1e-1, 1e-2, 1e-3])
def test_a_narrow_component_inside_a_wide_one_is_not_stepped_over(narrow):
    m = blobs([0.5, 0.5], [[0.0], [0.123]], [1.0, narrow])
    x = np.concatenate(
        [
            np.linspace(-14, 0.123 - 12 * narrow, 200_001)[:-1],
            np.linspace(0.123 - 12 * narrow, 0.123 + 12 * narrow, 200_001),
            np.linspace(0.123 + 12 * narrow, 14, 200_001)[1:],
        ]
    )
    log_p = m.logpdf(x[:, None])
    want = trapezoid(np.exp(log_p) * log_p, x)
    assert expected_logpdf(m) == pytest.approx(want, rel=2e-6)


def test_directions_that_are_no_unit_vectors_are_refused():
    a, b = np.zeros((3, 2)), np.ones((3, 2))
    for metric in (sliced_w2, energy_distance):
        with pytest.raises(ValueError, match="unit vectors"):
            metric(a, b, [[5.0, 0.0]])
        with pytest.raises(ValueError, match=r"along must be \(k, 2\)"):
            metric(a, b, [[1.0]])
    with pytest.raises(ValueError, match="pairs must be"):
        noise_floor(sliced_w2, lambda: a, pairs=0)


def test_the_directions_are_the_middles_of_equal_angles():
    root = np.sqrt(0.5)
    np.testing.assert_allclose(directions(2, 2), [[root, root], [-root, root]], 1e-15)
    assert directions(2).shape == (32, 2)


def test_the_noise_floor_takes_twenty_pairs():
    calls = []
    noise_floor(lambda a, b: 0.0, lambda: calls.append(1))
    assert len(calls) == 40
