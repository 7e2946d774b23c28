"""Toys: their units and numbers by moments on a grid, and where their mass lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import mixtures

from refdiff import toys
from refdiff.mixture import Mixture
from refdiff.toys import (
    TOYS,
    blobs,
    example_2_1,
    example_3_2,
    example_4_6,
    moons,
    rings,
    scaled,
    spiral,
    swiss_roll,
)

PLANAR = {name: toy for name, toy in TOYS.items() if not name.startswith("ex-")}
GRID = np.stack(np.meshgrid(*[np.linspace(-5, 5, 301)] * 2), -1).reshape(-1, 2)
CELL = (10 / 300) ** 2


@pytest.mark.oracle
@pytest.mark.parametrize("name", PLANAR)
def test_toys_are_in_standard_units(name):
    """Mass 1, mean 0, mean variance 1: by summing the density over a fine grid."""
    toy = PLANAR[name]()
    p = np.exp(toy.logpdf(GRID)) * CELL
    assert p.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(p @ GRID, 0, atol=1e-6)
    assert p @ (GRID**2).sum(axis=1) / 2 == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(toy.mean, 0, atol=1e-14)
    assert np.trace(toy.cov) / 2 == pytest.approx(1, rel=1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("toy", "mean", "var"),
    [(example_2_1, 0.8, 4.072), (example_3_2, 0.4, 4.006), (example_4_6, 0.0, 10.0)],
)
def test_tutorial_mixtures_have_their_numbers(toy, mean, var):
    m = toy()
    x = np.linspace(-16, 16, 20001)
    p = np.exp(m.logpdf(x[:, None])) * (x[1] - x[0])
    assert p.sum() == pytest.approx(1, rel=1e-12)
    assert p @ x == pytest.approx(mean, abs=1e-12)
    assert p @ (x - mean) ** 2 == pytest.approx(var, rel=1e-12)
    assert m.mean[0] == pytest.approx(mean, abs=1e-15)
    assert m.cov[0, 0] == pytest.approx(var, rel=1e-14)


@pytest.mark.parametrize("curve", [moons, rings, spiral, swiss_roll])
def test_a_curve_is_at_most_64_narrow_gaussians(curve):
    toy = curve()
    assert len(toy.weights) <= 64
    width, length = np.sqrt(np.linalg.eigvalsh(toy.covs)).T
    assert (width < 0.15).all() and (length < 0.3).all()


@pytest.mark.parametrize("name", TOYS)
def test_every_toy_has_a_density_and_is_the_same_each_time(name):
    one, two = TOYS[name](), TOYS[name]()
    assert one.has_density and one.d == (1 if name.startswith("ex-") else 2)
    for part in ("weights", "means", "covs"):
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))


@pytest.mark.identity
@given(m=mixtures(), at=st.floats(-3, 3))
def test_scaled_maps_the_density(m, at):
    """p(x) dx = p'(x') dx' where x' = (x - shift) / scale."""
    standard, shift, scale = scaled(m)
    x = at + 0.3 * np.arange(m.d)
    before, after = m.logpdf(x), standard.logpdf((x - shift) / scale)
    assert after - m.d * np.log(scale) == pytest.approx(before, rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(
        standard.score((x - shift) / scale), scale * m.score(x), rtol=1e-10, atol=1e-10
    )
    assert isinstance(scale, float)


@pytest.mark.identity
@given(m=mixtures())
def test_scaled_gives_mean_zero_and_mean_variance_one(m):
    standard, *_ = scaled(m)
    np.testing.assert_allclose(standard.mean, 0, atol=1e-12)
    assert np.trace(standard.cov) == pytest.approx(m.d, rel=1e-11)
    again, shift, scale = scaled(standard)
    np.testing.assert_allclose(shift, 0, atol=1e-12)
    assert scale == pytest.approx(1, rel=1e-11)
    np.testing.assert_allclose(again.means, standard.means, rtol=1e-10, atol=1e-11)


@pytest.mark.control
def test_scaling_the_covariances_by_the_root_does_not_map_the_density():
    m = example_2_1()
    standard, shift, scale = scaled(m)
    wrong = Mixture(standard.weights, standard.means, m.covs / scale)
    x = np.array([0.3])
    for form, right in ((standard, True), (wrong, False)):
        got = form.logpdf((x - shift) / scale) - np.log(scale)
        assert (abs(got - m.logpdf(x)) < 1e-12) == right


def test_blobs_are_round_with_the_given_widths():
    m = blobs([0.25, 0.75], [[0, 1, 2], [3, 4, 5]], [0.5, 2])
    np.testing.assert_array_equal(m.covs, [0.25 * np.eye(3), 4 * np.eye(3)])
    one = blobs(np.array([0.5, 0.5]), np.zeros((2, 1)), 3)
    np.testing.assert_array_equal(one.covs, [[[9]], [[9]]])


@pytest.mark.parametrize("std", [0.0, -1.0, [0.5, 0.0], np.nan, [1.0, np.inf]])
def test_blobs_refuse_a_std_that_is_not_above_zero(std):
    with pytest.raises(ValueError, match="std|covs"):
        blobs([0.5, 0.5], [[0.0], [1.0]], std)


def near(m, curve, within):
    """Share of the mixture's mass within a distance of the points of a curve."""
    x = m.sample(4000, np.random.default_rng(0))
    gap = np.linalg.norm(x[:, None] - curve[None], axis=2).min(axis=1)
    return np.mean(gap < within)


def test_rings_are_two_circles_with_mass_as_their_length():
    m = rings()
    radius = np.linalg.norm(m.means, axis=1)
    inner = radius < radius.mean()
    assert radius[~inner].mean() == pytest.approx(2 * radius[inner].mean(), rel=0.02)
    assert m.weights[inner].sum() == pytest.approx(1 / 3, rel=0.01)
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    scale = np.sqrt(1.5 + 0.08**2 / 2)  # E r^2 / 2 of radii 1 and 2, thickness on top
    assert near(m, np.concatenate([circle, 2 * circle]) / scale, 0.25) > 0.99
    assert near(m, 1.5 * circle / scale, 0.25) < 0.2  # control: between the rings


def test_moons_turn_into_each_other_by_half_a_turn():
    m = moons()
    x = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    np.testing.assert_allclose(m.logpdf(x), m.logpdf(-x), rtol=1e-10, atol=1e-10)
    mirrored = m.logpdf(x * [1, -1])  # control: they are not mirror images
    assert np.abs(mirrored - m.logpdf(x)).max() > 1


def turned(toy, angle):
    c, s = np.cos(angle), np.sin(angle)
    x = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    m = TOYS[toy]()
    return np.abs(m.logpdf(x @ np.array([[c, s], [-s, c]])) - m.logpdf(x)).max()


@pytest.mark.parametrize(
    ("toy", "fold"),
    [("eight-gaussians", 8), ("grid", 4), ("pinwheel", 5), ("spiral", 2)],
)
def test_toys_have_the_symmetry_of_their_name(toy, fold):
    assert turned(toy, 2 * np.pi / fold) < 1e-8
    assert turned(toy, 2 * np.pi / (fold + 1)) > 1  # control: another angle


def test_checkerboard_fills_every_other_square():
    m = TOYS["checkerboard"]()
    side = np.ptp(m.means[:, 0]) / 3.75  # outermost means are 3.75 cells apart
    centres = (np.arange(4) - 1.5) * side
    p = np.exp([[m.logpdf(np.array([a, b])) for b in centres] for a in centres])
    dark = (np.add.outer(np.arange(4), np.arange(4)) % 2).astype(bool)
    filled, empty = (p[dark], p[~dark]) if p[0, 1] > p[0, 0] else (p[~dark], p[dark])
    assert filled.min() > 10 * empty.max()


def shape(mixture, k):
    """Standard deviations of a component, the larger first."""
    return np.sqrt(np.linalg.eigvalsh(mixture.covs[k]))[::-1]


@pytest.mark.parametrize(
    ("toy", "curve", "ends", "length", "turns"),
    [
        (toys.moons, slice(0, 24), (0, 23), 2.0, 0.48),  # a diameter apart
        (toys.rings, slice(16, 48), (16, 32), 4.0, 0.97),
        (toys.spiral, slice(0, 32), (31, 63), 2 * np.pi, 1.10),
        (toys.swiss_roll, slice(0, 64), (0, 63), 6 * np.pi, 1.47),
    ],
)
def test_curves_have_the_widths_and_turns_of_their_docstrings(
    toy, curve, ends, length, turns
):
    """Widths as shares of a known distance, pieces half as long in std, and turning."""
    m = toy()
    k = curve.start + 12
    chord = m.means[k + 1] - m.means[k - 1]
    tangent = chord / np.linalg.norm(chord)
    normal = np.array([-tangent[1], tangent[0]])
    apart = np.linalg.norm(m.means[ends[1]] - m.means[ends[0]])
    width = {toys.spiral: 0.1, toys.swiss_roll: 0.4}.get(toy, 0.08)
    across = np.sqrt(normal @ m.covs[k] @ normal)
    assert across / apart == pytest.approx(width / length, rel=0.06)
    along = np.sqrt(tangent @ m.covs[k] @ tangent)
    assert 4 * along == pytest.approx(np.linalg.norm(chord), rel=0.1)
    pieces = np.diff(m.means[curve], axis=0)
    heading = np.unwrap(np.arctan2(pieces[:, 1], pieces[:, 0]))
    assert abs(heading[-1] - heading[0]) / (2 * np.pi) == pytest.approx(turns, abs=0.05)


def test_blobs_and_squares_have_the_widths_of_their_docstrings():
    """Standard deviations as shares of the distance between neighbours."""
    eight, grid = toys.eight_gaussians(), toys.grid_of_gaussians()
    assert shape(eight, 0)[0] / np.linalg.norm(eight.means[0]) == pytest.approx(0.1)
    gap = np.linalg.norm(grid.means[1] - grid.means[0])
    assert shape(grid, 0)[0] / gap == pytest.approx(0.1)
    board = toys.checkerboard()
    gap = np.linalg.norm(board.means[1] - board.means[0])
    assert shape(board, 0)[0] / gap == pytest.approx(0.5)


def test_the_pinwheel_turns_by_two_fifths_of_its_radius():
    m = toys.pinwheel()
    blade = m.means[:6]
    angle = np.unwrap(np.arctan2(blade[:, 1], blade[:, 0]))
    assert angle[-1] - angle[0] == pytest.approx(0.4 * 2.0, rel=1e-9)
    assert shape(m, 5)[1] / shape(m, 5)[0] == pytest.approx(0.08 * 2.5 / 0.25, rel=1e-9)
